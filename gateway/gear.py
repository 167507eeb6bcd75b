"""What an exchange works with: the app's side, the ledger's side, its deadlines, and what all exchanges share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from gateway.call import Call, Progress
from gateway.turns import Turns
from gateway.upstream import Pool
from gateway.wire.contract import Reading
from gateway.wire.tap import TapLimits, Witness
from telemetry.outcome import Outcome
from telemetry.record import CallRecord


class Client(Protocol):
    """The app's side of a call."""

    http10: bool

    def write(self, data: bytes) -> None: ...

    def writer(self) -> Callable[[bytes], object]:
        """What ``write`` comes down to while the app is there; when it leaves, the call is told at once."""

    def end(self, *, close: bool) -> None:
        """The response is complete."""

    def cut(self) -> None:
        """Close without completing, so that the app sees a cut."""

    def pause_upload(self) -> None: ...

    def resume_upload(self) -> None: ...


class Sink(Protocol):
    """Where records go. ``closed`` may return a future to wait for before the last byte (strict durability)."""

    def opened(self, record: CallRecord) -> None: ...

    def opened_together(self, records: Sequence[CallRecord]) -> Sequence[Exception | None] | None:
        """What keeps each of these calls from being made; ``None`` if nothing keeps any."""

    def closed(self, record: CallRecord) -> asyncio.Future[None] | None: ...

    def closed_together(self, records: Sequence[CallRecord]) -> Sequence[asyncio.Future[None] | None] | None:
        """What ``closed`` returns for each of them, or ``None`` for all."""


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds. Each is a total for its phase, not a pause between reads, except ``idle``."""

    connect: float
    response_head: float
    idle: float
    total: float
    drain: float = 0.0
    """How long an answer is read on for its usage after the app has gone."""


class Running(Protocol):
    """A call under way, as the sweeper and the shutdown see it (:class:`gateway.exchange.Exchange`)."""

    def expire(self, now: float) -> None: ...

    def shut_down(self) -> None: ...

    def revoke(self) -> None:
        """The key it was made with, or its secret, is no longer good."""

    @property
    def call(self) -> Call: ...


class Counter(Protocol):
    """Counts tokens where the provider reported none (:class:`gateway.estimation.Estimator`)."""

    def wants(self, call: Call, progress: Progress, outcome: Outcome, reading: Reading) -> bool: ...

    def estimate(
        self, call: Call, progress: Progress, outcome: Outcome, reading: Reading, witness: Witness | None
    ) -> asyncio.Future[Reading]: ...

    def watch(self, call: Call, reading: Reading, witness: Witness) -> None: ...


class Gear(msgspec.Struct, frozen=True):
    """What every exchange works with; made once in :mod:`gateway.app`."""

    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    """Monotonic seconds (the loop's own clock only ticks in milliseconds on uvloop)."""
    pool: Pool
    sink: Sink
    weigh: Callable[[Call, Progress, Outcome, Reading], CallRecord]
    """Prices the call and makes its record; never raises (:class:`gateway.recording.Scale`)."""
    live: set[Running]
    """The calls under way."""
    defect: Callable[[BaseException], None]
    """Counts and logs a defect of ours."""
    endings: Turns
    """Where calls meet whose answers are whole."""
    tap_limits: TapLimits = TapLimits()
    capture_limits: TapLimits = TapLimits()
    """The same for calls of which content is kept."""
    keep: Callable[[Call, Progress, Witness | None], None] | None = None
    """Takes what is to be kept of prompt and answer (:class:`gateway.capturing.keeper.Keeper`); never raises."""
    counter: Counter | None = None
    job_ended: Callable[[Call, Reading], CallRecord | None] | None = None
    """The record of a background job that an answer tells of (:class:`gateway.background.BackgroundJobs`)."""
