"""The demo provider as a context, as fast as it can be and without errors of its own accord."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from gateway.demo import provider
from gateway.demo.provider import Pace


@contextlib.asynccontextmanager
async def demo_provider(pace: Pace | None = None) -> AsyncIterator[str]:
    """Gives its base URL."""
    runner, base_url = await provider.start(pace or Pace())
    try:
        yield base_url
    finally:
        await runner.cleanup()
