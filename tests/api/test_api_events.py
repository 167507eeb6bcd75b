"""Events over HTTP: singles and batches, good ones kept and bad ones named, calls told of and priced."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from gateway.api.app import Tracking
from gateway.api.events import MOST_BYTES, MOST_EVENT_BYTES, MOST_EVENTS
from gateway.api.known_calls import PAUSES, QualityDeps, open_quality
from gateway.api.viewer import Viewer
from gateway.attribution import hashed
from gateway.errors import Code, Refusal
from pricing.book import PriceBook, PriceQuery
from pricing.cost import CostStatus
from pricing.usage import Usage
from storage.store import Store
from telemetry.outcome import Outcome
from telemetry.record import CallRecord, UsageSource

from .conftest import NOON, Connect, make_call

Keep = Callable[..., Awaitable[None]]
Post = Callable[..., Awaitable[tuple[int, Any]]]
NOW = datetime.fromtimestamp(NOON / 1e9, UTC) + timedelta(hours=1)
STAMP = "2026-09-21T14:13:20.250Z"
CALL = {"provider": "openai", "model": "gpt-4o", "usage": {"input": 1000, "output": 200, "cache_read": 400}}


def track(message_id: str | None = "m1", **changed: Any) -> dict[str, Any]:
    return {"type": "track", "messageId": message_id, "userId": "ada", "event": "opened", **changed}


def told(message_id: str = "c1", call: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    return {
        "type": "ai_request", "messageId": message_id, "timestamp": STAMP, "call": {**CALL, **(call or {})}, **changed,
    }  # fmt: skip


class Ledger:
    """Records that were published."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []
        self.full = False

    async def publish(self, record: CallRecord) -> None:
        if self.full:
            raise Refusal(503, Code.CANNOT_ACCOUNT, "full", retry_after=7)
        self.records.append(record)

    def pending(self, call_id: str) -> CallRecord | None:
        return next((one for one in self.records if one.id == call_id), None)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
async def quality(tmp_path: Path, store: Store, pauses: list[float]) -> AsyncIterator[QualityDeps]:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    opened = open_quality(None, tmp_path)
    yield msgspec.structs.replace(opened, pause=pause, clock=NOW.timestamp)
    await opened.close()


@pytest.fixture
async def post(connect: Connect, quality: QualityDeps, ledger: Ledger, book: PriceBook) -> Post:
    """``await post(body, **quality_deps)``: status and body of the answer."""

    async def send(body: Any, **changed: Any) -> tuple[int, Any]:
        client = await connect(
            quality=msgspec.structs.replace(quality, **changed),
            tracking=Tracking(ledger.publish, lambda: book, lambda name: name),
            pending=ledger.pending,
        )
        answer = await client.post(
            "/api/events", data=body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        return answer.status, await answer.json()

    return send


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "weighbridge.db")) as db:
        return db.execute(query).fetchall()


async def test_a_single_event(post: Post, tmp_path: Path) -> None:
    event = track(
        properties={"plan": "gold", "n": [1, {"a": None}], "from": "203.0.113.7"},
        timestamp=STAMP,
        context={"ip": "1.2.3.4"},
    )
    assert await post(event) == (200, {"accepted": 1, "duplicates": 0, "rejected": []})
    assert await post(event) == (200, {"accepted": 0, "duplicates": 1, "rejected": []})
    [(tenant, message, kind, name, user, at, data)] = rows(
        tmp_path, "SELECT tenant_id, message_id, kind, name, user_id, at, data FROM events"
    )
    assert (tenant, message, kind, name, user) == ("default", "m1", "track", "opened", "ada")
    assert (at, json.loads(data)) == (
        "2026-09-21 14:13:20.250000",
        {**event["properties"], "from": "203.0.113.0"},
    )


async def test_good_ones_are_kept_and_bad_ones_named(post: Post, tmp_path: Path) -> None:
    bad: list[tuple[Any, str, str | None]] = [
        (track("b1", event=""), "invalid_body", "event"),
        (track("b2", userId=None), "invalid_body", "userId"),
        ({"type": "page", "messageId": "b3"}, "invalid_body", "type"),
        ({"messageId": "b4"}, "invalid_body", "type"),
        (17, "invalid_body", "type"),
        (track("b6", properties="x"), "invalid_body", "properties"),
        (track("b7", timestamp="yesterday"), "invalid_body", "timestamp"),
        (track("b8", timestamp="1999-01-01"), "invalid_body", "timestamp"),
        (track("b9", timestamp="2031-01-01T00:00:00Z"), "invalid_body", "timestamp"),
        (track("b10", properties={"x": "y" * MOST_EVENT_BYTES}), "too_large", None),
        (told("b11", {"usage": {"tokens": 1}}), "invalid_body", "call.usage"),
        (told("b12", {"usage": {"input": -1}}), "invalid_body", "call.usage.input"),
        (told("b13", {"modell": "x"}), "invalid_body", "call.modell"),
        (told("b14", timestamp=None), "invalid_body", "timestamp"),
        ({**told(), "messageId": None}, "invalid_body", "messageId"),
        ({"type": "feedback", "messageId": "b16", "feedback": {"response_id": "no", "rating": 1}}, "call_not_found", "response_id"),
        ({"type": "feedback", "messageId": "b17", "feedback": {"response_id": "no", "stars": 9}}, "invalid_body", "feedback.stars"),
        ({"type": "outcome", "messageId": "b18", "outcome": {"outcome": "won"}}, "invalid_body", "outcome.outcome"),
    ]  # fmt: skip
    batch = [track("good1"), *[event for event, _, _ in bad], track("good2")]
    status, answer = await post({"batch": batch, "sentAt": STAMP})
    assert (status, answer["accepted"], answer["duplicates"]) == (200, 2, 0)
    found = [(one["code"], one.get("param")) for one in answer["rejected"]]
    assert found == [(code, param) for _, code, param in bad]
    assert [one["index"] for one in answer["rejected"]] == list(range(1, len(bad) + 1))
    assert answer["rejected"][0]["message_id"] == "b1"
    assert all(one["message"] for one in answer["rejected"])
    assert rows(tmp_path, "SELECT message_id FROM events ORDER BY 1") == [("good1",), ("good2",)]


async def test_a_single_bad_event_is_an_error(post: Post) -> None:
    status, answer = await post(track(event=None))
    assert (status, answer["error"]["param"]) == (400, "event")
    status, answer = await post(track(properties={"x": "y" * MOST_EVENT_BYTES}))
    assert (status, answer["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"17", 400),
        (b'{"batch":{}}', 400),
        (b'{"batch":[NaN]}', 400),
        (b"[" * 100_000, 400),
        (b'{"type":"track","userId":"\xff"}', 400),
        (json.dumps({"batch": [track(None)] * (MOST_EVENTS + 1)}).encode(), 400),
        (b" " * (MOST_BYTES + 1), 413),
        (b'{"batch":[]}', 200),
    ],
)
async def test_bodies_that_are_none(post: Post, body: bytes, status: int) -> None:
    assert (await post(body))[0] == status


async def test_without_an_id_each_counts(post: Post, tmp_path: Path) -> None:
    assert (await post({"batch": [track(None), track(None)]}))[1]["accepted"] == 2
    assert rows(tmp_path, "SELECT count(DISTINCT message_id) FROM events") == [(2,)]


async def test_traits_are_personal(post: Post, tmp_path: Path) -> None:
    def identify(message_id: str) -> dict[str, Any]:
        return {"type": "identify", "messageId": message_id, "userId": "ada", "traits": {"email": "a@b.c"}}

    await post(identify("a"))
    await post(identify("b"), store_traits=lambda: True)
    found = rows(tmp_path, "SELECT kind, data FROM events ORDER BY message_id")
    assert found == [("identify", None), ("identify", '{"email": "a@b.c"}')]


async def test_ids_are_hashed_and_credentials_masked(post: Post, tmp_path: Path) -> None:
    salt = SecretStr("pepper")
    event = track(properties={"note": "use sk-abcdefgh12345678", "odd\0": "\0"})
    assert (await post(event, salt=lambda: salt))[0] == 200
    [(user, data)] = rows(tmp_path, "SELECT user_id, data FROM events")
    assert user == hashed("ada", salt)
    assert json.loads(data) == {"note": "use sk-***", "odd\ufffd": "\ufffd"}


async def test_a_call_told_of_is_a_record_like_any_other(post: Post, ledger: Ledger, book: PriceBook) -> None:
    call = {
        "response_model": "gpt-4o-2024-08-06", "duration_ms": 850.5, "ttft_ms": 300, "stream": True, "status": 200,
        "team": "search", "tags": {"tier": "gold"}, "trace_id": f"{0xABC:032x}", "response_id": "resp-5",
        "finish_reason": "stop", "variant": "B", "baseline_model": "gpt-4",
    }  # fmt: skip
    status, answer = await post(told("c1", call, userId="ada", sessionId="s", tenant="acme"))
    assert (status, answer["accepted"]) == (200, 1)
    [record] = ledger.records
    at = record.timing.started_ns
    assert at == 1_789_999_999_999_999_999 // 10**9 * 10**9 + 10**9 + 250_000_000
    usage = Usage(1000, 200, cache_read=400)
    assert record.usage == usage
    assert record.cost == book.price(PriceQuery("openai", "gpt-4o-2024-08-06", "gpt-4o", usage, at))
    assert record.cost.status is CostStatus.PRICED
    assert record.baseline_nano == book.price(PriceQuery("openai", "gpt-4", None, usage, at)).total
    assert (record.what.wire, record.what.method, record.what.operation) == ("event", "EVENT", "chat")
    assert (record.who.user, record.who.tenant, record.who.team) == ("ada", "acme", "search")
    assert dict(record.who.sources) == dict.fromkeys(("tenant", "team", "user", "session"), "event")
    assert (record.timing.duration_us, record.timing.first_chunk_us) == (850_500, 300_000)
    assert (record.answer.response_id, record.answer.finish_reasons) == ("resp-5", ("stop",))
    assert record.trace is not None
    assert (record.trace.trace_id, record.trace.sampled) == (0xABC, False)


@pytest.mark.parametrize(
    ("call", "outcome", "status", "source"),
    [
        ({"error": "timeout", "usage": None}, Outcome.PROVIDER_ERROR, CostStatus.NOT_BILLABLE, UsageSource.NONE),
        ({"status": 429, "usage": None}, Outcome.PROVIDER_ERROR, CostStatus.NOT_BILLABLE, UsageSource.NONE),
        ({"error": "cut"}, Outcome.PROVIDER_ERROR, CostStatus.PRICED, UsageSource.PROVIDER),
        ({"usage": None}, Outcome.COMPLETED, CostStatus.UNPRICED, UsageSource.NONE),
        ({"model": "nobody-knows"}, Outcome.COMPLETED, CostStatus.UNPRICED, UsageSource.PROVIDER),
        ({"estimated": True}, Outcome.COMPLETED, CostStatus.ESTIMATED, UsageSource.ESTIMATED),
    ],
)  # fmt: skip
async def test_how_such_a_call_ended_and_what_it_cost(
    post: Post,
    ledger: Ledger,
    call: dict[str, Any],
    outcome: Outcome,
    status: CostStatus,
    source: UsageSource,
) -> None:
    assert (await post(told("c1", call)))[1]["accepted"] == 1
    [record] = ledger.records
    assert (record.outcome, record.cost.status, record.usage_source) == (outcome, status, source)


async def test_told_twice_it_is_one_call(post: Post, ledger: Ledger, keep: Keep) -> None:
    first = {"batch": [told("c1"), told("c2"), told("c1")]}
    assert (await post(first))[1] == {"accepted": 2, "duplicates": 1, "rejected": []}
    await keep(*ledger.records)
    ids = [one.id for one in ledger.records]
    ledger.records.clear()
    assert (await post(first))[1]["duplicates"] == 3, "also when the database has it"
    named = {"batch": [told("c1", tenant="default")]}
    assert (await post(named))[1]["duplicates"] == 1, "who names no tenant is of this one"
    assert ledger.records == []
    await post({"batch": [told("c1", tenant="globex"), told("c1", timestamp="2026-09-21T14:13:20.251Z")]})
    assert len({one.id for one in ledger.records} | set(ids)) == 4


async def test_a_full_ledger_takes_no_call(post: Post, ledger: Ledger) -> None:
    ledger.full = True
    status, answer = await post({"batch": [track(), told()]})
    assert (status, answer["error"]["code"]) == (503, Code.CANNOT_ACCOUNT)


async def test_what_is_said_of_a_call_may_come_with_it(post: Post, ledger: Ledger, tmp_path: Path) -> None:
    assert (await post(told("c1")))[1]["accepted"] == 1
    made = ledger.records[0].id
    said = {"type": "feedback", "feedback": {"call_id": made, "rating": 1}}
    came = {"type": "outcome", "outcome": {"call_id": made, "outcome": "accepted"}}
    status, answer = await post({"batch": [said, came, said, told("c1")]})
    assert (status, answer) == (200, {"accepted": 2, "duplicates": 2, "rejected": []})
    assert rows(tmp_path, "SELECT calls, user_good, accepted, model FROM quality_daily") == [
        (1, 1, 1, "gpt-4o")
    ]


async def test_unknown_calls_of_a_batch_are_waited_for_once(post: Post, pauses: list[float]) -> None:
    said = [{"type": "feedback", "feedback": {"response_id": f"r{n}", "rating": 1}} for n in range(20)]
    assert len((await post({"batch": said}))[1]["rejected"]) == 20
    assert pauses == list(PAUSES)


async def test_while_the_database_is_away_nothing_is_said_to_be_kept(
    connect: Connect, tmp_path: Path, ledger: Ledger, book: PriceBook
) -> None:
    gone = open_quality(f"sqlite:///{tmp_path}/none/x.db", tmp_path)
    client = await connect(
        quality=gone,
        tracking=Tracking(ledger.publish, lambda: book, lambda name: name),
        pending=ledger.pending,
    )
    answer = await client.post("/api/events", json={"batch": [track(), told(timestamp=None)]})
    assert answer.status == 503
    await gone.close()


async def test_a_token_of_a_tenant_tells_for_that_tenant(
    connect: Connect, quality: QualityDeps, ledger: Ledger, book: PriceBook, tmp_path: Path, keep: Keep
) -> None:
    async def tokens(given: str) -> Viewer | None:
        return Viewer("app", admin=True, tenant="acme") if given == "app" else None

    record = make_call(book)
    await keep(record)
    client = await connect(
        quality=quality,
        tracking=Tracking(ledger.publish, lambda: book, lambda name: name),
        tokens=tokens,
        admin_token=SecretStr("admin"),
    )
    said = {"type": "feedback", "feedback": {"call_id": record.id, "rating": 1}}
    batch = {"batch": [track(tenant="globex"), told(tenant="globex"), said]}
    answer = await client.post("/api/events", json=batch, headers={"Authorization": "Bearer app"})
    body = await answer.json()
    assert (body["accepted"], body["rejected"][0]["code"]) == (2, "call_not_found")
    assert rows(tmp_path, "SELECT tenant_id FROM events") == [("acme",)]
    assert ledger.records[0].who.tenant == "acme"
