"""What OpenAI's own tools used for a response: searches, containers, and images, which another model makes.

Searches and images have counts. For a container (of a code interpreter, of a hosted shell) a fee is charged by its
session, which one response does not tell of; and some searches cost more than their count tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gateway.wire.counts import Counts
from gateway.wire.openai_usage import openai_usage
from gateway.wire.shapes import Shape, anything, exact_object, text
from pricing.usage import Part

_NO_RAW: Final = msgspec.Raw(b"")
_NULL: Final = (b"", b"null")


class Item(msgspec.Struct):
    """Of the output of a response."""

    type: object = None
    action: msgspec.Raw = _NO_RAW
    environment: msgspec.Raw = _NO_RAW


class _Tool(msgspec.Struct):
    type: object = None
    model: object = None


class _Given(msgspec.Struct):
    tools: list[_Tool] | None = None


class ToolUse(msgspec.Struct, frozen=True):
    """What the tools used."""

    web: int = 0
    """Searches of the web."""
    files: int = 0
    """Searches of the provider's file store."""
    images: Part | None = None
    """Tokens of the model that made images; none of them are among those of the response."""
    fees_unseen: bool = False
    """Something is charged for that has no count."""


NO_TOOLS: Final = ToolUse()
_OLDER: Final = re.compile(r"gpt-4(?:o|\.1)\b")
"""Models without reasoning. The first form of the search (``web_search_preview``) costs them 2.5 times as much."""
_SMALL: Final = re.compile(r"gpt-4(?:o|\.1)-mini\b")
"""Models that are charged a fixed number of input tokens for each search."""
_GIVEN: Final = Shape(_Given)
USED: Final = re.compile(rb"[1-9]")
"""In what tells what tools used: they used something. Nearly always it tells of nothing but zeros."""


def tool_use(items: Iterable[Item], told: msgspec.Raw, given: msgspec.Raw, model: str | None) -> ToolUse:
    """``items`` of the output, the ``tool_usage`` the response tells, the ``tools`` it was given, and who answered."""
    web = files = 0
    painted = rented = False
    for item in items:
        if item.type == "web_search_call":
            web += _is_search(item.action)
        elif item.type == "file_search_call":
            files += 1
        elif item.type == "image_generation_call":
            painted = True
        elif item.type == "code_interpreter_call" or (
            item.type == "shell_call" and b"container" in bytes(item.environment)
        ):
            rented = True
    found = (exact_object(told) if USED.search(told) is not None else None) or {}
    if not web:  # an output may have been left out
        web = _searches(found.get("web_search"))
    tools = _tools(given) if web or found else []
    images = _images(found.get("image_gen"), tools)
    dearer = web > 0 and _costs_more(model or "", tools)
    return ToolUse(web, files, images, rented or dearer or (painted and images is None))


def _tools(given: msgspec.Raw) -> list[_Tool]:
    found = _GIVEN.read(b'{"tools":%b}' % bytes(given)) if given else None
    return (found.tools if found is not None else None) or []


def _costs_more(model: str, tools: Iterable[_Tool]) -> bool:
    """Does a search of this model cost more than the plain rate for one?"""
    if _OLDER.search(model) is None:
        return False
    return _SMALL.search(model) is not None or any(
        str(tool.type).startswith("web_search_preview") for tool in tools
    )


def _is_search(action: msgspec.Raw) -> bool:
    """Opening a page and finding in it are not billed as searches."""
    if bytes(action) in _NULL:
        return True
    value = anything(bytes(action))
    return not isinstance(value, Mapping) or value.get("type", "search") == "search"


def _searches(told: object) -> int:
    return Counts().take(told, "num_requests") or 0 if isinstance(told, Mapping) else 0


def _images(told: object, tools: Iterable[_Tool]) -> Part | None:
    """``None`` also where no tool names the model: prices differ by it."""
    if not isinstance(told, Mapping):
        return None
    counts = Counts()
    usage = counts.accept(openai_usage("openai", told, counts))
    if usage is None or not (usage.input or usage.output):
        return None
    for tool in tools:
        model = text(tool.model)
        if tool.type == "image_generation" and model is not None:
            return Part(model, usage)
    return None
