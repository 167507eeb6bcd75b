"""Counting what was spent from the rows: when a budget is made or changed, and when somebody asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from storage.address import Engine
from storage.budgets.amounts import CALLS_SQL, UNPRICED_SQL, columns_of, spent_sql
from storage.budgets.model import Budget, Span, Unit, subject_of
from storage.budgets.windows import FOREVER_S, span_of
from storage.control.contract import Transaction
from storage.rows import as_datetime, first_id

_NS: Final = 1_000_000_000
_AT_ONCE: Final = 200
_EARLIEST_S: Final = 1
_SPARE_S: Final = 60
"""Rows are found by their partition or id; whether they count is for their own time to say."""


async def count_anew(tx: Transaction, budget: Budget, now_s: int) -> None:
    """The accounts of the current window, from the rows.

    Leases stay: they are for calls under way. So do the refusals, which leave no row that counts.
    """
    if budget.unit is Unit.SLOTS:
        return
    span = span_of(budget.window, budget.timezone, budget.week_start, now_s)
    mine = "WHERE budget_id = ? AND window_key = ?"
    nothing = f"UPDATE budget_accounts SET spent = 0, calls = 0, unpriced = 0 {mine}"
    await tx.run(nothing, budget.id, span.key)
    counted, conditions, values = columns_of(budget, tx.engine)
    within, bounds = _within(span, tx.engine)
    where = " AND ".join(["started_ns >= ?", "started_ns < ?", *within, *conditions])
    grouped = f" GROUP BY {', '.join(counted)}" if counted else ""
    shown = "".join(f"{column}, " for column in counted)
    query = (
        f"SELECT {shown}{spent_sql(budget)}, {CALLS_SQL}, {UNPRICED_SQL}"
        f" FROM model_requests WHERE {where}{grouped}"
    )
    end_ns = min(span.end_s * _NS, 2**63 - 1)
    found = await tx.fetch(query, span.start_s * _NS, end_ns, *bounds, *values)
    lines = [_line(budget, span, row, len(counted)) for row in found]
    worth = [line for line in lines if line[5] or line[6]]
    for at in range(0, len(worth), _AT_ONCE):
        await _put(tx, worth[at : at + _AT_ONCE])


def _within(span: Span, engine: Engine) -> tuple[list[str], list[Any]]:
    """Conditions that spare looking at the rows of other months; they let through all of the window and some more."""
    if span.end_s == FOREVER_S:
        return [], []
    start_ms = max(span.start_s - _SPARE_S, _EARLIEST_S) * 1000
    end_ms = (span.end_s + _SPARE_S) * 1000
    if engine is Engine.POSTGRESQL:
        return ["started_at >= ?", "started_at < ?"], [as_datetime(start_ms), as_datetime(end_ms)]
    return ["id >= ?", "id < ?"], [first_id(start_ms), first_id(end_ms)]


def _line(budget: Budget, span: Span, row: Sequence[Any], counted: int) -> tuple[Any, ...]:
    subject = subject_of(row[:counted]) if counted else ""
    amount, calls, unpriced = (int(value or 0) for value in row[counted:])
    known = unpriced if budget.unit is Unit.USD else 0
    return budget.id, subject, span.key, span.start_s, span.end_s, amount, calls, known


async def _put(tx: Transaction, lines: Sequence[tuple[Any, ...]]) -> None:
    places = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, 0)"] * len(lines))
    await tx.run(
        "INSERT INTO budget_accounts"
        " (budget_id, subject, window_key, start_s, end_s, spent, calls, unpriced, denied)"
        f" VALUES {places} ON CONFLICT (budget_id, subject, window_key) DO UPDATE"
        " SET spent = excluded.spent, calls = excluded.calls, unpriced = excluded.unpriced",
        *[value for line in lines for value in line],
    )
