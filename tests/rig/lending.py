"""A worker's admission, leasing and writer on a real database, in time that passes when a test says so."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rig.shipped import shipped_prices

from gateway.admission import Admission
from gateway.call import Call
from gateway.errors import Refusal
from gateway.ids import call_id
from gateway.keyring import KnownKey
from gateway.leasing import Leasing
from gateway.providers.table import ProviderTable
from gateway.recording import what_of
from gateway.settings import load
from gateway.targets import ProviderTargets
from gateway.wire.contract import AskFields
from gateway.wire.registry import WIRES
from pricing.cost import Cost, CostSource, CostStatus
from pricing.usage import Usage
from storage.address import parse
from storage.budgets import admin
from storage.budgets.companion import BudgetCompanion
from storage.budgets.model import Budget, Mode, Unit
from storage.budgets.scopes import Scopes
from storage.control import ControlDatabase, ControlUnavailable, control_of
from storage.control.contract import Transaction
from storage.schema import Migrate
from storage.targets import open_target
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, Who

NOW = int(datetime.fromisoformat("2026-11-15T12:00:00Z").timestamp())
BODY = b'{"model":"gpt-4o","messages":[]}'
TARGET = ProviderTargets(ProviderTable.build(load(None, {})), WIRES).resolve(
    "POST", b"/openai/v1/chat/completions"
)


class Flaky:
    """A database that may fail: before anything is done, before it is kept, or when only the answer is lost."""

    def __init__(self, db: ControlDatabase) -> None:
        self._db = db
        self.engine = db.engine
        self.away = False
        self.loses_answers = False
        self.undoes = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self._check()
        async with self._db.transaction() as tx:
            yield tx
            if self.undoes:
                self.undoes, self.away = False, True
                self._check()
        if self.loses_answers:
            self.loses_answers, self.away = False, True
            self._check()

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        self._check()
        return list(await self._db.fetch(statement, *values))

    async def close(self) -> None:
        await self._db.close()

    def _check(self) -> None:
        if self.away:
            raise ControlUnavailable("away")


class Worker:
    """Admission, leasing and the writer of one worker; time passes when a test says so."""

    def __init__(self, url: str, name: str = "me", seconds: float = 0.0) -> None:
        """It starts so long after :data:`NOW`."""
        address = parse(url, Path())
        self.db = Flaky(control_of(address, durable=False))
        self.name = name
        self.seconds = seconds
        self.companion = BudgetCompanion()
        self.companion.owner = name
        self._target = open_target(
            address, migrate=Migrate.MANUAL, timeout_s=10, power_safe=False, companions=(self.companion,)
        )
        self.admission = Admission(shipped_prices(), lambda: self.seconds, drawn=self.companion.drawn)
        self.leasing = Leasing(
            self.db, name, self.admission, lambda: self.seconds, self.now_ms, lambda holders: []
        )
        self.admission.lender = self.leasing

    def now_ms(self) -> int:
        return int((NOW + self.seconds) * 1000)

    async def open(self) -> Worker:
        await asyncio.to_thread(self._target.connect)
        await self.look()
        return self

    async def close(self) -> None:
        await asyncio.to_thread(self._target.close)
        await self.db.close()

    async def look(self) -> None:
        """Know the budgets as they are."""
        self.admission.adopt(Scopes(await admin.all_budgets(self.db)))

    async def after(self, seconds: float) -> None:
        self.seconds += seconds
        await self.leasing.round()

    async def admit(self, call: Call, known: KnownKey | None = None) -> Refusal | None:
        """What is decided, however many rounds it takes."""
        waiting = self.admission.admit(call, known).waiting
        if waiting is None:
            return None
        decided = asyncio.ensure_future(waiting())
        while not decided.done():
            await asyncio.sleep(0.005)
            await self.after(0.2)
        refusal = decided.result().refusal
        if refusal is not None:
            self.admission.release(call.id)
        return refusal

    async def end(self, call: Call, tokens: int, *, written: bool = True) -> CallRecord:
        cost = Cost(CostStatus.PRICED, CostSource.CATALOGUE, tokens * 1_000)
        record = CallRecord(
            call.id, Outcome.COMPLETED, call.who, call.what, call.route, Timing(call.started_ns), Answer(200),
            Usage(input=0, output=tokens), UsageSource.PROVIDER, cost,
        )  # fmt: skip
        self.admission.settle(record)
        if written:
            await self.write(record)
        return record

    async def write(self, record: CallRecord) -> None:
        await asyncio.to_thread(self._target.write, [record])
        self.companion.written([record])

    async def spend(self, most: int, tokens: int) -> int:
        """Calls that pass before one is refused."""
        for count in range(most):
            call = call_of()
            if await self.admit(call) is not None:
                return count
            await self.end(call, tokens)
        return most

    @property
    def holds(self) -> int:
        """Lent and not used up, as the worker sees it."""
        return sum(purse.granted - purse.used for purse in self.admission.purses.values())


_numbers = itertools.count(1)


def call_of(team: str = "search", max_tokens: int = 100, at_s: int = NOW) -> Call:
    """A call that may take 132 tokens at most."""
    started = at_s * 10**9 + next(_numbers)
    ask = AskFields("gpt-4o", max_tokens=max_tokens)
    what = what_of("POST", TARGET, ask, len(BODY))
    return Call(
        call_id(started), started, "POST", TARGET, ask, what, Who(team=team), Route(), None, b"", BODY, True
    )


def hard(limit: int, **more: Any) -> Budget:
    given: dict[str, Any] = {"unit": Unit.TOKENS, "mode": Mode.HARD, **more}
    return Budget(id="b", name="Search", limit=limit, **given)
