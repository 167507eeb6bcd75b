"""Reads the messages in one direction of a WebSocket (RFC 6455), from bytes as they pass.

Only looks on: bytes are fed as they come and messages come out, unmasked and put together from their fragments;
binary ones too, as some providers send their JSON that way. What is larger than the limit is skipped, and so are
compressed messages (the gateway asks for none).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

CLOSE: Final = 8
_CONTINUED: Final = 0
_CONTROL: Final = 8
_COMPRESSED: Final = 0x40


class Messages:
    """One direction."""

    __slots__ = (
        "_limit",
        "_message",
        "_pending",
        "_skip",
        "_skipping",
        "close_code",
        "closed",
        "dropped",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._message: bytearray | None = None
        """Fragments of the message under way; ``None``: none, or one that is skipped."""
        self._skip = 0
        """Payload bytes still to be passed over."""
        self._skipping = False
        self.closed = False
        """A close frame came."""
        self.close_code: int | None = None
        self.dropped = 0
        """Messages too large to be read."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that end within ``data``."""
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        self._pending += data
        while (frame := self._frame()) is not None:
            opcode, final, compressed, payload = frame
            if opcode >= _CONTROL:
                if opcode == CLOSE:
                    self.closed = True
                    self.close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
                continue
            message = self._collect(opcode, final, compressed, payload)
            if message is not None:
                yield message

    def _frame(self) -> tuple[int, bool, bool, bytes] | None:
        """The next whole frame; of one that is too large the payload is skipped, and none is given."""
        while True:
            head = self._pending
            if len(head) < 2:
                return None
            masked, size, at = head[1] & 0x80, head[1] & 0x7F, 2
            if size > 125:
                wide = 2 if size == 126 else 8
                if len(head) < 2 + wide:
                    return None
                size, at = int.from_bytes(head[2 : 2 + wide], "big"), 2 + wide
            mask_at, at = at, at + (4 if masked else 0)
            if size > self._limit:
                self._pass_over(head[0], at + size)
                continue
            if len(head) < at + size:
                return None
            payload = bytes(head[at : at + size])
            if masked:
                payload = unmasked(payload, bytes(head[mask_at : mask_at + 4]))
            first = head[0]
            del self._pending[: at + size]
            return first & 0x0F, bool(first & 0x80), bool(first & _COMPRESSED), payload

    def _pass_over(self, first: int, size: int) -> None:
        self.dropped += 1
        self._message = None
        self._skipping = not first & 0x80
        here = min(size, len(self._pending))
        del self._pending[:here]
        self._skip = size - here

    def _collect(self, opcode: int, final: bool, compressed: bool, payload: bytes) -> bytes | None:
        if opcode != _CONTINUED:
            self._skipping = compressed
            self._message = None if compressed else bytearray()
        message = self._message
        if message is None or self._skipping:
            self._skipping = self._skipping and not final
            return None
        message += payload
        if len(message) > self._limit:
            self.dropped += 1
            self._message, self._skipping = None, not final
            return None
        if not final:
            return None
        self._message = None
        return bytes(message)


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """The payload under its mask."""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
