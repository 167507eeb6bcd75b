"""A value of a scope that no call says is found, and what may be meant by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ids import call_id
from pricing.cost import Cost, CostSource, CostStatus
from storage.address import parse
from storage.budgets import unheard as module
from storage.budgets.model import EVERY, Budget
from storage.budgets.unheard import Unheard, unheard
from storage.control import ControlDatabase, control_of
from storage.schema import Migrate
from storage.targets import open_target
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

NOW_NS = 1_794_000_000 * 10**9


def called(asked: str | None, answered: str | None = None, team: str | None = "search") -> CallRecord:
    return CallRecord(
        call_id(NOW_NS),
        Outcome.COMPLETED,
        Who(team=team, tags=(("tier", "gold"),)),
        What("openai", "openai_chat", "chat", "POST", "/v1/x", asked, False, None, 10),
        Route(),
        Timing(NOW_NS),
        Answer(200, answered),
        None,
        UsageSource.NONE,
        Cost(CostStatus.PRICED, CostSource.CATALOGUE, 1),
    )


def of(*scope: tuple[str, str]) -> Budget:
    return Budget(id="b", name="b", limit=1, scope=scope)


async def write(database: str, *calls: CallRecord) -> None:
    target = open_target(
        parse(database, Path()), migrate=Migrate.MANUAL, timeout_s=10, power_safe=False, companions=()
    )
    await asyncio.to_thread(target.connect)
    await asyncio.to_thread(target.write, list(calls))
    await asyncio.to_thread(target.close)


@pytest.fixture
async def db(database: str) -> AsyncIterator[ControlDatabase]:
    opened = control_of(parse(database, Path()))
    yield opened
    await opened.close()


async def test_without_calls_nobody_can_know(db: ControlDatabase) -> None:
    assert await unheard(db, of(("model", "gpt4o"))) == []


async def test_what_calls_say_is_heard_and_what_they_do_not_is_told(
    database: str, db: ControlDatabase
) -> None:
    await write(
        database,
        called("gpt-4o", "gpt-4o-2024-08-06"),
        called("house", "gpt-4o-2024-08-06"),
        called("o3", "o3", team=None),
        called(None),
    )
    heard = (
        ("model", "gpt-4o"),
        ("provider", "openai"),
        ("team", "search"),
        ("user", EVERY),
        ("tag:tier", "gold"),
    )
    assert await unheard(db, of(*heard)) == []
    models = ("gpt-4o", "house", "o3")
    assert await unheard(db, of(("model", "gpt-4o-2024-08-06"), ("team", "serach"), ("tag:tier", "tin"))) == [
        Unheard("model", "gpt-4o-2024-08-06", 4, models, ("gpt-4o", "house")),
        Unheard("team", "serach", 4, ("search",)),
        Unheard("tag:tier", "tin", 4, ("gold",)),
    ]
    assert await unheard(db, of(("user", "ann"))) == [Unheard("user", "ann", 4, ())]


async def test_only_the_latest_calls_are_looked_at(
    database: str, db: ControlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(database, called("old"), called("new"), called("new"))
    assert await unheard(db, of(("model", "old"))) == []
    monkeypatch.setattr(module, "LOOKED_AT", 2)
    assert await unheard(db, of(("model", "old"))) == [Unheard("model", "old", 2, ("new",))]
