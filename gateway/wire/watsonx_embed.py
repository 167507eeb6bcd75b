"""IBM watsonx embeddings: as its text generation, the input told beside the results."""

from __future__ import annotations

from gateway.wire.contract import Wire
from gateway.wire.errors import watsonx_error
from gateway.wire.paths import ends
from gateway.wire.watsonx import WatsonxReader, read_ask


def matches(method: str, path: str) -> bool:
    return method == "POST" and "/ml/" in path and ends(path, "/text/embeddings")


WIRE = Wire("watsonx_embed", "embeddings", matches, read_ask, WatsonxReader, watsonx_error)
