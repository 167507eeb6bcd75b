"""Keys and budgets of one worker: what is in memory, what keeps it true, and what borrows for it."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gateway.admission import Admission, Tokens
from gateway.gear import Running
from gateway.keyring import KeyRing
from gateway.leasing import Leasing
from gateway.watch import Watch
from pricing.book import PriceBook
from storage.address import Address
from storage.budgets.companion import BudgetCompanion
from storage.control import control_of
from storage.stats import BudgetStats


class Governance:
    """Made once per worker in :mod:`gateway.app`, before the ledger; started after it."""

    def __init__(self, address: Address, data_dir: Path, spool: Path) -> None:
        self.companion = BudgetCompanion()
        self.ring = KeyRing(data_dir)
        self._address = address
        self._spool = spool
        self._host = (
            f"{socket.gethostname()}:{hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:8]}"
        )

    def admission(
        self,
        book: PriceBook,
        clock: Callable[[], float],
        count: Tokens,
        warm: Callable[[], None],
        *,
        strict: bool,
    ) -> Admission:
        """The worker's admission; call once, before :meth:`start`."""
        self._admission = Admission(book, clock, count, warm, self.companion.drawn, strict=strict)
        self._clock = clock
        return self._admission

    async def start(self, spool_name: str, live: Iterable[Running], keys_changed: Callable[[], None]) -> None:
        """``spool_name``: this process among all; ``live``: calls that end with their keys."""
        self.companion.owner = f"{self._host}:{spool_name}"

        def changed() -> None:
            keys_changed()
            self._admission.adopt_limits(self.ring.limits)
            now_ms = _now_ms()
            for running in list(live):
                known = running.call.known
                if known is not None and not self.ring.still_good(known, now_ms):
                    running.revoke()

        self._db = control_of(self._address, durable=False)
        self._leasing = Leasing(
            self._db, self.companion.owner, self._admission, self._clock, _now_ms, self._dead
        )
        self._admission.lender = self._leasing
        self.watch = Watch(self._db, self.ring, self._admission, changed, _now_ms)
        await self.watch.start()
        self._leasing.start()

    def figures(self) -> BudgetStats:
        """What admission has done since the start."""
        admission = self._admission
        return BudgetStats(admission.holding, admission.denied, admission.overdrawn, self._leasing.failures)

    async def stop(self, timeout_s: float) -> None:
        """Give back what is not in use."""
        self.watch.stop()
        await self._leasing.stop(timeout_s)
        await self._db.close()

    def _dead(self, holders: Sequence[str]) -> list[str]:
        """Of those on this machine and data folder, the ones whose spool is gone: all their calls are rows."""
        ours = [holder for holder in holders if holder.startswith(f"{self._host}:")]
        return [holder for holder in ours if not (self._spool / holder.rpartition(":")[2]).exists()]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
