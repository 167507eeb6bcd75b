"""What a finished call takes from an account: the same in Python (:func:`spent`) and in SQL (:func:`spent_sql`)."""

from __future__ import annotations

from typing import Final

from storage.address import Engine
from storage.budgets.model import EVERY, TAG, Budget, Unit, Unpriced
from telemetry.outcome import Outcome
from telemetry.record import FREE_METHODS, CallRecord

MTOK: Final = 1_000_000
BACKGROUND: Final = "background_job"
"""Operation of records that bill a call that is recorded already."""
NO_WORK: Final = ("control", "count_tokens")
"""Operations of calls that manage or count."""
UPGRADED: Final = 101
"""A WebSocket begins with a GET, and does."""
_REFUSED: Final = Outcome.REFUSED
_USD: Final = Unit.USD
_TOKENS: Final = Unit.TOKENS
_NOT_CALLS: Final = (BACKGROUND, *NO_WORK)
_NOT_CALLS_SQL: Final = ", ".join(f"'{operation}'" for operation in _NOT_CALLS)
_FREE_SQL: Final = ", ".join(f"'{method}'" for method in sorted(FREE_METHODS))
CALLS_SQL: Final = (
    f"SUM(CASE WHEN outcome <> '{Outcome.REFUSED.value}' AND COALESCE(operation, '') NOT IN ({_NOT_CALLS_SQL})"
    f" AND (method NOT IN ({_FREE_SQL}) OR http_status = {UPGRADED}) THEN 1 ELSE 0 END)"
)
UNPRICED_SQL: Final = "SUM(CASE WHEN cost_nano IS NULL THEN 1 ELSE 0 END)"
_COLUMNS: Final = {
    "tenant": "tenant_id",
    "team": "team",
    "user": "user_id",
    "project": "project",
    "feature": "feature",
    "environment": "environment",
    "key": "key_id",
    "provider": "provider",
    "model": "request_model",
    "session": "session_id",
    "agent": "agent",
    "app": "app",
}


def is_unpriced(record: CallRecord) -> bool:
    """Did it go to a provider at a price nobody knows?"""
    return record.cost.total is None


def spent(budget: Budget, record: CallRecord) -> int:
    """Nano-USD, tokens or calls."""
    unit = budget.unit
    if unit is _USD:
        total = record.cost.total
        if total is None:
            return ceiling(budget, tokens_of(record)) if budget.unpriced is Unpriced.CEILING else 0
        return total
    if unit is _TOKENS:
        return tokens_of(record)
    return int(unit is Unit.CALLS and is_call(record))


def is_call(record: CallRecord) -> bool:
    """Did a call of its own go to a provider that asked for work?"""
    what = record.what
    if record.outcome is _REFUSED or what.operation in _NOT_CALLS:
        return False
    return what.method not in FREE_METHODS or record.answer.status == UPGRADED


def tokens_of(record: CallRecord) -> int:
    """Input and output as reported or counted; 0 where neither is known."""
    usage = record.usage
    return (usage.input or 0) + (usage.output or 0) if usage is not None else 0


def ceiling(budget: Budget, tokens: int) -> int:
    """Nano-USD for tokens without a price."""
    return tokens * budget.ceiling_nano_per_mtok // MTOK


def spent_sql(budget: Budget) -> str:
    """The same as a sum over rows of ``model_requests``."""
    tokens = "(COALESCE(input_tokens, 0) + COALESCE(output_tokens, 0))"
    if budget.unit is Unit.USD:
        unknown = f"{tokens} * {budget.ceiling_nano_per_mtok:d} / {MTOK}"
        otherwise = unknown if budget.unpriced is Unpriced.CEILING else "0"
        return f"SUM(COALESCE(cost_nano, {otherwise}))"
    if budget.unit is Unit.TOKENS:
        return f"SUM({tokens})"
    return CALLS_SQL


def columns_of(budget: Budget, engine: Engine) -> tuple[list[str], list[str], list[str]]:
    """For SQL: expressions of the dimensions that are counted each for itself, conditions, and their values.

    Conditions have a ``?`` for each value.
    """
    counted: list[str] = []
    conditions: list[str] = []
    values: list[str] = []
    for dimension, value in budget.scope:
        column = column_of(dimension, engine)
        if value == EVERY:
            counted.append(column)
            conditions.append(f"{column} IS NOT NULL")
        else:
            conditions.append(f"{column} = ?")
            values.append(value)
    return counted, conditions, values


def column_of(dimension: str, engine: Engine) -> str:
    """For SQL: what a row says under a dimension of scopes."""
    return _COLUMNS.get(dimension) or _tag(dimension.removeprefix(TAG), engine)


def _tag(name: str, engine: Engine) -> str:
    text = name.replace("'", "''")
    if engine is Engine.POSTGRESQL:
        return f"tags->>'{text}'"
    path = text.replace('"', '\\"')
    return f"json_extract(tags, '$.\"{path}\"')"
