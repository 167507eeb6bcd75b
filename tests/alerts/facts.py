"""Facts that a test makes up, and rules made of a few words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from telemetry.alerts.facts import (
    Asked,
    BudgetFact,
    CallsFact,
    HoursFact,
    Measure,
    QuantileFact,
    SpendFact,
    SpoolFact,
)
from telemetry.alerts.kinds.registry import rule_of
from telemetry.alerts.labels import Labels
from telemetry.alerts.rule import Rule

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MONTH = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
DOLLAR = 1_000_000_000


def rule(kind: str, **keys: Any) -> Rule[Any]:
    """A rule named like its kind."""
    return rule_of({"name": kind.replace("_", "-"), "kind": kind, **keys})


def budget(spent: int, limit: int = 15 * DOLLAR, **changed: Any) -> BudgetFact:
    """A monthly budget of team search; amounts in nano-USD."""
    given: dict[str, Any] = {
        "budget_id": "b1",
        "name": "search-monthly",
        "scope": "team search",
        "window_key": "2026-11",
        "limit_nano": limit,
        "spent_nano": spent,
        "reserved_nano": 0,
        "thresholds_ppm": (500_000, 750_000, 900_000, 1_000_000),
        "window_start": MONTH[0],
        "window_end": MONTH[1],
        "filters": (("team", "search"),),
    }
    return BudgetFact(**(given | changed))


def calls(failed: int = 0, of: int = 100, labels: Labels = (), **changed: int) -> CallsFact:
    """Sums over some calls."""
    given = {"provider_failed": failed, "unpriced": 0, **changed}
    return CallsFact(labels, of, failed, **given)


class MadeUp:
    """:class:`telemetry.alerts.facts.AlertFacts` of what is put into it; ``asked`` remembers the questions."""

    def __init__(self) -> None:
        self.budget_facts: list[BudgetFact] = []
        self.call_facts: list[CallsFact] = [calls()]
        self.quantile_facts: list[QuantileFact] = []
        self.spend_facts: list[SpendFact] = []
        self.hours_facts: list[HoursFact] = []
        self.spool_fact = SpoolFact(0, 0)
        self.asked: list[Asked] = []

    async def calls(self, asked: Asked) -> Sequence[CallsFact]:
        self.asked.append(asked)
        return self.call_facts

    async def quantiles(self, asked: Asked, measure: Measure, ppm: int) -> Sequence[QuantileFact]:
        self.asked.append(asked)
        return self.quantile_facts

    async def spend(self, asked: Asked) -> Sequence[SpendFact]:
        self.asked.append(asked)
        return self.spend_facts

    async def hours(self, asked: Asked) -> Sequence[HoursFact]:
        self.asked.append(asked)
        return self.hours_facts

    async def spool(self) -> SpoolFact:
        return self.spool_fact

    async def budgets(self, now: datetime) -> Sequence[BudgetFact]:
        return [fact for fact in self.budget_facts if now < fact.window_end + timedelta(hours=1)]
