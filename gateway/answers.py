"""The API inside the proxy process, loaded when the proxy already serves.

SQLModel and SQLAlchemy take about a second to import. Calls must not wait for that at a start, so the API's modules
are imported in a thread once the port is open; a request to the API that comes earlier waits.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from aiohttp import web

from gateway.alerting.plan import AlertPlan
from gateway.api.viewer import Viewer, viewer_with
from gateway.attribution import hashed
from gateway.gear import Sink
from gateway.governance import Governance
from gateway.providers.table import ProviderTable
from gateway.settings import Settings
from gateway.version import VERSION
from pricing.book import PriceBook
from storage.address import parse
from storage.control import ControlUnavailable, control_of
from storage.keys.model import KEY_PREFIX, TOKEN_PREFIX, Key
from storage.ledger import SPOOL_FOLDER, Ledger
from telemetry.record import CallRecord

if TYPE_CHECKING:
    from gateway.api.alerts import AlertsDeps
    from gateway.api.analytics.deps import AnalyticsDeps
    from gateway.api.deps import Health
    from gateway.api.known_calls import QualityDeps
    from storage.export.read import CallPages
    from storage.store import Store


CONTROL_TIMEOUT_S: Final = 30.0
"""A budget that is made counts what was spent so far: that may be many rows."""


class Current(Protocol):
    """What a reload changes, as it is now (:class:`gateway.app.Gateway`)."""

    @property
    def settings(self) -> Settings: ...

    @property
    def book(self) -> PriceBook: ...

    @property
    def table(self) -> ProviderTable: ...

    @property
    def governance(self) -> Governance: ...

    @property
    def alerts(self) -> AlertPlan: ...


class Answers:
    """Makes the API application when it is first needed."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        current: Current,
        sink: Sink,
    ) -> None:
        """``sink`` takes records of calls that apps tell of."""
        self._settings = settings
        self._current = current
        self._sink = sink
        self._ledger = ledger
        self._task: asyncio.Task[web.Server] | None = None
        self._runner: web.AppRunner | None = None
        storage = settings.storage
        self._address = parse(storage.url, storage.data_dir)
        self._control = control_of(self._address, CONTROL_TIMEOUT_S)
        self._store: Store | None = None
        self._quality: QualityDeps | None = None
        self._exports: CallPages | None = None
        self._alerts: AlertsDeps | None = None
        self._analytics: AnalyticsDeps | None = None

    def load_soon(self) -> None:
        """Begin to load in the background."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._load())

    async def server(self) -> web.Server:
        """The API's server, ready to handle requests."""
        self.load_soon()
        assert self._task is not None
        return await asyncio.shield(self._task)

    async def close(self) -> None:
        """Let go of the database connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        await self._control.close()
        if self._analytics is not None:
            await self._analytics.close()  # follows the store
        if self._store is not None:
            await self._store.close()
        if self._quality is not None:
            await self._quality.close()
        if self._alerts is not None:
            await self._alerts.close()
        if self._exports is not None:
            await self._exports.close()

    async def _load(self) -> web.Server:
        modules = await asyncio.to_thread(_import_api)
        storage = self._settings.storage
        self._store = await modules["storage.store"].Store.open(storage.url, data_dir=storage.data_dir)
        self._quality = modules["gateway.api.known_calls"].open_quality(
            storage.url,
            storage.data_dir,
            salt=lambda: self._current.settings.attribution.salt,
            store_comments=lambda: self._current.settings.quality.store_comments,
            store_traits=lambda: self._current.settings.quality.store_traits,
        )
        self._alerts = modules["gateway.api.alerts"].open_alerts(
            storage.url, storage.data_dir, lambda: self._current.alerts
        )
        self._exports = modules["gateway.api.export"].open_exports(storage.url, storage.data_dir)
        self._analytics = modules["gateway.api.analytics.deps"].open_analytics(
            storage.url, storage.data_dir, self._store
        )
        api = modules["gateway.api.app"]
        self._runner = web.AppRunner(api.api_app(self._deps(api)), access_log=None)
        await self._runner.setup()
        assert self._runner.server is not None
        gc.freeze()  # what was loaded stays: a full collection would pause calls for it, by 80 ms and more
        return self._runner.server

    def _deps(self, api: Any) -> Any:
        def health() -> Health:
            stats = self._ledger.stats()
            return api.Health(stats.degraded, "; ".join(stats.reasons) or None)  # type: ignore[no-any-return]

        return api.ApiDeps(
            store=self._store,
            book=lambda: self._current.book,
            price_as=lambda name: self._current.table.price_as(name),
            pending=self._ledger.pending,
            health=health,
            version=VERSION,
            spool=self._settings.storage.data_dir / SPOOL_FOLDER,
            control=api.ControlDeps(
                self._control,
                lambda: self._current.table.destinations,
                lambda: self._current.settings.attribution.salt,
            ),
            tokens=self._reader,
            quality=self._quality,
            alerts=self._alerts,
            exports=self._exports,
            privacy=api.PrivacyDeps(
                self._address,
                self._settings.storage.data_dir,
                lambda: self._current.settings.attribution.salt,
            ),
            analytics=self._analytics,
            tracking=api.Tracking(
                self._publish,
                lambda: self._current.book,
                lambda name: self._current.table.price_as(name),
            ),
            loopback=self._settings.server.loopback,
            admin_token=lambda: self._current.settings.auth.admin_secret,
            base_urls=lambda: {
                name: one.provider.sdk_base
                for name, one in self._current.table.destinations.items()
                if one.origin is not None
            },
        )

    async def _reader(self, secret: str) -> Viewer | None:
        """Who holds a token that may read, or a gateway key. Raises :class:`ControlUnavailable` while none is known."""
        if not secret.startswith((TOKEN_PREFIX, KEY_PREFIX)):
            return None
        ring = self._current.governance.ring
        if not ring.is_known:
            raise ControlUnavailable("the tokens are not known yet")
        now_ms = time.time_ns() // 1_000_000
        if secret.startswith(KEY_PREFIX):
            known = ring.find(secret.encode("utf-8", "surrogateescape"), now_ms)
            return None if known is None else self._app(known.key)
        row = ring.token(secret, now_ms)
        if row is None:
            return None
        token = row.token
        return Viewer(
            token.name, tenant=token.tenant, team=token.team, user=token.user, content=token.content
        )

    def _app(self, key: Key) -> Viewer:
        salt = self._current.settings.attribution.salt
        if key.user is not None and salt is not None:  # as calls keep it
            key = msgspec.structs.replace(key, user=hashed(key.user, salt))
        return viewer_with(key)

    async def _publish(self, record: CallRecord) -> None:
        """Into the ledger, and to all that look on. Raises :class:`gateway.errors.Refusal`."""
        self._sink.opened(record)
        waiter = self._sink.closed(record)
        if waiter is not None:
            await waiter


def _import_api() -> dict[str, Any]:
    """Runs in a thread."""
    names = (
        "gateway.api.alerts",
        "gateway.api.analytics.deps",
        "gateway.api.app",
        "gateway.api.export",
        "gateway.api.known_calls",
        "storage.store",
    )
    return {name: importlib.import_module(name) for name in names}
