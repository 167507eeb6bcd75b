"""Keys, tokens, budgets and their log in both databases: found, paged, changed by several at once, counted anew."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ids import call_id
from pricing.cost import Cost, CostSource, CostStatus
from storage import audit
from storage.address import parse
from storage.budgets import admin as budgets
from storage.budgets import leases
from storage.budgets.companion import BudgetCompanion
from storage.budgets.leases import Told
from storage.budgets.model import EVERY, Account, Budget, Unit, Window, account_of
from storage.budgets.subjects import Wanted, values_of
from storage.budgets.windows import span_of
from storage.control import ControlDatabase, control_of
from storage.keys import admin as keys
from storage.keys.model import Key, Token
from storage.schema import Migrate
from storage.targets import open_target
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

NOW = 1_790_510_400
NANO = 1_000_000_000
DAY = 86_400


@pytest.fixture
async def db(database: str) -> AsyncIterator[ControlDatabase]:
    opened = control_of(parse(database, Path()))
    yield opened
    await opened.close()


def record(nano: int, at_s: int = NOW, **who: str) -> CallRecord:
    return CallRecord(
        call_id(at_s * NANO),
        Outcome.COMPLETED,
        Who(**who),
        What("openai", "openai_chat", "chat", "POST", "/v1/x", "gpt-4o", False, None, 10),
        Route(),
        Timing(at_s * NANO),
        Answer(200),
        None,
        UsageSource.NONE,
        Cost(CostStatus.PRICED, CostSource.CATALOGUE, nano),
    )


def write(database: str, *records: CallRecord) -> None:
    target = open_target(
        parse(database, Path()),
        migrate=Migrate.MANUAL,
        timeout_s=10,
        power_safe=False,
        companions=(BudgetCompanion(),),
    )
    target.connect()
    target.write(records)
    target.close()


def account(budget: Budget, subject: str = "") -> Account:
    return account_of(budget, subject, span_of(budget.window, budget.timezone, budget.week_start, NOW))


ODD = ["ann", "b", 'quo"te', "back\\slash", "%", "_", "ça 日本", "\x00nul", "[", "a, b", '", "', "{}", "$1", "?", "😀"]  # fmt: skip


async def test_accounts_are_found_by_the_values_they_count(db: ControlDatabase) -> None:
    """Whatever the values look like, and under each combination of known and unknown ones."""
    scope = (("project", EVERY), ("team", EVERY), ("tenant", "acme"), ("user", EVERY))
    budget = Budget(id="each", name="each", limit=10, scope=scope, unit=Unit.TOKENS)
    await budgets.create(db, budget, "test", NOW)
    triples = [(ODD[n], ODD[(n * 3 + 1) % len(ODD)], ODD[(n * 7 + 2) % len(ODD)]) for n in range(len(ODD))]
    triples += [("ann", "b", "ann"), ("b", "ann", "ann"), ("ann", "ann", "b")]
    made = [account(budget, json.dumps(list(triple))) for triple in triples]
    await leases.tell(db, "me", [Told(one, denied=1) for one in made], NOW * 1000, 1)
    names = ("project", "team", "user")
    asked = [value for value in ODD if value.isprintable()]  # nobody can ask for another
    for value, other in itertools.product([*asked, "nobody"], [None, "ann", "b", '", "']):
        for place in range(3):
            said = {names[place]: value}
            if other is not None:
                said[names[(place + 1) % 3]] = other
            expected = {
                one
                for one in triples
                if all(one[names.index(name)] == wanted for name, wanted in said.items())
            }
            wanted = Wanted((*said.items(), ("model", "ignored")))
            found = await budgets.held(db, budget, NOW, wanted)
            subjects = [values_of(budget, one.account.subject) for one in found]
            assert {(one["project"], one["team"], one["user"]) for one in subjects} == expected
            assert all(one["tenant"] == "acme" for one in subjects)
            assert await budgets.count_held(db, budget, NOW, wanted) == len(found) == len(expected)
    (exact,) = await budgets.held(db, budget, NOW, Wanted(tuple(zip(names, triples[8], strict=True))))
    assert exact.account == made[8]


async def test_accounts_are_paged_by_what_they_spent(database: str, db: ControlDatabase) -> None:
    budget = Budget(id="each", name="each", limit=10, scope=(("user", EVERY),), unit=Unit.CALLS)
    await budgets.create(db, budget, "test", NOW)
    users = [f"user {n:02}" for n in range(23)]
    calls = [record(1, user=user) for n, user in enumerate(users) for _ in range(n % 4 + 1)]
    await asyncio.to_thread(write, database, *calls)
    whole = [one.account.subject for one in await budgets.held(db, budget, NOW)]
    assert len(whole) == 23
    found: list[str] = []
    after = None
    while page := await budgets.held(db, budget, NOW, Wanted((), 5, after)):
        found += [one.account.subject for one in page]
        after = (page[-1].standing.spent, page[-1].account.subject)
    assert found == whole


@pytest.mark.parametrize("window", [Window.HOUR, Window.MONTH, Window.TOTAL])
async def test_counting_anew_keeps_refusals_and_other_windows(
    database: str, db: ControlDatabase, window: Window
) -> None:
    budget = Budget(id="b", name="b", limit=10, window=window, scope=(("user", EVERY),))
    await budgets.create(db, budget, "test", NOW)
    span = span_of(window, "UTC", 1, NOW)
    edges = [span.start_s, span.end_s - 1] if window is not Window.TOTAL else [NOW - 400 * DAY, NOW]
    calls = [record(10, at, user=user) for at in edges for user in ("ann", "bob")]
    if window is not Window.TOTAL:
        calls += [record(1000, span.start_s - 1, user="ann"), record(1000, span.end_s, user="ann")]
    await asyncio.to_thread(write, database, *calls)
    ann, eve = account(budget, '["ann"]'), account(budget, '["eve"]')
    await leases.tell(db, "me", [Told(ann, denied=3), Told(eve, denied=2)], NOW * 1000, 1)
    everything = "SELECT subject, window_key, spent, calls, denied FROM budget_accounts ORDER BY 2, 1"
    before = [tuple(row) for row in await db.fetch(everything)]
    await db.fetch("UPDATE budget_accounts SET spent = 99, calls = 9 WHERE window_key = ? RETURNING 1", span.key)  # fmt: skip
    await budgets.rebuild(db, budget, NOW, "ann")
    assert [tuple(row) for row in await db.fetch(everything)] == before
    (line, *_) = await audit.lines(db)
    assert (line.actor, line.action, line.subject) == ("ann", "budget.rebuild", "b")


async def test_many_accounts_are_counted_at_once(database: str, db: ControlDatabase) -> None:
    await asyncio.to_thread(write, database, *(record(n + 1, user=f"u{n}") for n in range(450)))
    budget = Budget(id="b", name="b", limit=10, scope=(("user", EVERY),))
    await budgets.create(db, budget, "test", NOW)
    assert await budgets.count_held(db, budget, NOW) == 450
    ((total,),) = await db.fetch("SELECT SUM(spent) FROM budget_accounts")
    assert int(total) == 450 * 451 // 2


async def test_a_budget_that_is_gone_cannot_be_changed(db: ControlDatabase) -> None:
    budget = Budget(id="b", name="b", limit=10)
    with pytest.raises(budgets.NoBudget):
        await budgets.change(db, "b", lambda one: one, "ann", NOW)
    with pytest.raises(budgets.NoBudget):
        await budgets.rebuild(db, budget, NOW)
    await budgets.create(db, budget, "ann", NOW)
    changed = await budgets.change(db, "b", lambda one: msgspec.structs.replace(one, limit=3), "ann", NOW)
    assert changed == await budgets.budget_of(db, "b")
    with pytest.raises(ZeroDivisionError):
        await budgets.change(db, "b", lambda one: msgspec.structs.replace(one, limit=1 // 0), "ann", NOW)
    assert await budgets.budget_of(db, "b") == changed
    assert await budgets.budget_of(db, "c") is None
    assert await budgets.delete(db, "b", "ann")
    (line, *_) = await audit.lines(db)
    assert json.loads(line.detail)["limit"] == 3


async def test_changes_of_a_key_that_meet_are_both_there(database: str, db: ControlDatabase) -> None:
    await keys.create_key(db, Key(id="k", name="a"), "ann", 1)
    others = [control_of(parse(database, Path())) for _ in range(4)]
    fields = ("team", "user", "project", "tenant")

    async def change(one: ControlDatabase, field: str) -> None:
        await keys.change_key(one, "k", lambda key: msgspec.structs.replace(key, **{field: "x"}), "ann")

    await asyncio.gather(*(change(one, field) for one, field in zip(others, fields, strict=True)))
    row = await keys.key_of(db, "k")
    assert row is not None
    assert row.key == Key(id="k", name="a", team="x", user="x", project="x", tenant="x")
    assert await keys.change_key(db, "nothing", lambda key: key, "ann") is None
    assert await keys.revoke_key(db, "k", "ann", 5)
    assert not await keys.revoke_key(db, "k", "ann", 6)
    assert await keys.change_key(db, "k", lambda key: key, "ann") is None
    assert await keys.rotate_key(db, "k", "ann", 7, 0) is None
    for one in others:
        await one.close()


async def test_versions_grow_with_every_change_and_with_nothing_else(db: ControlDatabase) -> None:
    async def version() -> int:
        return await budgets.version(db, "keys")

    before = await version()
    await keys.create_key(db, Key(id="k", name="a"), "ann", 1)
    await keys.change_key(db, "k", lambda key: msgspec.structs.replace(key, team="x"), "ann")
    await keys.change_key(db, "k", lambda key: key, "ann")
    await keys.rotate_key(db, "k", "ann", 2, 0)
    await keys.rotate_key(db, "other", "ann", 2, 0)
    await keys.revoke_key(db, "k", "ann", 3)
    await keys.create_token(db, Token(id="t", name="a", team="x"), "ann", 4)
    await keys.revoke_token(db, "t", "ann", 5)
    await keys.revoke_token(db, "t", "ann", 6)
    assert await version() == before + 6
    assert await budgets.version(db, "nothing") == 0


async def test_the_log_is_filtered_and_paged(db: ControlDatabase) -> None:
    for number in range(5):
        await keys.create_key(db, Key(id=f"k{number}", name="a"), "ann" if number % 2 else "bob", number)
        await keys.revoke_key(db, f"k{number}", "eve", number)
    await keys.create_token(db, Token(id="t", name="a", team="x"), "ann", 4)
    whole = await audit.lines(db)
    assert [line.id for line in whole] == sorted((line.id for line in whole), reverse=True)
    assert [line.id for line in await audit.lines(db, whole[3].id, 2)] == [line.id for line in whole[4:6]]
    assert len(await audit.lines(db, action="key")) == 10
    assert len(await audit.lines(db, action="key.create", actor="ann")) == 2
    assert len(await audit.lines(db, action="ke")) == 0
    assert [line.action for line in await audit.lines(db, subject="k3")] == ["key.revoke", "key.create"]


@given(st.lists(st.tuples(st.sampled_from(ODD), st.text(max_size=5)), min_size=1, max_size=6))
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_subjects_are_read_as_they_are_written(pairs: list[tuple[str, str]]) -> None:
    scope = tuple((f"tag:{n}", EVERY if n % 2 else value) for n, (value, _) in enumerate(pairs))
    budget = Budget(id="b", name="b", limit=1, scope=scope)
    counted = [value for n, (_, value) in enumerate(pairs) if n % 2]
    found = values_of(budget, json.dumps(counted))
    expected = [value if n % 2 else named for n, (named, value) in enumerate(pairs)]
    assert list(found.values()) == expected
