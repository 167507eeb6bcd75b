"""Gemini ``embedContent`` and ``batchEmbedContents``. Usage is reported only by the newer models."""

from __future__ import annotations

import msgspec

from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Wire
from gateway.wire.errors import google_error
from gateway.wire.gemini_generate import GenerateReader, model_of
from gateway.wire.paths import plain


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """The model is in the path; a batch names it once more per text."""
    del query
    asked = of_body(body, model=model_of(path), stream=False)
    return msgspec.structs.replace(asked, max_tokens=None)


def matches(method: str, path: str) -> bool:
    return method == "POST" and plain(path).endswith((":embedContent", ":batchEmbedContents"))


WIRE = Wire("gemini_embed", "embeddings", matches, read_ask, GenerateReader, google_error)
