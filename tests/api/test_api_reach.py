"""What a read token reaches: every route of the OpenAPI document is tried with it, so a new route is tried by itself.

The database holds calls, budgets, keys, alerts of two tenants, two teams each, two users each; every text of a call
names whose it is. Whatever is answered to a token, nothing in it may be of calls that are not its own.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from alerts.facts import MadeUp, calls, rule
from rig.gateway import gateway
from rig.ledger import config
from rig.migrated import with_tables

from gateway.alerting.evaluate import Evaluator
from gateway.alerting.plan import AlertPlan
from gateway.api.guard import DOCS
from gateway.app import Gateway
from gateway.ids import call_id
from pricing.cost import Cost, CostSource, CostStatus, format_usd
from pricing.usage import Usage
from storage.address import parse
from storage.alerts.book import AlertBook
from storage.alerts.database import AlertDatabase
from storage.alerts.desk import AlertDesk
from storage.budgets.model import DIMENSIONS
from storage.contents.keep import keep
from storage.contents.model import Content, Piece
from storage.control import control_of
from storage.ledger import Ledger
from storage.privacy.erased import Erased
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, Trace, UsageSource, What, Who

ADMIN = {"Authorization": "Bearer the-admins-own-token"}
TENANTS = ("tenant-acme", "tenant-rival")
TEAMS = ("team-search", "team-ads")
USERS = ("user-ann", "user-bob")
PRIMES = (101, 211, 307, 401, 503, 601, 701, 809)
"""Odd nano-USD in the cost of each call: sums of others' calls are recognised."""
READERS: dict[str, dict[str, str]] = {
    "of a tenant": {"tenant": "tenant-acme"},
    "of a team": {"tenant": "tenant-acme", "team": "team-search"},
    "of a team in every tenant": {"team": "team-ads"},
    "of a user": {"tenant": "tenant-acme", "user": "user-bob"},
}
READING: dict[str, list[Any]] = {
    "/api/analytics/export": [{"format": "jsonl"}, {"shape": "focus"}, {"filters": {"team": "team-ads"}}]
}
"""Routes that only read although they are asked with a body, and bodies to ask them with."""
SLOW_S = 0.3
"""A stream that goes on is read for so long."""
LIVE = "/api/analytics/live"
"""The one that does: several are read at once."""
Session = aiohttp.ClientSession
Attempt = tuple[str, str, bool]
"""Method, path with query, and whether only admins may."""


class Row(msgspec.Struct, frozen=True):
    """Whose a call is, and everything in it that says so."""

    who: dict[str, str]
    record: CallRecord

    @property
    def marks(self) -> set[str]:
        found = set(re.findall(r"[a-z]+-of-[a-z]+-[a-z]+-[a-z]+", f"{self.record} {content(self)}"))
        return {*self.who.values(), *found, self.record.id}

    def is_of(self, reader: dict[str, str]) -> bool:
        return all(self.who[name] == value for name, value in reader.items())


def rows() -> Iterator[Row]:
    started = time.time_ns() - 120_000_000_000
    for number, (tenant, team, user) in enumerate(itertools.product(TENANTS, TEAMS, USERS)):
        whose = "-".join(name.partition("-")[2] for name in (tenant, team, user))
        at = started + number * 1_000_000_000
        nano = 1_000_000 * 10**number + PRIMES[number]
        who = Who(
            tenant,
            team,
            user,
            *(f"{name}-of-{whose}" for name in ("project", "feature", "session", "environment", "agent", "parent")),
            f"app-of-{whose}",
            f"key-of-{whose}",
            f"prompt-of-{whose}",
            f"version-of-{whose}",
            ((f"tag-of-{whose}", f"value-of-{whose}"),),
        )  # fmt: skip
        record = CallRecord(
            call_id(at),
            Outcome.COMPLETED if number % 3 else Outcome.PROVIDER_ERROR,
            who,
            What(
                "openai", "openai_chat", "chat", "POST", f"/path-of-{whose}", f"model-of-{whose}", True, 64, 300
            ),
            Route(
                f"host-of-{whose}", 1, None, f"policy-of-{whose}", f"reason-of-{whose}", 900_000,
                f"baseline-of-{whose}", f"experiment-of-{whose}", f"variant-of-{whose}",
            ),
            Timing(at, 850_000, 840_000, 300_000, 310_000, 900),
            Answer(200 if number % 3 else 500, f"answer-of-{whose}", f"response-of-{whose}", ("stop",)),
            Usage(1000 + number, 200),
            UsageSource.PROVIDER,
            Cost(CostStatus.PRICED, CostSource.CATALOGUE, nano, nano, 0, 0, 0, 0, "book", f"rule-of-{whose}"),
            Trace(trace_id_low=number + 1, server_span_id=1, client_span_id=2),
            b'{"prompt_tokens": 1000}',
            baseline_nano=2 * nano,
        )  # fmt: skip
        yield Row({"tenant": tenant, "team": team, "user": user}, record)


ROWS = tuple(rows())


def foreign_marks(reader: dict[str, str]) -> set[str]:
    """What must not be in any answer: what only others' calls have, and what they cost, alone or added up."""
    own = [row for row in ROWS if row.is_of(reader)]
    others = [row for row in ROWS if not row.is_of(reader)]
    assert own
    assert others
    said = {mark for row in others for mark in row.marks} - {mark for row in own for mark in row.marks}
    return said | money(reader)


def money(reader: dict[str, str]) -> set[str]:
    """Sums of calls that are not all the reader's, as they may be written."""
    found = set()
    for names in itertools.product((None, *TENANTS), (None, *TEAMS), (None, *USERS)):
        wanted = {name: value for name, value in zip(("tenant", "team", "user"), names, strict=True) if value}
        some = [row for row in ROWS if row.is_of(wanted)]
        if not all(row.is_of(reader) for row in some):
            nano = sum(row.record.cost.total or 0 for row in some)
            found |= {str(nano), format_usd(nano)}
    return found


def from_the_start(reader: dict[str, str]) -> dict[str, str]:
    """Makes such a stream begin with all that came after the reader's first call."""
    return {"Last-Event-ID": next(row.record.id for row in ROWS if row.is_of(reader))}


async def fill(folder: Path) -> None:
    """Calls, as the gateway writes them."""
    ledger = Ledger(config(with_tables(folder)))
    await ledger.start()
    for row in ROWS:
        ledger.closed(row.record)
    assert await ledger.drained(20)
    await ledger.stop(5)
    control = control_of(parse(None, folder))
    await keep(control, [content(row) for row in ROWS], Erased())
    await control.close()


def content(row: Row) -> Content:
    """Prompt and answer of a call."""
    who, said = row.record.who, f"text-of-{'-'.join(name.partition('-')[2] for name in row.who.values())}"
    piece = Piece("full", 9, said, said)
    at_ms = row.record.timing.started_ns // 1_000_000
    return Content(who.tenant or "", row.record.id, at_ms, who.team, who.user, who.session, piece, piece)


async def alert(folder: Path) -> None:
    """An alert about each tenant and team, and a rule about each."""
    facts, database = MadeUp(), AlertDatabase(parse(None, folder))
    facts.call_facts = [
        calls(50, labels=(("tenant", tenant), ("team", team))) for tenant in TENANTS for team in TEAMS
    ]
    made = rule("error_rate", group_by=["tenant", "team"])
    desk = AlertDesk(database)
    await Evaluator(lambda: AlertPlan((), (made,), {})).run(AlertBook(database), desk, facts, _now())
    for tenant in TENANTS:
        await desk.put_rule(
            f"rule-of-{tenant}", {"kind": "error_rate", "scope": {"tenant": tenant}}, True, "a", _now()
        )
    await database.close()


def _now() -> datetime:
    return datetime.now(UTC)


async def send(session: Session, method: str, path: str, body: Any) -> Any:
    async with session.request(method, path, json=body, headers=ADMIN) as answer:
        assert answer.status < 300, await answer.text()
        return await answer.json()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Gateway]:
    await fill(tmp_path)
    await alert(tmp_path)
    auth = {"admin_token": "the-admins-own-token"}
    async with gateway(tmp_path, "http://127.0.0.1:9", auth=auth) as started:
        yield started


@pytest.fixture
async def session(running: Gateway) -> AsyncIterator[Session]:
    async with Session(running.url) as opened:
        scopes = [{}, *(row.who for row in ROWS)]
        for number, scope in enumerate(scopes):
            await send(
                opened, "POST", "/api/budgets", {"name": f"budget {number}", "limit": "9", "scope": scope}
            )
        for dimensions in (["tenant"], ["team"], ["user"], ["tenant", "team", "user"], ["model"]):
            scope = dict.fromkeys(dimensions, "*")
            await send(
                opened, "POST", "/api/budgets", {"name": str(dimensions), "limit": "9", "scope": scope}
            )
        for row in ROWS[::2]:
            await send(opened, "POST", "/api/keys", {"name": row.record.who.key_id, **row.who})
            said = {"call_id": row.record.id, "rating": 1, "label": row.record.who.project}
            await send(opened, "POST", "/api/feedback", said)
            await send(opened, "POST", "/api/outcomes", {"call_id": row.record.id, "outcome": "accepted"})
        yield opened


async def token(running: Gateway, session: Session, body: dict[str, Any]) -> tuple[str, str]:
    """Its id and secret, when the gateway knows it."""
    made = await send(session, "POST", "/api/tokens", {"name": "reader", **body})
    await running.governance.watch.look()
    return made["token"]["id"], made["secret"]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def attempts(session: Session) -> list[Attempt]:
    """Everything the document describes, in many ways."""
    document = await (await session.get("/api/openapi.json", headers=ADMIN)).json()
    ids = [ROWS[0].record.id, ROWS[-1].record.id, *sorted(ROWS[-1].marks)[:3]]
    for path in ("/api/budgets", "/api/keys", "/api/tokens", "/api/alerts", "/api/alerts/deliveries"):
        ids += [row["id"] for row in (await (await session.get(path, headers=ADMIN)).json())["items"]][:4]
    found = []
    for path, operations in document["paths"].items():
        if not path.startswith("/api/") and path != "/metrics":
            continue
        filled = [re.sub(r"{\w+}", id_, path) for id_ in ids] if "{" in path else [path]
        for method, operation in operations.items():
            if path.startswith(DOCS):  # open, and tells nothing of calls
                continue
            admin = operation.get("x-admin-only", False)
            found += [(method.upper(), one, admin) for one in filled]
            for parameter in operation["parameters"]:
                if parameter["in"] == "query" and method == "get":
                    values = values_for(parameter)[: 1 if _goes_on(operation) else None]
                    pairs = [f"{parameter['name']}={value}" for value in values]
                    found += [("GET", f"{one}?{pair}", admin) for one in filled[-8::4] for pair in pairs]
    return found


def _goes_on(operation: dict[str, Any]) -> bool:
    return "text/event-stream" in operation["responses"]["200"]["content"]


def values_for(parameter: dict[str, Any]) -> list[str]:
    """What may be asked for by a parameter: others' things above all."""
    schema = parameter["schema"]
    if "enum" in schema:
        return [str(value) for value in schema["enum"]]
    if schema.get("type") == "boolean":
        return ["true", "false"]
    if schema.get("type") in ("integer", "number"):
        return ["1", "1000"]
    if re.search(r"group|by$|dimension|split", parameter["name"]):
        return [*DIMENSIONS, "tenant,team"]
    if re.search(r"since|until|from|to$|start|end|at$", parameter["name"]):
        return ["1d", "2020-01-01"]
    name = parameter["name"].removesuffix("_id").rpartition("_")[2]
    if name in ROWS[-1].who:
        return [ROWS[-1].who[name]]
    if name == "model":  # the one that was asked for, and the one that answered
        return ["model-of-rival-ads-bob", "answer-of-rival-ads-bob"]
    theirs = f"{name}-of-rival-ads-bob"
    return [theirs] if theirs in ROWS[-1].marks else [*ROWS[-1].who.values(), theirs]


async def read(
    session: Session, method: str, path: str, headers: dict[str, str], asked: Any = None
) -> tuple[int, str]:
    """Status and body; of a stream that goes on what has come after a while."""
    body = b""
    async with session.request(method, path, headers=headers, json=asked) as answer:
        try:
            async with asyncio.timeout(SLOW_S):
                async for piece in answer.content.iter_any():
                    body += piece
        except TimeoutError:
            pass
        return answer.status, body.decode()


def share_of(tried: list[Attempt], place: int, shares: int) -> list[Attempt]:
    """Every route as it stands, and of those with a parameter each ``shares``-th, beginning with another."""
    return [one for number, one in enumerate(tried) if "?" not in one[1] or number % shares == place % shares]


@pytest.mark.parametrize("shares", [len(READERS), pytest.param(1, marks=pytest.mark.soak)])
async def test_no_route_tells_a_reader_of_others(running: Gateway, session: Session, shares: int) -> None:
    """Routes are many, and parameters more: of those each is tried by one of the readers, in the long form by all."""
    tried = await attempts(session)
    assert len(tried) > 150
    for method, path, admin in tried:
        assert admin or method == "GET" or path in READING, (
            f"{method} {path} changes something: only admins may"
        )
    for place, reader in enumerate(READERS.values()):
        _, secret = await token(running, session, reader)
        foreign = foreign_marks(reader)
        seen = ""
        some = share_of(tried, place, shares)
        asking = [(*one, asked) for one in some for asked in READING.get(one[1], [None])]
        streams = [one for one in asking if one[1].startswith(LIVE)]
        headers = bearer(secret) | from_the_start(reader)
        answers = await asyncio.gather(*(read(session, *one[:2], headers) for one in streams))
        known = dict(zip([one[:2] for one in streams], answers, strict=True))
        for method, path, admin, asked in asking:
            found = known.get((method, path)) or await read(session, method, path, bearer(secret), asked)
            status, body = found
            assert status < 500, (method, path, body)
            assert status == 403 or not admin, (method, path, status)
            seen += body
            if status >= 400:  # an error may repeat what was asked
                for part in re.split(r"[/?&=]", path):
                    body = body.replace(part, "") if len(part) > 3 else body
            leaked = {mark for mark in foreign if mark in body}
            assert not leaked, (reader, method, path, status, leaked, body[:2000])
        assert all(row.record.id in seen for row in ROWS if row.is_of(reader))


async def test_prompts_and_answers_need_a_right_of_their_own(running: Gateway, session: Session) -> None:
    reader = READERS["of a team"]
    secrets = [(await token(running, session, {**reader, "content": right}))[1] for right in (False, True)]
    for row in ROWS:
        path = f"/api/calls/{row.record.id}/content"
        closed, status = [(await read(session, "GET", path, bearer(secret)))[0] for secret in secrets]
        assert closed == 403
        assert status == (200 if row.is_of(reader) else 404)


async def test_the_marks_are_found_where_everything_may_be_seen(running: Gateway, session: Session) -> None:
    """The search above finds what it looks for."""
    _, secret = await token(running, session, {"everything": True})
    seen = ""
    _, with_content = await token(running, session, {"everything": True, "content": True})
    for row in ROWS:
        path = f"/api/calls/{row.record.id}/content"
        seen += (await read(session, "GET", path, bearer(with_content)))[1]
    for path in ("/api/calls", "/api/budgets", "/api/alerts", "/api/alerts/rules"):
        status, body = await read(session, "GET", path, bearer(secret))
        assert status == 200
        seen += body
    _, body = await read(session, "GET", LIVE, bearer(secret) | from_the_start({}))
    assert all(row.record.id in body for row in ROWS[1:])
    for reader in READERS.values():
        missing = {mark for mark in foreign_marks(reader) - money(reader) if mark not in seen}
        assert not missing
        assert len({mark for mark in money(reader) if mark in seen}) > 8


async def test_a_token_that_is_no_good_opens_nothing(running: Gateway, session: Session) -> None:
    tried = [one for one in await attempts(session) if "?" not in one[1]]
    id_, revoked = await token(running, session, {"everything": True})
    _, expired = await token(running, session, {"everything": True, "expires_at": "1s"})
    assert (await read(session, "GET", "/api/calls", bearer(revoked)))[0] == 200
    await send(session, "DELETE", f"/api/tokens/{id_}", None)
    await running.governance.watch.look()
    while (await read(session, "GET", "/api/calls", bearer(expired)))[0] == 200:
        await asyncio.sleep(0.1)
    never = bearer("wbt_nobody-ever-made-this-one")
    for headers in ({}, never, bearer(revoked), bearer(expired)):
        statuses = {(await read(session, method, path, headers))[0] for method, path, _ in tried}
        assert statuses == {401}
