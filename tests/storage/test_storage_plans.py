"""What SQLite does for what is asked often: rows are looked up and come in order, however many there are.

Without statistics, which nobody here gathers, its plans do not hang on what is stored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rig.ledger import STARTED_MS, record, started
from sqlalchemy import Engine, event, select

from pricing.cost import UNPRICED
from storage import repricing
from storage.address import parse
from storage.budgets.leases import KEPT_S, KEY_LIMIT, MINUTES_OVER, release
from storage.control import ControlDatabase, control_of
from storage.engine import reading_engine
from storage.privacy import database
from storage.privacy.calls import clean_calls, of_calls
from storage.privacy.database import Person, PrivateDatabase
from storage.quality.retention import forget_said
from storage.queries.analytics.figures import Figures
from storage.queries.calls import CALLS, Order, make_cursor, numbers
from storage.repricing import History
from storage.retention import DELETE
from storage.rollups.dimensions import Dimension
from storage.rollups.question import Question
from storage.rows import first_id
from storage.store import CallFilter, Store

NOW = datetime.fromtimestamp(STARTED_MS / 1000, UTC)
LATELY = NOW - timedelta(minutes=10)
SCOPES = {
    "of a tenant": CallFilter(scope=(("tenant_id", "acme"),)),
    "of a tenant's team": CallFilter(scope=(("tenant_id", "acme"), ("team", "search"))),
    "of a tenant's session": CallFilter(tenant="acme", session="s1"),
    "of a tenant, lately": CallFilter(tenant="acme", since=LATELY),
    "of a team": CallFilter(team="search"),
    "completed, lately": CallFilter(since=LATELY, failed=False),
    "all": CallFilter(),
}
every_scope = pytest.mark.parametrize("wanted", SCOPES.values(), ids=SCOPES)


@pytest.fixture
async def filled(tmp_path: Path, sqlite: str) -> str:
    ledger = await started(tmp_path, url=sqlite)
    for number in range(8):
        ledger.closed(record(number, who={"tenant": "acme", "team": "search", "session": "s1"}))
    assert await ledger.drained(20)
    await ledger.stop(5)
    return sqlite


@pytest.fixture
async def store(filled: str, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(filled, data_dir=tmp_path)
    yield store
    await store.close()


@contextmanager
def noted(table: str) -> Iterator[Callable[[str], list[str]]]:
    """Notes the statements about a table; what is given tells their plans by the file at an address, line by line."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if f"FROM {table}" in statement:
            seen.append((statement, parameters))

    def plans(url: str) -> list[str]:
        assert seen, "nothing was asked"
        with closing(sqlite3.connect(parse(url, Path()).dsn)) as db:
            return [
                line[3] for asked, given in seen for line in db.execute(f"EXPLAIN QUERY PLAN {asked}", given)
            ]

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield plans
    finally:
        event.remove(Engine, "before_cursor_execute", note)


class AllSeen(Exception):  # noqa: N818
    """There is nothing more to follow."""


async def all_seen(_: float) -> None:
    raise AllSeen


def is_in_order(plan: list[str]) -> bool:
    """Within a millisecond rows may be sorted; that is told otherwise."""
    return "USE TEMP B-TREE FOR ORDER BY" not in plan


@every_scope
async def test_a_page_of_calls_is_not_sorted(store: Store, filled: str, wanted: CallFilter) -> None:
    newest = (await store.list_calls(limit=1)).items[0]
    with noted("model_requests") as plans:
        await store.list_calls(wanted, limit=3)
        await store.list_calls(wanted, make_cursor(newest.id), limit=3)
    assert is_in_order(plans(filled))
    assert not [line for line in plans(filled) if line == "SCAN model_requests"]


OF_A_USER = {
    "alone": CallFilter(user="ada"),
    "since": CallFilter(user="ada", since=LATELY),
    "of a tenant": CallFilter(user="ada", tenant="acme"),
    "of a team": CallFilter(user="ada", team="search"),
    "of a tenant's team, failed": CallFilter(user="ada", tenant="acme", team="search", failed=False),
    "who reads what is theirs": CallFilter(scope=(("tenant_id", "acme"), ("user_id", "ada"))),
    "who reads their team": CallFilter(
        user="ada", since=LATELY, scope=(("tenant_id", "acme"), ("team", "search"))
    ),
}


@pytest.mark.parametrize("wanted", OF_A_USER.values(), ids=OF_A_USER)
async def test_calls_of_a_user_are_looked_up(store: Store, filled: str, wanted: CallFilter) -> None:
    newest = (await store.list_calls(limit=1)).items[0]
    with noted("model_requests") as plans:
        first = await store.list_calls(wanted, limit=3)
        second = await store.list_calls(wanted, make_cursor(newest.id), limit=3)
    assert len(first.items) == len(second.items) == 3
    assert is_in_order(plans(filled))
    looked_up = [line for line in plans(filled) if "model_requests_user_id (user_id=?" in line]
    assert len(looked_up) == 2, plans(filled)
    assert "started_at<?)" in looked_up[1], "a page begins where the one before it ended"


async def test_calls_of_a_users_session_are_looked_up_by_it(store: Store, filled: str) -> None:
    with noted("model_requests") as plans:
        await store.list_calls(CallFilter(user="ada", tenant="acme", session="s1"), limit=3)
    assert "model_requests_session_id (tenant_id=? AND session_id=?)" in plans(filled)[0]


OF_NO_TENANT = {
    "a team": ({"team": "search"}, "model_requests_team (tenant_id=? AND team=?"),
    "a session": ({"session": "s1"}, "model_requests_session_id (tenant_id=? AND session_id=?"),
    "a team's session": (
        {"team": "search", "session": "s1"},
        "model_requests_session_id (tenant_id=? AND session_id=?",
    ),
    "who reads their team": (
        {"scope": (("team", "search"),), "failed": False},
        "model_requests_team (tenant_id=? AND team=?",
    ),
}


@pytest.mark.parametrize(("asked", "index"), OF_NO_TENANT.values(), ids=OF_NO_TENANT)
@pytest.mark.parametrize("tenants", [1, 3])
async def test_a_team_or_session_is_looked_up_where_no_tenant_is_named(
    store: Store, filled: str, tmp_path: Path, asked: dict[str, Any], index: str, tenants: int
) -> None:
    """In no plan calls are gone through, whether one tenant has such calls or several."""
    ledger = await started(tmp_path / "more", url=filled)
    for number in range(1, tenants):
        who = {"tenant": f"tenant{number}", "team": "search", "session": "s1"}
        ledger.closed(record(100 + number, who=who))
    assert await ledger.drained(20)
    await ledger.stop(5)
    with noted("model_requests") as plans:
        first = await store.list_calls(CallFilter(**asked), limit=3)
        second = await store.list_calls(CallFilter(**asked), first.next_cursor, limit=20)
    found = [item.id for item in first.items + second.items]
    assert len(found) == 8 + tenants - 1
    assert found == sorted(found, reverse=True)
    plan = plans(filled)
    scanned = [line for line in plan if line.startswith("SCAN model_requests")]
    assert not scanned
    by_index = [line for line in plan if line.startswith("SEARCH model_requests USING INDEX " + index)]
    assert len(by_index) == 2 * tenants, plan
    assert is_in_order(plan) or tenants > 1, "what is merged are a page's ids of each tenant"


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_what_has_no_price_is_looked_up(
    store: Store, filled: str, tmp_path: Path, tenant: str | None
) -> None:
    ledger = await started(tmp_path / "more", url=filled)
    ledger.closed(record(100, cost=UNPRICED))
    assert await ledger.drained(20)
    await ledger.stop(5)
    with noted("model_requests") as plans:
        page = await store.list_calls(CallFilter(unpriced=True, tenant=tenant), limit=3)
    assert len(page.items) == 1
    plan = plans(filled)
    assert not [line for line in plan if line.startswith("SCAN model_requests")]
    index = "SEARCH model_requests USING INDEX model_requests_cost_status (tenant_id=? AND cost_status=?)"
    assert index in plan, plan
    assert is_in_order(plan)


async def test_what_is_of_the_last_minutes_is_looked_for_there(store: Store, filled: str) -> None:
    with noted("model_requests") as plans:
        await store.list_calls(CallFilter(since=LATELY, failed=True), limit=3)
    assert [line for line in plans(filled) if "(id>?)" in line]


@every_scope
async def test_what_was_written_since_is_found_by_its_number(
    store: Store, filled: str, wanted: CallFilter
) -> None:
    with noted("model_requests") as plans:
        await store.written_after(wanted, 5, 10)
        with pytest.raises(AllSeen):
            async for _ in store.follow(wanted, after=5, pause=all_seen):
                pass
    assert is_in_order(plans(filled))
    assert all("INTEGER PRIMARY KEY" in line for line in plans(filled))


@every_scope
async def test_what_was_recorded_last_is_found_by_its_number(
    store: Store, filled: str, wanted: CallFilter
) -> None:
    with noted("model_requests") as plans:
        await store.list_calls(wanted, limit=3, order=Order.RECORDED)
    assert is_in_order(plans(filled))
    assert "SEARCH model_requests USING INTEGER PRIMARY KEY (rowid>?)" in plans(filled)


async def test_numbers_that_were_skipped_are_looked_for_where_they_were(store: Store, filled: str) -> None:
    with noted("model_requests") as plans:
        found = await store._rows(numbers(6, [3, 5], 10))
    assert [row.seq for row in found] == [3, 5, 7, 8]
    assert plans(filled) == ["SEARCH model_requests USING INTEGER PRIMARY KEY (rowid>?)"]


@every_scope
async def test_pricing_again_goes_through_calls_in_their_order(
    filled: str, tmp_path: Path, wanted: CallFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repricing, "AT_ONCE", 3)
    history = History(parse(filled, tmp_path))
    with noted("model_requests") as plans:
        async for _ in history.slices(wanted):
            pass
    await history.close()
    assert is_in_order(plans(filled))


@pytest.mark.parametrize("by", [(), (Dimension.TEAM, Dimension.MODEL), (Dimension.OUTCOME_CLASS,)])
@pytest.mark.parametrize(
    "scope", [{}, {"tenant_id": "acme"}, {"tenant_id": "acme", "team": "search"}, {"user_id": "ada"}]
)
async def test_what_was_priced_otherwise_is_found_without_a_look_at_other_calls_or_any_row(
    filled: str, scope: dict[str, str], by: tuple[Dimension, ...]
) -> None:
    figures = Figures(reading_engine(parse(filled, Path())), lambda: NOW)
    with noted("model_requests") as plans:
        await figures.repriced([Question(since=LATELY, until=NOW, group_by=by, scope=scope)])
    await figures.close()
    read = [line for line in plans(filled) if "model_requests" in line]
    index = "COVERING INDEX model_requests_repriced (started_at>? AND started_at<?)"
    assert read == [f"SEARCH model_requests USING {index}"]


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_a_persons_calls_are_gone_through_in_their_order(
    filled: str, tmp_path: Path, tenant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "AT_ONCE", 3)
    db, person = PrivateDatabase(parse(filled, tmp_path)), Person(("s1",), tenant)
    with noted("model_requests") as plans:
        pages = [
            page async for page in db.slices(select(CALLS).where(*of_calls(person, "sqlite")), CALLS.c.id)
        ]
        assert (await clean_calls(db, person)).calls == 8
    await db.close()
    assert sum(map(len, pages)) == 8
    assert is_in_order(plans(filled))


async def test_how_far_costs_are_known_is_told_by_sums(store: Store, filled: str) -> None:
    with noted("model_requests") as plans:
        known = await store.honesty(NOW - timedelta(days=1, minutes=30))
    assert (known.calls, known.estimated, known.unpriced, known.partial) == (8, 0, 0, 0)
    assert all("(id>? AND id<?)" in line for line in plans(filled)), "only the part of an hour is read"


async def test_what_is_too_old_is_found_without_a_look_at_the_rest(filled: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(parse(filled, tmp_path).dsn)) as db:
        plan = [line[3] for line in db.execute(f"EXPLAIN QUERY PLAN {DELETE}", (first_id(STARTED_MS), 1))]
    assert not [line for line in plan if line.startswith("SCAN")]
    with noted("judged_calls") as plans:
        await forget_said(parse(filled, tmp_path), NOW)
    assert not [line for line in plans(filled) if line.startswith("SCAN")]


async def test_minutes_of_keys_are_swept_without_a_look_at_those_that_were_before(
    filled: str, tmp_path: Path
) -> None:
    now_s = STARTED_MS // 1000
    address = parse(filled, tmp_path)
    ended = {"now": 0, "kept": KEPT_S, "over": KEPT_S + 1, "older": 3 * KEPT_S}
    with closing(sqlite3.connect(address.dsn)) as db:
        for name, ago in ended.items():
            for budget in (f"{KEY_LIMIT}1:calls", "bud_1"):
                row = (budget, name, "", now_s - ago - 60, now_s - ago)
                db.execute("INSERT INTO budget_accounts VALUES (?, ?, ?, ?, ?, 1, 1, 0, 0)", row)
        db.commit()
        plan = [line[3] for line in db.execute(f"EXPLAIN QUERY PLAN {MINUTES_OVER}", ("key:%", 1, 2))]
    assert plan == ["SEARCH budget_accounts USING INDEX budget_accounts_end (end_s>? AND end_s<?)"]
    control = control_of(address)
    since_s = await release(control, [], now_s * 1000, now_s - 2 * KEPT_S)
    assert since_s == now_s - 2 * KEPT_S
    assert await left_of(control) == ["kept", "now", "older"]
    await release(control, [], now_s * 1000)
    assert await left_of(control) == ["kept", "now"]
    assert len(await control.fetch("SELECT window_key FROM budget_accounts")) == 2 + len(ended)
    await control.close()


async def left_of(control: ControlDatabase) -> list[str]:
    query = "SELECT window_key FROM budget_accounts WHERE budget_id = ? ORDER BY window_key"
    return [name for (name,) in await control.fetch(query, f"{KEY_LIMIT}1:calls")]
