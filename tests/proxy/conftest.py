"""Every test of the proxy runs through both fronts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from rig.core import Core, LaneKind
from rig.upstream import ScriptedUpstream


@pytest.fixture(params=list(LaneKind), ids=lambda kind: kind.value)
def lane(request: pytest.FixtureRequest) -> LaneKind:
    kind: LaneKind = request.param
    return kind


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as running:
        yield running


@pytest.fixture
async def core(upstream: ScriptedUpstream, lane: LaneKind) -> AsyncIterator[Core]:
    async with Core(upstream.base, lane) as running:
        yield running
