"""Server-sent events, incrementally.

Ends of line may be LF, CRLF or CR. Comments and fields other than ``event`` and ``data`` are skipped, several
``data`` lines are joined by LF, a byte-order mark at the start is dropped, and at the end of the stream an
event that no blank line closed is still delivered. Of an event above the limit only both ends are read, as of a large
body: what it used stands at one of them.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.wire.contract import Reader
from gateway.wire.document import HEAD, TAIL, excerpt

BOM = b"\xef\xbb\xbf"


class SseFrames:
    """Cuts a stream of bytes into events for a reader; ``event`` is called for those that may matter."""

    __slots__ = (
        "_after_cr",
        "_event",
        "_head",
        "_limit",
        "_reader",
        "_rest",
        "_skipping",
        "_started",
        "_tail",
        "at_end",
        "dropped",
        "told_nothing",
    )

    def __init__(self, reader: Reader, event: Callable[[bytes, bytes], None], limit: int) -> None:
        self._reader = reader
        self._event = event
        self._limit = limit
        self._tail = min(TAIL, limit)
        self._rest = bytearray()
        self.at_end = True
        """Nothing pending and only LF so far: a piece that ends with a blank line stands for itself."""
        self.told_nothing = False
        """The last piece did, and no event in it matters to the reader."""
        self._started = False
        self._after_cr = False
        self._skipping = False
        self._head = b""
        """Beginning of an event that is above the limit."""
        self.dropped = 0

    def feed(self, data: bytes) -> None:
        self.told_nothing = False
        if self.at_end and data.endswith(b"\n\n"):
            marks = self._reader.marks
            if marks:
                find = data.rfind  # `in` raises and swallows a TypeError before it looks for bytes
                for mark in marks:
                    if find(mark) >= 0:
                        break
                else:
                    self.told_nothing = True
                    return
            if self._started and b"\r" not in data:
                for block in data.split(b"\n\n"):
                    if block:
                        self._block(block)
                return
        self._careful(data)

    def end(self) -> None:
        """The stream is over: an event without its blank line counts."""
        if self._skipping:
            self._both_ends(bytes(self._rest))
        elif self._rest:
            block = bytes(self._rest).strip(b"\n")
            if block:
                self._block(block)
        self._rest.clear()

    def _careful(self, data: bytes) -> None:
        rest = self._rest
        if not data:
            return
        if b"\r" in data or self._after_cr:
            after_cr = data.endswith(b"\r")
            if self._after_cr and data.startswith(b"\n"):
                data = data[1:]
            self._after_cr = after_cr
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        start = max(0, len(rest) - 1)
        rest += data
        if not self._started:
            if BOM.startswith(rest[:3]) and len(rest) < len(BOM):
                return
            if rest.startswith(BOM):
                del rest[: len(BOM)]
            self._started = True
        close = rest.rfind(b"\n\n", start)
        if close >= 0:
            whole = bytes(rest[:close])
            del rest[: close + 2]
            blocks = whole.split(b"\n\n")
            if self._skipping:
                self._skipping = False
                self._both_ends(blocks.pop(0))
            for block in blocks:
                if block:
                    self._block(block)
        if self._skipping:
            del rest[: -self._tail]
        elif len(rest) > self._limit:
            self.dropped += 1
            self._skipping = True
            self._head = bytes(rest[:HEAD])
            del rest[: -self._tail]
        self.at_end = not rest and not self._after_cr and not self._skipping

    def _both_ends(self, tail: bytes) -> None:
        """What can be told of an event that was above the limit."""
        name, _, data = self._head.partition(b"data:")
        tail = tail.rstrip(b"\n")
        read = excerpt(data.lstrip(), tail) if tail.endswith(b"}") else b""
        if read:
            self._event(name.partition(b"event:")[2].strip(), read)

    def _block(self, block: bytes) -> None:
        for mark in self._reader.marks:
            if block.rfind(mark) >= 0:
                break
        else:
            if self._reader.marks:
                return
        if b"\n" not in block and block.startswith(b"data:"):
            self._event(b"", block[6:] if block.startswith(b"data: ") else block[5:])
            return
        name = b""
        data: list[bytes] = []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            if value.startswith(b" "):
                value = value[1:]
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value
        if data:
            self._event(name, data[0] if len(data) == 1 else b"\n".join(data))
