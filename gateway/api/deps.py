"""What the API needs from the rest of the gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec
from pydantic import SecretStr

from gateway.api.alerts import AlertsDeps
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.control import ControlDeps
from gateway.api.guard import Tokens
from gateway.api.known_calls import QualityDeps
from gateway.api.tracked import Tracking
from gateway.api.users import PrivacyDeps
from pricing.book import PriceBook
from storage.export.read import CallPages
from storage.queries.calls import CallFilter, Order
from storage.store import CallPage, Honesty, RollupAudit
from storage.tables import CallRow
from telemetry.record import CallRecord


class CallReader(Protocol):
    """:class:`storage.store.Store`, as far as it is needed here."""

    async def get_call(self, call_id: str) -> CallRow | None: ...

    async def list_calls(
        self,
        wanted: CallFilter | None = None,
        cursor: str | None = None,
        limit: int = 50,
        order: Order = Order.STARTED,
    ) -> CallPage: ...

    async def honesty(self, since: datetime) -> Honesty: ...

    async def rollup_audit(self) -> RollupAudit | None: ...


class Health(msgspec.Struct, frozen=True):
    """How the ledger is doing."""

    degraded: bool = False
    reason: str | None = None


class ApiDeps(msgspec.Struct, frozen=True):
    """Handed in by whoever wires the gateway together."""

    store: CallReader
    book: Callable[[], PriceBook]
    """The prices in force; a reload may change them."""
    price_as: Callable[[str], str]
    """Provider name -> its id in the price book; a name no longer configured comes back as it is."""
    pending: Callable[[str], CallRecord | None]
    """A finished call that is on its way to the database (``Ledger.pending``)."""
    health: Callable[[], Health]
    version: str
    loopback: bool
    """The server listens on this machine only."""
    spool: Path = Path("weighbridge-data/spool")
    """Where the workers of this machine keep their spools."""
    admin_token: Callable[[], SecretStr | None] = lambda: None
    tokens: Tokens | None = None
    """Who a token that may only read belongs to."""
    control: ControlDeps | None = None
    """Keys, tokens, budgets and the log of their changes; ``None``: not served."""
    quality: QualityDeps | None = None
    """Feedback and outcomes; ``None``: not served."""
    tracking: Tracking | None = None
    """Events, which may tell of calls that were made past the gateway; need ``quality`` too."""
    alerts: AlertsDeps | None = None
    """Alerts, their rules and messages; ``None``: not served."""
    privacy: PrivacyDeps | None = None
    """What is kept of a person; ``None``: not served."""
    exports: CallPages | None = None
    """Calls to be written to files; ``None``: not served."""
    analytics: AnalyticsDeps | None = None
    """Figures about many calls; ``None``: not served."""
    base_urls: Callable[[], Mapping[str, str]] = dict
    """Provider name -> what to put behind the server's address as the SDK's base URL."""
