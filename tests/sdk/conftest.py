"""Base URLs for the SDKs: the demo provider itself, and the gateway in front of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from rig.background import background
from rig.demo import demo_provider
from rig.gateway import gateway


class Bases(msgspec.Struct, frozen=True):
    """What an app sets as base URL in its SDK."""

    openai: str
    anthropic: str
    gemini: str
    gateway: str | None


@pytest.fixture(scope="session", params=["direct", "gateway"])
def bases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bases]:
    """The demo provider without and with the gateway in between: the SDKs must not notice a difference."""
    with background() as servers:
        provider = servers.enter(demo_provider())
        if request.param == "direct":
            yield Bases(f"{provider}/v1", provider, provider, None)
            return
        running = servers.enter(gateway(tmp_path_factory.mktemp("gateway"), provider))
        url = running.url
        yield Bases(f"{url}/openai/v1", f"{url}/anthropic", f"{url}/gemini", url)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bases]:
    """A gateway of its own, whose records are looked at."""
    with background() as servers:
        provider = servers.enter(demo_provider())
        url = servers.enter(gateway(tmp_path_factory.mktemp("recording"), provider)).url
        yield Bases(f"{url}/openai/v1", f"{url}/anthropic", f"{url}/gemini", url)
