"""One whole body, kept up to a cap.

Beyond the cap only the beginning and the end are kept, and from those an object of the outermost fields that
can be told is put together: usage is nearly always the first or last thing in a large answer.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.wire.prefix import scalars, tail_object

HEAD = 16_384
TAIL = 65_536
_IDENTITY = frozenset(b"id type name model modelVersion responseId object status response_id".split())
_LAST = (b"tool_usage", b"usage", b"usageMetadata", b"usage_info", b"meta", b"model")
"""What tools used stands before all the others."""


class DocumentFrames:
    """Collects one body and hands it over at the end."""

    __slots__ = ("_document", "_head", "_limit", "_parts", "_size", "_tail", "dropped")

    def __init__(self, document: Callable[[bytes], None], limit: int) -> None:
        self._document = document
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""
        self._tail: bytearray | None = None
        self.dropped = 0

    def feed(self, data: bytes) -> None:
        tail = self._tail
        if tail is not None:
            tail += data
            if len(tail) > 4 * TAIL:
                del tail[:-TAIL]
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._limit:
            whole = b"".join(self._parts)
            self._parts.clear()
            self._head = whole[:HEAD]
            self._tail = bytearray(whole[-TAIL:])
            self.dropped += 1

    def end(self) -> None:
        if self._tail is None:
            parts = self._parts
            body = parts[0] if len(parts) == 1 else b"".join(parts)
        else:
            body = excerpt(self._head, bytes(self._tail[-TAIL:]))
        self._parts = []
        self._tail = None
        if body:
            self._document(body)


def excerpt(head: bytes, tail: bytes) -> bytes:
    """A JSON object of the outermost fields that the two ends of a large body tell, or of those of the response it
    holds; empty where they tell none."""
    found: dict[str, object] = {
        name.decode("ascii"): value for name, value in scalars(head, _IDENTITY).items() if value is not None
    }
    found.update(tail_object(tail, _LAST) or tail_object(tail, _LAST, b'{"response":{'))
    return msgspec.json.encode(found) if found else b""
