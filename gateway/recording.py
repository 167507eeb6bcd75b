"""Makes the one record of a call from what is known of it: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from gateway.attribution import NO_ROUTE
from gateway.call import Call, Progress, Target
from gateway.echo import without_echo
from gateway.parts import part_query
from gateway.saving import baseline_nano
from gateway.told import told_cost
from gateway.wire.contract import AskFields, Reading
from pricing.book import PriceBook, PriceQuery
from pricing.cost import INVALID_USAGE, NOT_BILLABLE, UNPRICED, Cost, added, at_least, format_usd
from pricing.usage import Part, Usage
from telemetry.outcome import Outcome
from telemetry.record import FREE_METHODS, Answer, CallRecord, Route, Timing, UsageSource, What, Who

NO_READING = Reading()

# Bound once: reading a member off its class costs as much as a function call.
_COMPLETED = Outcome.COMPLETED
_PROVIDER_ERROR = Outcome.PROVIDER_ERROR
_INTERRUPTED = Outcome.INTERRUPTED
_REPORTED = UsageSource.PROVIDER
_COUNTED = UsageSource.ESTIMATED
_UNREPORTED = UsageSource.NONE

_UNANSWERED = Answer(error_type=Outcome.INTERRUPTED.error_type)
MICROS: Final = 1e6  # a product with a whole number is not specialised by the interpreter
_FREE = frozenset((Outcome.REFUSED, Outcome.CONNECT_FAILED))


def cost_of(book: PriceBook, call: Call, progress: Progress, reading: Reading, outcome: Outcome) -> Cost:
    """What the call cost, or why that is not known."""
    status = progress.status
    whole = outcome is _COMPLETED or outcome is _PROVIDER_ERROR or progress.read_whole
    # Below 400 it was sent elsewhere: nothing was done.
    failed = status is not None and status >= 300 and not progress.unanswered
    if failed or not reading.billable or (not whole and outcome in _FREE):
        return NOT_BILLABLE
    if reading.invalid:
        return INVALID_USAGE
    query = PriceQuery(
        call.target.provider.price_as,
        reading.model,
        call.ask.model,
        reading.usage,
        call.started_ns,
        reading.service_tier,
        reading.speed,
        reading.geo,
        call.target.region,
        reading.charge,
        not whole or reading.estimated,
        plain=reading.plain,
    )
    said = call.price_said
    if said is not None:
        told = told_cost(book, query, call.target.wire, reading, said)
        if told is not None:
            return told
    if reading.usage is None and reading.charge is None:
        wire = call.target.wire
        if wire.free if wire is not None else call.method in FREE_METHODS:
            return NOT_BILLABLE
        return UNPRICED
    cost = book.price(query)
    if reading.also:
        cost = added((cost, *_costs_of_parts(book, query, reading.also)))
    return at_least(cost) if reading.fees_unseen else cost


def _costs_of_parts(book: PriceBook, main: PriceQuery, parts: Sequence[Part]) -> list[Cost]:
    """Not in the function above: what a comprehension uses of a function's variables, is made a cell in each call of it."""
    return [book.price(part_query(main, part)) for part in parts]


class Scale:
    """Prices calls and makes their records. A defect in pricing is counted and costs the price, not the record."""

    def __init__(self, book: PriceBook, defect: Callable[[BaseException], None]) -> None:
        self.book = book
        self._defect = defect

    def weigh(self, call: Call, progress: Progress, outcome: Outcome, reading: Reading) -> CallRecord:
        """The final record of a call; never raises."""
        try:
            cost = cost_of(self.book, call, progress, reading, outcome)
        except Exception as error:  # the app's answer must not depend on our price data
            self._defect(error)
            cost = UNPRICED
        if reading.error_code is not None:
            reading = msgspec.structs.replace(
                reading, error_code=without_echo(reading.error_code, call.request)
            )
        record = record_of(call, progress, outcome, reading, cost)
        if call.route.baseline_model is None:
            return record
        baseline = baseline_nano(self.book, call, record.usage, record.also, cost)
        return msgspec.structs.replace(record, baseline_nano=baseline)


def record_of(call: Call, progress: Progress, outcome: Outcome, reading: Reading, cost: Cost) -> CallRecord:
    """The record, by position (creation by keyword costs several times as much)."""
    billed: Usage | None = None if reading.invalid or not reading.billable else reading.usage
    what, route = call.what, call.route
    if what.request_bytes != progress.request_bytes:  # more was uploaded than was held
        what = what_of(call.method, call.target, call.ask, progress.request_bytes)
    if progress.attempts == 1 and route is NO_ROUTE:
        route = call.target.route
    elif progress.attempts:
        route = Route(
            call.target.route.host,
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
        _timing(call.started_ns, progress),
        Answer(
            progress.status,
            reading.model,
            reading.response_id,
            reading.finish_reasons,
            reading.service_tier,
            progress.response_bytes,
            _error_type(progress.status, outcome, reading),
            progress.code if reading.error_code is None else reading.error_code,
        ),
        billed,
        _UNREPORTED if billed is None else _COUNTED if reading.estimated else _REPORTED,
        cost,
        call.trace,
        reading.usage_raw,
        reading.also,
        None,
        reading.fees_unseen,
    )


def _timing(started_ns: int, progress: Progress) -> Timing:
    start = progress.started_at
    end = progress.finished_at or start
    last_read, sent = progress.last_read_at, progress.sent_at
    first_byte, first_chunk = progress.first_byte_at, progress.first_chunk_at
    duration = overhead = int((end - start) * MICROS)
    dispatch = upstream = None
    if sent:
        dispatch = overhead = int((sent - start) * MICROS)
        if last_read:
            upstream = int((last_read - sent) * MICROS)
            overhead = duration - upstream
    if progress.waited:
        overhead -= int(progress.waited * MICROS)
    to_byte = int((first_byte - start) * MICROS) if first_byte else None
    to_chunk = to_byte
    if first_chunk != first_byte:
        to_chunk = int((first_chunk - start) * MICROS) if first_chunk else None
    return Timing(
        started_ns, duration, upstream, to_byte, to_chunk, overhead if overhead > 0 else 0, dispatch
    )


def opening_record(call: Call) -> CallRecord:
    """The record of a call that is about to go out, as it will have to stand if we die before its end."""
    return CallRecord(
        call.id,
        _INTERRUPTED,
        call.who,
        call.what,
        call.route,
        Timing(call.started_ns),
        _UNANSWERED,
        None,
        _UNREPORTED,
        UNPRICED,
        call.trace,
    )


def broken_record(call: Call, progress: Progress, outcome: Outcome) -> CallRecord:
    """The record of a call of which nothing else can be made: whose it was, how it ended and how long it took."""
    spent = int(max(0.0, progress.finished_at - progress.started_at) * MICROS)
    return msgspec.structs.replace(
        opening_record(call),
        outcome=outcome,
        timing=Timing(call.started_ns, spent),
        answer=Answer(progress.status, error_type=outcome.error_type),
    )


def record_of_refusal(
    call_id: str,
    started_ns: int,
    method: str,
    target: Target,
    ask: AskFields,
    who: Who,
    route: Route,
    progress: Progress,
    code: str,
    now: float,
    outcome: Outcome = Outcome.REFUSED,
) -> CallRecord:
    """The record of a call that we refused, or (``outcome``) failed on before it was sent."""
    spent = int((now - progress.started_at) * MICROS)
    return CallRecord(
        call_id,
        outcome,
        who,
        what_of(method, target, ask, progress.request_bytes),
        route,
        Timing(started_ns, spent, None, None, None, spent),
        Answer(progress.status, error_type=outcome.error_type, error_code=code),
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
    cost = record.cost
    usd = format_usd(cost.total)
    micros = str(record.timing.overhead_us).zfill(4)  # a third of the time that number formats take
    lines = (
        f"x-weighbridge-cost-status: {cost.status._value_}\r\n"
        f"x-weighbridge-overhead-ms: {micros[:-3]}.{micros[-3:]}\r\n"
    )
    return (f"x-weighbridge-cost-usd: {usd}\r\n{lines}" if usd else lines).encode("ascii")


def _error_type(status: int | None, outcome: Outcome, reading: Reading) -> str | None:
    if outcome is not _COMPLETED and outcome.error_type is not None:
        return outcome.error_type
    if status is not None and status >= 400:
        return str(status)
    if reading.failed:
        return reading.error_code or "provider_error"
    return None
