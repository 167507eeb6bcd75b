"""What a call cost, in integers.

All money is nano-USD (1e-9 USD) in an ``int``. Rates are atto-USD (1e-18 USD) per unit; a cost is summed
exactly in atto-USD and rounded once, half to even. A price that is not known is ``None``, never 0.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

NANO_PER_USD = 1_000_000_000


class CostStatus(enum.StrEnum):
    """How far a cost can be trusted."""

    PRICED = "priced"
    ESTIMATED = "estimated"
    """The rates are known, the counts are our estimate or a lower bound."""
    PARTIAL = "partial"
    """Some of the usage has no known rate: the total is a lower bound."""
    UNPRICED = "unpriced"
    """No rate is known for the model, or the provider reported no usage: total is ``None``."""
    INVALID_USAGE = "invalid_usage"
    """The provider reported impossible counts: total is ``None``."""
    NOT_BILLABLE = "not_billable"
    """The call cannot cost anything (refused by us, provider error, listing, poll): total is 0."""


class CostSource(enum.StrEnum):
    """Where the rates came from, in falling order of trust."""

    OVERRIDE = "override"
    PROVIDER = "provider"
    """The provider reported the charge itself."""
    CATALOGUE = "catalogue"
    NONE = "none"


class Cost(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Cost of one call. ``input + output + cache_read + cache_write + other == total`` where total is known."""

    status: CostStatus
    source: CostSource = CostSource.NONE
    total: int | None = None
    """nano-USD."""
    input: int | None = None
    """Uncached input, nano-USD."""
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    other: int | None = None
    """Searches, pages, images, seconds, request fees."""
    snapshot: str | None = None
    """Id of the price book the rates came from."""
    rule: str | None = None
    """The catalogue entry and the conditions that matched."""


UNPRICED = Cost(CostStatus.UNPRICED)
NOT_BILLABLE = Cost(CostStatus.NOT_BILLABLE, CostSource.NONE, 0, 0, 0, 0, 0, 0)
INVALID_USAGE = Cost(CostStatus.INVALID_USAGE)


_DOUBT: Final = (
    CostStatus.PRICED,
    CostStatus.NOT_BILLABLE,
    CostStatus.ESTIMATED,
    CostStatus.PARTIAL,
)
"""In rising order of doubt."""


def added(costs: Sequence[Cost]) -> Cost:
    """One cost of several parts of a call; the first is the main one and gives snapshot, source and rule.

    A part whose price is not known makes the sum partial, a lower bound; with no part known there is no sum. What the
    provider says that it charges holds the other parts already.
    """
    main = costs[0]
    if main.source is CostSource.PROVIDER and main.total is not None:
        return main
    known = [cost for cost in costs if cost.total is not None]
    if not known:
        return main
    source = main.source if main.total is not None else known[0].source
    sums = [sum(values) for values in zip(*[_amounts(cost) for cost in known], strict=True)]
    status = max((cost.status for cost in known), key=_DOUBT.index)
    if len(known) < len(costs):
        status = CostStatus.PARTIAL
    rules = dict.fromkeys(cost.rule for cost in costs if cost.rule)
    total, new, made, read, written, other = sums
    rule = " + ".join(rules) or None
    return Cost(status, source, total, new, made, read, written, other, main.snapshot, rule)


def at_least(cost: Cost) -> Cost:
    """The same as a lower bound: something else was charged for that nobody counted. The provider's own charge
    holds all of it."""
    if cost.total is None or cost.source is CostSource.PROVIDER or cost.status is CostStatus.NOT_BILLABLE:
        return cost
    return msgspec.structs.replace(cost, status=CostStatus.PARTIAL)


def _amounts(cost: Cost) -> tuple[int, ...]:
    total = cost.total or 0
    parts = (cost.input or 0, cost.output or 0, cost.cache_read or 0, cost.cache_write or 0, cost.other or 0)
    return (total, *parts)


def format_usd(nano: int | None) -> str:
    """Decimal USD of a nano-USD amount, exact, without a float: ``1500`` -> ``"0.0000015"``; ``None`` -> ``""``."""
    if nano is None:
        return ""
    if 0 <= nano < NANO_PER_USD:
        return ("0." + str(nano).zfill(9)).rstrip("0").rstrip(".")
    sign = "-" if nano < 0 else ""
    whole, fraction = divmod(abs(nano), NANO_PER_USD)
    text = f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
    return sign + text
