"""What is asked of each endpoint: thirty days, narrowed and cut in different ways, in different time zones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import permutations
from typing import Final

Params = list[tuple[str, str]]
ENDPOINTS: Final = (
    "", "/costs", "/models", "/router", "/users", "/performance", "/sessions", "/realtime", "/anomalies",
    "/recommendations", "/health-score",
)  # fmt: skip
"""Below ``/api/analytics``; figures of quality are part of the overview, the models, the router and the scores."""
ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Sydney")
_NARROWED: Final[tuple[Params, ...]] = (
    [],
    [],
    [("tenant", "tenant-1")],
    [("tenant", "tenant-0"), ("team", "team-0")],
    [("feature", "feature-1"), ("feature", "feature-2")],
    [("environment", "production")],
    [("model", "")],
    [("provider", "openai"), ("outcome_class", "ok")],
)
_GROUPS: Final = ("team", "model", "feature", "provider", "environment", "tenant", "outcome_class", "project")
_PAIRS: Final = tuple(",".join(pair) for pair in permutations(_GROUPS, 2))
_UNFIT: Final = {"/recommendations": {"outcome_class"}}
"""Filters an endpoint does not have."""
FROM_CALLS: Final[tuple[tuple[str, Params], ...]] = (
    ("/models", [("tz", "Asia/Kolkata")]),
    ("/performance", [("tz", "Asia/Kolkata")]),
    ("/costs", [("tz", "Asia/Kolkata")]),
)
"""What no sums are kept for: half hours of days that begin at half past. Not judged."""


def requests(path: str, count: int, model: str, seed: int = 1) -> Iterator[Params]:
    """So many different requests to one endpoint, always the same ones; some ask for the one ``model``."""
    chance = random.Random(f"{seed}{path}")
    for number in range(count):
        narrowed = _NARROWED[number % len(_NARROWED)]
        asked = [(name, value or model) for name, value in narrowed if _fits(name, path)]
        if path != "/realtime":
            asked += [("period", "30d"), ("tz", ZONES[number % len(ZONES)])]
        yield asked + _own(path, number, chance)


def _fits(name: str, path: str) -> bool:
    return name not in _UNFIT.get(path, ())


def _own(path: str, number: int, chance: random.Random) -> Params:
    match path:
        case "/costs" | "/performance":
            return [("group_by", chance.choice(_PAIRS)), ("limit", chance.choice(["10", "50"]))]
        case "/anomalies":
            by = chance.choice(_GROUPS)
            return [("measure", chance.choice(["cost", "calls", "tokens", "errors"])), ("group_by", by)]
        case "/health-score":
            return [("by", chance.choice(["feature", "team", "project", "tenant"]))]
        case "/sessions":
            return [("order", ("recent", "cost", "calls")[number % 3])]
        case _:
            return []
