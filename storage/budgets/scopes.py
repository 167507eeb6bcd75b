"""Which accounts a call draws on: by look-up, not by looking at every budget."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from storage.budgets.model import EVERY, TAG, Account, Budget
from storage.budgets.windows import Calendar
from storage.rows import DEFAULT_TENANT
from telemetry.record import Who

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


class Shape:
    """All budgets whose scopes name the same dimensions, by the values they name."""

    __slots__ = ("by_values", "counted", "dimensions", "named")

    def __init__(self, dimensions: tuple[str, ...], counted: tuple[int, ...]) -> None:
        self.dimensions = dimensions
        self.counted = counted
        """Places of the dimensions that have an account for each value."""
        self.named = tuple(place for place in range(len(dimensions)) if place not in counted)
        self.by_values: dict[tuple[str, ...], list[Budget]] = {}


class Scopes:
    """Budgets, indexed. Made anew when a budget changes."""

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self.budgets = {budget.id: budget for budget in budgets}
        shapes: dict[tuple[tuple[str, ...], tuple[int, ...]], Shape] = {}
        for budget in self.budgets.values():
            counted = tuple(place for place, (_, value) in enumerate(budget.scope) if value == EVERY)
            shape = shapes.setdefault((budget.shape, counted), Shape(budget.shape, counted))
            values = tuple(budget.scope[place][1] for place in shape.named)
            shape.by_values.setdefault(values, []).append(budget)
        self._shapes: Sequence[Shape] = tuple(shapes.values())
        self._calendar = Calendar()

    def __bool__(self) -> bool:
        return bool(self.budgets)

    def accounts(self, who: Who, provider: str, model: str | None, started_ns: int) -> list[Account]:
        """What a call draws on. The window is that of its start."""
        found: list[Account] = []
        for shape in self._shapes:
            values = _values(shape.dimensions, who, provider, model)
            if values is None:
                continue
            budgets = shape.by_values.get(tuple([values[place] for place in shape.named]))
            if not budgets:
                continue
            subject = json.dumps([values[place] for place in shape.counted]) if shape.counted else ""
            for budget in budgets:
                span = self._calendar.span(budget, started_ns // _NS)
                found.append(Account(budget, subject, span.key, span.start_s, span.end_s))
        return found


def _values(dimensions: tuple[str, ...], who: Who, provider: str, model: str | None) -> list[str] | None:
    """What the call says under each dimension; ``None`` where it says nothing under one of them."""
    values = []
    for dimension in dimensions:
        value = _value(dimension, who, provider, model)
        if value is None:
            return None
        values.append(value)
    return values


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
