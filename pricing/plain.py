"""The bill of nearly every call, text in and text out, worked out without lines.

:mod:`pricing.bill` decides what everything costs; this is the same answer for the plain case in a third of the
time, and a property test holds the two together. Whatever is not plain is left to the bill.
"""

from __future__ import annotations

from msgspec.structs import astuple

from pricing.bill import Tariff
from pricing.usage import MAX_COUNT, Usage

_TEXT = Usage.__struct_fields__.index("input_audio")
"""The fields before this one count text tokens."""
assert Usage.__struct_fields__[:_TEXT] == (
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
)


def plain_amounts(usage: Usage, tariff: Tariff) -> list[int] | None:
    """Exact amounts in atto-USD per component; ``None`` for a usage or a tariff that needs a bill."""
    counts = astuple(usage)
    new, made, read, short, long, reasoning = counts[:_TEXT]
    if any(counts[_TEXT:]) or long or new.__class__ is not int or made.__class__ is not int:
        return None
    if usage.billed_input is not None or usage.billed_output is not None:
        return None
    rate_in, rate_out = tariff.input, tariff.output
    if rate_in is None or rate_out is None or tariff.request is not None:
        return None
    if reasoning and (tariff.special_output or reasoning.__class__ is not int or reasoning > made):
        return None
    if not (0 <= new <= MAX_COUNT and 0 <= made <= MAX_COUNT):
        return None
    if not (read or short):
        return [new * rate_in, made * rate_out, 0, 0, 0]
    rate_read, rate_write, read, short = tariff.cache_read, tariff.cache_write, read or 0, short or 0
    if rate_read is None or rate_write is None or read.__class__ is not int or short.__class__ is not int:
        return None
    fresh = new - read - short
    if read < 0 or short < 0 or fresh < 0:
        return None
    return [fresh * rate_in, made * rate_out, read * rate_read, short * rate_write, 0]
