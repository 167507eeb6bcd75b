"""Which accounts a call draws on: by look-up, not by looking at every budget."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from storage.budgets.model import EVERY, TAG, Account, Budget, account_of, subject_of
from storage.budgets.windows import Calendar
from storage.rows import DEFAULT_TENANT
from telemetry.record import Who

REMEMBERED: Final = 10_000
"""Subjects whose accounts are kept in memory, for each set of dimensions."""
_WHO: Final = {
    "tenant": "tenant",
    "team": "team",
    "user": "user",
    "project": "project",
    "feature": "feature",
    "environment": "environment",
    "key": "key_id",
    "session": "session",
    "agent": "agent",
    "app": "app",
}
_NS: Final = 1_000_000_000
Values = tuple[str | None, ...]
Read = Callable[[Who, str, str | None], Values]


class Shape:
    """All budgets whose scopes name the same dimensions, by the values they name."""

    __slots__ = ("_by_values", "_calendar", "_counted", "_named", "_remembered", "read")

    def __init__(self, dimensions: tuple[str, ...], counted: tuple[int, ...], calendar: Calendar) -> None:
        self.read = _reader(dimensions)
        """What a call says under each dimension."""
        self._counted = counted
        """Places of the dimensions that have an account for each value."""
        self._named = tuple(place for place in range(len(dimensions)) if place not in counted)
        self._by_values: dict[Values, list[Budget]] = {}
        self._calendar = calendar
        self._remembered: dict[Values, tuple[int, int, Sequence[Account]]] = {}

    def add(self, budget: Budget) -> None:
        values = tuple(budget.scope[place][1] for place in self._named)
        self._by_values.setdefault(values, []).append(budget)

    def accounts(self, values: Values, at_s: int) -> Sequence[Account]:
        """Of a call that says ``values``; those of the last call that said the same, while their windows last."""
        known = self._remembered.get(values)
        if known is not None and known[0] <= at_s < known[1]:
            return known[2]
        found = self._find(values, at_s)
        begin = max((account.start_s for account in found), default=0)
        end = min((account.end_s for account in found), default=at_s + 3_600)
        if len(self._remembered) >= REMEMBERED:
            self._remembered.clear()
        self._remembered[values] = (begin, end, found)
        return found

    def _find(self, values: Values, at_s: int) -> Sequence[Account]:
        if None in values:
            return ()
        budgets = self._by_values.get(tuple([values[place] for place in self._named]), ())
        subject = subject_of([values[place] for place in self._counted]) if self._counted else ""
        return [account_of(budget, subject, self._calendar.span(budget, at_s)) for budget in budgets]


class Scopes:
    """Budgets, indexed. Made anew when a budget changes."""

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self.budgets = {budget.id: budget for budget in budgets}
        calendar = Calendar()
        shapes: dict[tuple[tuple[str, ...], tuple[int, ...]], Shape] = {}
        for budget in self.budgets.values():
            counted = tuple(place for place, (_, value) in enumerate(budget.scope) if value == EVERY)
            kind = (budget.shape, counted)
            if kind not in shapes:
                shapes[kind] = Shape(budget.shape, counted, calendar)
            shapes[kind].add(budget)
        self._shapes = tuple(shapes.values())

    def __bool__(self) -> bool:
        return bool(self.budgets)

    def accounts(self, who: Who, provider: str, model: str | None, started_ns: int) -> list[Account]:
        """What a call draws on. The window is that of its start."""
        at_s = started_ns // _NS
        found: list[Account] = []
        for shape in self._shapes:
            found += shape.accounts(shape.read(who, provider, model), at_s)
        return found


def _reader(dimensions: tuple[str, ...]) -> Read:
    """Reads what a call says under the dimensions; one call in C where the record says it as it is."""
    names = [_WHO.get(dimension) for dimension in dimensions]
    if not dimensions:
        return lambda who, provider, model: ()
    if None in names or "tenant" in names:
        return lambda who, provider, model: tuple(
            [_value(dimension, who, provider, model) for dimension in dimensions]
        )
    get: Any = operator.attrgetter(*[name for name in names if name is not None])
    if len(names) == 1:
        return lambda who, provider, model: (get(who),)
    return lambda who, provider, model: get(who)


def _value(dimension: str, who: Who, provider: str, model: str | None) -> str | None:
    if dimension == "model":
        return model
    if dimension == "provider":
        return provider
    if dimension.startswith(TAG):
        name = dimension[len(TAG) :]
        return next((value for tag, value in who.tags if tag == name), None)
    value: str | None = getattr(who, _WHO[dimension])
    return value or (DEFAULT_TENANT if dimension == "tenant" else None)


def told(budget: Budget, subject: str) -> str:
    """Whose account it is, for people: ``team search, user ann``; empty for a budget over everything."""
    counted = iter(json.loads(subject) if subject else ())
    parts = [f"{dimension} {next(counted) if value == EVERY else value}" for dimension, value in budget.scope]
    return ", ".join(parts)
