"""Our engine against ``genai-prices``, over every model it knows.

Wherever the two differ, ``disagreements.toml`` has to say why; a reason that no difference needs is an error too.
"""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from genai_prices import data, types

from pricing.book import PriceBook, PriceQuery
from pricing.usage import Usage

MOMENTS = {
    "2025-01": datetime(2025, 1, 15, 2, 0, tzinfo=UTC),
    "2026-09": datetime(2026, 9, 15, 12, 0, tzinfo=UTC),
    "friday": datetime(2026, 11, 20, 7, 0, tzinfo=UTC),
    "saturday": datetime(2026, 11, 21, 7, 0, tzinfo=UTC),
}

USAGES = {
    "text": Usage(input=12_345, output=678),
    "empty": Usage(input=0, output=0),
    "cached": Usage(input=12_345, output=678, cache_read=5_001),
    "written": Usage(input=12_345, output=678, cache_read=1_000, cache_write_5m=2_003),
    "written_1h": Usage(
        input=12_345, output=678, cache_read=1_000, cache_write_5m=2_003, cache_write_1h=1_234
    ),
    "at_100k": Usage(input=100_000, output=7, cache_read=99_999),
    "over_100k": Usage(input=100_001, output=7, cache_read=99_999),
    "at_200k": Usage(input=200_000, output=7, cache_read=150_000),
    "over_200k": Usage(input=200_001, output=7, cache_read=150_000),
    "over_272k": Usage(input=272_001, output=90_001, cache_read=200_000, cache_write_5m=10_000),
    "over_512k": Usage(input=524_289, output=9, cache_read=7),
    "reasoning": Usage(input=100, output=5_000, reasoning=4_000),
    "audio": Usage(
        input=9_000,
        output=4_000,
        input_audio=3_000,
        cache_read=2_000,
        cache_audio_read=1_000,
        output_audio=2_500,
    ),
    "image": Usage(
        input=9_000,
        output=4_000,
        input_image=3_000,
        cache_read=2_000,
        cache_image_read=1_000,
        output_image=2_500,
    ),
    "video": Usage(input=9_000, output=4_000, input_video=3_000, output_video=2_500),
    "searches": Usage(input=9_000, output=4_000, web_searches=3, file_searches=2),
    "seconds": Usage(audio_ms=73_000),
    "short_seconds": Usage(audio_ms=3_000),
    "pages": Usage(pages=11, annotated_pages=3),
    "characters": Usage(characters=4_321),
}

CONTEXTS: dict[str, tuple[dict[str, str] | None, dict[str, Any]]] = {
    "standard": (None, {}),
    "batch": ({"processing": "batch"}, {"batch": True}),
    "flex": ({"service_tier": "flex"}, {"service_tier": "flex"}),
    "priority": ({"service_tier": "priority"}, {"service_tier": "priority"}),
    "fast": ({"service_tier": "fast"}, {"service_tier": "fast"}),
    "speed": ({"speed": "fast"}, {"speed": "fast"}),
}

DISAGREEMENTS = tomllib.loads((Path(__file__).parent / "disagreements.toml").read_text())["disagreement"]


def their_usage(usage: Usage) -> types.Usage:
    """The same usage in their words; the plain pages are their pages less the annotated ones."""
    seconds = None if usage.audio_ms is None else usage.audio_ms // 1000
    written = usage.cache_write
    values = {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": written,
        "cache_write_5m_tokens": usage.cache_write_5m if written else None,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_reasoning_tokens": usage.reasoning,
        "output_citation_tokens": usage.citation,
        "input_audio_tokens": usage.input_audio,
        "cache_audio_read_tokens": usage.cache_audio_read,
        "output_audio_tokens": usage.output_audio,
        "input_image_tokens": usage.input_image,
        "cache_image_read_tokens": usage.cache_image_read,
        "output_image_tokens": usage.output_image,
        "input_video_tokens": usage.input_video,
        "output_video_tokens": usage.output_video,
        "web_searches": usage.web_searches,
        "storage_searches": usage.file_searches,
        "input_document_pages": usage.pages,
        "input_annotated_document_pages": usage.annotated_pages,
        "input_characters": usage.characters,
        "audio_seconds": seconds,
        "input_audio_seconds": seconds,
    }
    return types.Usage(**{key: value for key, value in values.items() if value is not None})


def find_name(provider: types.Provider, model: types.ModelInfo) -> str | None:
    """A name by which the source itself finds this model."""
    match = model.match
    clauses = match.or_ if isinstance(match, types.ClauseOr) else [match]
    names = [clause.equals for clause in clauses if isinstance(clause, types.ClauseEquals)]
    names += [clause.starts_with for clause in clauses if isinstance(clause, types.ClauseStartsWith)]
    names += [clause.contains for clause in clauses if isinstance(clause, types.ClauseContains)]
    names += [clause.ends_with for clause in clauses if isinstance(clause, types.ClauseEndsWith)]
    for name in (model.id, *names):
        if provider.find_model(name) is model:
            return name
    return None


def their_nano(
    model: types.ModelInfo, provider: types.Provider, usage: Usage, at: datetime, context: Any
) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        price = model.calc_price(
            their_usage(usage), provider, genai_request_timestamp=at, price_context=context
        )
    return int((price.total_price * 10**9).to_integral_value(ROUND_HALF_EVEN))


def cases(model: types.ModelInfo) -> Iterator[tuple[str, str, str]]:
    """Usage, moment and context of every case for one model: what can make a difference for it."""
    priced = (
        [model.prices]
        if isinstance(model.prices, types.ModelPrice)
        else [item.prices for item in model.prices]
    )
    keys = {key for prices in priced for key in prices.__dict__}
    tiered = any(
        isinstance(value, types.TieredPrices) for prices in priced for value in prices.__dict__.values()
    )
    by_time = isinstance(model.prices, list)
    tokens = {"input_mtok", "output_mtok"} & keys or not keys
    for usage in USAGES:
        if usage in ("seconds", "short_seconds"):
            if not any(key.endswith("hours") for key in keys):
                continue
        elif usage == "pages":
            if "input_document_kpages" not in keys:
                continue
        elif usage == "characters":
            if "input_mchars" not in keys:
                continue
        elif not tokens or (usage[:3] in ("at_", "ove") and not tiered and usage != "over_200k"):
            continue
        for moment in MOMENTS if by_time else ("friday",):
            yield usage, moment, "standard"
        varies = model.price_variants and usage in ("written_1h", "over_272k", "audio", "seconds", "pages")
        if usage == "text" or varies:
            for context in list(CONTEXTS)[1:]:
                yield usage, "friday", context


def differences(book: PriceBook) -> Iterator[tuple[str, str, str, int | None, int | None]]:
    """Provider, model, case, ours, theirs, wherever they differ."""
    for provider in data.providers:
        for model in provider.models:
            name = find_name(provider, model)
            if name is None:
                yield provider.id, model.id, "name", None, None
                continue
            for usage, moment, context in cases(model):
                at = MOMENTS[moment]
                theirs_context, ours_context = CONTEXTS[context]
                query = PriceQuery(
                    provider.id, name, None, USAGES[usage], int(at.timestamp()) * 10**9, **ours_context
                )
                ours = book.price(query).total
                try:
                    theirs: int | None = their_nano(model, provider, USAGES[usage], at, theirs_context)
                except ValueError:
                    theirs = None
                if ours != theirs:
                    yield provider.id, model.id, f"{usage}/{moment}/{context}", ours, theirs


def reason_for(provider: str, model: str, case: str) -> int | None:
    """Index of the listed disagreement that covers a difference."""
    for index, item in enumerate(DISAGREEMENTS):
        if (
            fnmatchcase(provider, item["provider"])
            and any(fnmatchcase(model, pattern) for pattern in item["models"])
            and any(fnmatchcase(case, pattern) for pattern in item["cases"])
        ):
            return index
    return None


@pytest.fixture(scope="module")
def found(book: PriceBook) -> list[tuple[str, str, str, int | None, int | None]]:
    return list(differences(book))


def test_every_difference_has_a_reason(found: list[tuple[str, str, str, int | None, int | None]]) -> None:
    unexplained = [item for item in found if reason_for(*item[:3]) is None]
    assert not unexplained, f"{len(unexplained)} differences, such as {unexplained[:20]}"


def test_every_reason_is_needed(found: list[tuple[str, str, str, int | None, int | None]]) -> None:
    used = {reason_for(*item[:3]) for item in found}
    idle = [item for index, item in enumerate(DISAGREEMENTS) if index not in used]
    assert not idle


def test_the_comparison_compares(book: PriceBook) -> None:
    compared = sum(1 for provider in data.providers for model in provider.models for _ in cases(model))
    assert compared > 30_000
