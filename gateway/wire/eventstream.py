"""Amazon event stream (``application/vnd.amazon.eventstream``), incrementally.

A message is: total length, header length, CRC of those eight bytes, headers, payload, CRC of all before it
(each number 4 bytes, big-endian; CRC-32 as in gzip). A message whose CRC is wrong is dropped; a prelude whose
CRC is wrong ends the reading, because the next message cannot be found.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

EXCEPTION = b"exception/"
"""Begins the event name of exceptions and errors, followed by their type."""
_PRELUDE = struct.Struct(">III")
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_STRING = 7
_BYTES = 6


class EventStreamFrames:
    """Cuts a stream of bytes into messages; the event's name is the message's ``:event-type``."""

    __slots__ = ("_broken", "_event", "_limit", "_rest", "_skip", "dropped")

    def __init__(self, event: Callable[[bytes, bytes], None], limit: int) -> None:
        self._event = event
        self._limit = limit
        self._rest = bytearray()
        self._skip = 0
        self._broken = False
        self.dropped = 0

    def feed(self, data: bytes) -> None:
        if self._broken:
            return
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        rest = self._rest
        rest += data
        at = 0
        while len(rest) - at >= _PRELUDE.size:
            total, header_size, crc = _PRELUDE.unpack_from(rest, at)
            if zlib.crc32(memoryview(rest)[at : at + 8]) != crc or total < header_size + 16:
                self._broken = True
                self.dropped += 1
                rest.clear()
                return
            if total > self._limit:
                self.dropped += 1
                self._skip = max(0, total - (len(rest) - at))
                at = min(len(rest), at + total)
                continue
            if len(rest) - at < total:
                break
            self._message(bytes(rest[at : at + total]), header_size)
            at += total
        del rest[:at]

    def end(self) -> None:
        """An unfinished message is no message."""
        self._rest.clear()

    def _message(self, message: bytes, header_size: int) -> None:
        if zlib.crc32(memoryview(message)[:-4]) != int.from_bytes(message[-4:], "big"):
            self.dropped += 1
            return
        headers = _headers(message[12 : 12 + header_size])
        name = headers.get(b":event-type", b"")
        if headers.get(b":message-type", b"event") != b"event":
            name = EXCEPTION + (headers.get(b":exception-type") or headers.get(b":error-code") or b"error")
        self._event(name, message[12 + header_size : -4])


def _headers(block: bytes) -> dict[bytes, bytes]:
    """The text headers of a message; what cannot be read ends the list."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(block):
        end = at + 1 + block[at]
        name = block[at + 1 : end]
        if end >= len(block):
            break
        kind = block[end]
        end += 1
        if kind in (_STRING, _BYTES):
            size = int.from_bytes(block[end : end + 2], "big")
            if kind == _STRING:
                found[name] = block[end + 2 : end + 2 + size]
            end += 2 + size
        elif kind in _SIZES:
            end += _SIZES[kind]
        else:
            break
        at = end
    return found
