"""Sums and quantiles over the calls of a stretch of time, by dimensions of alert rules.

The id of a call begins with its time, so a stretch of time is a range of the primary key.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from storage.queries.calls import CALLS
from storage.rows import first_id, ms_of
from telemetry.alerts.facts import Asked, Measure
from telemetry.alerts.labels import DIMENSIONS
from telemetry.outcome import Outcome

_C: Final = CALLS.c
NO_FAILURE: Final = (
    Outcome.COMPLETED,
    Outcome.CANCELLED,
    Outcome.REFUSED,
    Outcome.REVOKED,
    Outcome.SHUTDOWN,
)
PROVIDERS_DOING: Final = (
    Outcome.CONNECT_FAILED,
    Outcome.RESET,
    Outcome.TIMEOUT,
    Outcome.STALLED,
    Outcome.TRUNCATED,
    Outcome.PROTOCOL_ERROR,
)
UNPRICED: Final = ("unpriced", "invalid_usage")
_MEASURES: Final = {
    Measure.DURATION: _C.duration_us,
    Measure.FIRST_CHUNK: case((_C.stream, _C.first_chunk_us)),
}
_MILLION: Final = 1_000_000


def sums(asked: Asked) -> Select[Any]:
    """Calls, failures and unpriced calls by group; most calls first."""
    failed = _C.outcome.not_in([one.value for one in NO_FAILURE])
    answered = and_(
        _C.outcome == Outcome.PROVIDER_ERROR.value,
        # 4xx are the app's doing; an error within a 200 stream is the provider's.
        or_(_C.http_status >= 500, _C.http_status < 400),
    )
    providers = or_(_C.outcome.in_([one.value for one in PROVIDERS_DOING]), answered)
    unpriced = and_(_C.cost_nano.is_(None), _C.cost_status.in_(UNPRICED))
    groups = _groups(asked)
    query = select(
        *groups,
        func.count().label("calls"),
        _number(failed).label("failed"),
        _number(providers).label("provider_failed"),
        _number(unpriced).label("unpriced"),
    ).where(*_conditions(asked))
    return query.group_by(*groups).order_by(func.count().desc(), *groups).limit(asked.most)


def quantiles(asked: Asked, measure: Measure, ppm: int) -> Select[Any]:
    """The nearest-rank quantile of completed calls by group: a value that some call had, the same in every database."""
    column, groups = _MEASURES[measure], _groups(asked)
    names = [group.name for group in groups]
    ranked = (
        select(
            *groups,
            column.label("value_us"),
            func.row_number().over(partition_by=groups, order_by=column).label("rank"),
            func.count().over(partition_by=groups).label("calls"),
        )
        .where(*_conditions(asked), _C.outcome == Outcome.COMPLETED.value, column.is_not(None))
        .subquery()
    )
    wanted = (ranked.c.calls * ppm + (_MILLION - 1)) // _MILLION
    return (
        select(*(ranked.c[name] for name in names), ranked.c.calls, ranked.c.value_us)
        .where(ranked.c.rank == wanted)
        .order_by(ranked.c.calls.desc(), *(ranked.c[name] for name in names))
        .limit(asked.most)
    )


def _groups(asked: Asked) -> list[ColumnElement[Any]]:
    return [_dimension(name).label(f"g{place}") for place, name in enumerate(asked.group_by)]


def _dimension(name: str) -> ColumnElement[Any]:
    if name == "model":
        return func.coalesce(func.nullif(_C.response_model, ""), _C.request_model, "")
    return func.coalesce(_C[DIMENSIONS[name]], "")


def _conditions(asked: Asked) -> list[ColumnElement[bool]]:
    found = [
        _C.started_at >= asked.since,
        _C.started_at < asked.until,
        _C.id >= first_id(ms_of(asked.since)),
        _C.id < first_id(ms_of(asked.until)),
    ]
    for name, value in asked.scope:
        plain = name != "model" and value
        found.append((_C[DIMENSIONS[name]] if plain else _dimension(name)) == value)
    return found


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
