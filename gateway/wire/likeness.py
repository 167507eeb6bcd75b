"""Events of a stream that are worded differently and tell the same: nothing.

Most events of a stream differ in a few words of text alone. One of them is read; whatever has its bytes, but for what
stands inside those strings, can tell no more than it did. Which members vary and mean nothing was seen in recorded
streams: the model's wording, padding that hides its length (Anthropic pads with spaces), numbers that count events.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

Matcher = Callable[[bytes, int], "re.Match[bytes] | None"]

_STRING: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*').match
_NUMBER: Final = re.compile(rb"\d+").match
_SPACES: Final = re.compile(rb" *").match
_VARYING: Final = re.compile(
    rb'("(?:content|text|delta|value|input|arguments|partial_json|thinking|reasoning|reasoning_content|refusal|obfuscation|p)": ?")'
    rb'(?:[^"\\]|\\.)*(?=")'
    rb'|("sequence_number": ?)\d+'
    rb"|(\}) *(?=\}\n\n\Z)"
)
_MATCHERS: Final[tuple[Matcher, ...]] = (_STRING, _NUMBER, _SPACES)


class Likeness:
    """What all events have that are like one: ``begin``, then a text of any wording, then ``end`` or what is like it."""

    __slots__ = ("_gaps", "_last", "begin", "end")

    def __init__(self, event: bytes) -> None:
        gaps: list[tuple[bytes, Matcher]] = []
        at = text_end = 0
        for found in _VARYING.finditer(event):
            kind = found.lastindex or 1
            gaps.append((event[at : found.end(kind)], _MATCHERS[kind - 1]))
            at = found.end()
            text_end = text_end or at
        self._gaps = tuple(gaps)
        self._last = event[at:]
        plain = bool(gaps) and gaps[0][1] is _STRING
        self.begin = gaps[0][0] if plain else event
        """Up to the first text; the whole event where there is none in front."""
        self.end = event[text_end:] if plain else b""
        """The rest, from the quote that ends that text."""

    def holds(self, event: bytes, at: int, to: int) -> bool:
        """Is ``event[at:to]`` like it?"""
        for part, match in self._gaps:
            if not event.startswith(part, at):
                return False
            found = match(event, at + len(part))
            if found is None:
                return False
            at = found.end()
        return at + len(self._last) == to and event.startswith(self._last, at)
