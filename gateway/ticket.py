"""The one record of a call: read off the tap, counted where the provider told nothing, priced, published once."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.call import Call, Progress
from gateway.gear import Counter, Gear
from gateway.recording import NO_READING, cost_headers
from gateway.wire.contract import Reading
from gateway.wire.tap import Tap
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

# Bound once: reading a member off its class costs as much as a function call.
_COMPLETED: Final = Outcome.COMPLETED
_PROVIDER_ERROR: Final = Outcome.PROVIDER_ERROR
_CANCELLED: Final = Outcome.CANCELLED


class Ticket:
    """Belongs to one exchange."""

    __slots__ = (
        "_call",
        "_counts",
        "_gear",
        "_outcome",
        "_progress",
        "_reading",
        "_record",
        "_tap",
        "_with_cost",
        "cost_lines",
        "issued",
        "left",
    )

    def __init__(self, gear: Gear, call: Call, progress: Progress) -> None:
        self._gear = gear
        self._call = call
        self._progress = progress
        self._tap: Tap | None = None
        self._outcome = _COMPLETED
        self._reading = NO_READING
        self._record: CallRecord | None = None
        self._counts = False
        self._with_cost = False
        self.issued = False
        """The record is published, or about to be."""
        self.left = False
        """The app has gone; what is read after that does not change that it was cancelled."""
        self.cost_lines = b""
        """Header lines with the cost, once it is known and if they were wanted."""

    def issue(self, outcome: Outcome, tap: Tap | None, *, with_cost: bool) -> asyncio.Future[None] | None:
        """Make the record and append it to the spool, once.

        ``with_cost``: the response head is still to come and tells the cost. The last byte must wait for the
        future, if there is one.
        """
        if self.issued:
            return None
        self.read(outcome, tap, with_cost=with_cost)
        self.weigh()
        return self.publish()

    # ---- the stages of it

    def read(self, outcome: Outcome, tap: Tap | None, *, with_cost: bool) -> None:
        """What the answer said of itself."""
        gear, call, progress = self._gear, self._call, self._progress
        self.issued = True
        self._with_cost = with_cost and not call.ask.stream
        if self.left and outcome is not _CANCELLED:
            progress.read_whole = outcome is _COMPLETED or outcome is _PROVIDER_ERROR
            outcome = _CANCELLED
        reading = NO_READING
        if tap is not None:
            tap.end()
            reading = tap.reading()
            if reading.failed and outcome is _COMPLETED:
                outcome = _PROVIDER_ERROR
        progress.finished_at = gear.clock()
        if call.capture is not None and gear.keep is not None:
            gear.keep(call, progress, tap)
        counter = gear.counter
        if counter is not None:
            if reading.usage is None or outcome is not _COMPLETED:
                self._counts = counter.wants(call, progress, outcome, reading)
            if tap is not None and not self._counts:
                counter.watch(call, reading, tap)
        self._outcome, self._reading, self._tap = outcome, reading, tap

    def weigh(self) -> None:
        """Its price, unless tokens are to be counted first."""
        if self._counts:
            return
        self._record = record = self._gear.weigh(self._call, self._progress, self._outcome, self._reading)
        if self._with_cost:
            self.cost_lines = cost_headers(record)

    def publish(self) -> asyncio.Future[None] | None:
        """Append it to the spool; the last byte must wait for the future, if there is one."""
        counter, record = self._gear.counter, self._record
        if record is None:
            assert counter is not None
            return self._count_first(counter)
        if self._reading.job is not None and self._gear.job_ended is not None:
            job = self._gear.job_ended(self._call, self._reading)
            if job is not None:
                self._gear.sink.closed(job)
        return self._gear.sink.closed(record)

    def _count_first(self, counter: Counter) -> asyncio.Future[None]:
        """The provider told too little: our own count comes before the record, and the record before the end."""
        published: asyncio.Future[None] = self._gear.loop.create_future()

        def counted(found: asyncio.Future[Reading]) -> None:
            self._counts, self._reading = False, found.result()
            self.weigh()
            waiter = self.publish()
            if waiter is None:
                published.set_result(None)
            else:
                waiter.add_done_callback(lambda _: published.set_result(None))

        estimated = counter.estimate(self._call, self._progress, self._outcome, self._reading, self._tap)
        estimated.add_done_callback(counted)
        return published
