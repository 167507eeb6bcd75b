"""Counts and charges: what is taken for a number, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.anthropic_messages import WIRE as ANTHROPIC
from gateway.wire.anthropic_usage import anthropic_usage
from gateway.wire.bedrock_invoke import WIRE as BEDROCK
from gateway.wire.bedrock_usage import bedrock_usage
from gateway.wire.cohere_chat import cohere_usage
from gateway.wire.contract import AskFields, Exchanged, Wire
from gateway.wire.counts import Counts, exceeds
from gateway.wire.gemini_usage import gemini_usage
from gateway.wire.money import nano_usd
from gateway.wire.openai_chat import WIRE as CHAT
from gateway.wire.openai_usage import openai_usage, usual_usage
from gateway.wire.seen import MOST_PARTS, Seen
from gateway.wire.shapes import exact_object
from pricing.usage import Usage


@pytest.mark.parametrize("value", [0, 1, 2**53, 28.0, Decimal("28.0"), Decimal("0")])
def test_counts(value: object) -> None:
    counts = Counts()
    assert counts.value(value) == int(value)  # type: ignore[call-overload]
    assert not counts.invalid


@pytest.mark.parametrize(
    "value",
    [True, False, -1, 2**53 + 1, 1.5, float("nan"), float("inf"), -0.5, "7", "", [], {}, [1], Decimal("1.5"), Decimal("NaN"),
     Decimal("Infinity"), Decimal("1E+400"), Decimal("-1")],
)  # fmt: skip
def test_no_counts(value: object) -> None:
    counts = Counts()
    assert counts.value(value) is None
    assert counts.invalid


def test_null_is_not_reported_and_not_invalid() -> None:
    counts = Counts()
    assert counts.value(None) is None
    assert not counts.invalid


def test_invalid_usage_is_no_number() -> None:
    counts = Counts()
    counts.value("7")
    assert counts.accept(Usage(5, 5)) is None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(10, 5, cache_read=11),
        Usage(10, 5, cache_read=6, cache_write_5m=3, cache_write_1h=2),
        Usage(10, 5, reasoning=6),
        Usage(10, 5, input_audio=6, input_image=5),
        Usage(10, 5, output_audio=3, output_image=3),
        Usage(10, 5, cache_read=2, cache_audio_read=3),
        Usage(10, 5, tool_input=11),
        Usage(10, 5, citation=6),
        Usage(None, 5, cache_read=1),
    ],
)
def test_subset_above_its_whole_is_invalid(usage: Usage) -> None:
    assert exceeds(usage)
    assert Counts().accept(usage) is None


CACHED_SPELLINGS = {
    "prompt_tokens_details.cached_tokens": lambda c: openai_usage("", {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}, c),
    "prompt_token_details.cached_tokens": lambda c: openai_usage("", {"prompt_tokens": 9, "prompt_token_details": {"cached_tokens": 4}}, c),
    "input_tokens_details.cached_tokens": lambda c: openai_usage("", {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}}, c),
    "input_token_details.cached_tokens": lambda c: openai_usage("", {"input_tokens": 9, "input_token_details": {"cached_tokens": 4}}, c),
    "prompt_cache_hit_tokens": lambda c: openai_usage("", {"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}, c),
    "cached_tokens beside prompt_tokens": lambda c: openai_usage("", {"prompt_tokens": 9, "cached_tokens": 4}, c),
    "num_cached_tokens": lambda c: openai_usage("", {"prompt_tokens": 9, "num_cached_tokens": 4}, c),
    "cache_read_input_tokens": lambda c: anthropic_usage({"input_tokens": 5, "cache_read_input_tokens": 4}, c),
    "cachedContentTokenCount": lambda c: gemini_usage({"promptTokenCount": 9, "cachedContentTokenCount": 4}, c),
    "cacheReadInputTokens": lambda c: bedrock_usage({"inputTokens": 5, "cacheReadInputTokens": 4}, c),
    "cacheReadInputTokenCount": lambda c: bedrock_usage({"inputTokens": 5, "cacheReadInputTokenCount": 4}, c),
    "cached_tokens beside tokens": lambda c: cohere_usage({"tokens": {"input_tokens": 9}, "cached_tokens": 4}, "", c),
}  # fmt: skip


@pytest.mark.parametrize("spelling", CACHED_SPELLINGS)
def test_every_spelling_of_cached_tokens(spelling: str) -> None:
    counts = Counts()
    usage = CACHED_SPELLINGS[spelling](counts)
    assert usage is not None
    assert (usage.input, usage.cache_read) == (9, 4)
    assert not counts.invalid


COUNT = st.none() | st.integers(0, 50)


@given(st.fixed_dictionaries({}, optional={
    "prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT,
    "prompt_tokens_details": st.none() | st.fixed_dictionaries({}, optional={"cached_tokens": COUNT, "audio_tokens": COUNT, "cache_write_tokens": COUNT}),
    "completion_tokens_details": st.none() | st.fixed_dictionaries({}, optional={"reasoning_tokens": COUNT, "audio_tokens": COUNT}),
    "prompt_cache_hit_tokens": COUNT, "prompt_cache_miss_tokens": COUNT | st.just(-1), "queue_time": st.floats(0, 1) | COUNT,
}))  # fmt: skip
def test_quick_and_thorough_reading_agree(found: dict[str, object]) -> None:
    quick = usual_usage(json.dumps(found).encode())
    counts = Counts()
    thorough = openai_usage("", found, counts)
    if quick is not None:
        assert quick == thorough
        assert not counts.invalid


@pytest.mark.parametrize(
    "odd",
    [
        '{"prompt_tokens":1,"completion_tokens":2,"cost":0.1}',
        '{"prompt_tokens":true,"completion_tokens":1}',
        "[]",
        "null",
        "{",
    ],
)
def test_quick_reading_leaves_the_unusual_alone(odd: str) -> None:
    assert usual_usage(odd.encode()) is None


@pytest.mark.parametrize(
    ("amount", "per_usd", "nano"),
    [
        (Decimal("0.00014"), 1, 140_000),
        (0, 1, 0),
        (3, 1, 3_000_000_000),
        (Decimal("0.0000000005"), 1, 0),
        (Decimal("0.0000000015"), 1, 2),
        (1234567, 10_000_000_000, 123457),
        (Decimal("1E-30"), 1, 0),
        (-1, 1, None),
        (True, 1, None),
        ("0.1", 1, None),
        (0.1, 1, None),
        (None, 1, None),
        (Decimal("NaN"), 1, None),
        (Decimal("1E+999999"), 1, None),
        (1_000_001, 1, None),
    ],
)
def test_charges(amount: object, per_usd: int, nano: int | None) -> None:
    assert nano_usd(amount, per_usd) == nano


PART = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.none() | st.integers(0, 9), max_size=3)
OBJECT = st.dictionaries(
    st.sampled_from(["a", "b", "d", "e"]), st.none() | st.integers(0, 9) | PART, max_size=4
)


@given(st.lists(OBJECT, max_size=4))
def test_last_value_that_is_not_null_wins_per_field(objects: list[dict[str, object]]) -> None:
    seen = Seen()
    for each in objects:
        seen.usage_adds(msgspec.json.encode(each))
    for name in {name for each in objects for name in each}:
        told = [each[name] for each in objects if each.get(name) is not None]
        got = (seen.usage or {}).get(name)
        if not told:
            assert got is None
        elif not isinstance(told[-1], dict):
            assert got == told[-1]
        else:
            assert isinstance(got, dict)
            assert {k: v for k, v in told[-1].items() if v is not None}.items() <= got.items()


def test_raw_usage_stays_within_4_kib() -> None:
    seen = Seen()
    seen.usage_adds(msgspec.json.encode({"input_tokens": 5, "iterations": [{"input_tokens": 1}] * 1000}))
    assert seen.raw_usage() == b'{"input_tokens":5}'
    assert Seen().raw_usage() is None


def passes(number: int) -> tuple[Wire, dict[str, Any]]:
    one = {"type": "compaction", "input_tokens": 1, "output_tokens": 1}
    usage = {"input_tokens": 5, "output_tokens": 1, "iterations": [one] * number}
    return ANTHROPIC, {"type": "message", "model": "m", "usage": usage}


def shares(number: int) -> tuple[Wire, dict[str, Any]]:
    one = {"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    usage = {"prompt_tokens": number, "completion_tokens": number}
    return CHAT, {"model": "m", "usage": usage, "usage_breakdown": {"models": [one] * number}}


def iterations(number: int) -> tuple[Wire, dict[str, Any]]:
    return BEDROCK, passes(number)[1]


@pytest.mark.parametrize("answer", [passes, shares, iterations])
@pytest.mark.parametrize("more", [0, 1])
def test_more_parts_than_are_kept_make_a_lower_bound(
    answer: Callable[[int], tuple[Wire, dict[str, Any]]], more: int
) -> None:
    wire, body = answer(MOST_PARTS + more)
    reader = wire.reader(Exchanged("POST", "/x", "", AskFields("m"), 200, ()))
    reader.document(json.dumps(body).encode())
    reading = reader.reading()
    assert (len(reading.also), reading.fees_unseen) == (MOST_PARTS, bool(more))
    assert reader.reading() == reading


@pytest.mark.parametrize("number", ["1e1000000000000000000", "-1e1000000000000000000", "1" * 5_000])
def test_numbers_beyond_all_bounds_are_no_defect(number: str) -> None:
    for raw in (f'{{"cost":{number}}}', f'{{"cost":{number},"other":NaN}}'):
        found = exact_object(raw.encode())
        assert found is None or nano_usd(found["cost"]) is None
