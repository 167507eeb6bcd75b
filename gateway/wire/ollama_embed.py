"""Ollama embed (reports its prompt tokens) and the older embeddings (reports nothing)."""

from __future__ import annotations

from gateway.wire.asking import read_body
from gateway.wire.contract import Wire
from gateway.wire.errors import plain_error
from gateway.wire.ollama_chat import OllamaReader
from gateway.wire.paths import ends


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/api/embed", "/api/embeddings")


WIRE = Wire("ollama_embed", "embeddings", matches, read_body, OllamaReader, plain_error)
