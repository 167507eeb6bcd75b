"""Base URLs for the SDKs: the demo provider itself, and the gateway in front of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from rig.background import background
from rig.demo import demo_provider


class Bases(msgspec.Struct, frozen=True):
    """What an app sets as base URL in its SDK."""

    openai: str
    anthropic: str
    gemini: str


@pytest.fixture(scope="session", params=["direct"])
def bases(request: pytest.FixtureRequest) -> Iterator[Bases]:
    """The demo provider without and with the gateway in between: the SDKs must not notice a difference."""
    with background() as servers:
        provider = servers.enter(demo_provider())
        yield Bases(openai=f"{provider}/v1", anthropic=provider, gemini=provider)
