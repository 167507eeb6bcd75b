"""Background jobs (runs, background responses, batches): billed once, however often they are asked after.

A job works on after the call that began it; its usage is told by every later poll, of whichever worker, for months.
So a job leaves a record of its own, whose id is made from the job's: whoever writes it again writes the same row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.call import Call
from gateway.ids import named_id
from gateway.recording import Scale, what_of
from gateway.wire.contract import Reading
from pricing.book import PriceBook, PriceQuery
from pricing.cost import INVALID_USAGE, at_least
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource

_BATCH: Final = "batch"
_NANO: Final = 1_000_000_000
_DAY_S: Final = 86_400
_EARLIEST_S: Final = 1_577_836_800
"""2020-01-01: no provider's job is older."""


class BackgroundJobs:
    """Makes the records of jobs; a defect is counted and never reaches the call that asked after the job."""

    def __init__(self, scale: Scale, defect: Callable[[BaseException], None]) -> None:
        self._scale = scale
        self._defect = defect

    def ended(self, call: Call, reading: Reading) -> CallRecord | None:
        """The record of the job that this answer tells of, if it has ended; never raises."""
        try:
            return job_record(self._scale.book, call, reading)
        except Exception as error:  # the app's answer must not depend on our price data
            self._defect(error)
            return None


def job_record(book: PriceBook, call: Call, reading: Reading) -> CallRecord | None:
    """The record of the job that ``reading`` tells of; ``None`` while it tells of none, or of one still at work.

    A job that has ended and does not tell its usage cost nobody knows what, which is not nothing.
    """
    usage = reading.job_usage
    if reading.job is None or not reading.finish_reasons:
        return None
    now_s = call.started_ns // _NANO
    began_s = reading.job_at_s
    if began_s is None or not _EARLIEST_S <= began_s <= now_s + _DAY_S:
        began_s = now_s // _DAY_S * _DAY_S  # not told: the same all day at least
    target = call.target
    query = PriceQuery(
        target.provider.price_as,
        reading.model,
        call.ask.model,
        usage,
        began_s * _NANO,
        None if reading.service_tier == _BATCH else reading.service_tier,
        charge=reading.charge,
        batch=reading.service_tier == _BATCH,
    )
    cost = INVALID_USAGE if reading.invalid else book.price(query)
    what = what_of(call.method, target, call.ask, 0)
    return CallRecord(
        job_id(target.provider.name, reading.job, began_s),
        Outcome.COMPLETED,
        call.who,
        msgspec.structs.replace(what, operation="background_job", path=""),
        Route(target.route.host),
        Timing(began_s * _NANO, max(0, call.started_ns - began_s * _NANO) // 1000),
        Answer(None, reading.model, reading.job, reading.finish_reasons, reading.service_tier),
        usage,
        UsageSource.NONE if usage is None else UsageSource.PROVIDER,
        at_least(cost) if reading.fees_unseen else cost,
        None,
        reading.usage_raw,
        fees_unseen=reading.fees_unseen,
    )


def job_id(provider: str, job: str, began_s: int) -> str:
    """The same for everyone who tells of the same job."""
    return named_id(f"{provider}\0{job}", began_s * 1000)
