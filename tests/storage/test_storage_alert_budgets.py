"""The gateway's budgets, as alerts judge them: from recorded calls to one message for each threshold."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alerts.facts import DOLLAR, rule
from alerts.office import Office, hook
from rig.ledger import record
from rig.process import ROOT

from pricing.cost import Cost, CostSource, CostStatus
from storage.address import parse
from storage.alerts.budget_facts import BudgetAccounts
from storage.alerts.facts import StoredFacts
from storage.budgets import admin
from storage.budgets.companion import BudgetCompanion
from storage.budgets.model import EVERY, Budget, Unit, Window
from storage.control import ControlDatabase, control_of
from storage.schema import Migrate
from storage.targets import open_target
from storage.targets.contract import Target
from telemetry.alerts.facts import BudgetFact
from telemetry.alerts.verdict import Unit as Counted

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEVELS = (("50 %", 0.5), ("75 %", 0.75), ("90 %", 0.9), ("100 %", 1.0))


@pytest.fixture
async def db(database: str) -> AsyncIterator[ControlDatabase]:
    opened = control_of(parse(database, Path()))
    yield opened
    await opened.close()


@pytest.fixture
def target(database: str) -> Target:
    found = open_target(
        parse(database, Path()),
        migrate=Migrate.MANUAL,
        timeout_s=20,
        power_safe=False,
        companions=(BudgetCompanion(),),
    )
    found.connect()
    return found


@pytest.fixture
async def office(database: str, tmp_path: Path) -> AsyncIterator[Callable[..., Office]]:
    made: list[Office] = []

    def make(*rules: Any, **options: Any) -> Office:
        one = Office(database, tmp_path, rules, **options)
        judge_stored(one, tmp_path)
        made.append(one)
        return one

    yield make
    for one in made:
        await one.close()


def judge_stored(office: Office, folder: Path) -> None:
    database = office.workers[0].database
    office.facts = StoredFacts(database, folder, BudgetAccounts(database))  # type: ignore[assignment]
    office.now = NOW


async def spend(target: Target, nano: int, at: datetime = NOW, **who: Any) -> None:
    """One call of that cost; targets are for threads."""
    cost = Cost(CostStatus.PRICED, CostSource.CATALOGUE, nano)
    ms = int(at.timestamp() * 1000)
    await asyncio.to_thread(target.write, [record(ms=ms, who={"team": "search", **who}, cost=cost)])


async def facts(office: Office) -> list[BudgetFact]:
    return list(await office.facts.budgets(office.now))


async def make(db: ControlDatabase, **given: Any) -> Budget:
    name = str(given.get("name", "monthly"))
    budget = Budget(**{"id": name, "name": name, "limit": 15 * DOLLAR, **given})
    await admin.create(db, budget, "test", int(NOW.timestamp()))
    return budget


async def test_forty_cents_of_fifteen_dollars_tell_nobody(
    db: ControlDatabase, target: Target, office: Callable[..., Office]
) -> None:
    one = office(rule("budget", thresholds=[0.99]))
    await make(db)
    await spend(target, DOLLAR * 4 // 10)
    await one.evaluate()
    assert await one.alerts() == []
    await spend(target, 15 * DOLLAR * 99 // 100 - DOLLAR * 4 // 10 - 1)
    await one.evaluate()
    assert await one.alerts() == []
    await spend(target, 1)
    await one.evaluate()
    (alert,) = await one.alerts()
    assert (alert.level, alert.value) == ("99 %", 14_850_000_000)


async def test_what_is_told_of_an_account(
    db: ControlDatabase, target: Target, office: Callable[..., Office]
) -> None:
    one = office()
    await make(db, name="per-user", scope=(("team", "search"), ("user", EVERY)), window=Window.DAY)
    await make(db, name="gold", scope=(("tag:tier", "gold"),))
    await make(db, name="tokens", unit=Unit.TOKENS, limit=10_000, window=Window.TOTAL)
    await make(db, name="slots", unit=Unit.SLOTS, limit=3)
    await spend(target, DOLLAR, user="ann")
    await spend(target, 2 * DOLLAR, user="bob", tags=(("tier", "gold"),))
    found = {(fact.name, fact.scope): fact for fact in await facts(one)}
    assert set(found) == {
        ("per-user", "team search, user ann"),
        ("per-user", "team search, user bob"),
        ("gold", "tag:tier gold"),
        ("tokens", "everything"),
    }
    ann, bob = (found["per-user", f"team search, user {user}"] for user in ("ann", "bob"))
    assert ann.budget_id != bob.budget_id
    assert ann.filters == (("team", "search"), ("user", "ann"))
    assert (ann.spent_nano, bob.spent_nano, ann.whole) == (DOLLAR, 2 * DOLLAR, True)
    assert (ann.window_start, ann.window_end) == (
        datetime(2026, 11, 21, tzinfo=UTC),
        datetime(2026, 11, 22, tzinfo=UTC),
    )
    assert not found["gold", "tag:tier gold"].whole
    assert found["tokens", "everything"].unit is Counted.TOKENS


async def test_a_window_that_has_just_ended_is_judged_too(
    db: ControlDatabase, target: Target, office: Callable[..., Office]
) -> None:
    one = office(rule("budget", thresholds=[0.5]))
    await make(db, window=Window.DAY)
    await spend(target, 8 * DOLLAR)
    one.now = datetime(2026, 11, 22, 0, 59, tzinfo=UTC)
    await one.evaluate()
    assert len(await one.alerts()) == 1, "the last calls of a day are told after it"
    one.now = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
    await one.evaluate()
    assert [alert.state for alert in await one.alerts()] == ["resolved"]
    assert await facts(one) == []


async def test_an_edit_counts_anew_and_tells_nothing_twice(
    db: ControlDatabase, target: Target, office: Callable[..., Office]
) -> None:
    one = office(rule("budget"))
    budget = await make(db)
    await spend(target, 12 * DOLLAR)
    await one.evaluate()
    assert {alert.level for alert in await one.alerts()} == {"50 %", "75 %"}
    for limit in (100, 15, 13):
        changed = msgspec.structs.replace(budget, limit=limit * DOLLAR, name="renamed")
        await admin.update(db, changed, "test", int(NOW.timestamp()))
        one.now += timedelta(minutes=1)
        await one.evaluate()
    assert sorted(alert.level for alert in await one.alerts()) == ["50 %", "75 %", "90 %"]


async def test_a_budget_that_is_gone_ends_its_alerts(
    db: ControlDatabase, target: Target, office: Callable[..., Office]
) -> None:
    one = office(rule("budget"))
    budget = await make(db, window=Window.DAY)
    await spend(target, 8 * DOLLAR)
    await one.evaluate()
    await admin.delete(db, budget.id, "test")
    one.now = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
    await one.evaluate()
    assert [alert.state for alert in await one.alerts()] == ["resolved"]


async def test_an_overrun_is_projected_from_the_history_of_the_budgets_scope(
    db: ControlDatabase, target: Target, office: Callable[..., Office]
) -> None:
    one = office(rule("overrun"))
    await make(db, limit=30 * DOLLAR, scope=(("team", "search"),))
    for day in range(1, 15):
        await spend(target, DOLLAR, NOW - timedelta(days=day))
        await spend(target, 9 * DOLLAR, NOW - timedelta(days=day), team="ads")
    await one.evaluate()
    assert await one.alerts() == []
    await spend(target, 7 * DOLLAR)
    one.now += timedelta(minutes=11)
    await one.evaluate()
    (alert,) = await one.alerts()
    # 14 + 7 dollars are spent, and 9 days and a half at a dollar a day are left.
    assert alert.value // 10**7 == 3_049
    assert alert.summary.startswith("budget monthly (team search, month:2026-11-01")


async def test_recorded_calls_tell_each_threshold_once_over_four_workers_and_three_restarts(
    db: ControlDatabase, target: Target, office: Callable[..., Office], tmp_path: Path
) -> None:
    one = office(rule("budget"), posts=[hook("http://h:1")], workers=4)
    await make(db, name="per-team", scope=(("team", EVERY),))
    chance, spent = random.Random(5), Counter[str]()
    for step in range(20):
        for team in ("a", "b", "c"):
            nano = chance.randrange(2 * DOLLAR)
            spent[team] += nano
            await spend(target, nano, team=team)
        await one.evaluate()
        if step in (4, 9, 14):
            await one.restart()
            judge_stored(one, tmp_path)
    reached = [
        (team, level) for team in spent for level, share in LEVELS if spent[team] >= 15 * DOLLAR * share
    ]
    assert len(reached) > 8
    found = await one.alerts()
    assert Counter((dict(alert.labels)["team"], alert.level) for alert in found) == Counter(reached)
    assert len(await one.deliveries()) == len(reached)


@pytest.mark.soak
async def test_four_processes_that_are_killed_tell_each_threshold_once(
    database: str, db: ControlDatabase, target: Target, office: Callable[..., Office], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    budget = Budget(id="b", name="per-team", limit=15 * DOLLAR, scope=(("team", EVERY),), window=Window.TOTAL)
    await admin.create(db, budget, "test", int(now.timestamp()))
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}

    async def begin() -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "rig.alert_evaluator", database, str(tmp_path))
        return await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ
        )

    chance, spent = random.Random(6), Counter[str]()
    for _ in range(4):
        workers = [await begin() for _ in range(4)]
        for worker in workers:
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"running\n"
        for _ in range(6):
            for team in ("a", "b", "c", "d"):
                nano = chance.randrange(2 * DOLLAR)
                spent[team] += nano
                await spend(target, nano, now, team=team)
            await asyncio.sleep(chance.random() / 5)
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            await worker.communicate()
    one = office(rule("budget"), posts=[hook("http://127.0.0.1:9/")])
    one.now = datetime.now(UTC)
    await one.evaluate()
    reached = [
        (team, level) for team in spent for level, share in LEVELS if spent[team] >= 15 * DOLLAR * share
    ]
    assert Counter((dict(alert.labels)["team"], alert.level) for alert in await one.alerts()) == Counter(
        reached
    )
    told = Counter(delivery.alert_id for delivery in await one.deliveries())
    assert set(told.values()) == {1}
    assert len(told) == len(reached)
