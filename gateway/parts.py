"""What has to be priced of a call apart from its main usage."""

from __future__ import annotations

from gateway.call import Call
from gateway.wire.contract import Reading
from pricing.book import PriceQuery
from pricing.usage import Part


def part_query(call: Call, reading: Reading, part: Part) -> PriceQuery:
    """A part is priced by its own model and tier."""
    return PriceQuery(
        call.target.provider.price_as,
        part.model,
        call.ask.model if part.within and part.model == reading.model else None,
        part.usage,
        call.started_ns,
        part.service_tier or reading.service_tier,
        reading.speed,
        reading.geo,
        call.target.region,
    )
