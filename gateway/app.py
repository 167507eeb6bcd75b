"""Where everything is wired together: settings in, a running gateway out. The only place that knows all parts."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from gateway.alerting.jobs import alert_jobs
from gateway.alerting.plan import plan_of
from gateway.aliases import families
from gateway.answers import Answers
from gateway.attribution import Rules
from gateway.background import BackgroundJobs
from gateway.capturing.content import ContentMaker
from gateway.capturing.keeper import Keeper, Recipe, key_in
from gateway.capturing.rules import CaptureRules
from gateway.deadlines import Sweeper
from gateway.defects import Defects
from gateway.estimation import Estimator
from gateway.front import FrontConnection, Lane, sweep
from gateway.gear import Gear, Running
from gateway.governance import Governance
from gateway.identity import Identity
from gateway.interrupted import Interrupted
from gateway.jobs import Jobs
from gateway.keyring import KeyRing
from gateway.open_files import connections_that_fit
from gateway.prices import book_of
from gateway.providers.table import ProviderTable
from gateway.proxy import Limits, Proxy, Tracing
from gateway.recording import Scale
from gateway.reporting.jobs import report_jobs
from gateway.reporting.plan import report_plan
from gateway.server import HttpLimits, ProxyServer
from gateway.settings import Problem, Settings, SettingsError
from gateway.settings.changes import Waiting, holding, waiting
from gateway.settings.choices import AuthMode
from gateway.sinks import Sinks
from gateway.targets import ProviderTargets
from gateway.turns import Turns
from gateway.upkeep import Keeping, upkeep
from gateway.upstream import Pool
from gateway.version import VERSION
from gateway.wire.registry import WIRES
from gateway.wire.tap import TapLimits
from storage.address import parse
from storage.control import control_of
from storage.leader import leadership
from storage.ledger import SPOOL_FOLDER, Ledger, LedgerConfig
from storage.writer import Pace
from telemetry.config import Secrets, TelemetryConfig
from telemetry.exporter import TelemetryExporter
from telemetry.record import CallRecord
from telemetry.redact import Redactor
from telemetry.sampling import Sampler
from telemetry.spans import CostStyle, SpanStyle

UPSTREAM_IDLE_SECONDS: Final = 30.0
"""Idle connections to providers are closed after this."""
FLUSH_SECONDS: Final = 3.0
"""How long spans and records may take to be flushed at the end; what is left stays in the spool."""
CONTENTS_TIMEOUT_S: Final = 30.0
"""A batch of contents may be some megabytes."""
LAST_REQUEST_SECONDS: Final = 5.0
"""How long apps are waited for to find out, with an answer, that they have to connect anew."""
DRAIN_POLL_SECONDS: Final = 0.05
FAREWELL_SECONDS: Final = 1.0
"""How long the last word to calls that did not finish may take (it waits for their record)."""


class Gateway:
    """One worker: everything from the listening socket to the last record."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads all that can be wrong in the settings; raises :class:`gateway.settings.SettingsError`."""
        self.settings = self._began_with = settings
        self.waits = Waiting()
        """What of the settings that were read last only counts in a new process."""
        self.defects = Defects(clock)
        self.book = book_of(settings)
        self.table = ProviderTable.build(settings)
        self._address = parse(settings.storage.url, settings.storage.data_dir)
        self.governance = Governance(
            self._address, settings.storage.data_dir, settings.storage.data_dir / SPOOL_FOLDER
        )
        self._capture = capture_rules(settings)
        self.keeper = Keeper(
            lambda: control_of(self._address, CONTENTS_TIMEOUT_S, durable=False), self.defects
        )
        self.ledger = Ledger(
            ledger_config(settings),
            companions=(self.governance.companion,),
            interrupted=Interrupted(lambda: book_of(self.settings), lambda name: self.table.price_as(name)),
            written=self.governance.companion.written,
            budgets=self.governance.figures,
            contents=lambda: self.keeper.stats,
            jobs=lambda: self._jobs.stats,
            refusals=lambda: self.proxy.refused,
        )
        self.telemetry = self._told = exporter(telemetry_config(settings, self.table))
        """``telemetry`` is as the settings have it, ``_told`` is who hears of calls now: one that starts takes a while."""
        self._changing: set[asyncio.Task[None]] = set()
        self._rules = attribution_rules(settings)
        self.alerts = plan_of(settings)
        self.reports = report_plan(settings, self.alerts)
        self.live: set[Running] = set()
        self._clock = clock
        self.port = 0

    async def start(self, listener: socket.socket | None = None) -> None:
        """Serve. ``listener``: a bound socket to use instead of ``server.host`` and ``server.port``."""
        settings, loop, clock = self.settings, asyncio.get_running_loop(), self._clock
        self._jobs = self._leaders_jobs()
        await self.ledger.start()
        self.telemetry.start()
        self._pool = Pool(loop, clock, idle_seconds=UPSTREAM_IDLE_SECONDS)
        self._scale = Scale(self.book, self.defects)
        self._estimator = Estimator(loop, self.defects)
        self._admission = self.governance.admission(
            self.book,
            clock,
            self._estimator.prompt_tokens,
            self._estimator.warm,
            strict=settings.budgets.strict,
        )
        self._sinks = Sinks(self.ledger, self._lookers_on(), self.defects)
        self._gear = Gear(
            loop,
            clock,
            self._pool,
            self._sinks,
            self._scale.weigh,
            self.live,
            self.defects,
            Turns(loop, self.defects, self._sinks.closed_together),
            tap_limits(settings),
            capture_limits(settings),
            self.keeper.under(recipe(settings, self.table)),
            self._estimator,
            BackgroundJobs(self._scale, self.defects).ended,
        )
        self.proxy = Proxy(
            self._gear,
            ProviderTargets(self.table, WIRES),
            identity(settings.auth.mode, self.table, self.governance.ring),
            proxy_limits(settings),
            tracing(settings, self.telemetry),
            self._rules,
            self._admission,
            self._capture,
        )
        await self.governance.start(self.ledger.spool_name, self.live, self.proxy.keys_changed)
        self._api = Answers(settings, self.ledger, self, self._sinks)
        http = http_limits(settings, connections_that_fit(settings.limits.connections))
        self.server = ProxyServer(self.proxy, self._api.server, http, clock, self.defects)
        self._lane = Lane(loop, clock, self.proxy, self.server, http, set())
        self._sweeper = Sweeper(loop, clock, (self._sweep,), self.defects)
        self._sweeper.start()
        self._listener = await self._listen(loop, listener)
        self.port = self._listener.sockets[0].getsockname()[1]
        self._api.load_soon()
        self._jobs.start()

    def _leaders_jobs(self) -> Jobs:
        """What one worker of all does now and then."""
        address, data_dir = self._address, self.settings.storage.data_dir
        spool = data_dir / SPOOL_FOLDER
        jobs = upkeep(address, spool, lambda: keeping(self.settings))
        jobs += alert_jobs(lambda: self.alerts, address, spool)
        jobs += report_jobs(lambda: self.reports, address)
        return Jobs(leadership(address, data_dir), jobs, ready=lambda: self.ledger.has_database)

    @property
    def url(self) -> str:
        """``http://host:port`` of the listener."""
        host = self.settings.server.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
        return f"http://[{shown}]:{self.port}" if ":" in shown else f"http://{shown}:{self.port}"

    def adopt(self, wanted: Settings) -> Gateway:
        """Take over new settings for the calls to come; running calls end under the old ones. Returns itself.

        Raises ``SettingsError`` and changes nothing when the new settings don't fit together.
        """
        waits = waiting(self._began_with, wanted)
        settings = holding(self._began_with, wanted, waits.names)
        book, table, rules = book_of(settings), ProviderTable.build(settings), attribution_rules(settings)
        alerts, capture = plan_of(settings), capture_rules(settings)
        self.alerts, self.reports = alerts, report_plan(settings, alerts)
        self._change_telemetry(telemetry_config(settings, table))
        self.settings, self.waits = settings, waits
        self.book, self.table = book, table
        self._scale.book = book
        self._admission.adopt_prices(book)
        self._admission.strict = settings.budgets.strict
        self._gear = msgspec.structs.replace(
            self._gear,
            tap_limits=tap_limits(settings),
            capture_limits=capture_limits(settings),
            keep=self.keeper.under(recipe(settings, table)),
        )
        self.proxy.adopt(
            self._gear,
            ProviderTargets(table, WIRES),
            identity(settings.auth.mode, table, self.governance.ring),
            proxy_limits(settings),
            tracing(settings, self.telemetry),
            rules,
            capture,
        )
        http = http_limits(settings, connections_that_fit(settings.limits.connections))
        self.server.adopt(http)
        self._lane = msgspec.structs.replace(self._lane, limits=http)
        return self

    def _change_telemetry(self, config: TelemetryConfig) -> None:
        """Have another exporter begin, where the settings ask for another, and the one at hand end."""
        if config == telemetry_config(self.settings, self.table):
            return
        self.telemetry = exporter(config)
        task = asyncio.get_running_loop().create_task(self._tell(self.telemetry))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)

    async def _tell(self, fresh: TelemetryExporter) -> None:
        await asyncio.to_thread(fresh.start)  # may load libraries for a second
        if fresh is not self.telemetry:  # changed again meanwhile
            await fresh.stop(FLUSH_SECONDS)
            return
        old, self._told = self._told, fresh
        self._sinks.watched_by(self._lookers_on())
        await old.stop(FLUSH_SECONDS)

    def _lookers_on(self) -> list[Callable[[CallRecord], None]]:
        """Who hears of calls beside the ledger."""
        return [self._admission.settle, *([self._observe] if self._told.plan.enabled else [])]

    async def retire(self, hurry: asyncio.Event) -> None:
        """Leave the port to another process that listens on the same socket, and stop when the calls are done.

        Connections stay until an answer has told their app to open another, so no request meets a closed one.
        ``hurry``: stop now, in the usual way.
        """
        self._listener.close()
        self.proxy.retiring = True
        now = self._clock()
        end, last = now + self.settings.server.drain_seconds, now
        while now < end and not hurry.is_set():
            last = now if self.live else last
            if not (self._lane.connections or self.server.open) or now - last > LAST_REQUEST_SECONDS:
                break
            await asyncio.sleep(DRAIN_POLL_SECONDS)
            now = self._clock()
        await self.stop(self.settings.server.drain_seconds if hurry.is_set() else max(0.0, end - now))

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Stop listening at once, let running calls finish, then flush records and spans."""
        self._listener.close()
        self.proxy.closing = True
        for connection in [one for one in self._lane.connections if one.idle()]:
            connection.close()
        self.server.close_idle()
        end = self._clock() + (self.settings.server.drain_seconds if drain_seconds is None else drain_seconds)
        while self.live and self._clock() < end:
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        for exchange in list(self.live):
            exchange.shut_down()
        farewell = self._clock() + FAREWELL_SECONDS
        while any(one.busy() for one in self._lane.connections) and self._clock() < farewell:
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        for connection in list(self._lane.connections):
            connection.close()
        while len(self.server.parting) and self._clock() < end:  # what is written must also arrive
            await asyncio.sleep(DRAIN_POLL_SECONDS)
            self.server.parting.sweep(self._clock())
        self._sweeper.stop()
        await self.server.shutdown(0.5)
        await self._api.close()
        await asyncio.gather(
            asyncio.to_thread(self._jobs.stop, FLUSH_SECONDS),
            asyncio.to_thread(self.keeper.stop, FLUSH_SECONDS),
        )
        self._pool.close()
        await self._estimator.idle()
        self._estimator.close()
        await self.governance.stop(FLUSH_SECONDS)
        await asyncio.gather(*self._changing)
        await asyncio.gather(self.ledger.stop(FLUSH_SECONDS), self._told.stop(FLUSH_SECONDS))

    def _observe(self, record: CallRecord) -> None:
        self._told.put(record)

    def _sweep(self, now: float) -> None:
        self.server.sweep(now)
        sweep(self._lane, now)
        for exchange in list(self.live):
            exchange.expire(now)
        self._pool.sweep()
        self.ledger.tell()

    async def _listen(
        self, loop: asyncio.AbstractEventLoop, listener: socket.socket | None
    ) -> asyncio.Server:
        def connection() -> FrontConnection:
            return FrontConnection(self._lane)

        backlog = 4096
        if listener is not None:
            return await loop.create_server(connection, sock=listener, backlog=backlog)
        server = self.settings.server
        return await loop.create_server(
            connection, server.host, server.port, backlog=backlog, reuse_address=True
        )


def identity(mode: AuthMode, table: ProviderTable, ring: KeyRing) -> Identity:
    """Who may call, and which configured key goes to which provider, as the header it travels in."""
    configured = {}
    for name, destination in table.destinations.items():
        if destination.key is not None:
            credential = destination.provider.credential
            value = credential.prefix + destination.key.get_secret_value()
            configured[name] = b"%b: %b" % (credential.header.encode("ascii"), value.encode("latin-1"))
    return Identity(configured, mode, ring)


def attribution_rules(settings: Settings) -> Rules:
    """Raises :class:`SettingsError` where ids are to be hashed and there is no salt."""
    said = settings.attribution
    if said.hash_users_salt_env is not None and said.salt is None:
        what = f"names {said.hash_users_salt_env}, which is not in the environment"
        how = "Set it to a long random text, and keep it: another one makes other users of them"
        raise SettingsError([Problem("attribution.hash_users_salt_env", what, how)])
    return Rules(families(said.aliases), frozenset(said.baggage), said.salt)


def keeping(settings: Settings) -> Keeping:
    retention = settings.retention
    return Keeping(calls=retention.calls_days, contents=retention.content_days, events=retention.events_days)


def proxy_limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(limits.hold_body_bytes, limits.body_bytes, limits.url_bytes, settings.pricing.trust_headers)


def tap_limits(settings: Settings) -> TapLimits:
    most = settings.limits.tap_bytes
    return TapLimits(event=most, document=most)


def capture_limits(settings: Settings) -> TapLimits:
    return msgspec.structs.replace(tap_limits(settings), sample=settings.capture.answer_bytes)


def capture_rules(settings: Settings) -> CaptureRules:
    """Raises :class:`SettingsError` where the key of the digests is to come from the environment and does not."""
    said = settings.capture
    if said.hash_key_env is not None and said.hash_key is None:
        what = f"names {said.hash_key_env}, which is not in the environment"
        how = "Set it to a long random text, and keep it: another one makes other digests"
        raise SettingsError([Problem("capture.hash_key_env", what, how)])
    return CaptureRules(said.content, said.tenants, said.keys_may_widen)


def recipe(settings: Settings, table: ProviderTable) -> Recipe:
    """Looks for the key of the digests when there is something to keep."""
    said, salt = settings.capture, settings.attribution.salt

    def maker() -> ContentMaker:
        key = (
            said.hash_key.get_secret_value().encode() if said.hash_key else key_in(settings.storage.data_dir)
        )
        keys = [one.key.get_secret_value() for one in table.destinations.values() if one.key is not None]
        return ContentMaker(key, Redactor(keys), most_request=said.request_bytes, salt=salt)

    return Recipe(maker, room=said.queue_bytes, request_bytes=said.request_bytes)


def http_limits(settings: Settings, connections: int) -> HttpLimits:
    limits, timeouts = settings.limits, settings.timeouts
    return HttpLimits(
        line_bytes=max(limits.url_bytes, limits.header_bytes),
        head_bytes=limits.header_bytes,
        headers=limits.headers,
        head_seconds=timeouts.client_head,
        body_seconds=timeouts.client_body,
        keepalive_seconds=timeouts.keepalive,
        connections=connections,
    )


def ledger_config(settings: Settings) -> LedgerConfig:
    storage = settings.storage
    return LedgerConfig(
        data_dir=storage.data_dir,
        url=storage.url,
        durability=storage.durability,
        sync_interval_s=storage.fsync_interval_ms / 1000,
        spool_max_bytes=storage.spool_max_mb * 1024 * 1024,
        when_full=storage.spool_full,
        migrate=storage.migrate,
        pace=Pace(batch_rows=storage.batch_rows, batch_interval_s=storage.batch_ms / 1000),
    )


def telemetry_config(settings: Settings, table: ProviderTable) -> TelemetryConfig:
    telemetry = settings.telemetry
    names = {name: one.provider.otel_name for name, one in table.destinations.items()}
    return TelemetryConfig(
        endpoint=telemetry.endpoint,
        protocol=telemetry.protocol,
        headers=Secrets((name, value.get_secret_value()) for name, value in telemetry.headers.items()),
        service_name=telemetry.service_name,
        service_version=VERSION,
        incoming_trace=telemetry.incoming_trace,
        sampler=Sampler(telemetry.sample_ratio) if telemetry.sample_ratio is not None else None,
        metrics_names=telemetry.metrics_names,
        span_style=SpanStyle(
            cost=frozenset({CostStyle.GEN_AI}) if telemetry.compat_cost else frozenset(), provider_names=names
        ),
    )


def exporter(config: TelemetryConfig) -> TelemetryExporter:
    instance = f"{socket.gethostname()}-{os.getpid()}"
    return TelemetryExporter.from_config(config, os.environ, version=VERSION, instance_id=instance)


def tracing(settings: Settings, telemetry: TelemetryExporter) -> Tracing:
    plan, forward = telemetry.plan, settings.proxy.forward_traceparent
    return Tracing(plan.enabled, settings.telemetry.incoming_trace, plan.sampler, forward)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway for as long as the context lasts (tests, demo)."""
    gateway = Gateway(settings)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop(drain_seconds=0)
