"""The statements an answer is read with: one for each place sums are kept in. They build, and run nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Integer,
    LargeBinary,
    Select,
    Table,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    or_,
    select,
)

from storage.queries.calls import CALLS
from storage.rollups.asked import Asked, Values
from storage.rollups.dimensions import Dimension
from storage.rollups.distinct import KEPT, SIZE
from storage.rollups.from_calls import (
    HISTOGRAM_VALUES,
    MEASURED,
    between,
    column_of,
    joined,
    second_of,
)
from storage.rollups.question import Bucket
from storage.rollups.tables import GROUPS, USERS, period_of
from storage.rollups.zones import HOUR_MS, Offsets, Range

Columns = list[ColumnElement[Any]]
_MINUTES_A_DAY: Final = 1440
_FEW_RANGES: Final = 2
_MOST_LISTED: Final = 10_000
"""Both databases take three times as many values in a statement."""


def of_periods(asked: Asked, table: Table, ranges: Sequence[Range], dialect: Dialect) -> Select[Any]:
    """Sums by hour or by day. Each row: the bucket's number (if any), the key, the sums, the words."""
    period = period_of(table)
    marks: Columns = []
    if asked.bucket is Bucket.HOUR or (asked.bucket is Bucket.DAY and period is table.c.get("day")):
        marks = [period]
    elif asked.bucket is Bucket.DAY:
        marks = [_local_day(period, 60, HOUR_MS, asked.offsets)]

    def column(dimension: Dimension) -> ColumnElement[Any]:
        return table.c.tenant_id if dimension is Dimension.TENANT else GROUPS.c[dimension.value]

    sums = [cast(func.sum(table.c[name]), BigInteger) for name in asked.measures]
    words = [end_to_end(table.c[name.value], dialect) for name in asked.histograms]
    keys = _labelled([*marks, *map(column, asked.group_by)])
    query = select(*keys, *sums, *words).where(
        _within(period, ranges),
        *[is_one_of(column(dimension), values) for dimension, values in asked.conditions.items()],
    )
    if asked.dimensions - {Dimension.TENANT}:
        query = query.join_from(table, GROUPS, table.c.group_id == GROUPS.c.group_id)
    return query.group_by(*keys)


def _within(period: ColumnElement[int], ranges: Sequence[Range]) -> ColumnElement[bool]:
    """Hours that move between days are many short ranges: as one list they are planned at once."""
    numbers = sum(end - begin for begin, end in ranges)
    if len(ranges) > _FEW_RANGES and numbers <= _MOST_LISTED:
        return period.in_([number for one in ranges for number in range(*one)])
    return or_(*[and_(period >= begin, period < end) for begin, end in ranges])


def of_users(asked: Asked, days: Range) -> Select[Any]:
    """Sums by user and day; what is not set is empty text here."""
    keys, where = _of_users(asked, days)
    sums = [cast(func.sum(USERS.c[name]), BigInteger) for name in asked.measures]
    return select(*keys, *sums).where(*where).group_by(*keys)


def users_counted(asked: Asked, days: Range) -> Select[Any]:
    """How many different users made calls: each row a bucket's number (if any), the key, the number."""
    every = _users(asked, days).subquery()
    keys = [every.c[f"key_{number}"] for number in range(asked.marks + len(asked.group_by))]
    return select(*keys, func.count()).select_from(every).group_by(*keys)


def users_among(asked: Asked, days: Range, names: Sequence[str]) -> Select[Any]:
    """Which of these users made calls: each row a bucket's number (if any), the key, tenant and user."""
    return _users(asked, days).where(USERS.c.user_id.in_(names))


def _users(asked: Asked, days: Range) -> Select[Any]:
    keys, where = _of_users(asked, days)
    who = [USERS.c.tenant_id.label("its_tenant"), USERS.c.user_id.label("its_user")]
    return select(*keys, *who).where(*where, USERS.c.user_id != "").distinct()


def sessions_of_users(asked: Asked, days: Range, dialect: Dialect) -> Select[Any]:
    """Hashes of sessions; the last column is, in hexadecimal, the smallest of the largest hashes of full rows."""
    keys, where = _of_users(asked, days)
    return (
        select(*keys, end_to_end(USERS.c.sessions, dialect), last_of_full(dialect))
        .where(*where)
        .group_by(*keys)
    )


def last_of_full(dialect: Dialect) -> ColumnElement[Any]:
    """In hexadecimal, the smallest of the largest hashes of those rows that have as many sessions as are kept."""
    column = USERS.c.sessions
    last = func.substr(column, (KEPT - 1) * SIZE + 1, SIZE)
    text = func.hex(last) if dialect.name == "sqlite" else func.encode(last, "hex")
    return func.min(case((func.length(column) >= KEPT * SIZE, text)))


def people_of_calls(
    asked: Asked, ranges: Sequence[Range], dialect: Dialect, column: ColumnElement[Any]
) -> Select[Any]:
    """The values of a column of the calls within each group, with their tenants."""
    keys, where = _of_calls(asked, ranges, dialect)
    what = [CALLS.c.tenant_id.label("its_tenant"), column.label("its_value")]
    return select(*keys, *what).where(*where, column != "").distinct()


def of_calls(asked: Asked, ranges: Sequence[Range], dialect: Dialect) -> Select[Any]:
    """Sums of the calls themselves; the last columns are values, as text with commas between."""
    keys, where = _of_calls(asked, ranges, dialect)
    sums = [MEASURED[name].label(f"sum_{name}") for name in asked.measures]
    values = [joined(HISTOGRAM_VALUES[name], dialect) for name in asked.histograms]
    return select(*keys, *sums, *values).where(*where).group_by(*keys)


def _of_users(asked: Asked, days: Range) -> tuple[Columns, list[ColumnElement[bool]]]:
    marks: Columns = [] if asked.bucket is None else [USERS.c.day]
    where = [
        USERS.c[dimension.value].in_([value or "" for value in values])
        for dimension, values in asked.conditions.items()
    ]
    keys = _labelled([*marks, *[USERS.c[dimension.value] for dimension in asked.group_by]])
    return keys, [USERS.c.day >= days[0], USERS.c.day < days[1], *where]


def _of_calls(
    asked: Asked, ranges: Sequence[Range], dialect: Dialect
) -> tuple[Columns, list[ColumnElement[bool]]]:
    second = second_of(dialect)
    marks: Columns = []
    if asked.bucket is Bucket.HOUR:
        marks = [cast(second // 3600, Integer)]
    elif asked.bucket is Bucket.DAY:
        marks = [_local_day(second // 60, 1, 60_000, asked.offsets)]
    where = [is_one_of(column_of(dimension), values) for dimension, values in asked.conditions.items()]
    keys = _labelled([*marks, *map(column_of, asked.group_by)])
    return keys, [or_(*[and_(*between(begin, end)) for begin, end in ranges]), *where]


def _labelled(keys: Columns) -> Columns:
    return [key.label(f"key_{number}") for number, key in enumerate(keys)]


def is_one_of(column: ColumnElement[Any], values: Values) -> ColumnElement[bool]:
    """Whether a dimension has one of these values; ``None`` is not set."""
    named = [value for value in values if value is not None]
    found = [column.in_(named)] if named else []
    if None in values:
        found.append(column.is_(None))
    return or_(*found) if found else false()


def _local_day(unit: ColumnElement[Any], minutes: int, unit_ms: int, offsets: Offsets) -> ColumnElement[Any]:
    """The zone's day of a number of units (of so many minutes) since 1970, as :meth:`Offsets.day` finds it."""
    ahead: Any = literal(offsets.minutes[-1], Integer)
    if len(offsets.minutes) > 1:
        before = zip(offsets.moments[1:], offsets.minutes, strict=False)
        ahead = case(*[(unit < -(-moment // unit_ms), number) for moment, number in before], else_=ahead)
    return cast((unit * minutes + ahead) // _MINUTES_A_DAY, Integer)


def end_to_end(column: ColumnElement[Any], dialect: Dialect) -> ColumnElement[Any]:
    """The words of a group, one behind the other; as hexadecimal text in SQLite."""
    if dialect.name == "sqlite":
        return func.group_concat(func.hex(column), "")
    return func.string_agg(column, literal(b"", LargeBinary))
