"""Where finished records go: the ledger first (that is the promise), then everything that merely looks on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from gateway.errors import Code, Refusal
from storage.spool import SpoolFull
from telemetry.record import CallRecord


class Ledger(Protocol):
    """:class:`storage.ledger.Ledger`, as far as it is needed here."""

    def opened(self, record: CallRecord) -> None: ...

    def opened_together(self, records: Sequence[CallRecord]) -> list[SpoolFull | None] | None: ...

    def closed(self, record: CallRecord) -> asyncio.Future[None] | None: ...

    def closed_together(self, records: Sequence[CallRecord]) -> list[asyncio.Future[None] | None] | None: ...

    def is_open(self, call_id: str) -> bool: ...


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
            raise _unaccountable() from full

    def opened_together(self, records: Sequence[CallRecord]) -> list[Exception | None] | None:
        """The same for calls that go out side by side: what keeps each from being made, ``None`` if nothing keeps any."""
        try:
            found = self._ledger.opened_together(records)
        except Exception as error:  # which of them it was shows one by one, and is counted where it is raised
            kept = [self._opened_alone(record) for record in records]
            if not any(kept):
                self._defect(error)
            return kept
        return None if found is None else [None if full is None else _unaccountable() for full in found]

    def _opened_alone(self, record: CallRecord) -> Exception | None:
        if self._ledger.is_open(record.id):
            return None
        try:
            self.opened(record)
        except Exception as error:  # raised where the call is
            return error
        return None

    def closed(self, record: CallRecord) -> asyncio.Future[None] | None:
        """Publish one finished record; never raises."""
        waiter, error = self._closed_alone(record)
        if error is not None:
            self._defect(error)
        self._look_on((record,))
        return waiter

    def closed_together(self, records: Sequence[CallRecord]) -> Sequence[asyncio.Future[None] | None] | None:
        """The same for calls that end side by side, all of which were opened: what to wait for with each, ``None`` if
        there is nothing."""
        waiters: Sequence[asyncio.Future[None] | None] | None
        try:
            waiters = self._ledger.closed_together(records)
        except Exception as error:  # a sink; what it has by now is open no more
            nothing = None, None
            alone = [
                self._closed_alone(record) if self._ledger.is_open(record.id) else nothing
                for record in records
            ]
            for defect in [one for _, one in alone if one is not None] or [error]:
                self._defect(defect)
            waiters = [waiter for waiter, _ in alone]
        self._look_on(records)
        return waiters

    def _closed_alone(self, record: CallRecord) -> tuple[asyncio.Future[None] | None, Exception | None]:
        try:
            return self._ledger.closed(record), None
        except Exception as error:  # a sink
            return None, error

    def _look_on(self, records: Sequence[CallRecord]) -> None:
        for look in self._lookers_on:
            for record in records:
                try:
                    look(record)
                except Exception as error:  # a sink
                    self._defect(error)


def _unaccountable() -> Refusal:
    return Refusal(
        503,
        Code.CANNOT_ACCOUNT,
        "The gateway cannot record calls right now (its spool is full).",
        retry_after=5,
    )
