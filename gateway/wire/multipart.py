"""Small fields of a ``multipart/form-data`` body, found without touching its files.

The boundary is taken from the body's own first line, so no header is needed.
"""

from __future__ import annotations

MOST_PARTS = 64
MOST_VALUE = 1024


def fields(body: bytes, names: frozenset[str]) -> dict[str, str]:
    """Text values of the parts among ``names``; parts of a body that breaks off are found as far as it goes."""
    found: dict[str, str] = {}
    if not body.startswith(b"--"):
        return found
    end = body.find(b"\r\n", 0, 256)
    if end < 0:
        return found
    boundary = b"\r\n" + body[:end]
    at = end
    for _ in range(MOST_PARTS):
        start = body.find(b"\r\n\r\n", at, at + 4096)
        if start < 0:
            break
        name = _name(body[at:start])
        close = body.find(boundary, start + 2)
        if name in names and close >= 0 and close - start - 4 <= MOST_VALUE:
            found[name] = body[start + 4 : close].decode("utf-8", "replace")
        if close < 0:
            break
        at = close + len(boundary)
    return found


def is_multipart(body: bytes) -> bool:
    return body.startswith(b"--") and b"content-disposition" in body[:512].lower()


def _name(head: bytes) -> str:
    """The ``name`` of a part's ``Content-Disposition``."""
    for line in head.split(b"\r\n"):
        if line[:20].lower() == b"content-disposition:":
            for parameter in line.split(b";")[1:]:
                key, _, value = parameter.strip().partition(b"=")
                if key.lower() == b"name":
                    return value.strip(b'"').decode("utf-8", "replace")
    return ""
