"""Every base URL that docs/clients.md names leads to the provider it says, and a call there is read."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.providers.registry import PROVIDERS
from gateway.providers.table import ProviderTable
from gateway.settings import load
from gateway.targets import ProviderTargets
from gateway.wire.registry import WIRES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
NAMED = sorted(
    {url.rstrip("/") for url in re.findall(r"http://127\.0\.0\.1:8707/[^\s`\",)]+", TEXT)}
    - {"http://127.0.0.1:8707/PROVIDER"}
)
TARGETS = ProviderTargets(ProviderTable.build(load(None, {})), WIRES)
REST = {
    "/anthropic": "/v1/messages",
    "/anthropic/v1": "/messages",
    "/cohere": "/v2/chat",
    "/deepseek": "/chat/completions",
    "/gemini": "/v1beta/models/gemini-2.5-flash:generateContent",
    "/gemini/v1beta": "/models/gemini-2.5-flash:generateContent",
    "/groq": "/openai/v1/chat/completions",
    "/ollama": "/api/chat",
    "/perplexity": "/chat/completions",
}
"""What an SDK puts behind its base URL, where that is not ``/chat/completions`` behind the version."""


@pytest.mark.parametrize("url", NAMED)
def test_a_base_url(url: str) -> None:
    path = urlsplit(url).path
    rest = REST.get(path) or ("/chat/completions" if "/v1" in path else "/v1/chat/completions")
    target = TARGETS.resolve("POST", (path + rest).encode())
    assert target.provider.name == path.split("/")[1]
    assert target.wire is not None
    assert target.path == path.removeprefix(f"/{target.provider.name}") + rest


def test_the_providers_that_have_an_sdk_are_there() -> None:
    told = {urlsplit(url).path.split("/")[1] for url in NAMED}
    assert told <= set(PROVIDERS)
    assert told >= {"openai", "anthropic", "gemini", "mistral", "cohere", "groq", "openrouter", "huggingface"}
