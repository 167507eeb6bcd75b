"""Recommendations: each rule just inside and just outside its limits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from telemetry.insights.recommend import Facts, Kind, ModelUse, Recommendation, Unused, recommendations

USD = 10**9
LARGE = ModelUse(
    feature="chat",
    model="large",
    calls=1000,
    priced_calls=1000,
    input_tokens=1_000_000,
    output_tokens=200_000,
    cost_nano=100 * USD,
    cost_input_nano=50 * USD,
    cost_output_nano=50 * USD,
    judged=400,
    good=360,
)
SMALL = ModelUse(
    feature="chat",
    model="small",
    calls=500,
    priced_calls=500,
    input_tokens=250_000,
    output_tokens=50_000,
    cost_nano=5 * USD,
    cost_input_nano=2 * USD,
    cost_output_nano=3 * USD,
    judged=400,
    good=362,
)
LONG = ModelUse(
    feature="search",
    model="large",
    calls=100,
    priced_calls=100,
    input_tokens=900_000,
    output_tokens=20_000,
    cost_nano=45 * USD,
    cost_input_nano=40 * USD,
    cost_output_nano=5 * USD,
    sampled=100,
    repeated=80,
)


def advice(*models: ModelUse, days: int = 30, **more: Any) -> list[Recommendation]:
    return recommendations(Facts(days=days, models=models, **more))


def changed(use: ModelUse, **changes: Any) -> ModelUse:
    return msgspec.structs.replace(use, **changes)


def test_a_cheaper_model_that_is_as_good() -> None:
    (found,) = advice(LARGE, SMALL)
    assert (found.kind, found.subject) == (Kind.CHEAPER_MODEL, "chat/large")
    # A million tokens in at 2 USD for 250,000 and 200,000 out at 3 USD for 50,000.
    assert dict(found.evidence)["cost_instead_nano"] == (4 * 2 + 4 * 3) * USD
    assert found.saving_nano == 80 * USD
    assert 950_000 < found.confidence_ppm <= 1_000_000
    assert found.text == (
        "In chat, small answers as well as large (90.5 % good of 400 judged, against 90 % of 400), and the same tokens "
        "would have cost $20.00 instead of $100.00."
    )


@pytest.mark.parametrize(
    "other",
    [
        changed(SMALL, feature="summaries"),
        changed(SMALL, good=330),
        changed(SMALL, judged=19, good=19),
        changed(SMALL, judged=60, good=55),
        changed(SMALL, priced_calls=49, calls=49),
        changed(SMALL, cost_nano=24 * USD, cost_input_nano=12 * USD, cost_output_nano=12 * USD),
        changed(SMALL, failed=100),
    ],
    ids=[
        "another task",
        "worse",
        "unknown quality",
        "unsure quality",
        "few calls",
        "hardly cheaper",
        "fails more",
    ],
)
def test_what_is_no_better_choice(other: ModelUse) -> None:
    assert [one for one in advice(LARGE, other) if one.kind is Kind.CHEAPER_MODEL] == []


def test_unpriced_calls_count_on_neither_side() -> None:
    half = changed(
        LARGE, priced_calls=500, cost_nano=50 * USD, cost_input_nano=25 * USD, cost_output_nano=25 * USD
    )
    (found,) = advice(half, SMALL)
    assert found.saving_nano == 40 * USD
    unpriced = changed(SMALL, calls=1000, input_tokens=500_000, output_tokens=100_000)
    (found,) = advice(LARGE, unpriced)
    assert found.saving_nano == 80 * USD


def test_savings_are_those_of_thirty_days() -> None:
    (week,) = advice(LARGE, SMALL, days=7)
    assert week.saving_nano == 80 * USD * 30 // 7


def test_only_the_best_offer_is_made() -> None:
    tiny = changed(SMALL, model="tiny", cost_nano=2 * USD, cost_input_nano=USD, cost_output_nano=USD)
    kinds = [(one.subject, one.text.split()[2]) for one in advice(LARGE, SMALL, tiny)]
    assert kinds == [("chat/large", "tiny"), ("chat/small", "tiny")]


def test_long_inputs_that_repeat() -> None:
    found = {one.kind: one for one in advice(LONG)}
    cache, shorten = found[Kind.CACHE_PROMPTS], found[Kind.SHORTEN_CONTEXT]
    assert cache.saving_nano == 40 * USD * 80 // 100 // 4
    assert dict(cache.evidence) == {
        "calls": 100,
        "mean_input_tokens": 9_000,
        "cached_ppm": 0,
        "repeated_ppm": 800_000,
        "cost_input_nano": 40 * USD,
    }
    assert shorten.saving_nano == 10 * USD
    assert set(found) == {Kind.CACHE_PROMPTS, Kind.SHORTEN_CONTEXT}


@pytest.mark.parametrize(
    ("kind", "use"),
    [
        (Kind.CACHE_PROMPTS, changed(LONG, cache_read_tokens=200_000)),
        (Kind.CACHE_PROMPTS, changed(LONG, repeated=49)),
        (Kind.CACHE_PROMPTS, changed(LONG, sampled=49, repeated=49)),
        (Kind.CACHE_PROMPTS, changed(LONG, input_tokens=102_000)),
        (Kind.CACHE_PROMPTS, changed(LONG, cost_input_nano=4 * USD)),
        (Kind.SHORTEN_CONTEXT, changed(LONG, input_tokens=799_000)),
        (Kind.SHORTEN_CONTEXT, changed(LONG, output_tokens=31_000)),
        (Kind.SHORTEN_CONTEXT, changed(LONG, calls=49)),
        (Kind.SHORTEN_CONTEXT, changed(LONG, cost_input_nano=3 * USD)),
    ],
)
def test_inputs_that_are_fine(kind: Kind, use: ModelUse) -> None:
    assert kind not in [one.kind for one in advice(use)]


@pytest.mark.parametrize(
    ("limit", "longest", "sampled", "found"),
    [
        (4096, 1024, 100, True),
        (4095, 1024, 100, False),
        (1023, 10, 100, False),
        (None, 10, 100, False),
        (4096, 1024, 99, False),
        (4096, 0, 100, False),
    ],
)
def test_limits_far_above_every_answer(limit: int | None, longest: int, sampled: int, found: bool) -> None:
    use = ModelUse(
        feature=None, model="m", calls=100, sampled=sampled, max_tokens=limit, longest_tokens=longest
    )
    assert [(one.kind, one.saving_nano) for one in advice(use)] == [(Kind.LOWER_MAX_TOKENS, 0)] * found


@pytest.mark.parametrize(
    ("calls", "failed", "found"), [(1000, 50, True), (1000, 49, False), (49, 49, False), (50, 3, False)]
)
def test_calls_that_fail(calls: int, failed: int, found: bool) -> None:
    use = ModelUse(feature="chat", model="m", calls=calls, failed=failed, wasted_nano=3 * USD)
    assert [(one.kind, one.saving_nano) for one in advice(use, days=15)] == [
        (Kind.STOP_FAILING, 6 * USD)
    ] * found


def test_what_nobody_uses_any_more() -> None:
    found = advice(
        features=(Unused("beta", 14, 900, 12 * USD), Unused("chat", 13, 5)), keys=(Unused("ci", 40, 7),)
    )
    assert [(one.kind, one.subject, one.saving_nano) for one in found] == [
        (Kind.IDLE_FEATURE, "beta", 0),
        (Kind.IDLE_KEY, "ci", 0),
    ]
    assert "14 days (900 calls before, for $12.00)" in found[0].text


def test_what_is_worth_most_comes_first() -> None:
    found = advice(LONG, LARGE, SMALL, keys=(Unused("ci", 40, 7),))
    worth = [one.saving_nano * one.confidence_ppm for one in found]
    assert worth == sorted(worth, reverse=True)
    assert found == advice(SMALL, LONG, LARGE, keys=(Unused("ci", 40, 7),))
    assert {one.confidence_ppm <= 1_000_000 for one in found} == {True}


def test_without_facts_there_is_no_advice() -> None:
    assert advice() == []
    with pytest.raises(ValueError):
        advice(days=0)
