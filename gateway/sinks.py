"""Where finished records go: the ledger first (that is the promise), then everything that merely looks on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.errors import Code, Refusal
from storage.spool import SpoolFull
from telemetry.record import CallRecord


class Ledger(Protocol):
    """:class:`storage.ledger.Ledger`, as far as it is needed here."""

    def opened(self, record: CallRecord) -> None: ...

    def closed(self, record: CallRecord) -> asyncio.Future[None] | None: ...


class Sinks:
    """:class:`gateway.gear.Sink` over the ledger and the lookers-on."""

    def __init__(
        self,
        ledger: Ledger,
        lookers_on: Iterable[Callable[[CallRecord], None]],
        defect: Callable[[BaseException], None],
    ) -> None:
        self._ledger = ledger
        self._lookers_on = tuple(lookers_on)
        self._defect = defect

    def watched_by(self, lookers_on: Iterable[Callable[[CallRecord], None]]) -> None:
        """Who looks on from now on."""
        self._lookers_on = tuple(lookers_on)

    def opened(self, record: CallRecord) -> None:
        """Raises :class:`Refusal` when no record could be kept: a call that can't be accounted for is not made."""
        try:
            self._ledger.opened(record)
        except SpoolFull as full:
            raise Refusal(
                503,
                Code.CANNOT_ACCOUNT,
                "The gateway cannot record calls right now (its spool is full).",
                retry_after=5,
            ) from full

    def closed(self, record: CallRecord) -> asyncio.Future[None] | None:
        """Publish one finished record; never raises."""
        waiter = None
        try:
            waiter = self._ledger.closed(record)
        except Exception as error:  # a sink
            self._defect(error)
        for look in self._lookers_on:
            try:
                look(record)
            except Exception as error:  # a sink
                self._defect(error)
        return waiter
