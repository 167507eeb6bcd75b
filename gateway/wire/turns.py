"""Usage of a conversation over one connection: every turn reports its own, and the connection costs their sum.

Turns are added up as far as they have the same rates: by model, tier of service and size of the prompt. Where its own
turns differ in that, the connection's usage is the sum of all of them and is paid for by its parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from gateway.wire.contract import Exchanged, Kept, Reading
from gateway.wire.counts import Counts, exceeds
from gateway.wire.seen import MOST_RAW, Seen
from pricing.plan import Conditions, conditions_of
from pricing.usage import MAX_COUNT, Part, Usage, size_of

MOST_OTHERS: Final = 32
"""Kinds of other models' turns that are kept apart. A turn beyond them is left out, and what is told a lower bound: its
model's price is not the connection's, and may be any."""
_OWN: Final = ""
"""Stands for the connection's own model."""
_NO_MEASURES: Final = dict.fromkeys(
    (
        *("web_searches", "file_searches", "search_units", "pages", "annotated_pages"),
        *("images", "characters", "audio_ms"),
    )
)
"""What is no token is paid for with the sum, as no tier changes its price."""
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class _Kind(NamedTuple):
    """Turns that have the same rates."""

    model: str
    tier: Conditions
    """As price lists know it: a closed set."""
    size: int


class TurnsReader:
    """A wire derives from it and says what a message tells (``take``); it may be fed any number of messages."""

    __slots__ = (
        "_counts",
        "_kinds",
        "_last",
        "_others",
        "_tiers",
        "_turns",
        "call",
        "finished",
        "marks",
        "seen",
        "text",
    )

    def __init__(self, call: Exchanged) -> None:
        self.call = call
        self.seen = Seen()
        self.finished = False
        self.marks: tuple[bytes, ...] = ()
        self.text: Kept | None = None
        self._counts = Counts()
        self._kinds: dict[_Kind, Usage] = {}
        self._others = 0
        """How many of them are other models'."""
        self._tiers: dict[Conditions, str | None] = {}
        """The tiers of the turns, and what the provider calls them."""
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

    def add(
        self, usage: Usage, found: Mapping[str, object], model: str | None = None, tier: str | None = None
    ) -> None:
        """The usage of one turn and how it was reported; its ``model`` where that is told turn by turn; its ``tier``."""
        self._turns += 1
        self._last = found
        if exceeds(usage):
            self._counts.invalid = True
        conditions = conditions_of(tier, None, None, None, False)
        name = _OWN if model is None or model == self.seen.model else model
        kind = _Kind(name, conditions, size_of(usage.input or 0))
        before = self._kinds.get(kind)
        if before is None and name != _OWN:
            if self._others == MOST_OTHERS:
                self.seen.fees_unseen = True
                return
            self._others += 1
        self._tiers.setdefault(conditions, tier if conditions else None)
        self.seen.service_tier = tier or self.seen.service_tier
        self._kinds[kind] = usage if before is None else _added(before, usage)

    def reading(self) -> Reading:
        seen, invalid = self.seen, self._counts.invalid
        model, usage, parts = self._sums()
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
            seen.service_tier if len(self._tiers) < 2 else None,
            error_code=seen.error_code,
            failed=seen.failed and not self._turns,
            also=() if invalid else parts,
            fees_unseen=seen.fees_unseen,
        )

    def _sums(self) -> tuple[str | None, Usage | None, tuple[Part, ...]]:
        """The connection's model, all that this did, and the parts that have prices of their own."""
        model, whose, kinds = self.seen.model, _OWN, self._kinds
        if not kinds:
            return model, None, ()
        if all(kind.model != _OWN for kind in kinds):  # its own model has done nothing
            model = whose = next(iter(kinds)).model
        own = {kind: usage for kind, usage in kinds.items() if kind.model == whose}
        usage = sum_of(own.values())
        named = model or self.call.ask.model
        parts: list[Part] = []
        if named is not None and (len(own) > 1 or (len(self._tiers) > 1 and next(iter(own)).tier)):
            usage = msgspec.structs.replace(usage, billed_input=0, billed_output=0, largest_input=None)
            for kind, some in own.items():
                tokens = msgspec.structs.replace(some, **_NO_MEASURES)
                parts.append(Part(named, tokens, self._tier(kind), within=True))
        beside = [
            Part(kind.model, some, self._tier(kind)) for kind, some in kinds.items() if kind.model != whose
        ]
        return model, usage, (*parts, *beside)

    def _tier(self, kind: _Kind) -> str | None:
        """The tier of a part; where all turns have the same, it is the call's."""
        return self._tiers[kind.tier] if len(self._tiers) > 1 else None


def sum_of(usages: Iterable[Usage]) -> Usage:
    """Counts of several requests, of which there is at least one, that fall into the same range of sizes."""
    first, *rest = usages
    for usage in rest:
        first = _added(first, usage)
    return first


def _added(one: Usage, other: Usage) -> Usage:
    sums = [
        None if a is None and b is None else (a or 0) + (b or 0)
        for a, b in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
    ]
    largest = max(_largest(one), _largest(other))
    return msgspec.structs.replace(Usage(*sums), largest_input=largest or None)


def _largest(usage: Usage) -> int:
    return usage.largest_input or usage.input or 0
