"""All endpoints of the analytics."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.api.analytics.costs import Costs
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.models import Models
from gateway.api.analytics.performance import Performance
from gateway.api.analytics.users import Users
from gateway.api.routes import Endpoint


def endpoints(deps: AnalyticsDeps) -> Iterator[Endpoint]:
    """What they serve."""
    for resource in (Costs, Models, Performance, Users):
        yield from resource(deps).endpoints()
