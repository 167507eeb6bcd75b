"""A JSON array whose elements are events (Gemini streams without ``alt=sse``), incrementally.

Elements are found by counting brackets outside strings, so each is delivered as soon as its last byte is there. Of one
above the limit only both ends are read, as of a large body. A body that is no array (an error object) is delivered whole
as a document at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.wire.document import HEAD, TAIL, excerpt

_SPACE = b" \t\r\n"
_BETWEEN = b", \t\r\n"
BOM = b"\xef\xbb\xbf"
_OUTSIDE = re.compile(rb'["{}\[\]]')
_INSIDE = re.compile(rb'["\\]')


class ArrayFrames:
    """Cuts a JSON array into elements for a reader."""

    __slots__ = (
        "_at",
        "_depth",
        "_document",
        "_escaped",
        "_event",
        "_head",
        "_limit",
        "_quoted",
        "_rest",
        "dropped",
    )

    def __init__(
        self,
        event: Callable[[bytes, bytes], None],
        document: Callable[[bytes], None],
        limit: int,
    ) -> None:
        self._event = event
        self._document = document
        self._limit = limit
        self._rest = bytearray()
        self._at = 0
        self._depth = 0
        """0: before the array; 1: between elements; -1: not an array; -2: after it."""
        self._quoted = False
        self._escaped = False
        self._head = b""
        """Beginning of an element that is above the limit."""
        self.dropped = 0

    def feed(self, data: bytes) -> None:
        if self._depth == -2:
            return
        self._rest += data
        if self._depth == 0:
            head = self._rest.lstrip(_SPACE)
            if BOM.startswith(head[:3]):
                if len(head) < len(BOM):
                    self._rest = head
                    return
                head = head[len(BOM) :].lstrip(_SPACE)
            self._rest = head
            if not head:
                return
            if head[0] != 0x5B:
                self._depth = -1
            else:
                del self._rest[0]
                self._depth = 1
        if self._depth > 0:
            self._scan()
        if self._depth < 0 and len(self._rest) > self._limit:
            self.dropped += 1
            self._rest.clear()
            self._depth = -2
        elif self._head or len(self._rest) > self._limit:
            self._keep_both_ends()

    def end(self) -> None:
        if self._depth == -1 and self._rest:
            self._document(bytes(self._rest))
        self._rest.clear()

    def _keep_both_ends(self) -> None:
        if not self._head:
            self.dropped += 1
            self._head = bytes(self._rest[:HEAD]).lstrip(_BETWEEN)
        del self._rest[: -min(TAIL, self._limit)]
        self._at = len(self._rest)  # all of it was looked at

    def _scan(self) -> None:
        rest = self._rest
        at = self._at
        while True:
            if self._escaped:
                if at >= len(rest):
                    break
                at += 1
                self._escaped = False
            found = (_INSIDE if self._quoted else _OUTSIDE).search(rest, at)
            if found is None:
                at = len(rest)
                break
            at = found.end()
            byte = rest[at - 1]
            if byte == 0x22:
                self._quoted = not self._quoted
            elif byte == 0x5C:
                self._escaped = True
            elif byte in b"{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    self._depth = -2
                    rest.clear()
                    return
                if self._depth == 1:
                    element = bytes(rest[:at]).lstrip(_BETWEEN)
                    del rest[:at]
                    at = 0
                    if self._head:
                        element, self._head = excerpt(self._head, element), b""
                    self._event(b"", element)
        self._at = at
