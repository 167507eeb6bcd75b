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

# Bound once: reading a member off its class costs as much as a function call.
_COMPLETED: Final = Outcome.COMPLETED
_PROVIDER_ERROR: Final = Outcome.PROVIDER_ERROR


class Ticket:
    """Belongs to one exchange."""

    __slots__ = ("_call", "_gear", "_progress", "_with_cost", "cost_lines", "issued")

    def __init__(self, gear: Gear, call: Call, progress: Progress) -> None:
        self._gear = gear
        self._call = call
        self._progress = progress
        self._with_cost = False
        self.issued = False
        """The record is published, or about to be."""
        self.cost_lines = b""
        """Header lines with the cost, once it is known and if they were wanted."""

    def issue(self, outcome: Outcome, tap: Tap | None, *, with_cost: bool) -> asyncio.Future[None] | None:
        """Make the record and append it to the spool, once.

        ``with_cost``: the response head is still to come and tells the cost. The last byte must wait for the
        future, if there is one.
        """
        if self.issued:
            return None
        self.issued = True
        self._with_cost = with_cost
        gear, call, progress = self._gear, self._call, self._progress
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
            if (reading.usage is None or outcome is not _COMPLETED) and counter.wants(
                call, progress, outcome, reading
            ):
                return self._count_first(counter, outcome, reading, tap)
            if tap is not None:
                counter.watch(call, reading, tap)
        return self._publish(outcome, reading)

    def _count_first(
        self, counter: Counter, outcome: Outcome, reading: Reading, tap: Tap | None
    ) -> asyncio.Future[None]:
        """The provider told too little: our own count comes before the record, and the record before the end."""
        published: asyncio.Future[None] = self._gear.loop.create_future()

        def counted(found: asyncio.Future[Reading]) -> None:
            waiter = self._publish(outcome, found.result())
            if waiter is None:
                published.set_result(None)
            else:
                waiter.add_done_callback(lambda _: published.set_result(None))

        counter.estimate(self._call, self._progress, outcome, reading, tap).add_done_callback(counted)
        return published

    def _publish(self, outcome: Outcome, reading: Reading) -> asyncio.Future[None] | None:
        record = self._gear.weigh(self._call, self._progress, outcome, reading)
        if reading.job is not None and self._gear.job_ended is not None:
            job = self._gear.job_ended(self._call, reading)
            if job is not None:
                self._gear.sink.closed(job)
        if self._with_cost:
            self.cost_lines = cost_headers(record)
        return self._gear.sink.closed(record)
