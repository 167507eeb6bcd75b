"""What apps' routers decided, folded out of a batch: by UTC day, group, reason and confidence.

Beside the sums by hour and group, which know the policy alone: reasons and confidences in those would multiply every
row. A call is routed where its app says a policy, a reason or a confidence.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pricing.cost import CostStatus
from storage.mend import storable
from storage.rollups.dimensions import Group
from telemetry.record import CallRecord

BANDS: Final = 10
BAND_PPM: Final = 1_000_000 // BANDS
"""How wide a band of confidence is."""
ROUTE_MEASURES: Final = (
    "calls",
    "cost_nano",
    "estimated_calls",
    "estimated_nano",
    "partial_calls",
    "partial_nano",
    "unpriced_calls",
    "invalid_calls",
    "baseline_calls",
    "baseline_nano",
    "baseline_cost_nano",
    "confidence_calls",
    "confidence_ppm",
)
"""What is kept of routed calls; all but the last two are measures of :class:`storage.rollups.measures.Sums`.

``confidence_calls`` had a confidence, and ``confidence_ppm`` is the sum of those.
"""
ROUTE_PLACE: Final = {name: place for place, name in enumerate(ROUTE_MEASURES)}
RouteKey = tuple[int, Group, str | None, int | None]
"""Day since 1970 (UTC), group, reason, and band of confidence; ``None`` where the app says none."""

_DOUBT: Final = {
    CostStatus.ESTIMATED: (ROUTE_PLACE["estimated_calls"], ROUTE_PLACE["estimated_nano"]),
    CostStatus.PARTIAL: (ROUTE_PLACE["partial_calls"], ROUTE_PLACE["partial_nano"]),
    CostStatus.UNPRICED: (ROUTE_PLACE["unpriced_calls"], None),
    CostStatus.INVALID_USAGE: (ROUTE_PLACE["invalid_calls"], None),
}
_CALLS, _COST = ROUTE_PLACE["calls"], ROUTE_PLACE["cost_nano"]
_BASELINE = ROUTE_PLACE["baseline_calls"]
_CONFIDENCE = ROUTE_PLACE["confidence_calls"]


class RouteLine(msgspec.Struct, array_like=True, gc=False):
    """What routed calls of one day, group, reason and band add up to."""

    day: int
    group: Group
    reason: str | None
    band: int | None
    sums: list[int]
    """In the order of ``ROUTE_MEASURES``."""


def band_of(confidence_ppm: int) -> int:
    """From 0 to 9."""
    return min(BANDS - 1, max(0, confidence_ppm // BAND_PPM))


class Routes:
    """The routed calls of a batch."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[tuple[Any, ...], list[int]] = {}

    def add(self, record: CallRecord, day: int, alike: tuple[Any, ...]) -> None:
        """``alike``: what tells the call's group."""
        route, cost = record.route, record.cost
        confidence, total = route.confidence_ppm, cost.total
        band = None if confidence is None else band_of(confidence)
        key = (day, alike, route.reason, band)
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = [0] * len(ROUTE_MEASURES)
        sums[_CALLS] += 1
        if total:
            sums[_COST] += total
        doubt = _DOUBT.get(cost.status)
        if doubt is not None:
            sums[doubt[0]] += 1
            if doubt[1] is not None:
                sums[doubt[1]] += total or 0
        if record.baseline_nano is not None and total is not None:
            sums[_BASELINE] += 1
            sums[_BASELINE + 1] += record.baseline_nano
            sums[_BASELINE + 2] += total
        if confidence is not None:
            sums[_CONFIDENCE] += 1
            sums[_CONFIDENCE + 1] += confidence

    def __iter__(self) -> Any:
        """Key and sums, in no order."""
        return iter(self._sums.items())


def is_routed(record: CallRecord) -> bool:
    """Whether the app says anything of a decision."""
    route = record.route
    return route.policy is not None or route.reason is not None or route.confidence_ppm is not None


def cleaned(reason: str | None) -> str | None:
    """As the row has it."""
    return reason and storable(reason)
