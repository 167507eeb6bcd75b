"""Cohere embed."""

from __future__ import annotations

from gateway.wire.asking import read_body
from gateway.wire.cohere_chat import CohereReader
from gateway.wire.contract import Wire
from gateway.wire.errors import message_error
from gateway.wire.paths import ends


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/v1/embed", "/v2/embed")


WIRE = Wire("cohere_embed", "embeddings", matches, read_body, CohereReader, message_error)
