"""From usage and rates to the lines of a bill, and from lines to exact amounts.

What is decided here, for rates a price list does not name:

- reasoning, image and video tokens without a rate of their own cost what text costs: vendors name such a rate
  only where it differs;
- cached input without a cached rate costs the full input rate (no discount was published), and so do cache
  writes without a write rate;
- audio tokens without an audio rate are counted at the text rate and the cost is partial: audio costs several
  times as much wherever both are listed. Google names an audio rate only where it differs, so there it is priced;
- one-hour cache writes where only a short-lived rate is listed cost that rate and the cost is partial;
- pages, images, characters and seconds without a rate are ignored where tokens were billed (vendors bill one
  or the other), and so are tokens where those were billed and the list has no token rates;
- anything else without a rate makes the cost partial: it is never silently zero.
"""

from __future__ import annotations

import msgspec

from pricing.units import ATTO_PER_NANO, AUDIO_UNIT, MS_PER_HOUR, Component
from pricing.usage import MAX_COUNT, Usage

_INPUT = Component.INPUT.value
_OUTPUT = Component.OUTPUT.value
_READ = Component.CACHE_READ.value
_WRITE = Component.CACHE_WRITE.value
_OTHER = Component.OTHER.value


TextRates = tuple[int, int, int, int | None, int | None]
"""How many of them make a nano-USD, and the rates of text: new input, output, cache read and written."""


class Tariff(msgspec.Struct, frozen=True, gc=False):
    """Rates of one call, chosen by date, conditions and tier; atto-USD per unit (audio: per hour)."""

    rule: str
    """Which entry, date, tier and conditions were chosen."""
    since: int
    """First second of the rates, 0 when undated."""
    above: int
    """Tier: input tokens that were exceeded; -1: none."""
    source: str
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    cache_audio_read: int | None = None
    input_image: int | None = None
    output_image: int | None = None
    cache_image_read: int | None = None
    input_video: int | None = None
    output_video: int | None = None
    reasoning: int | None = None
    citation: int | None = None
    web_search: int | None = None
    file_search: int | None = None
    search_unit: int | None = None
    page: int | None = None
    annotated_page: int | None = None
    image: int | None = None
    request: int | None = None
    character: int | None = None
    audio_hour: int | None = None
    tokens: bool = True
    """Does the list name any token rate?"""
    special_input: bool = False
    """Audio, images or video in the prompt have rates of their own."""
    special_output: bool = False
    """Reasoning, citations, audio, images or video in the answer have rates of their own."""
    audio_in_unknown: bool = False
    """Audio in the prompt is not known to cost what text costs."""
    audio_out_unknown: bool = False
    long_write_unknown: bool = False
    """One-hour cache writes are priced as short ones for want of a rate."""
    estimated: bool = False
    """A cost from these rates is an estimate even with exact counts."""
    min_audio_ms: int = 0
    assumed: dict[str, str] = {}
    """Units priced by the rate of another unit."""
    text: TextRates | None = None
    """What plain calls are priced with (:func:`pricing.plain.text_rates`); ``None`` where it always takes a bill."""


Line = tuple[str, int, int, int | None]
"""Unit, component, quantity (milliseconds for audio), rate (``None``: none is known). A plain tuple: one is made
for each unit of each call."""


class Bill(msgspec.Struct, gc=False):
    """Lines and how far they can be trusted."""

    lines: list[Line]
    partial: bool = False
    estimated: bool = False


def is_consistent(u: Usage) -> bool:
    """Are all counts possible: whole numbers from 0 to 2**53, no subset above its whole?"""
    for count in [count for count in msgspec.structs.astuple(u) if count is not None]:
        if count.__class__ is not int or not 0 <= count <= MAX_COUNT:
            return False
    total = u.input or 0
    made = u.output or 0
    read = u.cache_read or 0
    if read + (u.cache_write_5m or 0) + (u.cache_write_1h or 0) > total or (u.reasoning or 0) > made:
        return False
    return _kinds_fit(u, total, made, read) if _has_kinds(u) else True


def _has_kinds(u: Usage) -> bool:
    """Does it report more than text?"""
    return bool(
        u.input_audio
        or u.output_audio
        or u.input_image
        or u.output_image
        or u.tool_input
        or u.cache_audio_read
        or u.cache_image_read
        or u.input_video
        or u.output_video
        or u.citation
        or u.annotated_pages
    )


def _kinds_fit(u: Usage, total: int, made: int, read: int) -> bool:
    audio = u.input_audio or 0
    image = u.input_image or 0
    cached_audio = u.cache_audio_read or 0
    cached_image = u.cache_image_read or 0
    return not (
        audio + image + (u.input_video or 0) > total
        or cached_audio > audio
        or cached_image > image
        or cached_audio + cached_image > read
        or (u.tool_input or 0) > total
        or (u.citation or 0) > made
        or (u.output_audio or 0) + (u.output_image or 0) + (u.output_video or 0) > made
        or (u.annotated_pages or 0) > (u.pages or u.annotated_pages or 0)
    )


def make_bill(u: Usage, t: Tariff) -> Bill:
    """The bill of a consistent usage. Every count reported is on it, or known not to be billed."""
    bill = Bill([])
    lines = bill.lines
    measured = _add_measures(u, t, lines)
    if t.tokens or not measured:
        if u.billed_input is not None:
            if _tools_are_free(u, u.billed_input):
                _add_input(u, t, bill, u.billed_input)
            else:
                lines.append(("input", _INPUT, u.billed_input, t.input))
        elif u.input is not None:
            _add_input(u, t, bill, u.input)
        elif t.input and not measured:
            bill.partial = True
        if u.billed_output is not None:
            lines.append(("output", _OUTPUT, u.billed_output, t.output))
        elif u.output is not None:
            _add_output(u, t, bill, u.output)
        elif t.output and not measured:
            bill.partial = True
    if u.web_searches:
        lines.append(("web_search", _OTHER, u.web_searches, t.web_search))
    if u.file_searches:
        lines.append(("file_search", _OTHER, u.file_searches, t.file_search))
    if t.request is not None:
        lines.append(("request", _OTHER, 1, t.request))
    return bill


def _tools_are_free(u: Usage, billed: int) -> bool:
    """Is all that is not billed what the provider's own tools put into the prompt? Then subsets keep their rates."""
    cached = (u.cache_read or 0) + (u.cache_write_5m or 0) + (u.cache_write_1h or 0)
    return bool(u.tool_input) and (u.tool_input or 0) + billed == u.input and cached <= billed


def _add_measures(u: Usage, t: Tariff, lines: list[Line]) -> bool:
    """Adds what is billed by other measures than tokens; true if any of it has a rate."""
    if (
        u.search_units is None
        and u.pages is None
        and u.images is None
        and u.characters is None
        and not u.audio_ms
    ):
        return False
    before = len(lines)
    annotated = u.annotated_pages or 0
    plain = max((u.pages or 0) - annotated, 0)
    audio = max(u.audio_ms, t.min_audio_ms) if u.audio_ms else 0
    by_token = t.tokens and (u.input is not None or u.output is not None)
    for unit, count, rate in (
        ("search_unit", u.search_units, t.search_unit),
        ("page", plain, t.page),
        ("annotated_page", annotated, t.annotated_page),
        ("image", u.images, t.image),
        ("character", u.characters, t.character),
        (AUDIO_UNIT, audio, t.audio_hour),
    ):
        if count and (rate is not None or not by_token):
            lines.append((unit, _OTHER, count, rate))
    return any(rate is not None for _, _, _, rate in lines[before:])


def _add_input(u: Usage, t: Tariff, bill: Bill, total: int) -> None:
    """Splits the prompt: cached, written, special kinds, and plain text, which is what remains."""
    lines = bill.lines
    read = u.cache_read or 0
    short = u.cache_write_5m or 0
    long = u.cache_write_1h or 0
    plain = total - read - short - long
    if u.input_audio and t.audio_in_unknown:
        bill.partial = True
    if t.special_input and (u.input_audio or u.input_image or u.input_video):
        plain, read = _add_special_input(u, t, bill, plain, read)
    lines.append(("input", _INPUT, plain, t.input))
    if read:
        lines.append(("cache_read", _READ, read, t.cache_read))
    if short:
        lines.append(("cache_write", _WRITE, short, t.cache_write))
    if long:
        lines.append(("cache_write_1h", _WRITE, long, t.cache_write_1h))
        if t.long_write_unknown:
            bill.partial = True


def _add_special_input(u: Usage, t: Tariff, bill: Bill, plain: int, read: int) -> tuple[int, int]:
    """Bills audio, images and video that have rates of their own; returns the text left, new and cached."""
    lines = bill.lines
    fresh: list[tuple[str, int, int | None]] = []
    for unit, cached_unit, count, cached, rate, cached_rate in (
        (
            "input_image",
            "cache_image_read",
            u.input_image,
            u.cache_image_read,
            t.input_image,
            t.cache_image_read,
        ),
        ("input_video", "cache_video_read", u.input_video, None, t.input_video, None),
        (
            "input_audio",
            "cache_audio_read",
            u.input_audio,
            u.cache_audio_read,
            t.input_audio,
            t.cache_audio_read,
        ),
    ):
        if not count or rate is None:
            continue
        if cached:
            lines.append((cached_unit, _READ, cached, cached_rate))
            read -= cached
        elif cached is None and u.cache_read:
            bill.estimated = True  # how much of the cached input was of this kind was not reported
        fresh.append((unit, count - (cached or 0), rate))
    excess = sum(count for _, count, _ in fresh) - plain
    for unit, count, rate in fresh:
        if excess > 0:  # some of it must have been cached or written: it is billed there
            bill.estimated = True
        billed = count - min(max(excess, 0), count)
        excess -= count - billed
        plain -= billed
        lines.append((unit, _INPUT, billed, rate))
    return plain, read


def _add_output(u: Usage, t: Tariff, bill: Bill, total: int) -> None:
    lines = bill.lines
    if u.output_audio and t.audio_out_unknown:
        bill.partial = True
    if t.special_output:
        for unit, count, rate in (
            ("output_audio", u.output_audio, t.output_audio),
            ("output_image", u.output_image, t.output_image),
            ("output_video", u.output_video, t.output_video),
            ("citation", u.citation, t.citation),
            ("reasoning", u.reasoning, t.reasoning),
        ):
            if count and rate is not None:
                billed = min(count, total)  # kinds may overlap: the earlier, dearer one was billed
                bill.estimated = bill.estimated or billed < count
                total -= billed
                lines.append((unit, _OUTPUT, billed, rate))
    lines.append(("output", _OUTPUT, total, t.output))


class Amounts(msgspec.Struct, frozen=True, gc=False):
    """Exact sums of a bill."""

    scale: int
    """Amounts are atto-USD times this (1, or milliseconds per hour where audio time is billed)."""
    exact: list[int]
    """Per component."""
    unknown: bool
    """Some counts had no rate."""


def amount_of(line: Line, scale: int) -> int:
    """Exact amount of one line in atto-USD times ``scale``; 0 where no rate is known."""
    unit, _, quantity, rate = line
    if rate is None:
        return 0
    if unit == AUDIO_UNIT:
        return quantity * rate * scale // MS_PER_HOUR
    return quantity * rate * scale


def add_up(lines: list[Line]) -> Amounts:
    """Sums a bill without rounding."""
    exact = [0, 0, 0, 0, 0]
    unknown = False
    for unit, component, quantity, rate in lines:
        if rate is None:
            unknown = unknown or quantity > 0
        elif unit == AUDIO_UNIT:
            return _add_up_scaled(lines, MS_PER_HOUR)
        else:
            exact[component] += quantity * rate
    return Amounts(1, exact, unknown)


def _add_up_scaled(lines: list[Line], scale: int) -> Amounts:
    exact = [0, 0, 0, 0, 0]
    unknown = False
    for line in lines:
        exact[line[1]] += amount_of(line, scale)
        unknown = unknown or (line[3] is None and line[2] > 0)
    return Amounts(scale, exact, unknown)


def round_amounts(amounts: Amounts) -> tuple[int, list[int]]:
    """Total in nano-USD, rounded once, halves to even, and components that add up to it exactly."""
    return round_exact(amounts.exact, ATTO_PER_NANO * amounts.scale)


def round_exact(exact: list[int], size: int) -> tuple[int, list[int]]:
    """The same of amounts of which ``size`` make a nano-USD."""
    total, rest = divmod(sum(exact), size)
    if rest and (rest * 2 > size or (rest * 2 == size and total & 1)):
        total += 1
    new, made, read, written, other = exact
    parts = [new // size, made // size, read // size, written // size, other // size]
    if sum(parts) != total:
        return total, share_out(total, exact, size)
    return total, parts


def share_out(total: int, exact: list[int], size: int) -> list[int]:
    """Multiples of ``size`` in each of ``exact`` that add up to ``total``, their rounded sum: largest rest first."""
    parts = [amount // size for amount in exact]
    missing = total - sum(parts)
    for index in sorted(range(len(exact)), key=lambda index: -(exact[index] % size))[:missing]:
        parts[index] += 1
    return parts
