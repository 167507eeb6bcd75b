"""What has to be priced of a call apart from its main usage."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pricing.book import PriceQuery
from pricing.usage import Part, Usage


def part_query(main: PriceQuery, part: Part) -> PriceQuery:
    """A part is priced by its own model and tier, and otherwise like the call (``main``). What the call asked for may
    stand for its model only where the part is of the call's own usage."""
    return msgspec.structs.replace(
        main,
        model=part.model,
        asked=main.asked if part.within and part.model == main.model else None,
        usage=part.usage,
        service_tier=part.service_tier or main.service_tier,
        charge=None,
    )


def undivided(usage: Usage, also: Iterable[Part]) -> Usage:
    """The usage of a call as it is paid for where one price holds for all of it."""
    if any(part.within for part in also):
        return msgspec.structs.replace(usage, billed_input=None, billed_output=None)
    return usage
