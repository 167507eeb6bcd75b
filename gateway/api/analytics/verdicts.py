"""Was it any good: what was said of the calls of a period, beside what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any, Final

from pydantic import BaseModel, Field

from gateway.api.analytics.asking import Asking, Query
from gateway.api.models import MoneyOut
from gateway.api.views import money
from storage.quality.summary import DAY
from storage.quality.summary import Dimension as QualityDimension
from storage.rollups.dimensions import Dimension
from telemetry.insights.wilson import interval
from telemetry.quality import (
    PPM,
    Measures,
    Share,
    acceptance,
    containment,
    cost_per_good_nano,
    csat,
    resolution,
    satisfaction,
)

BAND: Final = QualityDimension.CONFIDENCE_BAND
KNOWN: Final = {Dimension[one.name]: one for one in QualityDimension if one is not BAND}
"""Dimensions of calls that quality is cut by too."""
MOST_ROWS: Final = 100_000


class ShareOut(BaseModel):
    """A share in parts per million with its 95 % interval (Wilson); ``null`` without samples."""

    samples: int
    ppm: int | None
    low_ppm: int | None
    high_ppm: int | None


class QualityOut(BaseModel):
    """What users, judges and systems say, over the UTC days the period touches."""

    rated_calls: int = Field(description="Calls that anything was said of.")
    judged_calls: int = Field(description="Calls with a verdict, good or not.")
    good: ShareOut = Field(description="Good ones among the judged.")
    satisfaction: ShareOut = Field(description="Good ratings among those of users.")
    csat: ShareOut = Field(description="Four and five stars among ratings in stars.")
    acceptance: ShareOut
    resolution: ShareOut
    containment: ShareOut
    cost_per_good_answer: MoneyOut = Field(description="Of the judged calls whose cost is known.")
    cost: MoneyOut = Field(description="What the judged calls cost.")
    cost_samples: int = Field(description="Judged calls whose cost is known; the others are in no cost here.")
    estimated_cost: MoneyOut = Field(description="How much of that is estimated, or a lower bound.")
    value: MoneyOut = Field(description="What conversions were worth.")


def share_out(share: Share) -> ShareOut:
    """A share and how sure it is."""
    if share.whole == 0:
        return ShareOut(samples=0, ppm=None, low_ppm=None, high_ppm=None)
    around = interval(share.part, share.whole)
    return ShareOut(
        samples=share.whole,
        ppm=share.ppm,
        low_ppm=round(around.low * PPM),
        high_ppm=round(around.high * PPM),
    )


def quality_out(of: Measures) -> QualityOut:
    """Sums as the API shows them."""
    return QualityOut(**quality_fields(of))


def quality_fields(of: Measures) -> dict[str, Any]:
    """The fields of :class:`QualityOut`."""
    return {
        "rated_calls": of.calls,
        "judged_calls": of.judged,
        "good": share_out(Share(of.good, of.judged)),
        "satisfaction": share_out(satisfaction(of)),
        "csat": share_out(csat(of)),
        "acceptance": share_out(acceptance(of)),
        "resolution": share_out(resolution(of)),
        "containment": share_out(containment(of)),
        "cost_per_good_answer": money(cost_per_good_nano(of)),
        "cost": money(of.cost_nano),
        "cost_samples": of.priced,
        "estimated_cost": money(of.estimated_nano),
        "value": money(of.value_nano),
    }


async def quality_by(
    asking: Asking[Query],
    group_by: Sequence[Dimension | QualityDimension],
    days: tuple[date, date] | None = None,
    *,
    by_day: bool = False,
) -> Mapping[tuple[str | None, ...], Measures] | None:
    """Sums by group; ``None`` where a filter or a group is by something quality knows nothing of.

    Of the UTC days the period touches, or of others; ``by_day``: the day, as ISO text, comes first in the key. Raises :class:`storage.store.StoreUnavailable`.
    """
    scope, filters = dict(asking.viewer.scope), dict(asking.where)
    users = filters.pop(Dimension.USER, None)
    if users is not None:
        if len(users) != 1 or users[0] is None or scope.get("user_id", users[0]) != users[0]:
            return None
        scope["user_id"] = users[0]
    keys = [KNOWN.get(name) if isinstance(name, Dimension) else name for name in group_by]
    known = [name for name in keys if name is not None]
    if len(known) < len(keys) or not set(filters) <= set(KNOWN):
        return None
    since, until = utc_days(asking) if days is None else days
    rows = await asking.deps.quality.summary(
        {KNOWN[dimension]: values for dimension, values in filters.items()},
        [DAY, *known] if by_day else known,
        since,
        until,
        scope,
        MOST_ROWS,
    )
    return {row.key: row.measures for row in rows}


def utc_days(asking: Asking[Query]) -> tuple[date, date]:
    """The first UTC day the period touches, and the first it does not any more."""
    last = asking.window.until.astimezone(UTC) - timedelta(microseconds=1)
    return asking.window.since.astimezone(UTC).date(), last.date() + timedelta(days=1)


async def quality_of(asking: Asking[Query]) -> QualityOut | None:
    """All calls of the request together; ``None`` as above."""
    found = await quality_by(asking, ())
    return None if found is None else quality_out(found.get((), Measures()))
