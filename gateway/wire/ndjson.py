"""One JSON value per line, incrementally. Blank lines and ASCII record separators are skipped."""

from __future__ import annotations

from collections.abc import Callable

from gateway.wire.contract import Reader

_TRIM = b" \t\r\x1e"


class LineFrames:
    """Cuts a stream of bytes into lines for a reader; a line above the limit is dropped, the next is read."""

    __slots__ = ("_event", "_limit", "_reader", "_rest", "_skipping", "dropped")

    def __init__(self, reader: Reader, event: Callable[[bytes, bytes], None], limit: int) -> None:
        self._reader = reader
        self._event = event
        self._limit = limit
        self._rest = bytearray()
        self._skipping = False
        self.dropped = 0

    def feed(self, data: bytes) -> None:
        rest = self._rest
        if not rest and data.endswith(b"\n") and not self._skipping:
            self._lines(data)
            return
        start = len(rest)
        rest += data
        close = rest.rfind(b"\n", start)
        if close >= 0:
            whole = bytes(rest[:close])
            del rest[: close + 1]
            if self._skipping:
                self._skipping = False
                whole = whole.partition(b"\n")[2]
            self._lines(whole)
        if len(rest) > self._limit:
            if not self._skipping:
                self.dropped += 1
            self._skipping = True
            rest.clear()

    def end(self) -> None:
        """The stream is over: a line without its line feed counts."""
        if self._rest and not self._skipping:
            self._lines(bytes(self._rest))
        self._rest.clear()

    def _lines(self, whole: bytes) -> None:
        marks = self._reader.marks
        if marks and not any(mark in whole for mark in marks):
            return
        for line in whole.split(b"\n"):
            bare = line.strip(_TRIM)
            if bare and (not marks or any(mark in bare for mark in marks)):
                self._event(b"", bare)
