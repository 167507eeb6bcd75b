"""The one record of a call: told by who saw the answer, counted where the provider told nothing, priced, published once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.call import Call, Progress
from gateway.gear import Gear
from gateway.recording import NO_READING, broken_record, cost_headers
from gateway.wire.contract import Reading
from gateway.wire.tap import Witness
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
        "_settled",
        "_with_cost",
        "_witness",
        "cost_lines",
        "issued",
        "left",
    )

    _outcome: Outcome
    """How it ended; there from the first stage on."""

    def __init__(self, gear: Gear, call: Call, progress: Progress) -> None:
        self._gear = gear
        self._call = call
        self._progress = progress
        self._witness: Witness | None = None
        self._reading = NO_READING
        self._record: CallRecord | None = None
        self._counts = False
        self._settled = False  # the sink has the record, or a count under way will give it one
        self._with_cost = False
        self.issued = False
        """The record is published, or about to be."""
        self.left = False
        """The app has gone; what is read after that does not change that it was cancelled."""
        self.cost_lines = b""
        """Header lines with the cost, once it is known and if they were wanted."""

    def issue(
        self, outcome: Outcome, witness: Witness | None, *, with_cost: bool
    ) -> asyncio.Future[None] | None:
        """Make the record and append it to the spool, once.

        ``with_cost``: the response head is still to come and tells the cost. The last byte must wait for the
        future, if there is one. A defect in a stage is counted, and costs what that stage would have found out.
        """
        if self.issued:
            return None
        try:
            self.read(outcome, witness, with_cost=with_cost)
            self.weigh()
            return self.publish()
        except Exception as error:  # how the call ends must not depend on what we make of it
            self._gear.defect(error)
            return self.salvage(outcome, witness)

    # ---- the stages of it

    def read(self, outcome: Outcome, witness: Witness | None, *, with_cost: bool) -> None:
        """What the answer said of itself."""
        gear, call, progress = self._gear, self._call, self._progress
        self.issued = True
        self._with_cost = with_cost and not call.ask.stream
        if self.left and outcome is not _CANCELLED:
            progress.read_whole = outcome is _COMPLETED or outcome is _PROVIDER_ERROR
            outcome = _CANCELLED
        reading = NO_READING
        if witness is not None:
            reading = witness.conclude()
            if reading.failed and outcome is _COMPLETED:
                outcome = _PROVIDER_ERROR
        progress.finished_at = gear.clock()
        if call.capture is not None and gear.keep is not None:
            gear.keep(call, progress, witness)
        counter = gear.counter
        if counter is not None:
            if reading.usage is None or outcome is not _COMPLETED:
                self._counts = counter.wants(call, progress, outcome, reading)
            if witness is not None and not self._counts:
                counter.watch(call, reading, witness)
        self._outcome, self._reading, self._witness = outcome, reading, witness

    def weigh(self) -> None:
        """Its price, unless tokens are to be counted first."""
        if self._counts:
            return
        self._record = record = self._gear.weigh(self._call, self._progress, self._outcome, self._reading)
        if self._with_cost:
            self.cost_lines = cost_headers(record)

    def ready(self) -> CallRecord | None:
        """The record, if it can be put down now: that is then for who asked. Else :meth:`publish` it."""
        record = self._record
        if record is None:
            return None
        if self._reading.job is not None and self._gear.job_ended is not None:
            # The record of a background job that the answer tells of comes before that of the call.
            job = self._gear.job_ended(self._call, self._reading)
            if job is not None:
                self._gear.sink.closed(job)
        self._settled = True  # even if the sink fails now: it may have the record already
        return record

    def publish(self) -> asyncio.Future[None] | None:
        """Append it to the spool; the last byte must wait for the future, if there is one."""
        record = self.ready()
        return self._count_first() if record is None else self._gear.sink.closed(record)

    def _count_first(self) -> asyncio.Future[None]:
        """The provider told too little: our own count comes before the record, and the record before the end."""
        counter = self._gear.counter
        assert counter is not None
        published: asyncio.Future[None] = self._gear.loop.create_future()

        def counted(found: asyncio.Future[Reading]) -> None:
            self._settled = False
            try:
                self._counts, self._reading = False, found.result()
                self.weigh()
                waiter = self.publish()
            except Exception as error:  # as in issue()
                self._gear.defect(error)
                waiter = self.salvage(self._outcome, self._witness)
            if waiter is None:
                published.set_result(None)
            else:
                waiter.add_done_callback(lambda _: published.set_result(None))

        estimated = counter.estimate(self._call, self._progress, self._outcome, self._reading, self._witness)
        estimated.add_done_callback(counted)
        self._settled = True
        return published

    # ---- a stage has broken off

    def salvage(self, outcome: Outcome, witness: Witness | None) -> asyncio.Future[None] | None:
        """Publish what is known by now, unless the record is out already; like :meth:`publish` it is for once.

        What was reported of usage is priced; where nothing is known, or nothing can be made of it, the call is unpriced.
        """
        if self._settled:
            return None
        self.issued = self._settled = True
        gear, call, progress = self._gear, self._call, self._progress
        progress.finished_at = progress.finished_at or gear.clock()
        if self.left:
            progress.read_whole |= outcome is _COMPLETED or outcome is _PROVIDER_ERROR
            outcome = _CANCELLED
        reading = self._reading
        if reading is NO_READING and witness is not None:
            reading = read_off(gear, witness.conclude)
        if reading.failed and outcome is _COMPLETED:
            outcome = _PROVIDER_ERROR
        return gear.sink.closed(weighed(gear, call, progress, outcome, reading))


def read_off(gear: Gear, read: Callable[[], Reading]) -> Reading:
    """What was reported of usage, as ``read`` tells; nothing where it cannot. Never raises."""
    try:
        return read()
    except Exception as error:  # a tap only looks on
        gear.defect(error)
        return NO_READING


def weighed(gear: Gear, call: Call, progress: Progress, outcome: Outcome, reading: Reading) -> CallRecord:
    """The record; where it cannot be made, who, when and how it ended is known anyhow. Never raises."""
    try:
        return gear.weigh(call, progress, outcome, reading)
    except Exception as error:  # as in Ticket.issue()
        gear.defect(error)
        return broken_record(call, progress, outcome)
