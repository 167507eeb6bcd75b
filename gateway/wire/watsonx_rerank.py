"""IBM watsonx rerank: as its embeddings, billed in tokens."""

from __future__ import annotations

from gateway.wire.contract import Wire
from gateway.wire.errors import watsonx_error
from gateway.wire.paths import ends
from gateway.wire.watsonx import WatsonxReader, read_ask


def matches(method: str, path: str) -> bool:
    return method == "POST" and "/ml/" in path and ends(path, "/text/rerank")


WIRE = Wire("watsonx_rerank", "rerank", matches, read_ask, WatsonxReader, watsonx_error)
