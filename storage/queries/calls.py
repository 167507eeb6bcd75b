"""Which calls: one by its id, pages newest first, and rows as they arrive."""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    UnaryExpression,
    and_,
    false,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.sql.visitors import replacement_traverse

from storage.rows import RowError, as_datetime, first_id, ms_of, started_ms
from storage.tables import DeadLetterRow, ModelRequest

CALLS = ModelRequest.__table__  # type: ignore[attr-defined]
LETTERS = DeadLetterRow.__table__  # type: ignore[attr-defined]
MAX_LIMIT = 1000
SQLITE = "sqlite"
"""Its dialect."""
_CURSOR_MARK = "1:"
_ALL = frozenset(CALLS.c.keys())
_MANY = frozenset({"tenant_id", "team"})
_BY_TIME = (CALLS.c.started_at.desc(), CALLS.c.id.desc())
"""The same order as by id alone, as ids begin with the time; that of the indexes that begin with a tenant or a user."""


LATELY = 20_000
"""Calls among which those are looked for that were recorded last: a rare team is not looked for in all there are."""


class Order(enum.StrEnum):
    """What comes first in a list of calls."""

    STARTED = "started"
    """Those that began last."""
    RECORDED = "recorded"
    """Those that were recorded last, whenever they began."""


Part = Mapping[str, str]
"""Calls by columns and the value each has, as an index has them together in the order of time."""


class CursorError(ValueError):
    """The cursor is not one of ours."""


class CallFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls to list; ``None`` does not narrow. All given conditions must hold."""

    tenant: str | None = None
    provider: str | None = None
    model: str | None = None
    """Asked for or answered with."""
    outcome: str | None = None
    status: int | None = None
    """HTTP status the app saw."""
    team: str | None = None
    user: str | None = None
    project: str | None = None
    feature: str | None = None
    session: str | None = None
    key_id: str | None = None
    since: datetime | None = None
    """Started at or after this time (aware)."""
    until: datetime | None = None
    """Started before this time (aware)."""
    min_cost_nano: int | None = None
    unpriced: bool | None = None
    """True: only calls whose cost is unknown. False: only calls whose cost is known."""
    failed: bool | None = None
    """True: only calls that did not complete. False: only those that did."""
    scope: tuple[tuple[str, str], ...] = ()
    """Columns and the value each must have, beside all that is asked for: what a caller may see."""
    conditions: tuple[ColumnElement[bool], ...] = ()
    """More of them, on :data:`CALLS`; those of the analytics: :func:`storage.queries.analytics.conditions.of_calls`."""


def one(call_id: str) -> Select[Any] | None:
    """The call of that id; ``None`` if the text is no id of ours."""
    try:
        moment = as_datetime(started_ms(call_id))
    except RowError:
        return None
    return select(CALLS).where(CALLS.c.id == call_id.lower(), CALLS.c.started_at == moment)


def page(
    wanted: CallFilter, cursor: str | None, limit: int, dialect: str, parts: Sequence[Part] | None = None
) -> Select[Any]:
    """At most ``limit`` calls, newest first, older than ``cursor``. Raises :class:`CursorError`.

    ``parts``: all calls that fit are among these, if that is known (:mod:`storage.queries.whose`).
    """
    conditions = list(conditions_of(wanted))
    if cursor is not None:
        before = read_cursor(cursor)
        conditions += [CALLS.c.id < before, CALLS.c.started_at <= as_datetime(started_ms(before))]
    values = {name for name, _ in named(wanted)}
    if parts is not None:
        if len(parts) != 1:
            return _merged(conditions, parts, limit)
        conditions += _of_part(parts[0])
        values.update(parts[0])
    newest_first: Sequence[ColumnElement[Any]] = (CALLS.c.id.desc(),)
    if "tenant_id" in values or "user_id" in values:
        newest_first = _BY_TIME
    if (
        "user_id" in values and "session_id" not in values
    ):  # a tenant or a team has more calls than one of its users
        conditions = by_value(conditions, dialect, _MANY)
    return select(CALLS).where(*conditions).order_by(*newest_first).limit(limit)


def _merged(conditions: Sequence[ColumnElement[bool]], parts: Sequence[Part], limit: int) -> Select[Any]:
    """The newest of each part, merged: of a list of tenants all that fit would be read and sorted."""
    if not parts:
        return select(CALLS).where(false())
    each = [
        select(CALLS.c.started_at, CALLS.c.id)
        .where(*_of_part(part), *conditions)
        .order_by(*_BY_TIME)
        .limit(limit)
        .subquery()
        for part in parts
    ]
    every = union_all(*[select(one) for one in each]).subquery()
    newest = (
        select(every).order_by(every.c.started_at.desc(), every.c.id.desc()).limit(limit).subquery("newest")
    )
    same = and_(CALLS.c.id == newest.c.id, CALLS.c.started_at == newest.c.started_at)
    return select(CALLS).join_from(newest, CALLS, same).order_by(*_BY_TIME)


def _of_part(part: Part) -> list[ColumnElement[bool]]:
    return [CALLS.c[name] == value for name, value in part.items()]


def recorded_lately(wanted: CallFilter, limit: int, dialect: str) -> Select[Any]:
    """Those of the last :data:`LATELY` calls that fit the filter, at most ``limit`` of them, the last one first."""
    lately = select(func.max(CALLS.c.seq) - LATELY).scalar_subquery()
    fits = by_value(conditions_of(wanted), dialect)
    return select(CALLS).where(CALLS.c.seq > lately, *fits).order_by(CALLS.c.seq.desc()).limit(limit)


def numbers(after: int, holes: Sequence[int], limit: int) -> Select[Any]:
    """Numbers of rows written after number ``after``, and those of ``holes`` that are there now, ascending."""
    arrival = [CALLS.c.seq > after]
    if holes:  # the first of them, too: of two conditions of which one will do, neither says where to begin
        arrival = [CALLS.c.seq >= min(after, *holes), or_(*arrival, CALLS.c.seq.in_(holes))]
    return select(CALLS.c.seq).where(*arrival).order_by(CALLS.c.seq).limit(limit)


def numbered(wanted: CallFilter, found: Sequence[int], dialect: str) -> Select[Any]:
    """The rows of these numbers that fit the filter, in order of writing."""
    fits = by_value(conditions_of(wanted), dialect)
    return select(CALLS).where(CALLS.c.seq.in_(found), *fits).order_by(CALLS.c.seq)


def written_after(wanted: CallFilter, after: int, limit: int, dialect: str) -> Select[Any]:
    """The first rows after number ``after`` that fit the filter, in order of writing."""
    fits = by_value(conditions_of(wanted), dialect)
    return select(CALLS).where(CALLS.c.seq > after, *fits).order_by(CALLS.c.seq).limit(limit)


def newest_number() -> Select[Any]:
    """The number of the row written last, if there is one."""
    return select(CALLS.c.seq).order_by(CALLS.c.seq.desc()).limit(1)


def dead_letters(limit: int) -> Select[Any]:
    """Records no row could be made of, newest first."""
    return select(LETTERS).order_by(LETTERS.c.buried_at.desc(), LETTERS.c.id.desc()).limit(limit)


def count_letters() -> Select[Any]:
    """Number of dead letters."""
    return select(func.count().label("number")).select_from(LETTERS)


def conditions_of(wanted: CallFilter) -> list[ColumnElement[bool]]:
    """What a row must fulfil to pass the filter; its time also as a range of ids, which an index knows."""
    return [*_of_values(wanted), *_of_ids(wanted)]


def in_order_of_ids(wanted: CallFilter, dialect: str, after: str | None = None) -> list[ColumnElement[bool]]:
    """The same for who goes through all of them by id, page by page, ``after`` the last of the page before."""
    conditions = [*by_value(_of_values(wanted), dialect), *_of_ids(wanted)]
    if after is not None:
        # The time too: PostgreSQL keeps rows in months.
        conditions += [CALLS.c.id > after, CALLS.c.started_at >= as_datetime(started_ms(after))]
    return conditions


def by_value(
    conditions: Sequence[ColumnElement[bool]], dialect: str, columns: Collection[str] = _ALL
) -> list[ColumnElement[bool]]:
    """Conditions that SQLite is to look up no row by (those on ``columns``), because rows come in another order.

    Left alone, it takes an index of one of these and sorts all it finds, once for each page.
    """
    if dialect != SQLITE:
        return [*conditions]

    def not_by_index(element: Any, **_more: object) -> Any:
        """``+column``: to SQLite a value, and not something an index knows."""
        if isinstance(element, Column) and element.name in columns:
            return UnaryExpression(element, operator=custom_op("+"), type_=element.type)
        return None

    return [replacement_traverse(one, {}, not_by_index) for one in conditions]


def _of_ids(wanted: CallFilter) -> list[ColumnElement[bool]]:
    found = []
    if wanted.since is not None:
        found.append(CALLS.c.id >= first_id(ms_of(wanted.since)))
    if wanted.until is not None:
        found.append(CALLS.c.id < first_id(ms_of(wanted.until) + 1))
    return found


def _of_values(wanted: CallFilter) -> list[ColumnElement[bool]]:
    column = CALLS.c
    found = [column[name] == value for name, value in named(wanted)]
    found += wanted.conditions
    if wanted.model is not None:
        found.append(or_(column.request_model == wanted.model, column.response_model == wanted.model))
    if wanted.since is not None:
        found.append(column.started_at >= wanted.since.astimezone(UTC))
    if wanted.until is not None:
        found.append(column.started_at < wanted.until.astimezone(UTC))
    if wanted.min_cost_nano is not None:
        found.append(column.cost_nano >= wanted.min_cost_nano)
    if wanted.unpriced is not None:
        found.append(column.cost_nano.is_(None) if wanted.unpriced else column.cost_nano.is_not(None))
    if wanted.failed is not None:
        found.append(column.outcome != "completed" if wanted.failed else column.outcome == "completed")
    return found


def named(wanted: CallFilter) -> list[tuple[str, str | int]]:
    """Columns and the one value asked for in each."""
    equal = (
        ("tenant_id", wanted.tenant),
        ("provider", wanted.provider),
        ("outcome", wanted.outcome),
        ("http_status", wanted.status),
        ("team", wanted.team),
        ("user_id", wanted.user),
        ("project", wanted.project),
        ("feature", wanted.feature),
        ("session_id", wanted.session),
        ("key_id", wanted.key_id),
    )
    return [*((name, value) for name, value in equal if value is not None), *wanted.scope]


def make_cursor(call_id: str) -> str:
    """An opaque cursor: what comes after this call in the list."""
    return base64.urlsafe_b64encode((_CURSOR_MARK + call_id).encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """The call id within a cursor. Raises :class:`CursorError`."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        call_id = text.removeprefix(_CURSOR_MARK)
        as_datetime(started_ms(call_id))
    except (ValueError, binascii.Error) as error:
        raise CursorError("the cursor is not valid") from error
    if not text.startswith(_CURSOR_MARK):
        raise CursorError("the cursor is not valid")
    return call_id
