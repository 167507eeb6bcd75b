"""What calls spend is counted once, in the transaction that writes their rows; what is lent never exceeds a limit."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ids import call_id
from pricing.cost import Cost, CostSource, CostStatus
from pricing.usage import Usage
from storage.address import parse
from storage.budgets import admin, forgetting, leases
from storage.budgets.companion import BudgetCompanion
from storage.budgets.forgetting import forget_accounts
from storage.budgets.leases import Ask, Told
from storage.budgets.model import EVERY, Account, Budget, Mode, Unit, Unpriced, Window, account_of
from storage.budgets.scopes import Scopes
from storage.budgets.windows import span_of
from storage.control import ControlDatabase, control_of
from storage.privacy.database import Person
from storage.privacy.erase import erase
from storage.schema import Migrate
from storage.targets import open_target
from storage.targets.contract import Target
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

NOW = int(datetime.fromisoformat("2026-11-15T12:00:00Z").timestamp())
TEAMS = ("search", "ads", None)
USERS = ("ann", "bob", None)
MODELS = ("gpt-4o", "house-model", None)


def record(chance: random.Random, at_s: int = NOW) -> CallRecord:
    """A call of one of a few teams, at a price or none."""
    started = at_s * 10**9 + chance.randrange(10**9)
    nano = chance.choice([None, 0, 1, 999_999_999, 123_456_789])
    refused = chance.random() < 0.1
    usage = chance.choice([None, Usage(input=chance.randrange(5000), output=chance.randrange(900))])
    tags = chance.choice([(), (("tier", "gold"),), (("tier", "tin"), ("x", "y"))])
    who = Who(
        tenant=chance.choice([None, "acme"]), team=chance.choice(TEAMS), user=chance.choice(USERS), tags=tags
    )
    status = CostStatus.UNPRICED if nano is None else CostStatus.PRICED
    return CallRecord(
        call_id(started),
        Outcome.REFUSED if refused else Outcome.COMPLETED,
        who,
        What("openai", "openai_chat", chance.choice(["chat", "chat", None, "background_job", "control", "count_tokens"]), chance.choice(["POST", "POST", "GET", "DELETE"]), "/v1/x", chance.choice(MODELS), False, None, 10),
        Route(),
        Timing(started),
        Answer(chance.choice([200, 200, 101, 404, None])),
        usage,
        UsageSource.PROVIDER if usage else UsageSource.NONE,
        Cost(status, CostSource.CATALOGUE, nano),
    )  # fmt: skip


def budgets() -> list[Budget]:
    """Of every unit, window and way of naming calls."""
    shapes = [
        {},
        {"scope": (("team", "search"),), "window": Window.DAY, "timezone": "Pacific/Auckland"},
        {"scope": (("user", EVERY),), "window": Window.WEEK, "unit": Unit.TOKENS},
        {"scope": (("team", EVERY), ("user", "ann")), "window": Window.HOUR},
        {"scope": (("tenant", "default"),), "unit": Unit.CALLS, "window": Window.TOTAL},
        {"scope": (("tag:tier", "gold"),), "mode": Mode.HARD},
        {"scope": (("tag:tier", EVERY),), "unit": Unit.CALLS},
        {"scope": (("model", "gpt-4o"), ("provider", "openai")), "mode": Mode.SOFT},
        {"unpriced": Unpriced.CEILING, "ceiling_nano_per_mtok": 7_000_000_001},
    ]
    return [Budget(id=f"b{n}", name=f"budget {n}", limit=10**12, **shape) for n, shape in enumerate(shapes)]  # type: ignore[arg-type]


@pytest.fixture
async def db(database: str) -> AsyncIterator[ControlDatabase]:
    opened = control_of(parse(database, Path()))
    yield opened
    await opened.close()


def target_of(database: str, companion: BudgetCompanion, timeout_s: float = 10) -> Target:
    address = parse(database, Path())
    found = open_target(
        address, migrate=Migrate.MANUAL, timeout_s=timeout_s, power_safe=False, companions=(companion,)
    )
    found.connect()
    return found


async def accounts(db: ControlDatabase) -> dict[tuple[str, str, str], tuple[int, int, int]]:
    query = "SELECT budget_id, subject, window_key, spent, calls, unpriced FROM budget_accounts"
    return {
        (b, s, w): (int(a), int(c), int(u))
        for b, s, w, a, c, u in await db.fetch(query)
        if (int(a), int(c), int(u)) != (0, 0, 0)
    }


@pytest.mark.parametrize("seed", range(4))
async def test_rows_and_accounts_say_the_same(database: str, db: ControlDatabase, seed: int) -> None:
    """Counted while rows are written, with repetitions; counted anew from the rows: the same."""
    chance = random.Random(seed)
    companion = BudgetCompanion()
    target = await asyncio.to_thread(target_of, database, companion)
    half = budgets()[::2]
    for budget in half:
        await admin.create(db, budget, "test", NOW)
    written: list[CallRecord] = []
    for batch in range(6):
        if batch == 3:  # the others are made while calls go on: what was spent before counts
            for budget in budgets()[1::2]:
                await admin.create(db, budget, "test", NOW)
        fresh = [record(chance) for _ in range(40)]
        again = chance.sample(written, min(len(written), 15))
        mixed = fresh + again + fresh[:5]
        chance.shuffle(mixed)
        await asyncio.to_thread(target.write, mixed)
        written += fresh
    counted = await accounts(db)
    assert counted
    for budget in budgets():
        await admin.rebuild(db, budget, NOW)
    assert await accounts(db) == counted
    total = sum(one.cost.total or 0 for one in written)
    span = span_of(Window.MONTH, "UTC", 1, NOW)
    assert counted["b0", "", span.key][0] == total
    await asyncio.to_thread(target.close)


Meanwhile = Callable[[], Awaitable[object]]


@pytest.fixture
async def meanwhile(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Meanwhile]]:
    """What is done, each once, right after rows were summed up by the next that sums some up."""
    waiting: list[Meanwhile] = []
    kind = type(control_of(parse(sqlite, Path())))
    fetch = kind.fetch

    async def fetch_and_do(self: ControlDatabase, query: str, *values: object) -> object:
        found = await fetch(self, query, *values)
        if "SUM(" in query and waiting:
            await waiting.pop()()
        return found

    monkeypatch.setattr(kind, "fetch", fetch_and_do)
    yield waiting
    assert not waiting, "nothing was summed up"


async def test_nobody_who_writes_waits_while_a_budget_is_counted(
    sqlite: str, meanwhile: list[Meanwhile]
) -> None:
    db, chance = control_of(parse(sqlite, Path())), random.Random(3)
    target = await asyncio.to_thread(target_of, sqlite, BudgetCompanion(), 0.2)
    await asyncio.to_thread(target.write, [record(chance) for _ in range(40)])

    def writes() -> None:
        meanwhile.append(lambda: asyncio.to_thread(target.write, [record(chance) for _ in range(10)]))

    for budget in budgets():
        writes()
        await admin.create(db, budget, "test", NOW)
    counted = await accounts(db)
    for budget in budgets():
        await admin.rebuild(db, budget, NOW)
    assert await accounts(db) == counted
    for budget in budgets():
        writes()
        await admin.rebuild(db, budget, NOW)
        writes()
        await admin.update(
            db, msgspec.structs.replace(budget, window=Window.DAY, timezone="UTC"), "test", NOW
        )
    counted = await accounts(db)
    for budget in await admin.all_budgets(db):
        await admin.rebuild(db, budget, NOW)
    assert await accounts(db) == counted
    await asyncio.to_thread(target.close)
    await db.close()


async def test_who_is_erased_while_a_budget_is_counted_gets_no_account(
    sqlite: str, tmp_path: Path, meanwhile: list[Meanwhile]
) -> None:
    address = parse(sqlite, tmp_path)
    db, chance = control_of(address), random.Random(4)
    target = await asyncio.to_thread(target_of, sqlite, BudgetCompanion())
    await asyncio.to_thread(target.write, [record(chance) for _ in range(40)])
    meanwhile.append(lambda: erase(address, tmp_path, Person(("ann",)), "test"))
    budget = Budget(id="each", name="each", limit=1, unit=Unit.CALLS, scope=(("user", EVERY),))
    await admin.create(db, budget, "test", NOW)
    assert {subject for _, subject, _ in await accounts(db)} == {'["bob"]'}
    await asyncio.to_thread(target.close)
    await db.close()


async def test_a_batch_that_is_rolled_back_counts_nothing(database: str, db: ControlDatabase) -> None:
    companion = BudgetCompanion()
    target = await asyncio.to_thread(target_of, database, companion)
    await admin.create(db, budgets()[0], "test", NOW)
    chance = random.Random(1)
    broken = msgspec.structs.replace(record(chance), id="no id of ours")
    with pytest.raises(Exception, match="UUIDv7"):
        await asyncio.to_thread(target.write, [record(chance), broken])
    assert await accounts(db) == {}
    await asyncio.to_thread(target.close)


async def test_no_spend_is_lost_or_counted_twice_where_windows_change(
    database: str, db: ControlDatabase
) -> None:
    """Calls across both changes of the clock in two zones, written by several at once: each counts in one window."""
    made = [
        Budget(id=f"{zone}-{window}", name=f"{zone} {window}", limit=10**15, window=window, timezone=zone, unit=Unit.CALLS)
        for zone in ("UTC", "Pacific/Auckland", "America/New_York")
        for window in (Window.DAY, Window.WEEK, Window.MONTH)
    ]  # fmt: skip
    for budget in made:
        await admin.create(db, budget, "test", NOW)
    edges = ["2026-03-08", "2026-11-01", "2026-04-05", "2026-09-27", "2026-12-01", "2027-01-01"]
    chance = random.Random(3)
    moments = [
        int(datetime.fromisoformat(f"{edge}T00:00:00Z").timestamp()) + chance.randrange(-86_400, 86_400)
        for edge in edges
        for _ in range(60)
    ]
    calls = [
        msgspec.structs.replace(
            record(chance, moment), outcome=Outcome.COMPLETED, what=What("openai", None, None, "POST", "/", None, False, None, 1)
        )
        for moment in moments
    ]  # fmt: skip
    targets = [await asyncio.to_thread(target_of, database, BudgetCompanion()) for _ in range(3)]
    await asyncio.gather(*(asyncio.to_thread(_write, one, calls, n) for n, one in enumerate(targets)))
    counted = await accounts(db)
    for budget in made:
        expected = Counter(span_of(budget.window, budget.timezone, 1, moment).key for moment in moments)
        found = {window: spent for (b, _, window), (spent, _, _) in counted.items() if b == budget.id}
        assert found == dict(expected)
        assert sum(found.values()) == len(calls)
    for one in targets:
        await asyncio.to_thread(one.close)


def _write(target: Target, calls: list[CallRecord], offset: int) -> None:
    """All of them in batches, each writer from another place: all but the first find them written."""
    chance = random.Random(offset)
    batches = [calls[at : at + 30] for at in range(0, len(calls), 30)]
    chance.shuffle(batches)
    for batch in batches:
        target.write(batch)


def account(budget: Budget) -> Account:
    return account_of(budget, "", span_of(budget.window, budget.timezone, 1, NOW))


async def test_what_is_lent_and_spent_never_exceeds_the_limit(database: str, db: ControlDatabase) -> None:
    """Workers that borrow, return, write and die in any order."""
    budget = Budget(id="hard", name="hard", limit=1_000, mode=Mode.HARD, unit=Unit.TOKENS)
    await admin.create(db, budget, "test", NOW)
    chance = random.Random(7)
    drawn_on = account(budget)
    others = [control_of(parse(database, Path())) for _ in range(3)]
    holding = Counter[str]()

    async def worker(name: str, own: ControlDatabase) -> None:
        for number in range(25):
            if chance.random() < 0.6:
                (got,) = await leases.grant(own, name, [Ask(drawn_on, chance.randrange(60))], NOW * 1000, 1)
                holding[name] += got.amount
                assert got.spent + got.lent <= budget.limit
            else:
                back = chance.randrange(holding[name] + 1)
                await leases.tell(own, name, [Told(drawn_on, returned=back)], NOW * 1000, number)
                holding[name] -= back
            found = (await leases.standings(own, [drawn_on], NOW * 1000))[drawn_on.key]
            assert found.spent + found.lent <= budget.limit

    await asyncio.gather(*(worker(f"w{n}", own) for n, own in enumerate(others)))
    found = (await leases.standings(db, [drawn_on], NOW * 1000))[drawn_on.key]
    assert found.lent == holding.total()
    await leases.release(db, ["w0", "w1"], NOW * 1000)
    found = (await leases.standings(db, [drawn_on], NOW * 1000))[drawn_on.key]
    assert found.lent == holding["w2"]
    later = (NOW + leases.LEASE_S + 1) * 1000
    assert (await leases.standings(db, [drawn_on], later))[drawn_on.key].lent == 0
    await leases.release(db, [], later)
    assert not await leases.own(db, "w2")
    for own in others:
        await own.close()


async def test_what_a_call_costs_moves_from_lent_to_spent_with_its_row(
    database: str, db: ControlDatabase
) -> None:
    budget = Budget(id="hard", name="hard", limit=10**10, mode=Mode.HARD)
    await admin.create(db, budget, "test", NOW)
    companion = BudgetCompanion()
    companion.owner = "me"
    target = await asyncio.to_thread(target_of, database, companion)
    drawn_on = account(budget)
    await leases.grant(db, "me", [Ask(drawn_on, 5_000_000_000)], NOW * 1000, 1)
    chance = random.Random(5)
    calls = [record(chance) for _ in range(8)]
    mine = calls[:5]
    companion.drawn.update({one.id: frozenset(["hard"]) for one in mine})
    await asyncio.to_thread(target.write, calls)
    companion.written(calls)
    assert not companion.drawn
    found = (await leases.standings(db, [drawn_on], NOW * 1000))[drawn_on.key]
    assert found.spent == sum(one.cost.total or 0 for one in calls)
    assert found.lent == 5_000_000_000 - sum(one.cost.total or 0 for one in mine)
    await asyncio.to_thread(target.close)


async def test_what_moves_while_it_is_looked_at_is_seen_once(
    database: str, db: ControlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are written meanwhile: what they cost is lent or spent, never neither."""
    budget = Budget(id="hard", name="hard", limit=10_000, mode=Mode.HARD)
    await admin.create(db, budget, "test", NOW)
    drawn_on = account(budget)
    await leases.grant(db, "me", [Ask(drawn_on, 1_000)], NOW * 1000, 1)
    writer = control_of(parse(database, Path()))
    fetch = type(db).fetch

    async def fetch_and_write(self: ControlDatabase, query: str, *values: object) -> object:
        found = await fetch(self, query, *values)
        if self is db:
            async with writer.transaction() as tx:
                await tx.run("UPDATE budget_accounts SET spent = spent + 100 WHERE budget_id = ?", "hard")
                await tx.run("UPDATE budget_leases SET amount = amount - 100 WHERE budget_id = ?", "hard")
        return found

    monkeypatch.setattr(type(db), "fetch", fetch_and_write)
    seen = [(await leases.standings(db, [drawn_on], NOW * 1000))[drawn_on.key] for _ in range(4)]
    assert [(one.spent, one.lent) for one in seen] == [(0, 1_000), (100, 900), (200, 800), (300, 700)]
    await writer.close()


@pytest.mark.parametrize("at_once", [1, 2, 100])
async def test_accounts_of_old_windows_are_forgotten(
    db: ControlDatabase, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "_SLICE", at_once)
    hourly = Budget(id="h", name="h", limit=1, window=Window.HOUR, scope=(("user", EVERY),))
    monthly = Budget(id="m", name="m", limit=1)
    async with db.transaction() as tx:
        for budget in (hourly, monthly):
            for days in (0, 10, 40, 300, 500, 900):
                span = span_of(budget.window, "UTC", 1, NOW - days * 86_400)
                await leases.open_account(tx, account_of(budget, f'["u{days}"]', span))
    assert await forget_accounts(db, NOW) == 6
    rows = await db.fetch("SELECT budget_id, subject FROM budget_accounts ORDER BY budget_id, subject")
    assert [tuple(row) for row in rows] == [
        ("h", '["u0"]'),
        ("h", '["u10"]'),
        ("m", '["u0"]'),
        ("m", '["u10"]'),
        ("m", '["u300"]'),
        ("m", '["u40"]'),
    ]
    assert await forget_accounts(db, NOW) == 0


async def test_changes_are_logged_and_names_are_taken_once(db: ControlDatabase) -> None:
    budget = Budget(id="a", name="Search", limit=10)
    await admin.create(db, budget, "ann", NOW)
    with pytest.raises(admin.BudgetError, match="already"):
        await admin.create(db, msgspec.structs.replace(budget, id="b"), "ann", NOW)
    await admin.update(db, msgspec.structs.replace(budget, limit=20), "bob", NOW)
    assert [one.limit for one in await admin.all_budgets(db)] == [20]
    assert await admin.delete(db, "a", "ann")
    assert not await admin.delete(db, "a", "ann")
    rows = await db.fetch("SELECT actor, action, subject, detail FROM audit_log ORDER BY id")
    assert [tuple(row[:3]) for row in rows] == [
        ("ann", "budget.create", "a"),
        ("bob", "budget.update", "a"),
        ("ann", "budget.delete", "a"),
    ]
    assert json.loads(rows[1][3])["changes"] == {"limit": {"before": 10, "after": 20}}


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scopes_find_what_looking_at_every_budget_finds(data: st.DataObject) -> None:
    chance = random.Random(data.draw(st.integers(0, 10**6)))
    every = budgets()
    scopes = Scopes(every)
    for _ in range(20):
        call = record(chance, NOW + chance.randrange(-90 * 86_400, 90 * 86_400))
        found = scopes.accounts(call.who, call.what.provider, call.what.model, call.timing.started_ns)
        expected = {budget.id for budget in every if _fits(budget, call)}
        assert sorted(one.budget.id for one in found) == sorted(expected)
        for one in found:
            assert one.start_s <= call.timing.started_ns // 10**9 < one.end_s


def _fits(budget: Budget, call: CallRecord) -> bool:
    who, what = call.who, call.what
    said = {
        "tenant": who.tenant or "default",
        "team": who.team,
        "user": who.user,
        "provider": what.provider,
        "model": what.model,
        **{f"tag:{name}": value for name, value in who.tags},
    }
    return all(
        said.get(dimension) is not None and value in (EVERY, said[dimension])
        for dimension, value in budget.scope
    )


def test_time_is_read_in_seconds() -> None:
    assert abs(admin.now() - time.time()) < 5
