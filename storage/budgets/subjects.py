"""Finding accounts by the values they count: whose account among those of a budget that has many."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from storage.address import Engine
from storage.budgets.model import EVERY, Budget, short, subject_of

_ANY: Final = r'"(\\.|[^"\\])*"'
"""A JSON string, as a regular expression."""


class Wanted(msgspec.Struct, frozen=True):
    """Which accounts of a budget."""

    values: tuple[tuple[str, str], ...] = ()
    """Dimension and value; dimensions of which the budget does not count each value are ignored."""
    limit: int = 1_000
    after: tuple[int, str] | None = None
    """What the last account of the page before has spent, and its subject."""


ALL: Final = Wanted()


def values_of(budget: Budget, subject: str) -> dict[str, str]:
    """Dimension -> value of an account, those the budget names included."""
    counted = iter(json.loads(subject) if subject else ())
    return {dimension: next(counted) if value == EVERY else value for dimension, value in budget.scope}


def condition(budget: Budget, wanted: Wanted, engine: Engine) -> tuple[str, list[Any]]:
    """For SQL: `` AND ...`` with a ``?`` for each value, and the values."""
    values = dict(wanted.values)
    places = [values.get(dimension) for dimension, value in budget.scope if value == EVERY]
    where = ""
    bound: list[Any] = []
    if places and None not in places:
        where, bound = " AND subject = ?", [subject_of(places)]
    elif any(place is not None for place in places):
        where, bound = _partly(dict(enumerate(places)), engine)
    if wanted.after is not None:
        spent, subject = wanted.after
        where += " AND (spent < ? OR (spent = ? AND subject > ?))"
        bound += [spent, spent, subject]
    return where, bound


def _partly(places: Mapping[int, str | None], engine: Engine) -> tuple[str, list[Any]]:
    if engine is Engine.POSTGRESQL:  # no cast to jsonb, which refuses NUL and halves of surrogates
        parts = [_ANY if value is None else re.escape(json.dumps(short(value))) for value in places.values()]
        return " AND subject ~ ?", [rf"^\[{', '.join(parts)}\]$"]
    known = [(place, value) for place, value in places.items() if value is not None]
    where = "".join(f" AND json_extract(subject, '$[{place}]') = ?" for place, _ in known)
    return where, [short(value) for _, value in known]
