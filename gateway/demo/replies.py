"""What the demo provider answers, before any wire shapes it: text or a tool call, and its tokens."""

from __future__ import annotations

import json
import random
import re
import zlib
from typing import Any

import msgspec

from gateway.demo.texts import REPLIES

CHARACTERS_PER_TOKEN = 4
CACHE_FROM = 1024
"""Prompt tokens from which a prefix is reported as read from the cache, in steps of ``CACHE_STEP``."""
CACHE_STEP = 128
_THINKERS = re.compile(r"^(o\d|gpt-5|gemini-2\.5|gemini-3|claude-.*-[45]\b)")
_PIECE = re.compile(r"\S+\s*\S*\s*")


class Tool(msgspec.Struct, frozen=True):
    """A function the app offers."""

    name: str
    schema: dict[str, Any]


class Prompt(msgspec.Struct, frozen=True):
    """What a request asks, whatever its wire."""

    model: str
    text: str
    stream: bool = False
    max_tokens: int | None = None
    tool: Tool | None = None
    """Set when the model is to call it: a tool is offered and the last turn is not a tool's result."""
    include_usage: bool = False


class Reply(msgspec.Struct, frozen=True):
    """What is answered. Counts are additive: ``cached`` is in ``input``, ``reasoning`` in ``output``."""

    model: str
    id: str
    pieces: tuple[str, ...]
    """The text as a stream sends it."""
    input: int
    output: int
    cached: int
    reasoning: int
    cut: bool
    """The limit on output tokens was reached."""
    tool: Tool | None = None
    arguments: str = ""
    """JSON of the tool call."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def count_tokens(text: str) -> int:
    """A rough count; the demo only needs to be steady."""
    return max(1, len(text) // CHARACTERS_PER_TOKEN)


def answer(prompt: Prompt) -> Reply:
    """The same prompt gets the same answer."""
    chance = random.Random(zlib.crc32(f"{prompt.model}\n{prompt.text}".encode()))
    tokens_in = count_tokens(prompt.text)
    cached = tokens_in // CACHE_STEP * CACHE_STEP if tokens_in >= CACHE_FROM and chance.random() < 0.8 else 0
    reasoning = chance.randrange(8, 64) if _THINKERS.match(prompt.model) else 0
    arguments = ""
    pieces: tuple[str, ...] = ()
    if prompt.tool is not None:
        arguments = json.dumps(_fill(prompt.tool.schema))
    else:
        pieces = tuple(_PIECE.findall(chance.choice(REPLIES)))
    visible = count_tokens("".join(pieces) or arguments)
    cut = prompt.max_tokens is not None and visible > prompt.max_tokens
    if cut and prompt.max_tokens is not None:
        pieces = _shorten(pieces, prompt.max_tokens)
        visible, reasoning = prompt.max_tokens, 0
    return Reply(
        model=_dated(prompt.model),
        id=f"{chance.getrandbits(64):016x}",
        pieces=pieces,
        input=tokens_in,
        output=visible + reasoning,
        cached=cached,
        reasoning=reasoning,
        cut=cut,
        tool=prompt.tool,
        arguments=arguments,
    )


def _shorten(pieces: tuple[str, ...], tokens: int) -> tuple[str, ...]:
    kept: list[str] = []
    for piece in pieces:
        if count_tokens("".join([*kept, piece])) > tokens:
            break
        kept.append(piece)
    return tuple(kept)


_DATED = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-5.5": "gpt-5.5-2026-04-23",
    "gpt-5.4-mini": "gpt-5.4-mini-2026-03-17",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
}


def _dated(model: str) -> str:
    """Providers answer with the dated name of the model that was asked for."""
    return _DATED.get(model, model)


def _fill(schema: dict[str, Any]) -> Any:
    """A value that fits a JSON schema of the plain kind."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = str(schema.get("type", "object")).lower()
    if kind == "object":
        wanted = schema.get("required") or list(schema.get("properties", {}))
        return {name: _fill(part) for name, part in schema.get("properties", {}).items() if name in wanted}
    if kind == "array":
        return [_fill(schema.get("items", {"type": "string"}))]
    plain: dict[str, Any] = {"integer": 7, "number": 38.4, "boolean": True, "null": None}
    return plain.get(kind, "gate 2")
