"""Top-level fields of a JSON object of which only a part is at hand.

Used where a whole decode is impossible: a request of which only the beginning was held, or a body with a
mistake in it, or an answer too large to keep.
"""

from __future__ import annotations

import re

from gateway.wire.shapes import anything

MOST = 262_144
"""Bytes of a prefix that are looked at."""
_TOKEN = re.compile(
    # Nothing is given back once it is matched: each byte is looked at once, whatever the text.
    rb'"(?:[^"\\]++|\\.)*+(?P<closed>")?|[{}\[\]:,]|[^\s"{}\[\]:,]++',
    re.DOTALL,
)


def scalars(prefix: bytes, names: frozenset[bytes]) -> dict[bytes, object]:
    """Text, number, boolean and null members of the outermost object among ``names``, as far as they go.

    Reading ends where the prefix ends or stops making sense; what was found until then counts.
    """
    found: dict[bytes, object] = {}
    depth = 0
    key: bytes | None = None
    after_colon = False
    window = prefix[:MOST]
    for match in _TOKEN.finditer(window):
        token = match.group()
        first = token[0]
        if first == 0x22 and match["closed"] is None:  # a text that is cut off: there is nothing behind it
            break
        if first in b"{[":
            depth += 1
            if depth == 1 and first != 0x7B:
                break
            after_colon = False
        elif first in b"}]":
            depth -= 1
            if depth <= 0:
                break
        elif depth != 1:
            if depth == 0:
                break
        elif first == 0x3A:
            after_colon = key is not None
        elif first == 0x2C:
            key, after_colon = None, False
        elif after_colon:
            if key in names and key is not None and (first == 0x22 or match.end() < len(window)):
                found[key] = anything(token)
                if len(found) == len(names):
                    break
            key, after_colon = None, False
        else:
            key = token[1:-1] if first == 0x22 else None
    return found


def tail_object(tail: bytes, names: tuple[bytes, ...], opening: bytes = b"{") -> dict[str, object]:
    """The last members of an object whose beginning is missing, from the first of ``names`` that is really one
    of its own (outermost) members; empty where none is. ``opening``: what stood before them."""
    for name in names:
        needle = b'"' + name + b'"'
        at = tail.rfind(needle)
        for _ in range(8):
            if at < 0:
                break
            value = anything(opening + tail[at:])
            if isinstance(value, dict):
                return value
            at = tail.rfind(needle, 0, at)
    return {}
