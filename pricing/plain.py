"""The bill of nearly every call, text in and text out, worked out without lines.

:mod:`pricing.bill` decides what everything costs; this is the same answer for the plain case in a third of the
time, and a property test holds the two together. Whatever is not plain is left to the bill.
"""

from __future__ import annotations

from msgspec.structs import astuple

from pricing.bill import Tariff, TextRates, round_exact
from pricing.units import ATTO_PER_NANO
from pricing.usage import MAX_COUNT, Usage

Amounts = tuple[int, int, int, int, int, int]
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


def text_rates(tariff: Tariff) -> TextRates | None:
    """The rates of plain calls, in whole nano-USD a token where they are that (nearly all are): nothing is rounded then."""
    if tariff.input is None or tariff.output is None or tariff.request is not None:
        return None
    rates = (tariff.input, tariff.output, tariff.cache_read, tariff.cache_write)
    if any(rate is not None and rate % ATTO_PER_NANO for rate in rates):
        return ATTO_PER_NANO, *rates
    new, made, read, written = (None if rate is None else rate // ATTO_PER_NANO for rate in rates)
    assert new is not None
    assert made is not None
    return 1, new, made, read, written


def plain_cost(usage: Usage, tariff: Tariff) -> Amounts | None:
    """Total and components in nano-USD; ``None`` for a usage or a tariff that needs a bill."""
    return text_cost(usage, tariff) if is_plain(usage) else None


def is_plain(usage: Usage) -> bool:
    """Is it of text alone, with counts that are possible, and each part within its whole?"""
    counts = astuple(usage)
    new, made, read, short, long, reasoning = counts[:_TEXT]
    if any(counts[_TEXT:]) or long or new.__class__ is not int or made.__class__ is not int:
        return False
    if usage.billed_input is not None or usage.billed_output is not None:
        return False
    if not (0 <= new <= MAX_COUNT and 0 <= made <= MAX_COUNT):
        return False
    if reasoning and (reasoning.__class__ is not int or reasoning > made):
        return False
    if read or short:
        read, short = read or 0, short or 0
        if read.__class__ is not int or short.__class__ is not int:
            return False
        return bool(read >= 0 and short >= 0 and read + short <= new)
    return True


def text_cost(usage: Usage, tariff: Tariff) -> Amounts | None:
    """The same as :func:`plain_cost` for a usage that is known to be plain."""
    rates, new, made = tariff.text, usage.input, usage.output
    if rates is None or new is None or made is None or (tariff.special_output and usage.reasoning):
        return None
    size, rate_in, rate_out, rate_read, rate_write = rates
    of_read = of_written = 0
    read, written = usage.cache_read or 0, usage.cache_write_5m or 0
    if read or written:
        if rate_read is None or rate_write is None:
            return None
        new -= read + written
        of_read, of_written = read * rate_read, written * rate_write
    of_input, of_output = new * rate_in, made * rate_out
    if size == 1:
        return of_input + of_output + of_read + of_written, of_input, of_output, of_read, of_written, 0
    total, (of_input, of_output, of_read, of_written, other) = round_exact(
        [of_input, of_output, of_read, of_written, 0], size
    )
    return total, of_input, of_output, of_read, of_written, other
