"""Pages whose calls are found in the index of each tenant, and merged: of a team, of a session, without a price."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from rig.ledger import STARTED_MS, record
from rig.pages import all_pages, stored

from pricing.cost import UNPRICED, Cost, CostSource, CostStatus
from storage.queries import whose
from storage.store import CallFilter, CursorError, Store
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

DAY = 86_400_000
INVALID = Cost(CostStatus.INVALID_USAGE, CostSource.NONE)
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
            cost=(INVALID if number % 3 else UNPRICED) if number % 8 == 0 else {},
            outcome=Outcome.TIMEOUT if number % 4 == 0 else Outcome.COMPLETED,
        )
        for number in range(70)
    ]


@pytest.fixture
async def store(tmp_path: Path, database: str) -> AsyncIterator[Store]:
    async with stored(database, tmp_path, calls()) as store:
        yield store


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
    "without a price": (CallFilter(unpriced=True), lambda one: one.cost.total is None),
    "a tenant's without a price": (
        CallFilter(tenant="tenant3", unpriced=True),
        lambda one: one.who.tenant == "tenant3" and one.cost.total is None,
    ),
    "who reads a tenant's without a price": (
        CallFilter(scope=(("tenant_id", "tenant3"),), unpriced=True),
        lambda one: one.who.tenant == "tenant3" and one.cost.total is None,
    ),
    "a team's without a price": (
        CallFilter(team="all", unpriced=True),
        lambda one: one.who.team == "all" and one.cost.total is None,
    ),
    "a user's without a price": (
        CallFilter(user="u1", unpriced=True),
        lambda one: one.who.user == "u1" and one.cost.total is None,
    ),
    "with a price": (
        CallFilter(team="some", unpriced=False),
        lambda one: one.who.team == "some" and one.cost.total is not None,
    ),
    "another's than one may read": (
        CallFilter(tenant="tenant2", scope=(("tenant_id", "tenant3"),), unpriced=True),
        lambda _: False,
    ),
    "nobody's": (CallFilter(team="none"), lambda _: False),
}


@pytest.mark.parametrize(("wanted", "fits"), ASKED.values(), ids=ASKED)
async def test_pages_are_the_same_however_many_tenants_may_be_asked(
    store: Store, wanted: CallFilter, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = sorted((one.id for one in calls() if fits(one)), reverse=True)
    assert bool(expected) is (wanted.team != "none" and wanted.tenant != "tenant2")
    for most_tenants, most_parts, limits in (
        *((1000, 16, (1, 3, 100)), (7, 7, (3,)), (6, 16, (1, 3)), (1000, 6, (3,)), (1000, 1, (100,))),
    ):
        monkeypatch.setattr(whose, "MOST_TENANTS", most_tenants)
        monkeypatch.setattr(whose, "MOST_PARTS", most_parts)
        for limit in limits:
            assert await all_pages(store, wanted, limit) == expected


@pytest.mark.parametrize(("most", "known"), [(7, 7), (6, None), (1, None)])
async def test_no_more_tenants_are_asked_than_may_be(
    store: Store, monkeypatch: pytest.MonkeyPatch, most: int, known: int | None
) -> None:
    monkeypatch.setattr(whose, "MOST_TENANTS", most)
    look = whose.look_for(CallFilter(team="all"))
    assert look is not None
    rows = await store._rows(look.query())
    assert len(rows) == min(7, most + 1)
    parts = look.parts(rows)
    assert (None if parts is None else len(parts)) == known


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
