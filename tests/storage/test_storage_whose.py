"""Pages of a team's or a session's calls where no tenant is named: found in each tenant's index, and merged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from rig.ledger import STARTED_MS, record, started

from storage.queries import whose
from storage.store import CallFilter, CursorError, Store
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

DAY = 86_400_000
Fits = Callable[[CallRecord], bool]


def calls() -> list[CallRecord]:
    """Seven tenants, all with the team "all", two with "some", one with "one"; two in every millisecond."""
    teams = ("all", "all", "some", "one", None)
    return [
        record(
            number,
            ms=STARTED_MS - number // 2 * DAY,
            who={
                "tenant": f"tenant{number % 7}",
                "team": teams[number % 5] if number % 7 < 2 else "one" if number == 13 else "all",
                "session": f"s{number % 9}" if number % 2 else None,
                "user": f"u{number % 3}",
            },
            outcome=Outcome.TIMEOUT if number % 4 == 0 else Outcome.COMPLETED,
        )
        for number in range(70)
    ]


@pytest.fixture
async def store(tmp_path: Path, database: str) -> AsyncIterator[Store]:
    ledger = await started(tmp_path, url=database)
    for one in calls():
        ledger.closed(one)
    assert await ledger.drained(20)
    await ledger.stop(5)
    store = await Store.open(database, data_dir=tmp_path)
    yield store
    await store.close()


async def all_pages(store: Store, wanted: CallFilter, limit: int) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await store.list_calls(wanted, cursor, limit)
        found += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


ASKED: dict[str, tuple[CallFilter, Fits]] = {
    "a team of all": (CallFilter(team="all"), lambda one: one.who.team == "all"),
    "a team of two": (CallFilter(team="some"), lambda one: one.who.team == "some"),
    "a team of one's and another's": (CallFilter(team="one"), lambda one: one.who.team == "one"),
    "a session": (CallFilter(session="s3"), lambda one: one.who.session == "s3"),
    "a team's session": (
        CallFilter(team="all", session="s3"),
        lambda one: (one.who.team, one.who.session) == ("all", "s3"),
    ),
    "a user's session": (
        CallFilter(user="u1", session="s4"),
        lambda one: (one.who.user, one.who.session) == ("u1", "s4"),
    ),
    "a team, failed": (
        CallFilter(team="all", failed=True),
        lambda one: one.who.team == "all" and one.outcome is Outcome.TIMEOUT,
    ),
    "who reads a team's": (
        CallFilter(scope=(("team", "all"),), session="s3"),
        lambda one: (one.who.team, one.who.session) == ("all", "s3"),
    ),
    "who reads a tenant's": (
        CallFilter(scope=(("tenant_id", "tenant1"),), session="s1"),
        lambda one: (one.who.tenant, one.who.session) == ("tenant1", "s1"),
    ),
    "nobody's": (CallFilter(team="none"), lambda _: False),
}


@pytest.mark.parametrize(("wanted", "fits"), ASKED.values(), ids=ASKED)
async def test_pages_are_the_same_however_many_tenants_may_be_asked(
    store: Store, wanted: CallFilter, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = sorted((one.id for one in calls() if fits(one)), reverse=True)
    assert bool(expected) is (wanted.team != "none")
    for most_tenants, most_with in ((1000, 16), (7, 7), (6, 16), (1000, 6), (1000, 1)):
        monkeypatch.setattr(whose, "MOST_TENANTS", most_tenants)
        monkeypatch.setattr(whose, "MOST_WITH", most_with)
        for limit in (1, 3, 100):
            assert await all_pages(store, wanted, limit) == expected


@pytest.mark.parametrize(("most", "known"), [(7, 7), (6, None), (1, None)])
async def test_no_more_tenants_are_asked_than_may_be(
    store: Store, monkeypatch: pytest.MonkeyPatch, most: int, known: int | None
) -> None:
    monkeypatch.setattr(whose, "MOST_TENANTS", most)
    look = whose.tenants_with(CallFilter(team="all"))
    assert look is not None
    rows = await store._rows(look)
    assert len(rows) == min(7, most + 1)
    tenants = whose.whose(rows)
    assert (None if tenants is None else len(tenants)) == known


@pytest.mark.parametrize("wanted", [CallFilter(team="none"), CallFilter(team="some"), CallFilter(team="all")])
async def test_a_cursor_that_is_not_ours_is_refused_whoever_has_such_calls(
    store: Store, wanted: CallFilter
) -> None:
    with pytest.raises(CursorError):
        await store.list_calls(wanted, "x")


async def test_a_database_without_calls_has_no_page(tmp_path: Path, database: str) -> None:
    store = await Store.open(database, data_dir=tmp_path)
    assert (await store.list_calls(CallFilter(team="all"))).items == []
    await store.close()
