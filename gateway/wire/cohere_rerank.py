"""Cohere rerank (billed in search units), and those who copied it (Together, Jina, Voyage)."""

from __future__ import annotations

from gateway.wire.asking import read_body
from gateway.wire.cohere_chat import CohereReader
from gateway.wire.contract import Wire
from gateway.wire.errors import message_error
from gateway.wire.paths import ends


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/rerank") and not ends(path, "/text/rerank")  # watsonx's


WIRE = Wire("cohere_rerank", "rerank", matches, read_body, CohereReader, message_error)
