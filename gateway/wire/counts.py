"""Takes counts out of a usage object of unknown honesty.

A count is a whole number from 0 to 2**53. ``28.0`` is one too (Titan and Cohere write whole floats); booleans,
text, negative, broken and larger numbers are not: they make the whole usage invalid, never a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Annotated

import msgspec
from msgspec.structs import astuple

from pricing.usage import MAX_COUNT, Usage

NO_PART: Mapping[str, object] = {}
MOST_SECONDS = 10_000_000
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)] | None
_KINDS = Usage.__struct_fields__.index("input_audio")
"""From this field on a usage tells of more than text."""


class Counts:
    """Reads counts by name and remembers whether any was impossible."""

    __slots__ = ("invalid",)

    def __init__(self) -> None:
        self.invalid = False

    def value(self, value: object) -> int | None:
        """``None`` for null and for impossible values (those set ``invalid``)."""
        if type(value) is int:
            if 0 <= value <= MAX_COUNT:
                return value
        elif value is None:
            return None
        elif type(value) is Decimal:
            if value.is_finite() and 0 <= value <= MAX_COUNT and value == value.to_integral_value():
                return int(value)
        elif type(value) is float and 0 <= value <= MAX_COUNT and value.is_integer():
            return int(value)
        self.invalid = True
        return None

    def take(self, source: Mapping[str, object], *names: str) -> int | None:
        """First of ``names`` that is present and not null."""
        for name in names:
            value = source.get(name)
            if value is not None:
                return self.value(value)
        return None

    def part(self, source: Mapping[str, object], *names: str) -> Mapping[str, object]:
        """First of the nested objects ``names``; empty where there is none. ``[]`` and null count as none."""
        for name in names:
            value = source.get(name)
            if value:
                if isinstance(value, dict):
                    return value
                self.invalid = True
        return NO_PART

    def rows(self, source: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
        """The objects in the list ``name``."""
        value = source.get(name)
        if not value:
            return []
        if not isinstance(value, list):
            self.invalid = True
            return []
        return [row for row in value if isinstance(row, dict)]

    def accept(self, usage: Usage) -> Usage | None:
        """``usage`` if nothing in it was impossible and no subset exceeds its whole, else ``None``."""
        if not self.invalid and exceeds(usage):
            self.invalid = True
        return None if self.invalid else usage


def exceeds(usage: Usage) -> bool:
    """True where a subset is larger than what it is part of."""
    cached = (usage.cache_read or 0) + (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)
    whole = usage.input or 0
    if cached > whole or (usage.reasoning or 0) > (usage.output or 0):
        return True
    if not any(astuple(usage)[_KINDS:]):
        return False
    if (usage.tool_input or 0) > whole:
        return True
    if (usage.input_audio or 0) + (usage.input_image or 0) + (usage.input_video or 0) > whole:
        return True
    made = usage.output or 0
    if (usage.citation or 0) > made:
        return True
    if (usage.output_audio or 0) + (usage.output_image or 0) + (usage.output_video or 0) > made:
        return True
    return (usage.cache_audio_read or 0) + (usage.cache_image_read or 0) > (usage.cache_read or 0)


def plus(*counts: int | None) -> int | None:
    """Sum of the counts that were reported; ``None`` when none was."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def milliseconds(seconds: object, counts: Counts) -> int | None:
    """Whole milliseconds of a number of seconds, given as a number or as text; impossible ones are invalid."""
    if seconds in (None, "", "null"):
        return None
    try:
        amount = Decimal(str(seconds))
    except InvalidOperation:
        counts.invalid = True
        return None
    if isinstance(seconds, bool) or not amount.is_finite() or not 0 <= amount <= MOST_SECONDS:
        counts.invalid = True
        return None
    return int((amount * 1000).to_integral_value(ROUND_HALF_EVEN))
