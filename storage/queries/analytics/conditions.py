"""What must hold of the calls a question is about, as SQL."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, FromClause

from storage.rollups.dimensions import Dimension
from storage.rollups.from_calls import column_of
from storage.rollups.selects import is_one_of
from storage.rollups.tables import USERS

Conditions = Mapping[Dimension, tuple[str | None, ...]]
"""A call counts if each of these is one of the values; ``None`` stands for "not set"."""


def of_calls(conditions: Conditions) -> list[ColumnElement[bool]]:
    """On the table of calls."""
    return [is_one_of(column_of(dimension), values) for dimension, values in conditions.items()]


def of_users(conditions: Conditions, table: FromClause = USERS) -> list[ColumnElement[bool]]:
    """On the sums by user and day, where what is not set is empty."""
    return [
        table.c[dimension.value].in_([value or "" for value in values])
        for dimension, values in conditions.items()
    ]
