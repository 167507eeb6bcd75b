"""Feedback and outcomes over HTTP: what is taken, what is refused and why, and what is not kept."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from gateway.api.feedback import LONGEST_COMMENT
from gateway.api.known_calls import PAUSES, QualityDeps, open_quality
from gateway.api.viewer import Viewer
from gateway.attribution import hashed
from gateway.ids import call_id
from pricing.book import PriceBook
from storage.quality.summary import Dimension
from storage.store import Store
from telemetry.quality import PPM

from .conftest import NOON, Connect, make_call

Keep = Callable[..., Awaitable[None]]
TOKEN = SecretStr("correct horse")


class Clocks:
    """Pauses that were made, and what to do in them."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if self.meanwhile is not None:
            await self.meanwhile()


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def quality(tmp_path: Path, store: Store, clocks: Clocks) -> AsyncIterator[QualityDeps]:
    opened = msgspec.structs.replace(
        open_quality(None, tmp_path), pause=clocks.pause, clock=lambda: NOON / 1e9
    )
    yield opened
    await opened.close()


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "weighbridge.db")) as db:
        return db.execute(query).fetchall()


async def test_feedback_is_kept_with_the_dimensions_of_its_call(
    connect: Connect, keep: Keep, book: PriceBook, quality: QualityDeps
) -> None:
    record = make_call(book, team="search")
    await keep(record)
    client = await connect(quality=quality)
    answer = await client.post("/api/feedback", json={"call_id": record.id, "rating": 1})
    body = await answer.json()
    assert answer.status == 200, body
    assert body == {
        "id": body["id"], "call_id": record.id, "status": "stored", "revision": 1, "comment_stored": None,
    }  # fmt: skip
    again = await (
        await client.post("/api/feedback", json={"call_id": record.id.upper(), "rating": 1})
    ).json()
    assert (again["status"], again["id"]) == ("unchanged", body["id"])
    changed = await (await client.post("/api/feedback", json={"response_id": "resp-1", "stars": 2})).json()
    assert (changed["status"], changed["revision"], changed["id"]) == ("replaced", 2, body["id"])
    [row] = await quality.reader.summary({}, [Dimension.TEAM, Dimension.MODEL])
    assert row.key == ("search", "gpt-4o")
    assert (row.measures.user_count, row.measures.stars_ppm) == (1, 250_000)
    assert row.measures.cost_nano == record.cost.total


async def test_scores_are_exact(connect: Connect, keep: Keep, book: PriceBook, quality: QualityDeps) -> None:
    record = make_call(book)
    await keep(record)
    client = await connect(quality=quality)
    for score in (0, 1, 0.1, "0.333333", 0.7000004):
        said = {"trace_id": f"{0xABC:032X}", "score": score, "source": "judge", "user": str(score)}
        answer = await client.post("/api/feedback", json=said)
        assert answer.status == 200, await answer.text()
    rating = (await quality.reader.summary({}, []))[0].measures
    assert rating.judge_ppm == PPM + 100_000 + 333_333 + 700_000


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "rating"),
        ({"rating": 1}, "call_id"),
        ({"call_id": "X", "response_id": "r", "rating": 1}, "call_id"),
        ({"call_id": "17", "rating": 1}, "call_id"),
        ({"trace_id": "xyz", "rating": 1}, "trace_id"),
        ({"response_id": "resp-1"}, "rating"),
        ({"response_id": "resp-1", "rating": 1, "score": 1}, "rating"),
        ({"response_id": "resp-1", "rating": 3}, "rating"),
        ({"response_id": "resp-1", "stars": 0}, "stars"),
        ({"response_id": "resp-1", "stars": 6}, "stars"),
        ({"response_id": "resp-1", "score": 1.01}, "score"),
        ({"response_id": "resp-1", "score": -0.1}, "score"),
        ({"response_id": "resp-1", "score": "much"}, "score"),
        ({"response_id": "resp-1", "rating": 1, "source": "boss"}, "source"),
        ({"response_id": "resp-1", "rating": 1, "user": ""}, "user"),
        ({"response_id": "resp-1", "rating": 1, "label": "x" * 257}, "label"),
        ({"response_id": "resp-1", "rating": 1, "mood": "x"}, "mood"),
    ],
)
async def test_a_bad_field_is_named(
    connect: Connect, quality: QualityDeps, body: dict[str, Any], param: str
) -> None:
    answer = await (await connect(quality=quality)).post("/api/feedback", json=body)
    error = (await answer.json())["error"]
    assert (answer.status, error["param"]) == (400, param), error


async def test_what_is_no_number_is_refused(connect: Connect, quality: QualityDeps) -> None:
    client = await connect(quality=quality)
    for raw in ('{"response_id":"r","score":NaN}', '{"response_id":"r","score":Infinity}', "[]", "{"):
        answer = await client.post("/api/feedback", data=raw)
        assert answer.status == 400, raw


async def test_a_comment_that_is_too_long_is_too_large(connect: Connect, quality: QualityDeps) -> None:
    client = await connect(quality=quality)
    said = {"response_id": "r", "rating": 1, "comment": "x" * (LONGEST_COMMENT + 1)}
    answer = await client.post("/api/feedback", json=said)
    assert (answer.status, (await answer.json())["error"]["param"]) == (413, "comment")
    answer = await client.post("/api/feedback", data=b" " * 2_000_000)
    assert answer.status == 413


async def test_comments_are_dropped_unless_they_are_wanted(
    connect: Connect, keep: Keep, book: PriceBook, quality: QualityDeps, tmp_path: Path
) -> None:
    await keep(make_call(book))
    said = {
        "response_id": "resp-1",
        "rating": -1,
        "comment": "my key is sk-abcdefgh12345678, and it\0 failed",
    }
    answer = await (await connect(quality=quality)).post("/api/feedback", json=said)
    assert (await answer.json())["comment_stored"] is False
    assert rows(tmp_path, "SELECT comment FROM feedback") == [(None,)]
    wanted = msgspec.structs.replace(quality, store_comments=lambda: True)
    answer = await (await connect(quality=wanted)).post("/api/feedback", json=said)
    assert (await answer.json())["comment_stored"] is True
    assert rows(tmp_path, "SELECT comment FROM feedback") == [("my key is sk-***, and it\ufffd failed",)]


async def test_a_call_on_its_way_to_the_database_is_known(
    connect: Connect, book: PriceBook, quality: QualityDeps, clocks: Clocks
) -> None:
    record = make_call(book, team="search")
    client = await connect(quality=quality, pending={record.id: record}.get)
    answer = await client.post("/api/feedback", json={"call_id": record.id, "rating": 1})
    assert (answer.status, clocks.pauses) == (200, [])
    [row] = await quality.reader.summary({}, [Dimension.TEAM])
    assert row.key == ("search",)


async def test_a_call_that_another_worker_still_holds_is_waited_for(
    connect: Connect, keep: Keep, book: PriceBook, quality: QualityDeps, clocks: Clocks
) -> None:
    record = make_call(book)

    async def arrives() -> None:
        if len(clocks.pauses) == 2:
            await keep(record)

    clocks.meanwhile = arrives
    client = await connect(quality=quality)
    answer = await client.post("/api/feedback", json={"call_id": record.id, "rating": 1})
    assert (answer.status, clocks.pauses) == (200, list(PAUSES[:2]))


@pytest.mark.parametrize("path", ["/api/feedback", "/api/outcomes"])
async def test_a_call_nobody_knows(connect: Connect, quality: QualityDeps, clocks: Clocks, path: str) -> None:
    client = await connect(quality=quality)
    said = {"rating": 1} if path == "/api/feedback" else {"outcome": "accepted"}
    answer = await client.post(path, json={"response_id": "resp-7", **said})
    assert (answer.status, (await answer.json())["error"]["code"]) == (404, "call_not_found")
    assert clocks.pauses == list(PAUSES)
    clocks.pauses.clear()
    long_ago = call_id(NOON - 7_200 * 10**9)
    answer = await client.post(path, json={"call_id": long_ago, **said})
    assert (answer.status, clocks.pauses) == (404, []), "an old call is not on its way"


async def test_user_ids_are_kept_as_calls_keep_them(
    connect: Connect, keep: Keep, book: PriceBook, quality: QualityDeps, tmp_path: Path
) -> None:
    await keep(make_call(book))
    salt = SecretStr("pepper")
    client = await connect(quality=msgspec.structs.replace(quality, salt=lambda: salt))
    said = {"response_id": "resp-1", "user": "ada"}
    assert (await client.post("/api/feedback", json={**said, "rating": 1})).status == 200
    assert (await client.post("/api/outcomes", json={**said, "outcome": "resolved"})).status == 200
    users = rows(tmp_path, "SELECT user_id FROM feedback UNION SELECT user_id FROM outcomes")
    assert users == [(hashed("ada", salt),)]


async def test_outcomes_and_what_they_are_worth(
    connect: Connect, keep: Keep, book: PriceBook, quality: QualityDeps
) -> None:
    await keep(make_call(book))
    client = await connect(quality=quality)
    said = {"response_id": "resp-1", "outcome": "converted", "value": "12.345678901"}
    answer = await client.post("/api/outcomes", json=said)
    assert answer.status == 200, await answer.text()
    assert (await quality.reader.summary({}, []))[0].measures.value_nano == 12_345_678_901
    for value in ("1.0000000001", "1000000.01", -1, "1e400", "NaN", "12,50", "0." + "0" * 40 + "1"):
        answer = await client.post("/api/outcomes", json={**said, "value": value})
        assert (answer.status, (await answer.json())["error"]["param"]) == (400, "value"), value
    answer = await client.post("/api/outcomes", json={**said, "outcome": "accepted"})
    assert (answer.status, (await answer.json())["error"]["param"]) == (400, "value")


async def test_an_id_that_is_taken(
    connect: Connect, keep: Keep, book: PriceBook, quality: QualityDeps
) -> None:
    one, other = make_call(book), make_call(book, 1)
    await keep(one, other)
    client = await connect(quality=quality)
    for path, said in (("/api/feedback", {"rating": 1}), ("/api/outcomes", {"outcome": "accepted"})):
        assert (await client.post(path, json={"call_id": one.id, "id": "a", **said})).status == 200
        answer = await client.post(path, json={"call_id": other.id, "id": "a", **said})
        assert (answer.status, (await answer.json())["error"]["code"]) == (409, "id_taken")


async def test_who_may_only_read_may_not_say_anything(connect: Connect, quality: QualityDeps) -> None:
    async def tokens(told: str) -> Viewer | None:
        return Viewer("reader", tenant="acme") if told == "reader" else None

    client = await connect(quality=quality, admin_token=TOKEN, tokens=tokens)
    for path in ("/api/feedback", "/api/outcomes"):
        assert (await client.post(path, json={})).status == 401
        answer = await client.post(path, json={}, headers={"Authorization": "Bearer reader"})
        assert (answer.status, (await answer.json())["error"]["code"]) == (403, "admin_only")
        answer = await client.post(path, json={}, headers={"Authorization": "Bearer correct horse"})
        assert answer.status == 400


async def test_while_the_database_is_away(
    connect: Connect, book: PriceBook, tmp_path: Path, clocks: Clocks
) -> None:
    gone = open_quality(f"sqlite:///{tmp_path}/none/x.db", tmp_path)
    record = make_call(book)
    client = await connect(quality=gone, pending={record.id: record}.get)
    for path, said in (("/api/feedback", {"rating": 1}), ("/api/outcomes", {"outcome": "accepted"})):
        answer = await client.post(path, json={"call_id": record.id, **said})
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    await gone.close()
