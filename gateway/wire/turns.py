"""Usage of a conversation over one connection: every turn reports its own, and the connection costs their sum.

What other models than its own did (``add`` with a model) is kept by model: each has its own price.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.wire.contract import Exchanged, Kept, Reading
from gateway.wire.counts import Counts, exceeds
from gateway.wire.seen import MOST_RAW, Seen
from pricing.usage import MAX_COUNT, Usage

MOST_OTHERS = 16
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class TurnsReader:
    """A wire derives from it and says what a message tells (``take``); it may be fed any number of messages."""

    __slots__ = ("_counts", "_last", "_others", "_sum", "_turns", "call", "finished", "marks", "seen", "text")

    def __init__(self, call: Exchanged) -> None:
        self.call = call
        self.seen = Seen()
        self.finished = False
        self.marks: tuple[bytes, ...] = ()
        self.text: Kept | None = None
        self._counts = Counts()
        self._sum: Usage | None = None
        self._others: dict[str, Usage] = {}
        """What other models than the connection's own did."""
        self._last: Mapping[str, object] = {}
        self._turns = 0

    def event(self, name: bytes, data: bytes) -> None:
        del name
        self.take(data)

    def document(self, body: bytes) -> None:
        self.take(body)

    def take(self, data: bytes) -> None:
        """One message of the provider."""
        raise NotImplementedError

    def add(self, usage: Usage, found: Mapping[str, object], model: str | None = None) -> None:
        """The usage of one turn, how it was reported, and the ``model`` of it where that is told turn by turn."""
        self._turns += 1
        self._last = found
        if exceeds(usage):
            self._counts.invalid = True
        before = self._others.get(model) if model is not None else None
        if (
            model is not None
            and model != self.seen.model
            and (before is not None or len(self._others) < MOST_OTHERS)
        ):
            self._others[model] = usage if before is None else _added(before, usage)
            return
        before = self._sum
        self._sum = usage if before is None else _added(before, usage)

    def reading(self) -> Reading:
        seen, usage, invalid = self.seen, self._sum, self._counts.invalid
        model, others = seen.model, tuple(self._others.items())
        if usage is None and others:  # its own model has done nothing
            (model, usage), *rest = others
            others = tuple(rest)
        if usage is not None and ((usage.input or 0) > MAX_COUNT or (usage.output or 0) > MAX_COUNT):
            invalid = True
        raw = _ENCODER.encode({"turns": self._turns, "last": self._last}) if self._turns else None
        return Reading(
            None if invalid else usage,
            raw if raw is None or len(raw) <= MOST_RAW else _ENCODER.encode({"turns": self._turns}),
            invalid,
            True,
            model,
            seen.response_id,
            tuple(seen.finish),
            seen.service_tier,
            error_code=seen.error_code,
            failed=seen.failed and not self._turns,
            also=() if invalid else others,
            fees_unseen=seen.fees_unseen,
        )


def _added(one: Usage, other: Usage) -> Usage:
    sums = [
        None if a is None and b is None else (a or 0) + (b or 0)
        for a, b in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
    ]
    return Usage(*sums)
