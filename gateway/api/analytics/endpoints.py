"""All endpoints of the analytics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.api.analytics.anomalies import Anomalies
from gateway.api.analytics.costs import Costs
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.health import Health
from gateway.api.analytics.live import Live
from gateway.api.analytics.models import Models
from gateway.api.analytics.overview import Overview
from gateway.api.analytics.performance import Performance
from gateway.api.analytics.quality import Quality
from gateway.api.analytics.realtime import Realtime
from gateway.api.analytics.recommendations import Recommendations
from gateway.api.analytics.router import Router
from gateway.api.analytics.sessions import Sessions
from gateway.api.analytics.users import Users
from gateway.api.routes import Endpoint

RESOURCES: Final = (
    Overview,
    Costs,
    Models,
    Router,
    Users,
    Performance,
    Quality,
    Sessions,
    Realtime,
    Anomalies,
    Recommendations,
    Health,
)


def endpoints(deps: AnalyticsDeps) -> Iterator[Endpoint]:
    """What they serve."""
    for resource in RESOURCES:
        for endpoint in resource(deps).endpoints():
            yield msgspec.structs.replace(endpoint, handler=deps.aside.handler(endpoint.handler))
    if deps.feed is not None:
        yield from Live(deps, deps.feed).endpoints()
