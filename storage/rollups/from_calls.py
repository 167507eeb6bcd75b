"""The same sums from the calls themselves, in SQL: what rollups are held against and made again from.

Deliberately not the code that makes deltas: the database adds up on its own what Python added up on the way in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Integer,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from pricing.cost import CostStatus
from storage.queries.calls import CALLS
from storage.rollups.delta import HOUR_MS, MILLI_PER_S
from storage.rollups.dimensions import DIMENSIONS, Dimension
from storage.rollups.distinct import hash_of
from storage.rollups.histogram import bucket_of
from storage.rollups.measures import (
    CLASS_OF,
    COST_FIELDS,
    KIND_OF,
    MAX_RATE_TOKENS,
    MEASURES,
    TOKEN_FIELDS,
    USER_MEASURES,
    ErrorKind,
    OutcomeClass,
)
from storage.rollups.routes import BAND_PPM, BANDS, ROUTE_MEASURES
from storage.rollups.tables import HISTOGRAMS
from storage.rollups.tally import Line, Tally
from storage.rows import USAGE_COLUMNS, as_datetime, first_id
from telemetry.outcome import Outcome
from telemetry.record import UsageSource

_C: Final = CALLS.c
Expression = ColumnElement[Any]


def _count(condition: ColumnElement[bool]) -> Expression:
    return func.count(case((condition, 1)))


def _sum(value: Expression) -> Expression:
    return cast(func.coalesce(func.sum(value), 0), BigInteger)


def _errors() -> dict[str, Expression]:
    answered = _C.outcome == Outcome.PROVIDER_ERROR.value
    status = func.coalesce(_C.http_status, 0)
    kinds = {
        ErrorKind.RATE_LIMITED: and_(answered, status == 429),
        ErrorKind.CLIENT: and_(answered, status >= 400, status < 500, status != 429),
        ErrorKind.SERVER: and_(answered, status >= 500),
        ErrorKind.IN_STREAM: and_(answered, status < 400),
    }
    for kind in (ErrorKind.TIMEOUT, ErrorKind.CONNECTION, ErrorKind.GATEWAY):
        kinds[kind] = _C.outcome.in_([outcome.value for outcome, one in KIND_OF.items() if one is kind])
    return {kind.value: _count(condition) for kind, condition in kinds.items()}


def _tokens() -> dict[str, Expression]:
    added: dict[str, Expression] = {}
    for field, measure in TOKEN_FIELDS.items():
        one = _sum(_C[USAGE_COLUMNS[field]])
        added[measure] = added[measure] + one if measure in added else one
    return added


def _costs() -> dict[str, Expression]:
    compared = and_(_C.baseline_nano.is_not(None), _C.cost_nano.is_not(None))
    found: dict[str, Expression] = {measure: _sum(_C[measure]) for measure in COST_FIELDS.values()}
    for status, name in ((CostStatus.ESTIMATED, "estimated"), (CostStatus.PARTIAL, "partial")):
        found[f"{name}_calls"] = _count(_C.cost_status == status.value)
        found[f"{name}_nano"] = _sum(case((_C.cost_status == status.value, _C.cost_nano)))
    return found | {
        "unpriced_calls": _count(_C.cost_status == CostStatus.UNPRICED.value),
        "invalid_calls": _count(_C.cost_status == CostStatus.INVALID_USAGE.value),
        "baseline_calls": _count(compared),
        "baseline_nano": _sum(case((compared, _C.baseline_nano))),
        "baseline_cost_nano": _sum(case((compared, _C.cost_nano))),
    }


_streamed: Final = and_(_C.stream, _C.first_chunk_us.is_not(None))
_rated: Final = and_(
    _streamed,
    _C.duration_us > _C.first_chunk_us,
    _C.output_tokens.between(1, MAX_RATE_TOKENS),
    _C.outcome == Outcome.COMPLETED.value,
    _C.usage_source == UsageSource.PROVIDER.value,
)
_answering: Final = _C.duration_us - _C.first_chunk_us
MEASURED: Final[Mapping[str, Expression]] = {
    "calls": func.count(),
    "streams": _count(_C.stream),
    "cache_hits": _count(_C.cache_read_tokens > 0),
    **_errors(),
    **_tokens(),
    **_costs(),
    "duration_us": _sum(_C.duration_us),
    "ttft_calls": _count(_streamed),
    "ttft_us": _sum(case((_streamed, _C.first_chunk_us))),
    "rate_tokens": _sum(case((_rated, _C.output_tokens))),
    "rate_us": _sum(case((_rated, _answering))),
    "overhead_us": _sum(_C.overhead_us),
}
"""Every measure over a group of calls."""
_CONFIDENCE: Final = _C.route_confidence_ppm
ROUTED: Final = or_(_C.route_policy.is_not(None), _C.route_reason.is_not(None), _CONFIDENCE.is_not(None))
"""Calls that are in the sums of routed calls."""
BAND: Final = case(
    (_CONFIDENCE < BAND_PPM, 0), (_CONFIDENCE >= BAND_PPM * BANDS, BANDS - 1), else_=_CONFIDENCE // BAND_PPM
)
"""As :func:`storage.rollups.routes.band_of`; null without a confidence."""
ROUTE_MEASURED: Final[Mapping[str, Expression]] = {
    **{name: MEASURED[name] for name in ROUTE_MEASURES if name in MEASURED},
    "confidence_calls": func.count(_CONFIDENCE),
    "confidence_ppm": _sum(_CONFIDENCE),
}
"""Every measure over a group of routed calls."""
HISTOGRAM_VALUES: Final[Mapping[str, Expression]] = {
    "durations": _C.duration_us,
    "ttfts": case((_streamed, _C.first_chunk_us)),
    "rates": case((_rated, _C.output_tokens * MILLI_PER_S // _answering)),
}
"""What the histograms are of; empty where a call has nothing to tell."""


def column_of(dimension: Dimension) -> Expression:
    """A dimension of a call."""
    if dimension is Dimension.MODEL:
        return func.coalesce(func.nullif(_C.response_model, ""), _C.request_model)
    if dimension is Dimension.OUTCOME_CLASS:
        same = [
            (_C.outcome == outcome.value, literal(one.value))
            for outcome, one in CLASS_OF.items()
            if one is not OutcomeClass.FAILED
        ]
        return case(*same, else_=OutcomeClass.FAILED.value)
    found: Expression = _C[dimension.value]
    return found


def second_of(dialect: Dialect) -> Expression:
    """When a call began, in whole seconds since 1970 (UTC)."""
    if dialect.name == "sqlite":
        return cast(func.strftime("%s", _C.started_at), BigInteger)
    return cast(func.floor(func.extract("epoch", _C.started_at)), BigInteger)


def day_of_call(dialect: Dialect) -> Expression:
    """The UTC day since 1970 on which a call began."""
    return cast(second_of(dialect) // (HOUR_MS // 1000 * 24), Integer)


def between(since_ms: int, until_ms: int) -> tuple[ColumnElement[bool], ...]:
    """Calls that began in a stretch of time. Their ids begin with it, and there is an index on the ids."""
    return (
        _C.id >= first_id(since_ms),
        _C.id < first_id(until_ms),
        *began_between(since_ms, until_ms),
    )


def began_between(since_ms: int, until_ms: int) -> tuple[ColumnElement[bool], ...]:
    """The same where another index is to be used."""
    return _C.started_at >= as_datetime(since_ms), _C.started_at < as_datetime(until_ms)


def joined(value: Expression, dialect: Dialect) -> Expression:
    """The values of a group as text, with commas between."""
    if dialect.name == "sqlite":
        return func.group_concat(value, ",")
    return func.string_agg(cast(value, Text), ",")


def buckets(text: str | None) -> Counter[int]:
    """The histogram of values as :func:`joined` gives them."""
    return Counter(map(bucket_of, map(int, text.split(",")))) if text else Counter()


async def tally_between(connection: AsyncConnection, since_ms: int, until_ms: int) -> Tally:
    """The sums of the calls that began in a stretch of time."""
    dialect, tally = connection.dialect, Tally()
    where = between(since_ms, until_ms)
    hour = cast(second_of(dialect) // (HOUR_MS // 1000), Integer)
    expressions = [hour, *map(column_of, DIMENSIONS)]
    keys = [key.label(f"key_{number}") for number, key in enumerate(expressions)]
    own, sums = len(keys), len(keys) + len(MEASURES)
    measures = [MEASURED[name].label(f"sum_{name}") for name in MEASURES]
    values = [joined(HISTOGRAM_VALUES[name], dialect) for name in HISTOGRAMS]
    query = select(*keys, *measures, *values).where(*where).group_by(*keys)
    for row in await connection.execute(query):
        line = Line()
        line.sums = list(row[own:sums])
        line.durations, line.ttfts, line.rates = (buckets(text) for text in row[sums:])
        tally.hours[row[0], tuple(row[1:own])] = line
    await _add_users(connection, tally, where)
    await _add_routes(connection, tally, where)
    return tally


async def _add_users(connection: AsyncConnection, tally: Tally, where: Sequence[ColumnElement[bool]]) -> None:
    keys = [
        _C.tenant_id.label("tenant"),
        day_of_call(connection.dialect).label("day"),
        func.coalesce(_C.team, "").label("its_team"),
        func.coalesce(_C.user_id, "").label("its_user"),
    ]
    sums = [MEASURED[name].label(f"sum_{name}") for name in USER_MEASURES]
    for row in await connection.execute(select(*keys, *sums).where(*where).group_by(*keys)):
        tally.user((row[0], row[1], row[2], row[3])).sums = list(row[4:])
    session = func.coalesce(_C.session_id, "").label("session")
    own = [column_of(one).label(f"own_{number}") for number, one in enumerate(DIMENSIONS)]
    for row in await connection.execute(select(*keys, session, *own).where(*where).distinct()):
        user, group = tally.user((row[0], row[1], row[2], row[3])), tally.packed(tuple(row[5:]))
        user.groups.add(group)
        if row[4]:
            hashed = hash_of(row[0], row[4])
            user.sessions.add(hashed)
            user.pairs.add(hashed + group)


async def _add_routes(
    connection: AsyncConnection, tally: Tally, where: Sequence[ColumnElement[bool]]
) -> None:
    expressions = [day_of_call(connection.dialect), _C.route_reason, BAND, *map(column_of, DIMENSIONS)]
    keys = [key.label(f"key_{number}") for number, key in enumerate(expressions)]
    sums = [ROUTE_MEASURED[name].label(f"sum_{name}") for name in ROUTE_MEASURES]
    for row in await connection.execute(select(*keys, *sums).where(ROUTED, *where).group_by(*keys)):
        day, reason, band, *group = row[: len(keys)]
        tally.routes[day, tuple(group), reason, band] = list(row[len(keys) :])
