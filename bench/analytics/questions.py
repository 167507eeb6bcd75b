"""What people ask: each of these is one panel of a dashboard or one request of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from bench.analytics.traffic import END
from storage.rollups.dimensions import Dimension
from storage.rollups.measures import USER_MEASURES
from storage.rollups.question import Bucket, HistogramName, Question

MONTH: Final = END.replace(hour=0, minute=0) - timedelta(days=29)
"""Thirty days with today."""
_EVERY: Final = tuple(HistogramName)
TEAM, MODEL, FEATURE, USER = Dimension.TEAM, Dimension.MODEL, Dimension.FEATURE, Dimension.USER

TOTALS: Final = {
    "30 days": Question(since=MONTH),
    "30 days by day": Question(since=MONTH, bucket=Bucket.DAY),
    "30 days by day, Berlin": Question(
        since=MONTH - timedelta(hours=1), bucket=Bucket.DAY, zone="Europe/Berlin"
    ),
    "30 days by day, Kolkata": Question(
        since=MONTH - timedelta(hours=5, minutes=30), bucket=Bucket.DAY, zone="Asia/Kolkata"
    ),
    "30 days by hour": Question(since=MONTH, bucket=Bucket.HOUR),
    "30 days from now, to the minute": Question(since=END - timedelta(days=30), until=END),
    "by team": Question(since=MONTH, group_by=(TEAM,)),
    "by team and model": Question(since=MONTH, group_by=(TEAM, MODEL)),
    "by team and day": Question(since=MONTH, group_by=(TEAM,), bucket=Bucket.DAY),
    "by team and day, Berlin": Question(
        since=MONTH - timedelta(hours=1), group_by=(TEAM,), bucket=Bucket.DAY, zone="Europe/Berlin"
    ),
    "one tenant by team and model": Question(
        since=MONTH, group_by=(TEAM, MODEL), scope={"tenant_id": "tenant-1"}
    ),
    "percentiles by feature and model": Question(since=MONTH, group_by=(FEATURE, MODEL), histograms=_EVERY),
    "percentiles by model and day": Question(
        since=MONTH, group_by=(MODEL,), bucket=Bucket.DAY, histograms=_EVERY
    ),
    "percentiles by day, Berlin": Question(
        since=MONTH - timedelta(hours=1), bucket=Bucket.DAY, zone="Europe/Berlin", histograms=_EVERY
    ),
    "percentiles by model and hour, 2 days": Question(
        since=END - timedelta(days=2), group_by=(MODEL,), bucket=Bucket.HOUR, histograms=_EVERY
    ),
    "by user": Question(since=MONTH, group_by=(USER,), measures=USER_MEASURES),
    "one user by day": Question(
        since=MONTH, where={USER: ("user-7",)}, bucket=Bucket.DAY, measures=USER_MEASURES
    ),
}
PEOPLE: Final = {
    "users and sessions by team": Question(since=MONTH, group_by=(TEAM,)),
    "users and sessions by day": Question(since=MONTH, bucket=Bucket.DAY),
}
