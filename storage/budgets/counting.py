"""Counting what was spent from the rows: when a budget is made or changed, and when somebody asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from storage.address import Engine
from storage.budgets.amounts import CALLS_SQL, UNPRICED_SQL, columns_of, spent_sql
from storage.budgets.model import Budget, Span, Unit, account_of, counts_alike, subject_of
from storage.budgets.nobody import of_nobody
from storage.budgets.windows import FOREVER_S, span_of
from storage.control.contract import ControlDatabase, Row, Transaction
from storage.rows import as_datetime, first_id

_NS: Final = 1_000_000_000
_AT_ONCE: Final = 200
_EARLIEST_S: Final = 1
_CALLS: Final = "model_requests"
_BY_NUMBER: Final = f"{_CALLS} NOT INDEXED"
"""To SQLite: looked up by the number of the row alone."""
_SPARE_S: Final = 60
"""Rows are found by their partition or id; whether they count is for their own time to say."""


Sums = dict[str, tuple[int, int, int]]
"""Subject -> amount, calls, unpriced calls."""
Fetch = Callable[..., Awaitable[list[Row]]]


class Ahead(msgspec.Struct, frozen=True):
    """What the rows so far came to, counted while others went on being written."""

    budget: Budget
    span: Span
    through: int
    """The number of the last row there was."""
    sums: Sums


async def count_ahead(db: ControlDatabase, budget: Budget, now_s: int) -> Ahead | None:
    """For :func:`count_anew`, so that it has only to count what is written meanwhile.

    Millions of rows take seconds, and SQLite lets nobody write during a transaction that will. ``None`` for PostgreSQL:
    there rows are not seen in the order of their numbers, and those who lend are not kept waiting.
    """
    if db.engine is Engine.POSTGRESQL or budget.unit is Unit.SLOTS:
        return None
    ((through,),) = await db.fetch(f"SELECT COALESCE(MAX(seq), 0) FROM {_CALLS}")
    span = span_of(budget.window, budget.timezone, budget.week_start, now_s)
    within, bounds = _within(span, db.engine)
    # The number as a value: rows are looked up by their time.
    sums = await _sums(db.fetch, db.engine, budget, span, ["+seq <= ?", *within], [through, *bounds])
    return Ahead(budget, span, int(through), sums)


async def count_anew(tx: Transaction, budget: Budget, now_s: int, ahead: Ahead | None = None) -> None:
    """The accounts of the current window, from the rows.

    Leases stay: they are for calls under way. So do the refusals, which leave no row that counts. ``ahead`` of another
    definition or window is of no use, and is left aside.
    """
    if budget.unit is Unit.SLOTS:
        return
    span = span_of(budget.window, budget.timezone, budget.week_start, now_s)
    mine = "WHERE budget_id = ? AND window_key = ?"
    nothing = f"UPDATE budget_accounts SET spent = 0, calls = 0, unpriced = 0 {mine}"
    await tx.run(nothing, budget.id, span.key)
    if ahead is not None and ahead.span == span and counts_alike(ahead.budget, budget):
        sums = await _since(tx, budget, ahead)
    else:
        sums = await _sums(tx.fetch, tx.engine, budget, span, *_within(span, tx.engine))
    lines = [
        (budget.id, subject, span.key, span.start_s, span.end_s, *counts)
        for subject, counts in sums.items()
        if counts[0] or counts[1]
    ]
    for at in range(0, len(lines), _AT_ONCE):
        await _put(tx, lines[at : at + _AT_ONCE])


async def _since(tx: Transaction, budget: Budget, ahead: Ahead) -> Sums:
    """With the rows since then, and without those who were erased since then."""
    span, sums = ahead.span, dict(ahead.sums)
    fresh = await _sums(tx.fetch, tx.engine, budget, span, ["seq > ?"], [ahead.through], _BY_NUMBER)
    for subject, counts in fresh.items():
        amount, calls, unpriced = sums.get(subject, (0, 0, 0))
        sums[subject] = (amount + counts[0], calls + counts[1], unpriced + counts[2])
    nobodys = await of_nobody(tx, [account_of(budget, subject, span) for subject in sums])
    return {subject: one for subject, one in sums.items() if (budget.id, subject, span.key) not in nobodys}


async def _sums(
    fetch: Fetch,
    engine: Engine,
    budget: Budget,
    span: Span,
    which: Sequence[str],
    bounds: Sequence[Any],
    table: str = _CALLS,
) -> Sums:
    """Of the rows of the window for which these conditions hold (with a ``?`` for each of ``bounds``)."""
    counted, conditions, values = columns_of(budget, engine)
    where = " AND ".join(["started_ns >= ?", "started_ns < ?", *which, *conditions])
    grouped = f" GROUP BY {', '.join(counted)}" if counted else ""
    shown = "".join(f"{column}, " for column in counted)
    query = (
        f"SELECT {shown}{spent_sql(budget)}, {CALLS_SQL}, {UNPRICED_SQL} FROM {table} WHERE {where}{grouped}"
    )
    end_ns = min(span.end_s * _NS, 2**63 - 1)
    found = await fetch(query, span.start_s * _NS, end_ns, *bounds, *values)
    return dict(_sum(budget, row, len(counted)) for row in found)


def _within(span: Span, engine: Engine) -> tuple[list[str], list[Any]]:
    """Conditions that spare looking at the rows of other months; they let through all of the window and some more."""
    if span.end_s == FOREVER_S:
        return [], []
    start_ms = max(span.start_s - _SPARE_S, _EARLIEST_S) * 1000
    end_ms = (span.end_s + _SPARE_S) * 1000
    if engine is Engine.POSTGRESQL:
        return ["started_at >= ?", "started_at < ?"], [as_datetime(start_ms), as_datetime(end_ms)]
    return ["id >= ?", "id < ?"], [first_id(start_ms), first_id(end_ms)]


def _sum(budget: Budget, row: Row, counted: int) -> tuple[str, tuple[int, int, int]]:
    amount, calls, unpriced = (int(value or 0) for value in row[counted:])
    known = unpriced if budget.unit is Unit.USD else 0
    return subject_of(row[:counted]) if counted else "", (amount, calls, known)


async def _put(tx: Transaction, lines: Sequence[tuple[Any, ...]]) -> None:
    places = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, 0)"] * len(lines))
    await tx.run(
        "INSERT INTO budget_accounts"
        " (budget_id, subject, window_key, start_s, end_s, spent, calls, unpriced, denied)"
        f" VALUES {places} ON CONFLICT (budget_id, subject, window_key) DO UPDATE"
        " SET spent = excluded.spent, calls = excluded.calls, unpriced = excluded.unpriced",
        *[value for line in lines for value in line],
    )
