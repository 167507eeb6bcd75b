"""What is ours of a call's time, and what the provider's: worked out of the moments at which things happened."""

from __future__ import annotations

import pytest
from rig.lending import call_of

from gateway.call import Progress
from gateway.recording import NO_READING, record_of
from pricing.cost import UNPRICED
from telemetry.outcome import Outcome
from telemetry.record import Timing

MOMENTS = ("sent_at", "first_byte_at", "first_chunk_at", "last_read_at", "finished_at", "waited")


def timing(*moments: float) -> Timing:
    progress = Progress(10.0)
    for name, moment in zip(MOMENTS, moments, strict=True):
        setattr(progress, name, moment)
    call = call_of()
    told = record_of(call, progress, Outcome.COMPLETED, NO_READING, UNPRICED).timing
    assert told.started_ns == call.started_ns
    return told


@pytest.mark.parametrize(
    ("moments", "told"),
    [
        ((10.25, 12.0, 12.0, 12.5, 12.625, 0.0), (2_625_000, 2_250_000, 2_000_000, 2_000_000, 375_000, 250_000)),
        ((10.25, 12.0, 12.5, 12.5, 12.625, 0.125), (2_625_000, 2_250_000, 2_000_000, 2_500_000, 250_000, 250_000)),
        ((10.25, 12.0, 0.0, 12.0, 12.5, 0.0), (2_500_000, 1_750_000, 2_000_000, None, 750_000, 250_000)),
        ((10.25, 0.0, 0.0, 0.0, 15.25, 0.125), (5_250_000, None, None, None, 125_000, 250_000)),
        ((0.0, 0.0, 0.0, 0.0, 11.5, 1.0), (1_500_000, None, None, None, 500_000, None)),
        ((0.0, 0.0, 0.0, 0.0, 11.5, 2.0), (1_500_000, None, None, None, 0, None)),
    ],
    ids=["answered", "waited for a connection", "no body", "not answered", "not sent", "waited longer than it took"],
)  # fmt: skip
def test_microseconds_of_a_call(moments: tuple[float, ...], told: tuple[int | None, ...]) -> None:
    found = timing(*moments)
    whole = found.duration_us, found.upstream_us, found.first_byte_us, found.first_chunk_us
    assert (*whole, found.overhead_us, found.dispatch_us) == told
