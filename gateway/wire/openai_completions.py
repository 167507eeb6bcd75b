"""OpenAI legacy completions, and those who speak it (Together, Fireworks, vLLM, Writer). Edits answered alike, but for
naming no model."""

from __future__ import annotations

import msgspec

from gateway.wire.asking import read_body
from gateway.wire.contract import Kept, Wire
from gateway.wire.errors import openai_error
from gateway.wire.openai_chat import ChatReader
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape
from gateway.wire.usage_injection import inject_usage


class _Choice(msgspec.Struct):
    text: object = None


class _Words(msgspec.Struct):
    choices: list[_Choice] | None = None
    value: object = None


_WORDS = Shape(_Words)


class CompletionReader(ChatReader):
    """Chunks and documents carry the same fields as chat's; only the text sits elsewhere."""

    __slots__ = ()

    def _keep(self, kept: Kept, data: bytes) -> None:
        words = _WORDS.read(data)
        if words is None:
            return
        kept.add(words.value)
        for choice in words.choices or ():
            kept.add(choice.text)


def matches(method: str, path: str) -> bool:
    if method != "POST" or ends(path, "/chat/completions"):
        return False
    return ends(path, "/completions", "/v1/edits")  # pictures and videos have edits of their own


WIRE = Wire(
    "openai_completions", "text_completion", matches, read_body, CompletionReader, openai_error, inject_usage
)
