"""The proxy's core in the test's own loop: real sockets, records kept in a list, a clock the test moves.

async with Core(upstream.base) as core:
    answer = await call(core.port, "POST", "/openai/v1/chat/completions", json=...)
    record = await core.record()
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from aiohttp import web
from rig.shipped import shipped_counter, shipped_prices

from gateway.admission import Admission, Lender
from gateway.background import BackgroundJobs
from gateway.deadlines import Sweeper
from gateway.estimation import Estimator
from gateway.exchange import Exchange
from gateway.front import FrontConnection, Lane, sweep
from gateway.gear import Gear
from gateway.identity import Identity
from gateway.keyring import KeyRing
from gateway.providers.table import ProviderTable
from gateway.proxy import Limits, Proxy, Tracing
from gateway.recording import Scale
from gateway.server import HttpLimits, ProxyServer
from gateway.settings import load
from gateway.settings.choices import AuthMode, IncomingTrace
from gateway.sinks import Sinks
from gateway.targets import ProviderTargets
from gateway.turns import Turns
from gateway.upstream import Pool
from gateway.wire.registry import WIRES
from storage.budgets.model import Budget
from storage.budgets.scopes import Scopes
from storage.spool import SpoolFull
from telemetry.record import CallRecord

WAIT = 10.0
"""Seconds after which a test that waits for something has failed; never reached by a test that passes."""


class LaneKind(enum.Enum):
    """Which front a test goes through."""

    AIOHTTP = "aiohttp"
    FAST = "fast"


class MemoryLedger:
    """Keeps what it is given; a test may make it refuse, fail or take its time."""

    def __init__(self) -> None:
        self.opened_records: list[CallRecord] = []
        self.closed_records: list[CallRecord] = []
        self.refuse: Exception | None = None
        self.fail: Exception | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.changed = asyncio.Condition()

    def opened(self, record: CallRecord) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.opened_records.append(record)

    def closed(self, record: CallRecord) -> asyncio.Future[None] | None:
        if self.fail is not None:
            raise self.fail
        self.closed_records.append(record)
        asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._notify()))
        return self.waiter

    def opened_together(self, records: Sequence[CallRecord]) -> list[SpoolFull | None] | None:
        if isinstance(self.refuse, SpoolFull):
            return [self.refuse] * len(records)
        for record in records:
            self.opened(record)
        return None

    def closed_together(self, records: Sequence[CallRecord]) -> list[asyncio.Future[None] | None]:
        return [self.closed(record) for record in records]

    def is_open(self, call_id: str) -> bool:
        closed = [one.id for one in self.closed_records]
        return call_id in [one.id for one in self.opened_records] and call_id not in closed

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()


class Clock:
    """Monotonic seconds that run on, plus what the test adds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Core:
    """A running proxy core on ``port``; every provider's base URL is ``upstream``."""

    def __init__(
        self,
        upstream: str,
        lane: LaneKind = LaneKind.FAST,
        *,
        inject: bool = False,
        settings: dict[str, Any] | None = None,
        limits: Limits | None = None,
        http: HttpLimits | None = None,
        traces: bool = False,
        incoming: IncomingTrace = IncomingTrace.PARENT,
        keys: dict[str, tuple[bytes, bytes]] | None = None,
        mode: AuthMode = AuthMode.PASSTHROUGH,
        ring: KeyRing | None = None,
        budgets: Iterable[Budget] = (),
        lender: Callable[[Admission], Lender] | None = None,
        strict: bool = False,
        counts: bool = False,
    ) -> None:
        known = ("openai", "anthropic", "gemini", "mistral")
        self._settings = load(
            None,
            {
                "providers": {name: {"base_url": upstream} for name in known},
                "proxy": {"stream_usage": "inject" if inject else "never"},
                **(settings or {}),
            },
        )
        self._lane = lane
        self._limits = limits or Limits(16 << 20, 1 << 30, 16384)
        self._http = http or HttpLimits(65536, 65536, 128, 15.0, 60.0, 75.0, 20_000)
        self._traces = traces
        self._incoming = incoming
        self._keys = keys or {}
        self._counts = counts
        self._mode = mode
        self._ring = ring
        self._budgets = tuple(budgets)
        self._lender = lender
        self._strict = strict
        self.ledger = MemoryLedger()
        self.defects: list[BaseException] = []
        self.live: set[Exchange] = set()
        self.clock = Clock()
        self.port = 0

    @property
    def records(self) -> list[CallRecord]:
        return self.ledger.closed_records

    async def record(self, count: int = 1) -> CallRecord:
        """Waits for the ``count``-th record and returns it."""
        async with asyncio.timeout(WAIT), self.ledger.changed:
            await self.ledger.changed.wait_for(lambda: len(self.records) >= count)
        return self.records[count - 1]

    def advance(self, seconds: float) -> None:
        """Move the clock and look at the deadlines at once."""
        self.clock.ahead += seconds
        self.sweep()

    async def turn(self) -> None:
        """Let the gateway read what was sent."""
        await asyncio.sleep(0.005)

    def sweep(self) -> None:
        now = self.clock()
        self.server.sweep(now)
        sweep(self.lane, now)
        for exchange in list(self.live):
            exchange.expire(now)
        self.pool.sweep()

    async def __aenter__(self) -> Core:
        loop = asyncio.get_running_loop()
        self.pool = Pool(loop, self.clock, idle_seconds=30)
        scale = Scale(shipped_prices(), self.defects.append)
        self.estimator = Estimator(loop, self.defects.append, shipped_counter())
        self.admission = Admission(scale.book, self.clock, self.estimator.prompt_tokens, strict=self._strict)
        self.admission.adopt(Scopes(self._budgets))
        if self._lender is not None:
            self.admission.lender = self._lender(self.admission)
        sinks = Sinks(self.ledger, (self.admission.settle,), self.defects.append)
        gear = Gear(
            loop,
            self.clock,
            self.pool,
            sinks,
            scale.weigh,
            self.live,
            self.defects.append,
            Turns(loop, self.defects.append, sinks.closed_together),
            counter=self.estimator if self._counts else None,
            job_ended=BackgroundJobs(scale, self.defects.append).ended,
        )
        targets = ProviderTargets(ProviderTable.build(self._settings), WIRES)
        self.proxy = Proxy(
            gear,
            targets,
            Identity({name: b"%b: %b" % pair for name, pair in self._keys.items()}, self._mode, self._ring),
            self._limits,
            Tracing(self._traces, self._incoming),
            admission=self.admission,
        )
        self._runner = web.AppRunner(_own_paths())
        await self._runner.setup()
        self.server = ProxyServer(self.proxy, self._api, self._http, self.clock, self.defects.append)
        self.lane = Lane(loop, self.clock, self.proxy, self.server, self._http, set())
        factory = self.server if self._lane is LaneKind.AIOHTTP else lambda: FrontConnection(self.lane)
        self._listener = await loop.create_server(factory, "127.0.0.1", 0, backlog=4096)
        self.port = self._listener.sockets[0].getsockname()[1]
        self._sweeper = Sweeper(loop, self.clock, (lambda _: self.sweep(),), self.defects.append)
        self._sweeper.start()
        return self

    async def _api(self) -> web.Server:
        assert self._runner.server is not None
        return self._runner.server

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sweeper.stop()
        self._listener.close()
        for exchange in list(self.live):
            exchange.shut_down()
        for connection in list(self.lane.connections):
            connection.close()
        await self.estimator.idle()
        self.estimator.close()
        await self.server.shutdown(0.1)
        await self._runner.cleanup()
        self.pool.close()
        assert not self.live
        if kind is None:
            assert not self.defects, self.defects


def _own_paths() -> web.Application:
    """Stands for the API application."""

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_get("/healthz", health)
    return app
