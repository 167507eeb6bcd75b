"""What must hold of the calls a question is about, as SQL."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, FromClause, or_

from storage.rollups.dimensions import Dimension
from storage.rollups.from_calls import column_of
from storage.rollups.tables import USERS

Conditions = Mapping[Dimension, tuple[str | None, ...]]
"""A call counts if each of these is one of the values; ``None`` stands for "not set"."""


def of_calls(conditions: Conditions) -> list[ColumnElement[bool]]:
    """On the table of calls."""
    found = []
    for dimension, values in conditions.items():
        column = column_of(dimension)
        unset = [column.is_(None)] if None in values else []
        found.append(or_(column.in_([value for value in values if value is not None]), *unset))
    return found


def of_users(conditions: Conditions, table: FromClause = USERS) -> list[ColumnElement[bool]]:
    """On the sums by user and day, where what is not set is empty."""
    return [
        table.c[dimension.value].in_([value or "" for value in values])
        for dimension, values in conditions.items()
    ]
