"""Questions wires ask about a path. Paths are as sent: escapes kept, double slashes possible."""

from __future__ import annotations

import re
from urllib.parse import unquote

_SLASHES = re.compile(r"/{2,}")


def plain(path: str) -> str:
    """Without double and trailing slashes; escapes stay."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def ends(path: str, *suffixes: str) -> bool:
    return plain(path).endswith(suffixes)


def after(path: str, marker: str) -> str | None:
    """The unescaped segment behind ``marker``: ``("/model/a%3A0/invoke", "/model/")`` -> ``a:0``. A colon in
    the segment belongs to it; ``None`` where there is none."""
    _, found, rest = plain(path).partition(marker)
    segment = rest.partition("/")[0]
    return unquote(segment)[:512] if found and segment else None
