"""The reader most wires need: pieces of an answer are read one like the other, and counted at the end.

A wire derives from it and says how a piece is taken (``take``) and how the counts become ``Usage`` (``usage``).
"""

from __future__ import annotations

from gateway.wire.contract import Exchanged, Kept, Reading
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code
from gateway.wire.seen import Seen
from pricing.usage import Usage


class AnswerReader:
    """Reads documents and events alike; an answer of status 400 and above is only asked for its error code."""

    __slots__ = ("call", "finished", "marks", "seen", "text")

    billable = True

    def __init__(self, call: Exchanged) -> None:
        self.call = call
        self.seen = Seen()
        self.finished = False
        self.marks: tuple[bytes, ...] = ()
        self.text: Kept | None = None

    def event(self, name: bytes, data: bytes) -> None:
        if data.startswith(b"[DONE]"):
            self.finished = True
            return
        self.take(name, data)

    def document(self, body: bytes) -> None:
        if self.call.status >= 400:
            self.seen.error_code = body_code(body)
            return
        self.take(b"", body)
        self.finished = True

    def take(self, name: bytes, data: bytes) -> None:
        """One event (``name`` as the stream gave it) or one whole body (``name`` empty)."""
        raise NotImplementedError

    def usage(self, counts: Counts) -> Usage | None:
        """The normal form of what was seen."""
        raise NotImplementedError

    def charge(self) -> int | None:
        """What the provider itself says it charges, nano-USD."""
        return None

    def reading(self) -> Reading:
        counts = Counts()
        usage = self.usage(counts)
        return self.seen.with_usage(self.call, usage, counts, billable=self.billable, charge=self.charge())
