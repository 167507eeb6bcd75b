"""Makes the one record of a call from what is known of it: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable

from gateway.call import Call, Progress, Target
from gateway.wire.contract import AskFields, Reading
from pricing.book import PriceBook, PriceQuery
from pricing.cost import INVALID_USAGE, NOT_BILLABLE, UNPRICED, Cost, format_usd
from pricing.usage import Usage
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

NO_READING = Reading()

_UNANSWERED = Answer(error_type=Outcome.INTERRUPTED.error_type)
_FREE = frozenset((Outcome.REFUSED, Outcome.CONNECT_FAILED))
_WHOLE = frozenset((Outcome.COMPLETED, Outcome.PROVIDER_ERROR))
_SAFE_METHODS = frozenset(("GET", "HEAD", "DELETE", "OPTIONS"))


def cost_of(book: PriceBook, call: Call, reading: Reading, status: int | None, outcome: Outcome) -> Cost:
    """What the call cost, or why that is not known."""
    if outcome in _FREE or (status is not None and status >= 400) or not reading.billable:
        return NOT_BILLABLE
    if reading.invalid:
        return INVALID_USAGE
    if reading.usage is None and reading.charge is None:
        if call.target.wire is None and call.method in _SAFE_METHODS:
            return NOT_BILLABLE
        return UNPRICED
    return book.price(
        PriceQuery(
            call.target.provider.price_as,
            reading.model,
            call.ask.model,
            reading.usage,
            call.started_ns,
            reading.service_tier,
            reading.speed,
            reading.geo,
            charge=reading.charge,
            estimated=outcome not in _WHOLE,
        )
    )


class Scale:
    """Prices calls and makes their records. A defect in pricing is counted and costs the price, not the record."""

    def __init__(self, book: PriceBook, defect: Callable[[BaseException], None]) -> None:
        self.book = book
        self._defect = defect

    def weigh(self, call: Call, progress: Progress, outcome: Outcome, reading: Reading) -> CallRecord:
        """The final record of a call; never raises."""
        try:
            cost = cost_of(self.book, call, reading, progress.status, outcome)
        except Exception as error:  # the app's answer must not depend on our price data
            self._defect(error)
            cost = UNPRICED
        return record_of(call, progress, outcome, reading, cost)


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def record_of(call: Call, progress: Progress, outcome: Outcome, reading: Reading, cost: Cost) -> CallRecord:
    """The record, by position (creation by keyword costs several times as much)."""
    start = progress.started_at
    end = progress.finished_at or start
    last_read = progress.last_read_at
    overhead = 0.0
    if progress.sent_at:
        overhead = progress.sent_at - start - progress.waited
        if last_read:
            overhead += end - last_read
    else:
        overhead = end - start - progress.waited
    billed: Usage | None = None if reading.invalid or not reading.billable else reading.usage
    what, route = call.what, call.route
    if what.request_bytes != progress.request_bytes:  # more was uploaded than was held
        what = what_of(call.method, call.target, call.ask, progress.request_bytes)
    if progress.attempts:
        route = Route(
            call.target.authority.decode("ascii"),
            progress.attempts,
            progress.attempt_reason,
            route.policy,
            route.reason,
            route.confidence_ppm,
            route.baseline_model,
            route.experiment,
            route.variant,
        )
    return CallRecord(
        call.id,
        outcome,
        call.who,
        what,
        route,
        Timing(
            call.started_ns,
            _micros(end - start),
            _micros(last_read - progress.sent_at) if last_read and progress.sent_at else None,
            _micros(progress.first_byte_at - start) if progress.first_byte_at else None,
            _micros(progress.first_chunk_at - start) if progress.first_chunk_at else None,
            max(0, _micros(overhead)),
            _micros(progress.sent_at - start) if progress.sent_at else None,
        ),
        Answer(
            progress.status,
            reading.model,
            reading.response_id,
            reading.finish_reasons,
            reading.service_tier,
            progress.response_bytes,
            _error_type(progress.status, outcome, reading),
            reading.error_code,
        ),
        billed,
        UsageSource.PROVIDER if billed is not None else UsageSource.NONE,
        cost,
        call.trace,
        reading.usage_raw,
        reading.also,
    )


def opening_record(call: Call) -> CallRecord:
    """The record of a call that is about to go out, as it will have to stand if we die before its end."""
    return CallRecord(
        call.id,
        Outcome.INTERRUPTED,
        call.who,
        call.what,
        call.route,
        Timing(call.started_ns),
        _UNANSWERED,
        None,
        UsageSource.NONE,
        UNPRICED,
        call.trace,
    )


def record_of_refusal(
    call_id: str,
    started_ns: int,
    method: str,
    target: Target,
    ask: AskFields,
    who: Who,
    progress: Progress,
    code: str,
    now: float,
) -> CallRecord:
    """The record of a call that we refused."""
    spent = _micros(now - progress.started_at)
    return CallRecord(
        call_id,
        Outcome.REFUSED,
        who,
        what_of(method, target, ask, progress.request_bytes),
        Route(),
        Timing(started_ns, spent, None, None, None, spent),
        Answer(progress.status, error_type=Outcome.REFUSED.error_type, error_code=code),
        None,
        UsageSource.NONE,
        NOT_BILLABLE,
    )


def what_of(method: str, target: Target, ask: AskFields, request_bytes: int) -> What:
    """What was asked, as it is recorded."""
    wire = target.wire
    return What(
        target.provider.name,
        wire.name if wire is not None else None,
        wire.operation if wire is not None else None,
        method,
        target.path,
        ask.model,
        ask.stream,
        ask.max_tokens,
        request_bytes,
    )


def cost_headers(record: CallRecord) -> bytes:
    """Header lines that tell the app what the call cost; no amount where none is known."""
    usd = format_usd(record.cost.total).encode("ascii")
    return b"%bx-weighbridge-cost-status: %b\r\nx-weighbridge-overhead-ms: %d.%03d\r\n" % (
        b"x-weighbridge-cost-usd: %b\r\n" % usd if usd else b"",
        record.cost.status.value.encode("ascii"),
        *divmod(record.timing.overhead_us, 1000),
    )


def _error_type(status: int | None, outcome: Outcome, reading: Reading) -> str | None:
    if outcome.error_type is not None:
        return outcome.error_type
    if status is not None and status >= 400:
        return str(status)
    if reading.failed:
        return reading.error_code or "provider_error"
    return None
