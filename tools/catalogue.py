"""Compiles the price catalogue from the ``genai-prices`` package and our corrections (``make catalogue``).

Needs the test extra. Writes ``pricing/data/catalogue.json``; the same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import re
from collections.abc import Iterator
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path

import msgspec
from genai_prices import data, types

from pricing.catalogue import CATALOGUE_PATH, SCHEMA, encode
from pricing.corrections import CORRECTIONS_PATH, apply_corrections
from pricing.rates import Catalogue, Clause, Entry, Period, ProviderPrices, Rates, Tier, Variant
from pricing.units import ATTO_PER_USD

UNIT_OF_KEY: dict[str, tuple[str, int]] = {
    "input_mtok": ("input", 10**6),
    "output_mtok": ("output", 10**6),
    "cache_read_mtok": ("cache_read", 10**6),
    "cache_write_mtok": ("cache_write", 10**6),
    "cache_write_5m_mtok": ("cache_write", 10**6),
    "cache_write_1h_mtok": ("cache_write_1h", 10**6),
    "input_audio_mtok": ("input_audio", 10**6),
    "output_audio_mtok": ("output_audio", 10**6),
    "cache_audio_read_mtok": ("cache_audio_read", 10**6),
    "input_image_mtok": ("input_image", 10**6),
    "output_image_mtok": ("output_image", 10**6),
    "cache_image_read_mtok": ("cache_image_read", 10**6),
    "input_video_mtok": ("input_video", 10**6),
    "output_video_mtok": ("output_video", 10**6),
    "output_reasoning_mtok": ("reasoning", 10**6),
    "output_citation_mtok": ("citation", 10**6),
    "web_searches_kcount": ("web_search", 10**3),
    "storage_searches_kcount": ("file_search", 10**3),
    "rerank_searches_kcount": ("search_unit", 10**3),
    "input_document_kpages": ("page", 10**3),
    "input_annotated_document_kpages": ("annotated_page", 10**3),
    "requests_kcount": ("request", 10**3),
    "input_mchars": ("character", 10**6),
    "audio_hours": ("audio_hour", 1),
    "input_audio_hours": ("audio_hour", 1),
    "output_audio_hours": ("audio_hour", 1),
}
NOT_COUNTED = {"input_text_messages_kcount": "text messages are billed as well and not counted"}
"""Keys of units no provider reports to us."""

UNPRICED = {
    ("cerebras", "qwen-3-coder-480b"): "kept by the source without a price",
}
"""Entries without rates that are not free; every other entry without rates is free of charge."""

MINIMUM_AUDIO_MS = {
    ("groq", "whisper-large-v3"): 10_000,
    ("groq", "whisper-large-v3-turbo"): 10_000,
}
"""The source has this rule in its code: Groq bills at least ten seconds a request."""


def atto(price: Decimal, size: int) -> int:
    """Whole atto-USD for one of ``size`` units that cost ``price`` USD.

    The source holds some binary noise (``0.18000000000000002``) and some thirds (``0.08333333333333333``), so
    the value is rounded; raises if that would change it by more than one part in 10**10.
    """
    scaled = price * ATTO_PER_USD / size
    whole = int(scaled.to_integral_value())
    if abs(scaled - whole) * 10**10 > whole:
        raise ValueError(f"{price} USD for {size} is finer than an atto-USD per unit can say")
    return whole


def convert_rates(price: types.ModelPrice) -> tuple[Rates, tuple[Tier, ...]]:
    """Rates and tiers of one price set of the source."""
    flat: dict[str, int] = {}
    steps: dict[int, dict[str, int]] = {}
    for key, value in price.__dict__.items():
        if value is None or key in NOT_COUNTED:
            continue
        unit, size = UNIT_OF_KEY[key]
        if isinstance(value, types.TieredPrices):
            flat[unit] = atto(value.base, size)
            for tier in value.tiers:
                steps.setdefault(tier.start, {})[unit] = atto(tier.price, size)
        else:
            flat[unit] = atto(value, size)
    return Rates(**flat), tuple(Tier(start, Rates(**steps[start])) for start in sorted(steps))


def seconds_of_day(value: time) -> int:
    """Second of the UTC day; the source writes every time of day in UTC."""
    if value.utcoffset():
        raise ValueError(f"{value} is not UTC")
    return value.hour * 3600 + value.minute * 60 + value.second


def convert_period(
    price: types.ModelPrice, constraint: types.StartDateConstraint | types.TimeOfDateConstraint | None
) -> Period:
    """One dated or timed price set."""
    rates, tiers = convert_rates(price)
    if constraint is None:
        return Period(rates, tiers)
    if isinstance(constraint, types.StartDateConstraint):
        start = datetime.combine(constraint.start_date, time(), tzinfo=UTC)
        return Period(rates, tiers, since=int(start.timestamp()))
    window = (seconds_of_day(constraint.start_time), seconds_of_day(constraint.end_time))
    return Period(rates, tiers, window=window)


def convert_clause(clause: object) -> Clause:
    """One matching rule of the source."""
    if isinstance(clause, types.ClauseStartsWith):
        return Clause("starts", clause.starts_with.lower())
    if isinstance(clause, types.ClauseEndsWith):
        return Clause("ends", clause.ends_with.lower())
    if isinstance(clause, types.ClauseContains):
        return Clause("contains", clause.contains.lower())
    if isinstance(clause, types.ClauseRegex):
        return Clause("regex", clause.regex)
    if isinstance(clause, types.ClauseEquals):
        return Clause("equals", clause.equals.lower())
    if isinstance(clause, types.ClauseAnd):
        return Clause("all", "", tuple(map(convert_clause, clause.and_)))
    if isinstance(clause, types.ClauseOr):
        return Clause("any", "", tuple(map(convert_clause, clause.or_)))
    raise TypeError(f"unknown clause {clause!r}")


def split_match(match: object) -> tuple[tuple[str, ...], tuple[Clause, ...]]:
    """Exact names and remaining clauses of a model's matching rule."""
    clause = convert_clause(match)
    parts = clause.parts if clause.kind == "any" else (clause,)
    names = dict.fromkeys(part.text for part in parts if part.kind == "equals")
    return tuple(names), tuple(part for part in parts if part.kind != "equals")


def with_long_cache_writes(rates: Rates) -> Rates:
    """Claude: a one-hour cache write costs twice the input rate, on every platform (Anthropic's price page)."""
    if rates.cache_write is None or rates.cache_write_1h is not None or rates.input is None:
        return rates
    return msgspec.structs.replace(rates, cache_write_1h=2 * rates.input)


def complete_claude(period: Period) -> Period:
    """Fills in what the source leaves out for Claude models."""
    tiers = tuple(Tier(tier.above, with_long_cache_writes(tier.rates)) for tier in period.tiers)
    return msgspec.structs.replace(period, rates=with_long_cache_writes(period.rates), tiers=tiers)


def convert_model(provider: str, model: types.ModelInfo) -> Entry | None:
    """One model of the source; ``None`` when the source names it without knowing a price."""
    if (provider, model.id) in UNPRICED:
        return None
    names, clauses = split_match(model.match)
    conditional = (
        [types.ConditionalPrice(prices=model.prices)]
        if isinstance(model.prices, types.ModelPrice)
        else model.prices
    )
    periods = tuple(convert_period(item.prices, item.constraint) for item in conditional)
    variants = tuple(
        Variant(item.when, convert_period(item.prices, item.constraint))
        for item in model.price_variants or ()
    )
    if not any(rates_of(period) for period in periods):
        periods = (Period(Rates(input=0, output=0, cache_read=0, request=0)),)
    if "claude" in model.id:
        periods = tuple(complete_claude(period) for period in periods)
        variants = tuple(Variant(item.when, complete_claude(item.period)) for item in variants)
    dropped = {key for item in conditional for key in item.prices.__dict__ if key in NOT_COUNTED}
    return Entry(
        model.id,
        names,
        clauses,
        periods,
        variants,
        approximate="; ".join(NOT_COUNTED[key] for key in sorted(dropped)) or None,
        min_audio_ms=MINIMUM_AUDIO_MS.get((provider, model.id), 0),
    )


def rates_of(period: Period) -> dict[str, int]:
    """The rates that are there."""
    return {unit: rate for unit, rate in msgspec.structs.asdict(period.rates).items() if rate is not None}


def name_by_id(entries: list[Entry]) -> Iterator[Entry]:
    """An entry's id is a name of it too, unless another entry has that name."""
    taken = {name for entry in entries for name in entry.names}
    for entry in entries:
        own = entry.id.lower()
        if own in taken:
            yield entry
        else:
            taken.add(own)
            yield msgspec.structs.replace(entry, names=(*entry.names, own))


def convert_source() -> tuple[ProviderPrices, ...]:
    """Everything the installed source holds, uncorrected."""
    providers = []
    for provider in data.providers:
        entries = [entry for model in provider.models if (entry := convert_model(provider.id, model))]
        serves = tuple(provider.fallback_model_providers or ())
        providers.append(ProviderPrices(provider.id, serves, tuple(name_by_id(entries))))
    return tuple(providers)


def source_date() -> str:
    """The newest day on which the source says it checked a price."""
    comments = " ".join(
        text
        for provider in data.providers
        for text in (provider.price_comments, *(model.price_comments for model in provider.models))
        if text
    )
    days: list[str] = re.findall(r"(?:verified|checked|observed)\D{0,20}(\d{4}-\d{2}-\d{2})", comments)
    return max(days)


def compile_catalogue(corrections: str | None) -> Catalogue:
    """The catalogue, with corrections (their TOML text) applied."""
    version = importlib.metadata.version("genai-prices")
    providers = convert_source()
    if corrections is not None:
        providers = apply_corrections(providers, corrections)
    digest = hashlib.sha256(msgspec.json.encode(providers)).hexdigest()[:8]
    return Catalogue(
        schema=SCHEMA,
        snapshot=f"genai-prices-{version}+{digest}",
        source=f"genai-prices {version} (MIT) with corrections",
        date=source_date(),
        providers=providers,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CATALOGUE_PATH)
    arguments = parser.parse_args()
    catalogue = compile_catalogue(CORRECTIONS_PATH.read_text(encoding="utf-8"))
    arguments.out.write_bytes(encode(catalogue))
    models = sum(len(provider.entries) for provider in catalogue.providers)
    print(f"{catalogue.snapshot}: {len(catalogue.providers)} providers, {models} models")  # noqa: T201


if __name__ == "__main__":
    main()
