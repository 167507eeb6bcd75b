"""What OpenAI's own tools used for a response: searches, containers, and images, which another model makes.

Searches and images have counts. For a container (of a code interpreter, of a hosted shell) a fee is charged by its
session, which one response does not tell of.
"""

from __future__ import annotations

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
_GIVEN: Final = Shape(_Given)


def tool_use(items: Iterable[Item], told: msgspec.Raw, given: msgspec.Raw) -> ToolUse:
    """``items`` of the output, the ``tool_usage`` the response tells, and the ``tools`` it was given."""
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
    found = exact_object(told) or {}
    images = _images(found.get("image_gen"), given)
    if not web:  # an output may have been left out
        web = _searches(found.get("web_search"))
    return ToolUse(web, files, images, rented or (painted and images is None))


def _is_search(action: msgspec.Raw) -> bool:
    """Opening a page and finding in it are not billed as searches."""
    if bytes(action) in _NULL:
        return True
    value = anything(bytes(action))
    return not isinstance(value, Mapping) or value.get("type", "search") == "search"


def _searches(told: object) -> int:
    return Counts().take(told, "num_requests") or 0 if isinstance(told, Mapping) else 0


def _images(told: object, given: msgspec.Raw) -> Part | None:
    """``None`` also where no tool names the model: prices differ by it."""
    if not isinstance(told, Mapping):
        return None
    counts = Counts()
    usage = counts.accept(openai_usage("openai", told, counts))
    if usage is None or not (usage.input or usage.output):
        return None
    tools = _GIVEN.read(b'{"tools":%b}' % bytes(given)) if given else None
    for tool in (tools.tools if tools is not None else None) or ():
        model = text(tool.model)
        if tool.type == "image_generation" and model is not None:
            return Part(model, usage)
    return None
