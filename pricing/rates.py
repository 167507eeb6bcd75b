"""Dated rates as they are kept: what a price list says of one model.

Everything is whole numbers: atto-USD (1e-18 USD) per token, piece or hour; seconds since 1970, UTC.
"""

from __future__ import annotations

import msgspec

DAY_SECONDS = 86_400
EVERY_DAY = 0b1111111


class Rates(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Atto-USD per unit; ``None``: the price list names no rate for that unit."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    """Cache writes of five minutes, or without a stated life."""
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


class Tier(msgspec.Struct, frozen=True, array_like=True):
    """Rates of the whole request once its input, cache included, is strictly above ``above`` tokens."""

    above: int
    rates: Rates


class Period(msgspec.Struct, frozen=True, array_like=True):
    """Rates and when they hold. A daily window may span midnight; it belongs to the day it is asked on."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    """Ascending; each names only the rates it changes."""
    since: int = 0
    """First second; 0: always."""
    until: int = 0
    """First second no longer included; 0: open."""
    window: tuple[int, int] | None = None
    """Seconds of the UTC day, ``[from, to)``."""
    weekdays: int = EVERY_DAY
    """Bit 0 is Monday, UTC."""

    @property
    def always(self) -> bool:
        """No condition at all."""
        return not (self.since or self.until or self.window) and self.weekdays == EVERY_DAY

    def active(self, at: int) -> bool:
        """Do these rates hold at ``at`` (seconds since 1970)?"""
        if at < self.since or (self.until and at >= self.until):
            return False
        days, second = divmod(at, DAY_SECONDS)
        if self.weekdays != EVERY_DAY and not self.weekdays >> ((days + 3) % 7) & 1:
            return False
        if self.window is None:
            return True
        start, end = self.window
        if end < start:
            return second >= start or second < end
        return start <= second < end


class Variant(msgspec.Struct, frozen=True, array_like=True):
    """Rates that replace some of the standard ones under conditions (``{"processing": "batch"}``)."""

    when: dict[str, str]
    period: Period


class Clause(msgspec.Struct, frozen=True, array_like=True):
    """How a model name may be recognised other than by equality. Texts are lower case."""

    kind: str
    """``starts`` | ``ends`` | ``contains`` | ``regex`` | ``all`` | ``any``."""
    text: str = ""
    parts: tuple[Clause, ...] = ()


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """The price list of one model at one provider."""

    id: str
    names: tuple[str, ...]
    """Names that mean this model, lower case."""
    clauses: tuple[Clause, ...]
    """Any of them recognises the model as well; asked only after every exact name."""
    periods: tuple[Period, ...]
    """The last active one holds; in the catalogue the first is unconditional."""
    variants: tuple[Variant, ...] = ()
    """The first active and matching one wins, rate by rate."""
    corrected: str | None = None
    """Where the rates differ from the source: why, and on whose word."""
    approximate: str | None = None
    """Why a cost made of these rates is an estimate even with exact counts."""
    min_audio_ms: int = 0
    """Shortest duration billed."""


class Adjustment(msgspec.Struct, frozen=True, array_like=True):
    """A factor on the standard rates under a condition that the entry's own variants do not cover."""

    when: dict[str, str]
    numerator: int
    denominator: int
    units: tuple[str, ...]
    """Rates it applies to."""
    starts: tuple[str, ...] = ()
    """Only entries whose id starts so; empty: all of the provider."""
    excludes: tuple[str, ...] = ()
    """Except entries whose id starts so."""
    source: str = ""


class ProviderPrices(msgspec.Struct, frozen=True, array_like=True):
    """All price lists of one provider."""

    id: str
    serves: tuple[str, ...]
    """Providers whose models it also sells at their list price, in order."""
    entries: tuple[Entry, ...]
    adjustments: tuple[Adjustment, ...] = ()


class Catalogue(msgspec.Struct, frozen=True):
    """A price snapshot."""

    schema: int
    snapshot: str
    """Id: source, version, and the start of a digest of the rates."""
    source: str
    date: str
    """Day the source was published, ISO 8601."""
    providers: tuple[ProviderPrices, ...]
