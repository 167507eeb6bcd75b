"""From usage to cost: what is billed at which rate, what a status says, and that everything adds up."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.book import PriceBook, PriceQuery
from pricing.cost import Cost, CostSource, CostStatus
from pricing.units import ATTO_PER_NANO
from pricing.usage import MAX_COUNT, NOTHING, Usage

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


def cost_of(
    book: PriceBook, provider: str, model: str, usage: Usage | None, at: datetime = NOON, **more: Any
) -> Cost:
    return book.price(PriceQuery(provider, model, None, usage, nanoseconds(at), **more))


def components(cost: Cost) -> list[int | None]:
    return [cost.input, cost.output, cost.cache_read, cost.cache_write, cost.other]


def test_plain_text(book: PriceBook) -> None:
    cost = cost_of(book, "openai", "gpt-4o", Usage(input=1_000, output=200, cache_read=400))
    assert cost.status is CostStatus.PRICED
    assert cost.source is CostSource.CATALOGUE
    assert components(cost) == [600 * 2_500, 200 * 10_000, 400 * 1_250, 0, 0]
    assert cost.total == 4_000_000
    assert cost.snapshot == book.snapshot
    assert cost.rule == "openai/gpt-4o"


def test_cache_writes_by_life(book: PriceBook) -> None:
    usage = Usage(input=1_000, output=0, cache_read=100, cache_write_5m=300, cache_write_1h=200)
    cost = cost_of(book, "anthropic", "claude-sonnet-4-5", usage)
    assert components(cost) == [400 * 3_000, 0, 100 * 300, 300 * 3_750 + 200 * 6_000, 0]


@pytest.mark.parametrize(("total", "rate"), [(199_999, 3_000), (200_000, 3_000), (200_001, 6_000)])
def test_a_tier_begins_strictly_above_its_threshold(book: PriceBook, total: int, rate: int) -> None:
    cost = cost_of(book, "anthropic", "claude-sonnet-4-5", Usage(input=total, output=0))
    assert cost.total == total * rate


def test_a_tier_counts_the_cache_and_reprices_the_whole_request(book: PriceBook) -> None:
    usage = Usage(input=200_001, output=10, cache_read=200_000)
    cost = cost_of(book, "anthropic", "claude-sonnet-4-5", usage)
    assert components(cost) == [6_000, 10 * 22_500, 200_000 * 600, 0, 0]
    assert cost.rule == "anthropic/claude-sonnet-4-5, input > 200000"


def test_audio_and_cached_audio_have_their_own_rates(book: PriceBook) -> None:
    usage = Usage(
        input=1_000, output=500, cache_read=300, input_audio=600, cache_audio_read=200, output_audio=400
    )
    cost = cost_of(book, "openai", "gpt-realtime", usage)
    assert components(cost) == [
        300 * 4_000 + 400 * 32_000,
        100 * 16_000 + 400 * 64_000,
        100 * 400 + 200 * 400,
        0,
        0,
    ]
    assert cost.status is CostStatus.PRICED


def test_audio_whose_cached_share_is_not_told_is_an_estimate(book: PriceBook) -> None:
    usage = Usage(input=1_000, output=0, cache_read=300, input_audio=900)
    cost = cost_of(book, "openai", "gpt-realtime", usage)
    assert cost.status is CostStatus.ESTIMATED
    assert components(cost)[0] == 700 * 32_000


def test_audio_without_a_rate_is_a_lower_bound_except_where_text_rates_are_known_to_apply(
    book: PriceBook,
) -> None:
    usage = Usage(input=1_000, output=0, input_audio=900)
    assert cost_of(book, "groq", "openai/gpt-oss-120b", usage).status is CostStatus.PARTIAL
    assert cost_of(book, "google", "gemini-2.5-pro", usage).status is CostStatus.PRICED


def test_seconds_pages_characters_and_searches(book: PriceBook) -> None:
    assert (
        cost_of(book, "groq", "whisper-large-v3", Usage(audio_ms=3_000)).total == 308_333
    )  # ten seconds at least
    assert cost_of(book, "openai", "whisper-1", Usage(audio_ms=60_500)).total == 6_050_000
    assert cost_of(book, "mistral", "mistral-ocr-2505", Usage(pages=5, annotated_pages=2)).total == 9_000_000
    assert cost_of(book, "openai", "tts-1", Usage(characters=1_000)).total == 15_000_000
    assert cost_of(book, "cohere", "rerank-v3.5", Usage(search_units=2)).total == 4_000_000
    searched = cost_of(book, "anthropic", "claude-sonnet-4-5", Usage(input=0, output=0, web_searches=3))
    assert components(searched) == [0, 0, 0, 0, 30_000_000]


def test_measures_without_a_rate_are_ignored_only_where_tokens_were_billed(book: PriceBook) -> None:
    with_tokens = cost_of(book, "openai", "gpt-4o-transcribe", Usage(input=100, output=10, audio_ms=9_000))
    assert with_tokens.status is CostStatus.PRICED
    assert with_tokens.other == 0
    without = cost_of(book, "openai", "gpt-4o", Usage(audio_ms=9_000))
    assert without.status is CostStatus.UNPRICED
    assert without.total is None


def test_what_has_no_rate_makes_a_cost_partial_never_zero(book: PriceBook) -> None:
    cost = cost_of(book, "groq", "openai/gpt-oss-120b", Usage(input=1_000, output=10, web_searches=2))
    assert cost.status is CostStatus.PARTIAL
    assert cost.total
    assert cost_of(book, "openai", "gpt-4o", Usage(input=1_000)).status is CostStatus.PARTIAL
    assert cost_of(book, "openai", "text-embedding-3-small", Usage(input=1_000)).status is CostStatus.PRICED
    free = cost_of(book, "openrouter", "deepseek/deepseek-r1:free", Usage(input=10, output=10))
    assert (free.status, free.total) == (CostStatus.PRICED, 0)


def test_estimated_counts_stay_estimated(book: PriceBook) -> None:
    usage = Usage(input=10, output=10)
    assert cost_of(book, "openai", "gpt-4o", usage, estimated=True).status is CostStatus.ESTIMATED


@pytest.mark.parametrize("usage", [None, NOTHING])
def test_no_usage_is_unpriced(book: PriceBook, usage: Usage | None) -> None:
    cost = cost_of(book, "openai", "gpt-4o", usage)
    assert cost.status is CostStatus.UNPRICED
    assert components(cost) == [None] * 5


def test_unknown_models_are_unpriced(book: PriceBook) -> None:
    cost = cost_of(book, "openai", "gpt-99", Usage(input=1, output=1))
    assert (cost.status, cost.total, cost.source) == (CostStatus.UNPRICED, None, CostSource.NONE)
    assert cost.rule == "no price for openai/gpt-99"


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input=10, output=1, cache_read=11),
        Usage(input=10, output=1, cache_read=6, cache_write_5m=5),
        Usage(output=1, cache_read=1),
        Usage(input=10, output=1, reasoning=2),
        Usage(input=10, output=1, input_audio=11),
        Usage(input=10, output=1, input_audio=4, cache_audio_read=5, cache_read=5),
        Usage(input=10, output=1, input_audio=4, cache_audio_read=3, cache_read=2),
        Usage(input=10, output=1, output_audio=1, output_image=1),
        Usage(input=-1, output=1),
        Usage(input=MAX_COUNT + 1, output=1),
        Usage(input=True, output=1),
        Usage(input="10", output=1),  # type: ignore[arg-type]
        Usage(input=10, output=1, pages=1, annotated_pages=2),
        Usage(input=[], output=1),  # type: ignore[arg-type]
    ],
)
def test_impossible_counts_make_no_cost(book: PriceBook, usage: Usage) -> None:
    cost = cost_of(book, "openai", "gpt-4o", usage)
    assert cost.status is CostStatus.INVALID_USAGE
    assert cost.total is None
    assert book.explain(PriceQuery("openai", "gpt-4o", None, usage, nanoseconds(NOON))).lines == ()


def test_billed_counts_take_the_place_of_reported_ones(book: PriceBook) -> None:
    usage = Usage(input=900, output=90, billed_input=500, billed_output=50)
    cost = cost_of(book, "cohere", "command-a-03-2025", usage)
    assert components(cost) == [500 * 2_500, 50 * 10_000, 0, 0, 0]


def test_a_reported_charge_beats_the_catalogue_and_is_shared_out(book: PriceBook) -> None:
    usage = Usage(input=1_000, output=200, cache_read=400)
    cost = cost_of(book, "openai", "gpt-4o", usage, charge=4_000_001)
    assert (cost.status, cost.source, cost.total) == (CostStatus.PRICED, CostSource.PROVIDER, 4_000_001)
    assert sum(part or 0 for part in components(cost)) == 4_000_001
    assert cost.cache_read == 500_000
    unknown = cost_of(book, "my-own", "thing", None, charge=7)
    assert (unknown.total, unknown.other) == (7, 7)
    assert cost_of(book, "my-own", "thing", None, charge=0).total == 0
    assert cost_of(book, "openai", "gpt-4o", usage, charge=-1).source is CostSource.CATALOGUE


@pytest.mark.parametrize(
    ("provider", "model", "more", "factor"),
    [
        ("openai", "gpt-5", {"service_tier": "flex"}, (1, 2)),
        ("openai", "gpt-5", {"service_tier": "priority"}, (2, 1)),
        ("openai", "gpt-5", {"service_tier": "fast"}, (2, 1)),
        ("openai", "gpt-5", {"service_tier": "default"}, (1, 1)),
        ("openai", "gpt-5", {"service_tier": "auto"}, (1, 1)),
        ("openai", "gpt-5", {"batch": True}, (1, 2)),
        ("azure", "gpt-5", {"batch": True}, (1, 2)),
        ("anthropic", "claude-opus-4-8", {"service_tier": "batch"}, (1, 2)),
        ("anthropic", "claude-3-5-haiku-20241022", {"batch": True}, (1, 2)),
        ("anthropic", "claude-opus-4-8", {"speed": "fast"}, (2, 1)),
        ("anthropic", "claude-opus-4-8", {"geo": "us"}, (11, 10)),
        ("anthropic", "claude-opus-4-8", {"geo": "us", "speed": "fast"}, (11, 5)),
        ("anthropic", "claude-opus-4-5", {"geo": "us"}, (1, 1)),
        ("anthropic", "claude-opus-4-8", {"geo": "global"}, (1, 1)),
        ("google", "claude-opus-4-8", {"region": "us-east5"}, (11, 10)),
        ("google", "claude-opus-4-8", {"region": "global"}, (1, 1)),
        ("google", "gemini-2.5-flash", {"region": "us-east5"}, (1, 1)),
        ("google", "gemini-3.8-flash-tts", {"service_tier": "ON_DEMAND_FLEX"}, (1, 2)),
    ],
)
def test_conditions_change_the_rate(
    book: PriceBook, provider: str, model: str, more: dict[str, Any], factor: tuple[int, int]
) -> None:
    usage = Usage(input=3_000, output=700)
    standard, special = (cost_of(book, provider, model, usage, **extra) for extra in ({}, more))
    assert special.status is CostStatus.PRICED
    assert standard.total is not None
    assert special.total is not None
    assert special.total * factor[1] == standard.total * factor[0]


def test_a_tier_without_a_known_rate_is_an_estimate_at_the_standard_one(book: PriceBook) -> None:
    usage = Usage(input=3_000, output=700)
    cost = cost_of(book, "openai", "gpt-5", usage, service_tier="scale")
    assert cost.status is CostStatus.ESTIMATED
    assert cost.total == cost_of(book, "openai", "gpt-5", usage).total
    assert "no rate known" in (cost.rule or "")


def test_conditions_come_from_a_closed_set(book: PriceBook) -> None:
    fresh = PriceBook.load()
    for number in range(500):
        cost_of(
            fresh, "openai", "gpt-5", Usage(input=1, output=1), service_tier=f"t{number}", region=f"r{number}"
        )
    plan = fresh.find("openai", "gpt-5").listed
    assert plan is not None
    assert len(plan._kept) == 1


@pytest.mark.parametrize(
    ("moment", "rate"),
    [
        (datetime(2026, 11, 20, 0, 59, 59, tzinfo=UTC), 150),
        (datetime(2026, 11, 20, 1, 0, tzinfo=UTC), 300),
        (datetime(2026, 11, 20, 3, 59, 59, tzinfo=UTC), 300),
        (datetime(2026, 11, 20, 4, 0, tzinfo=UTC), 150),
        (datetime(2026, 11, 20, 9, 0, tzinfo=UTC), 300),
        (datetime(2026, 11, 21, 9, 0, tzinfo=UTC), 150),
        (datetime(2026, 11, 22, 2, 0, tzinfo=UTC), 150),
        (datetime(2026, 11, 23, 2, 0, tzinfo=UTC), 300),
    ],
)
def test_hours_and_weekdays(book: PriceBook, moment: datetime, rate: int) -> None:
    assert (
        cost_of(book, "deepseek", "deepseek-flash", Usage(input=1_000, output=0), moment).total
        == 1_000 * rate
    )


@pytest.mark.parametrize(
    ("moment", "rate"),
    [
        (datetime(2025, 9, 5, 15, 59, 59, tzinfo=UTC), 270),
        (datetime(2025, 9, 5, 16, 0, tzinfo=UTC), 560),
        (datetime(2025, 9, 29, 0, 0, tzinfo=UTC), 280),
        (datetime(2026, 4, 24, 0, 0, tzinfo=UTC), 140),
        (datetime(1971, 1, 1, 12, 0, tzinfo=UTC), 270),
    ],
)
def test_prices_are_dated(book: PriceBook, moment: datetime, rate: int) -> None:
    assert (
        cost_of(book, "deepseek", "deepseek-chat", Usage(input=1_000, output=0), moment).total == 1_000 * rate
    )


def test_approximate_rates_make_estimates(book: PriceBook) -> None:
    cost = cost_of(book, "perplexity", "sonar", Usage(input=10, output=10))
    assert cost.status is CostStatus.ESTIMATED
    assert cost.other == 12_000_000


def test_an_explanation_adds_up(book: PriceBook) -> None:
    usage = Usage(input=200_003, output=101, cache_read=7, cache_write_1h=11, web_searches=1)
    told = book.explain(PriceQuery("anthropic", "claude-sonnet-4-5", None, usage, nanoseconds(NOON)))
    assert [(line.unit, line.quantity, line.rate) for line in told.lines] == [
        ("input", 199_985, 6 * 10**12),
        ("cache_read", 7, 6 * 10**11),
        ("cache_write_1h", 11, 12 * 10**12),
        ("output", 101, 225 * 10**11),
        ("web_search", 1, 10**16),
    ]
    assert told.tier_above == 200_000
    assert told.rates_source is not None
    assert (
        sum(line.amount for line in told.lines)
        == sum(told.exact.values())
        == (told.cost.total or 0) * ATTO_PER_NANO
    )


def test_an_explanation_names_what_was_assumed_or_missing(book: PriceBook) -> None:
    usage = Usage(input=100, output=5, cache_read=50, web_searches=2)
    told = book.explain(
        PriceQuery("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", None, usage, nanoseconds(NOON))
    )
    notes = {line.unit: line.note for line in told.lines}
    assert notes["cache_read"] == "no rate of its own: input rate"
    assert notes["web_search"] == "no rate is known"
    assert told.cost.status is CostStatus.PARTIAL
    assert any("lower bound" in note for note in told.notes)


# Properties over all models.

MODELS = [
    (provider, entry.names[0])
    for provider, prices in (
        (name, PriceBook.load().matcher.prices(name))
        for name in (
            "openai",
            "anthropic",
            "google",
            "mistral",
            "groq",
            "deepseek",
            "perplexity",
            "aws",
            "x-ai",
        )
    )
    if prices
    for entry in prices.entries
    if entry.names
]
COUNTS = st.one_of(st.none(), st.integers(0, 50), st.integers(0, 600_000), st.integers(0, MAX_COUNT))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Any usage whose subsets fit."""
    total = draw(COUNTS)
    made = draw(COUNTS)
    rest, left = total or 0, made or 0
    parts: dict[str, int] = {}
    for name in ("cache_read", "cache_write_5m", "cache_write_1h"):
        parts[name] = draw(st.integers(0, rest))
        rest -= parts[name]
    audio = draw(st.integers(0, total or 0))
    cached_audio = draw(st.none() | st.integers(0, min(audio, parts["cache_read"])))
    image = draw(st.integers(0, (total or 0) - audio))
    spoken = draw(st.integers(0, left))
    return Usage(
        input=total,
        output=made,
        reasoning=draw(st.none() | st.integers(0, left)),
        input_audio=audio,
        cache_audio_read=cached_audio,
        input_image=image,
        output_audio=spoken,
        output_image=draw(st.integers(0, left - spoken)),
        web_searches=draw(st.none() | st.integers(0, 1_000)),
        audio_ms=draw(st.none() | st.integers(0, 10_000_000)),
        **parts,
    )


QUERIES = st.builds(
    lambda model, usage, at, charge, tier, batch: PriceQuery(
        *model, None, usage, at, service_tier=tier, charge=charge, batch=batch
    ),
    st.sampled_from(MODELS),
    usages(),
    st.integers(0, 2_000_000_000 * 10**9),
    st.none() | st.integers(0, 10**15),
    st.sampled_from([None, "default", "flex", "priority", "batch", "odd"]),
    st.booleans(),
)


@settings(max_examples=600, deadline=None)
@given(QUERIES)
def test_components_add_up_to_the_total(book: PriceBook, query: PriceQuery) -> None:
    cost = book.price(query)
    assert cost.status is not CostStatus.INVALID_USAGE
    if cost.total is None:
        assert components(cost) == [None] * 5
    else:
        parts = [part for part in components(cost) if part is not None]
        assert len(parts) == 5
        assert sum(parts) == cost.total
        assert min(parts) >= 0
    assert book.price(query) == cost
    told = book.explain(query)
    assert told.cost == cost
    assert sum(line.amount for line in told.lines) == sum(told.exact.values())
    if told.lines and cost.total is not None and cost.source is not CostSource.PROVIDER:
        error = abs(cost.total * ATTO_PER_NANO * told.scale - sum(told.exact.values()))
        assert error * 2 <= ATTO_PER_NANO * told.scale


@settings(max_examples=300, deadline=None)
@given(QUERIES, st.integers(0, 10_000), st.integers(0, 10_000))
def test_more_tokens_never_cost_less(book: PriceBook, query: PriceQuery, more_in: int, more_out: int) -> None:
    usage = query.usage
    assert usage is not None
    if query.charge is not None or usage.input is None or usage.output is None:
        return
    if max(usage.input, usage.output) > MAX_COUNT - 10_000:
        return
    larger = msgspec.structs.replace(usage, input=usage.input + more_in, output=usage.output + more_out)
    before, after = (book.price(msgspec.structs.replace(query, usage=item)).total for item in (usage, larger))
    assert (after or 0) >= (before or 0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 10**24), min_size=5, max_size=5))
def test_rounding_once_and_sharing_out(exact: list[int]) -> None:
    from fractions import Fraction

    from pricing.bill import Amounts, round_amounts

    total, parts = round_amounts(Amounts(1, list(exact), False))
    assert total == round(Fraction(sum(exact), ATTO_PER_NANO))
    assert sum(parts) == total
    assert all(
        abs(part * ATTO_PER_NANO - amount) < ATTO_PER_NANO for part, amount in zip(parts, exact, strict=True)
    )


def test_every_model_of_the_catalogue_prices_a_plain_call(book: PriceBook) -> None:
    statuses = set()
    for provider in book.matcher.providers:
        prices = book.matcher.prices(provider)
        assert prices is not None
        for entry, batch in itertools.product(prices.entries, (False, True)):
            usage = Usage(input=1, output=1, pages=1, characters=1, audio_ms=1, search_units=1)
            name = entry.names[0] if entry.names else entry.clauses[0].text
            statuses.add(cost_of(book, provider, name, usage, batch=batch).status)
    assert CostStatus.INVALID_USAGE not in statuses
    assert CostStatus.PRICED in statuses
