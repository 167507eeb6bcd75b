"""Ollama generate: as its chat, with the text in ``response``."""

from __future__ import annotations

from gateway.wire.contract import Wire
from gateway.wire.errors import plain_error
from gateway.wire.ollama_chat import OllamaReader, read_ask
from gateway.wire.paths import ends


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/api/generate")


WIRE = Wire("ollama_generate", "text_completion", matches, read_ask, OllamaReader, plain_error)
