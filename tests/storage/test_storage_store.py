"""Reading: one call, pages that neither skip nor repeat, filters, and following."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.ledger import STARTED_MS, call_id, record, started
from rig.pages import all_pages, stored
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from pricing.cost import UNPRICED
from storage.address import Address, AddressError, Engine, parse
from storage.engine import TookTooLong, reading_engine, writing_engine
from storage.queries.calls import CursorError, Order, make_cursor, read_cursor
from storage.queries.follow import Follower
from storage.rollups.transactions import changing_engine
from storage.store import CallFilter, Store, StoreTooSlow, StoreUnavailable
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

DAY = 86_400_000


def calls() -> list[CallRecord]:
    """Sixty calls over two months, in no order of writing."""
    made = [
        record(
            number,
            ms=STARTED_MS - number * DAY,
            who={
                "tenant": None if number % 5 else "acme",
                "team": f"team{number % 3}",
                "user": f"u{number % 4}",
            },
            what={"provider": "openai" if number % 2 else "anthropic", "model": f"m{number % 7}"},
            answer={"model": f"m{number % 6}", "status": 500 if number % 10 == 0 else 200},
            outcome=Outcome.PROVIDER_ERROR if number % 10 == 0 else Outcome.COMPLETED,
            cost=UNPRICED if number % 4 == 0 else {"total": number * 1000},
        )
        for number in range(60)
    ]
    random.Random(5).shuffle(made)
    return made


@pytest.fixture
async def store(tmp_path: Path, database: str) -> AsyncIterator[Store]:
    async with stored(database, tmp_path, calls()) as store:
        yield store


async def test_pages_neither_skip_nor_repeat(store: Store) -> None:
    newest_first = sorted((one.id for one in calls()), reverse=True)
    for limit in (1, 7, 60, 61):
        assert await all_pages(store, CallFilter(), limit) == newest_first


async def test_what_was_recorded_last_comes_first_where_that_is_wanted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long ago it began."""
    written = [one.id for one in calls()]
    page = await store.list_calls(limit=7, order=Order.RECORDED)
    assert [item.id for item in page.items] == written[:-8:-1]
    assert page.next_cursor is None
    monkeypatch.setattr("storage.queries.calls.LATELY", 20)
    lately = [one.id for one in calls()[-20:] if one.who.team == "team1"]
    found = await store.list_calls(CallFilter(team="team1"), order=Order.RECORDED)
    assert [item.id for item in found.items] == lately[::-1]


async def test_filters_narrow_as_they_say(store: Store) -> None:
    middle = datetime.fromtimestamp(STARTED_MS / 1000, UTC) - timedelta(days=30)
    cases = [
        (CallFilter(provider="openai"), lambda one, _: one.what.provider == "openai"),
        (CallFilter(tenant="acme"), lambda one, _: one.who.tenant == "acme"),
        (CallFilter(tenant="default"), lambda one, _: one.who.tenant is None),
        (CallFilter(team="team1", user="u1"), lambda one, _: (one.who.team, one.who.user) == ("team1", "u1")),
        (CallFilter(model="m3"), lambda one, _: "m3" in (one.what.model, one.answer.model)),
        (CallFilter(outcome="provider_error"), lambda one, _: one.outcome == "provider_error"),
        (CallFilter(status=500), lambda one, _: one.answer.status == 500),
        (CallFilter(failed=True), lambda one, _: one.outcome != "completed"),
        (CallFilter(failed=False), lambda one, _: one.outcome == "completed"),
        (CallFilter(unpriced=True), lambda one, _: one.cost.total is None),
        (CallFilter(unpriced=False), lambda one, _: one.cost.total is not None),
        (CallFilter(min_cost_nano=30_000), lambda one, _: (one.cost.total or 0) >= 30_000),
        (CallFilter(since=middle), lambda one, ms: ms >= middle.timestamp() * 1000),
        (CallFilter(until=middle), lambda one, ms: ms < middle.timestamp() * 1000),
    ]
    for wanted, fits in cases:
        expected = [one.id for one in calls() if fits(one, one.timing.started_ns // 1_000_000)]
        assert 0 < len(expected) < 60
        assert await all_pages(store, wanted, 9) == sorted(expected, reverse=True)


async def test_a_time_filter_means_the_moment_whatever_its_zone(store: Store) -> None:
    middle = datetime.fromtimestamp(STARTED_MS / 1000, UTC) - timedelta(days=30)
    there = middle.astimezone(tz=None)
    assert await all_pages(store, CallFilter(since=there), 60) == await all_pages(
        store, CallFilter(since=middle), 60
    )


async def test_times_from_the_ends_of_the_calendar_find_all(store: Store) -> None:
    wanted = CallFilter(since=datetime(1, 1, 1, tzinfo=UTC), until=datetime(9999, 12, 31, 23, tzinfo=UTC))
    assert len(await all_pages(store, wanted, 25)) == 60
    assert (await store.list_calls(CallFilter(until=datetime(1969, 1, 1, tzinfo=UTC)))).items == []
    assert (await store.list_calls(CallFilter(since=datetime(9999, 1, 1, tzinfo=UTC)))).items == []


async def test_one_call_by_its_id(store: Store) -> None:
    wanted = calls()[0]
    row = await store.get_call(wanted.id)
    assert row is not None
    assert (row.id, row.request_model, row.tags) == (wanted.id, wanted.what.model, {"run": "17"})
    assert row.usage_raw == '{"prompt_tokens":1000}'
    assert (await store.get_call(wanted.id.upper())) == row
    assert await store.get_call(call_id(999)) is None
    assert await store.get_call("'; DROP TABLE model_requests --") is None


async def test_a_cursor_that_is_not_ours_is_refused(store: Store) -> None:
    for cursor in ("", "x", "MTo", make_cursor("no id"), "é"):
        with pytest.raises(CursorError):
            await store.list_calls(cursor=cursor)


@given(st.text())
def test_no_text_breaks_the_reading_of_cursors(cursor: str) -> None:
    with contextlib.suppress(CursorError):
        assert read_cursor(cursor)


async def test_the_reader_cannot_write(store: Store) -> None:
    with pytest.raises(SQLAlchemyError):
        async with store._engine.begin() as connection:
            await connection.execute(text("DELETE FROM model_requests"))
    assert len(await all_pages(store, CallFilter(), 60)) == 60


async def test_following_gives_each_new_row_once_in_order_of_writing(tmp_path: Path, database: str) -> None:
    ledger = await started(tmp_path, url=database)
    ledger.closed(record(1))
    assert await ledger.drained(20)
    store = await Store.open(database, data_dir=tmp_path)
    order = [record(number, who={"team": f"team{number % 2}"}) for number in (900, 3, 500, 4, 901)]
    fed = iter(order)

    async def pause(_: float) -> None:
        ledger.closed(next(fed))
        assert await ledger.drained(20)

    found: list[str] = []
    async for row in store.follow(poll_s=0, pause=pause):
        found.append(row.id)
        if len(found) == len(order):
            break
    assert found == [one.id for one in order]
    again = [row.id async for row in first(store.follow(CallFilter(team="team1"), after=0), 2)]
    assert again == [call_id(3), call_id(901)]
    await store.close()
    await ledger.stop(5)


async def first(rows: AsyncIterator[object], count: int) -> AsyncIterator[object]:
    async for row in rows:
        yield row
        count -= 1
        if not count:
            return


@given(st.permutations(range(1, 12)), st.integers(1, 4))
def test_a_follower_sees_numbers_that_appear_late_exactly_once(order: list[int], step: int) -> None:
    follower = Follower(0, patience_s=100)
    seen: list[int] = []
    visible: list[int] = []
    for at in range(0, len(order), step):
        visible += order[at : at + step]
        found = sorted(one for one in visible if one > follower.after or one in follower.holes)
        seen += found
        follower.seen(found, now=float(at))
    assert sorted(seen) == list(range(1, 12))


def test_a_follower_does_not_wait_for_a_number_for_ever() -> None:
    follower = Follower(0, patience_s=30)
    follower.seen([1, 4], now=0)
    assert follower.holes == [2, 3]
    follower.seen([3], now=10)
    assert follower.holes == [2]
    follower.seen([], now=31)
    assert follower.holes == []


async def test_a_database_that_is_not_there_is_said_so_without_its_password(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/missing/calls.db", "postgresql://user:hunter2@127.0.0.1:1/db"):
        store = await Store.open(url, data_dir=tmp_path, timeout_s=2)
        with pytest.raises(StoreUnavailable) as caught:
            await store.get_call(call_id(1))
        assert "hunter2" not in str(caught.value)
        await store.close()


@pytest.mark.parametrize(
    ("url", "engine", "dsn"),
    [
        (None, Engine.SQLITE, "/data/weighbridge.db"),
        ("sqlite:///calls.db", Engine.SQLITE, "calls.db"),
        ("sqlite:////var/calls.db", Engine.SQLITE, "/var/calls.db"),
        ("sqlite+aiosqlite:////var/calls.db", Engine.SQLITE, "/var/calls.db"),
        ("postgres://u:p@h:5433/d?ssl=1", Engine.POSTGRESQL, "postgresql://u:p@h:5433/d?ssl=1"),
        ("postgresql+asyncpg://u@h/d", Engine.POSTGRESQL, "postgresql://u@h/d"),
    ],
)
def test_addresses(url: str | None, engine: Engine, dsn: str) -> None:
    assert parse(url, Path("/data")) == Address(engine, dsn)


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/d", "postgresql://u:hunter2@h", "sqlite://", "nonsense"]
)
def test_an_address_we_do_not_know_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(url, Path("/data"))
    assert "hunter2" not in str(caught.value)
    assert "storage.url" in str(caught.value)


async def test_two_readers_at_once(store: Store) -> None:
    found = await asyncio.gather(*[all_pages(store, CallFilter(), 20) for _ in range(8)])
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("make", [reading_engine, writing_engine, changing_engine])
async def test_a_file_that_is_not_there_begins_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Address], AsyncEngine]
) -> None:
    """The driver would leave it behind, speaking to a loop that is closed."""
    begun: list[str] = []
    monkeypatch.setattr("aiosqlite.core.Thread", lambda **_: begun.append("thread"))
    engine = make(parse(f"sqlite:///{tmp_path / 'none.db'}", tmp_path))
    with pytest.raises(OperationalError, match="unable to open"):
        async with engine.connect():
            pass
    await engine.dispose()
    assert begun == []
    assert not list(tmp_path.iterdir())


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT max(i) FROM n"


async def test_a_statement_that_takes_too_long_is_broken_off(database: str) -> None:
    """And the next one on the same connection has its whole time again."""
    engine = reading_engine(parse(database, Path()), timeout_s=0.3, pool_size=1)
    for _ in range(2):
        with pytest.raises(TookTooLong, match=r"not done in 0\.3 s"):
            async with engine.connect() as connection:
                await connection.exec_driver_sql(ENDLESS)
        async with engine.connect() as connection:
            assert (await connection.exec_driver_sql("SELECT 1")).scalar() == 1
    await engine.dispose()


async def test_a_page_that_takes_too_long_is_told_from_a_database_that_is_away(
    store: Store, tmp_path: Path, database: str
) -> None:
    hasty = await Store.open(database, data_dir=tmp_path, timeout_s=0.3)
    with pytest.raises(StoreTooSlow, match=r"takes too long: a statement was not done in 0\.3 s"):
        await hasty.list_calls(CallFilter(conditions=(text(f"({ENDLESS}) = seq"),)))
    assert len((await hasty.list_calls(CallFilter())).items) == 50
    await hasty.close()


async def test_a_server_that_says_nothing_is_away_and_not_too_slow(tmp_path: Path) -> None:
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = await Store.open(f"postgresql://127.0.0.1:{port}/calls", data_dir=tmp_path, timeout_s=0.3)
    with pytest.raises(StoreUnavailable) as caught:
        await store.list_calls(CallFilter())
    assert not isinstance(caught.value, StoreTooSlow)
    await store.close()
    for writer in held:
        writer.close()
    server.close()
    await server.wait_closed()
