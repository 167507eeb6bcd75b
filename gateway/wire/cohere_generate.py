"""Cohere generate and summarize (retired, still in use)."""

from __future__ import annotations

from gateway.wire.asking import read_body
from gateway.wire.cohere_chat import CohereReader
from gateway.wire.contract import Wire
from gateway.wire.errors import message_error
from gateway.wire.paths import ends


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/v1/generate", "/v1/summarize")


WIRE = Wire("cohere_generate", "text_completion", matches, read_body, CohereReader, message_error)
