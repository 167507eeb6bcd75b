"""Raw request paths: taken apart unchanged, and kept from climbing out of a provider's base path."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f]")
_DOTS: Final = re.compile(r"\.\.|%2e|%25", re.IGNORECASE)
_SEPARATORS: Final = re.compile(rb"[/\\]")
_MAX_LAYERS: Final = 4


def split_target(target: bytes) -> tuple[str, str]:
    """Raw path and query of a request target; ``.encode("latin-1")`` gives the same bytes back."""
    path, _, query = target.decode("latin-1").partition("?")
    return path, query


def printable(path: str) -> bool:
    """No control character and no space, which could end a request line early."""
    return _UNSAFE.search(path) is None


def climbs(path: str) -> bool:
    """Does ``path`` leave the folder it starts in, however a server may read it?

    Percent-escapes are undone layer by layer, a backslash counts as a slash, ``;parameters`` of a segment are
    dropped and an empty segment adds no depth, since servers differ in all four. ``a/../b`` stays inside and
    is fine; ``/../a`` and ``/a/%2e%2e%2f..`` are not.
    """
    if _DOTS.search(path) is None:
        return False
    layer = path.encode("latin-1")
    for _ in range(_MAX_LAYERS):
        if _goes_below(layer):
            return True
        inner = unquote_to_bytes(layer)
        if inner == layer:
            return False
        layer = inner
    return True


def _goes_below(path: bytes) -> bool:
    depth = 0
    for segment in _SEPARATORS.split(path):
        name = segment.partition(b";")[0]
        if name == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif name not in (b"", b"."):
            depth += 1
    return False
