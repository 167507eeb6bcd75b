"""OpenAI embeddings, and those who speak it."""

from __future__ import annotations

from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Reader, Wire
from gateway.wire.errors import openai_error
from gateway.wire.openai_chat import ChatReader
from gateway.wire.paths import ends


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/embeddings") and not ends(path, "/api/embeddings")


def reader(call: Exchanged) -> Reader:
    return ChatReader(call)


WIRE = Wire("openai_embeddings", "embeddings", matches, read_body, reader, openai_error)
