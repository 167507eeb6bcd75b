"""Calls as they are recorded: told once to those who may see them, to so many listeners, until they go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rig.analytics import Asker, analytics, soon
from rig.ledger import record
from rig.rollups import written

from gateway.api.analytics.aside import Aside
from gateway.api.analytics.feed import MOST_WAITING, Feed, Listener
from gateway.api.viewer import Viewer
from storage.store import CallFilter, Store, StoreUnavailable
from storage.tables import CallRow

Event = tuple[str, str | None, Any]
"""Name, id, data."""
ENOUGH = 20.0
"""Seconds; nothing here takes so long."""


class Events:
    """What a listener is told."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> Event:
        fields: dict[str, str] = {}
        while True:
            line = (await asyncio.wait_for(self.response.content.readline(), ENOUGH)).decode().rstrip("\n")
            if not line and "data" in fields:
                return fields["event"], fields.get("id"), json.loads(fields["data"])
            name, _, value = line.partition(": ")
            fields[name] = value

    async def users(self, number: int) -> list[str]:
        return [(await self.next())[2]["user"] for _ in range(number)]


async def listen(ask: Asker, token: str = "", last: str | None = None, **params: str) -> Events:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if last is not None:
        headers["Last-Event-ID"] = last
    response = await ask.client.get("/api/analytics/live", params=params, headers=headers)
    assert response.status == 200, await response.text()
    assert response.content_type == "text/event-stream"
    await response.content.readline()
    return Events(response)


@pytest.fixture
async def feed(database: str) -> AsyncIterator[Feed]:
    store = await Store.open(database, data_dir=Path())
    yield Feed(store, most_listeners=3, pause=soon)
    await store.close()


async def test_calls_are_told_to_those_who_may_see_them(database: str, feed: Feed) -> None:
    viewers = {"team": Viewer("team", tenant="acme", team="search"), "beta": Viewer("beta", tenant="beta")}
    async with analytics(database, viewers=viewers, feed=feed) as ask:
        everything = await listen(ask)
        theirs = await listen(ask, "team")
        others = await listen(ask, "beta", model="")
        await written(
            database,
            [
                record(who={"user": "ada"}),
                record(who={"user": "eve", "team": "ops"}),
                record(who={"user": "bob", "tenant": "beta"}, what={"model": None}, answer={"model": None}),
                record(who={"user": "kim"}),
            ],
        )
        assert await everything.users(4) == ["ada", "eve", "bob", "kim"]
        assert await theirs.users(2) == ["ada", "kim"]
        name, number, data = await others.next()
    assert (name, data["tenant"], data["model"]) == ("call", "beta", None)
    assert number is not None
    assert data["cost"] == {"usd": "0.00025", "nano_usd": 250000}


async def test_there_are_so_many_listeners_and_no_more_until_one_goes(database: str, feed: Feed) -> None:
    async with analytics(database, feed=feed) as ask:
        listeners = [await listen(ask) for _ in range(3)]
        error = (await ask("/live", status=429))["error"]
        assert error["code"] == "too_many_listeners"
        listeners[0].response.close()
        async with asyncio.timeout(ENOUGH):
            while feed.listeners == 3:
                await asyncio.sleep(0.01)
        await listen(ask)
        for one in listeners:
            one.response.close()
    assert feed.listeners == 0


async def test_who_comes_back_gets_what_was_missed(database: str, feed: Feed) -> None:
    async with analytics(database, feed=feed) as ask:
        before = await listen(ask)
        await written(database, [record(who={"user": "ada"})])
        _, last, _ = await before.next()
        before.response.close()
        await written(database, [record(who={"user": "eve"}), record(who={"user": "bob", "team": "ops"})])
        again = await listen(ask, last=last, team="search")
        await written(database, [record(who={"user": "kim"})])
        assert await again.users(2) == ["eve", "kim"]


VIEWERS = {"team": Viewer("team", tenant="acme", team="search"), "beta": Viewer("beta", tenant="beta")}
OURS, THEIRS = {"user": "ada"}, {"user": "bob", "tenant": "beta"}


async def test_the_id_of_an_event_tells_nothing_of_others(database: str, feed: Feed) -> None:
    """It is the call's own id, not a place among all calls."""
    async with analytics(database, viewers=VIEWERS, feed=feed) as ask:
        ours = await listen(ask, "team")
        await written(database, [record(who=who) for who in (OURS, THEIRS, THEIRS, OURS)])
        told = [await ours.next() for _ in range(2)]
    assert [event[1] for event in told] == [event[2]["id"] for event in told]


async def test_who_comes_back_to_another_process_gets_what_was_missed(database: str) -> None:
    """Another worker, another replica, or this one after a restart: they share the database and nothing else."""
    async with analytics(database, viewers=VIEWERS) as ask:
        before = await listen(ask, "team")
        await written(database, [record(who=OURS)])
        _, last, _ = await before.next()
        before.response.close()
    await written(database, [record(who={"user": user}) for user in ("eve", "kim")])
    async with analytics(database, viewers=VIEWERS) as ask:
        again = await listen(ask, "team", last)
        assert await again.users(2) == ["eve", "kim"]


async def test_how_much_others_called_meanwhile_does_not_show(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither do they push out what a listener missed of its own."""
    monkeypatch.setattr("gateway.api.analytics.feed.MOST_MISSED", 3)
    async with analytics(database, viewers=VIEWERS) as ask:
        before = await listen(ask, "team")
        await written(database, [record(who=OURS)])
        _, last, _ = await before.next()
        before.response.close()
        await written(database, [record(who=THEIRS) for _ in range(20)])
        await written(database, [record(who={"user": user}) for user in ("eve", "kim")])
        again = await listen(ask, "team", last)
        assert await again.users(2) == ["eve", "kim"]
        again.response.close()
        await written(database, [record(who={"user": user}) for user in ("flo", "gus")])
        more = await listen(ask, "team", last)
        assert await more.users(3) == ["eve", "kim", "flo"]
        assert await more.next() == ("skipped", None, {"calls": None})


@pytest.mark.parametrize(
    "last", ["1", "0", "-5", "latest", "01a1fbbb-a696-74d7-b512-21da7157005d", "the id of another's call"]
)
async def test_who_comes_back_with_something_else_is_told_that_calls_may_be_missing(
    database: str, last: str
) -> None:
    """A number, as it once was one, or a call that is not there: the answer is the same as for one that is another's."""
    async with analytics(database, viewers=VIEWERS) as ask:
        others = await listen(ask, "beta")
        await written(database, [record(who=THEIRS), record(who=OURS)])
        _, number, _ = await others.next()
        again = await listen(ask, "team", number if last.startswith("the id") else last)
        await written(database, [record(who={"user": "kim"})])
        assert await again.next() == ("skipped", None, {"calls": None})
        assert await again.users(1) == ["kim"]


async def test_what_cannot_be_listened_to_is_named(sqlite: str) -> None:
    async with analytics(sqlite) as ask:
        assert (await ask("/live", status=400, colour="red"))["error"]["param"] == "colour"
        assert (await ask("/live", status=400, model="gpt-9"))["error"]["param"] == "model"
        assert (await ask("/live", status=400, seconds="0"))["error"]["param"] == "seconds"


async def test_a_stream_ends_when_its_time_is_over(sqlite: str) -> None:
    async with analytics(sqlite) as ask:
        events = await listen(ask, seconds="1")
        assert await asyncio.wait_for(events.response.content.read(), ENOUGH) == b"\n"


@pytest.mark.parametrize(
    "now", [None, Viewer("team", tenant="acme", team="ops")], ids=["revoked", "another scope"]
)
async def test_who_may_listen_no_more_hears_no_more(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, now: Viewer | None
) -> None:
    monkeypatch.setattr("gateway.api.analytics.live.PULSE_S", 0.02)
    viewers = {name: Viewer(name, tenant="acme", team="search") for name in ("team", "other")}
    async with analytics(sqlite, viewers=viewers) as ask:
        ended, goes_on = await listen(ask, "team"), await listen(ask, "other")
        if now is None:
            del viewers["team"]
        else:
            viewers["team"] = now
        assert await asyncio.wait_for(ended.response.content.read(), ENOUGH) == b"\n"
        await written(sqlite, [record(who={"user": "ada"})])
        assert await goes_on.users(1) == ["ada"]


async def test_a_slow_listener_loses_the_oldest_and_is_told_so() -> None:
    listener = Listener(lambda row: True)
    for number in range(MOST_WAITING + 3):
        listener.offer(CallRow.model_construct(seq=number))
    first = await listener.next(1)
    assert first is not None
    assert first.seq == 3
    assert listener.skipped() == 3
    assert listener.skipped() == 0


class Silent:
    """A store of which nothing else is asked."""

    async def newest(self) -> int:
        return 7

    async def get_call(self, call_id: str) -> CallRow | None:
        raise NotImplementedError

    async def written_after(self, wanted: CallFilter, after: int, limit: int) -> list[CallRow]:
        raise NotImplementedError


class Failing(Silent):
    """A store that fails after each call."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.after: list[int | None] = []

    async def follow(self, *, after: int | None = None, **_: Any) -> AsyncIterator[CallRow]:
        self.after.append(after)
        yield CallRow.model_construct(seq=len(self.after) * 10)
        raise self.error


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("a row of a later version")])
async def test_the_feed_goes_on_where_it_was_when_the_database_is_back(error: Exception) -> None:
    store = Failing(error)
    feed = Feed(store, pause=lambda _: asyncio.sleep(0))
    async with feed.listening(lambda row: True) as listener:
        told = [await listener.next(ENOUGH) for _ in range(3)]
    assert [row.seq for row in told if row is not None] == [10, 20, 30]
    assert store.after[:3] == [7, 10, 20]


class Lingering(Silent):
    """A store whose queries take their time to be broken off."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.given_back = False

    async def follow(self, **_: Any) -> AsyncIterator[CallRow]:
        self.asked.set()
        try:
            await asyncio.Event().wait()
            yield CallRow.model_construct(seq=8)
        finally:
            await asyncio.sleep(0.01)
            self.given_back = True


async def test_a_feed_that_is_closed_has_given_its_connection_back() -> None:
    """Else the store is closed, and the loop, while a thread still answers."""
    store = Lingering()
    feed = Feed(store)
    async with feed.listening(lambda row: True):
        await store.asked.wait()
    assert not store.given_back
    await feed.close()
    assert store.given_back


async def test_what_is_asked_aside_is_broken_off_before_the_connections_are_closed() -> None:
    aside, order = Aside(), list[str]()

    async def asked() -> None:
        order.append("asked")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            order.append("given back")

    async def last() -> None:
        order.append("closed")

    running = asyncio.ensure_future(aside.run(asked()))
    async with asyncio.timeout(ENOUGH):
        while not order:
            await asyncio.sleep(0.001)
    await aside.close(last())
    assert order == ["asked", "given back", "closed"]
    assert (await asyncio.gather(running, return_exceptions=True))[0].__class__ is asyncio.CancelledError
