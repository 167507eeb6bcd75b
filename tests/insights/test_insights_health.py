"""The health score: every part between its marks, and the weights."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.insights import health
from telemetry.insights.health import HealthFacts, Part, health_score

PERFECT = HealthFacts(
    calls=1000,
    failed=0,
    p95_us=1_000_000,
    reference_p95_us=1_000_000,
    judged=100,
    good=100,
    priced_calls=1000,
    cost_nano=10**9,
    wasted_nano=0,
    reference_priced_calls=1000,
    reference_cost_nano=10**9,
    input_tokens=2_000_000,
    cache_read_tokens=1_500_000,
)


def test_the_best_there_is() -> None:
    found = health_score(PERFECT)
    assert found.score == 100
    assert {one.part: one.weight for one in found.parts} == health.WEIGHTS
    assert sum(health.WEIGHTS.values()) == 100


@pytest.mark.parametrize(
    ("part", "change", "score"),
    [
        (Part.ERRORS, {"failed": 5}, 100),
        (Part.ERRORS, {"failed": 50}, 0),
        (Part.ERRORS, {"failed": 500}, 0),
        (Part.ERRORS, {"failed": 14}, 80),
        (Part.LATENCY, {"p95_us": 1_100_000}, 100),
        (Part.LATENCY, {"p95_us": 2_050_000}, 50),
        (Part.LATENCY, {"p95_us": 3_000_000}, 0),
        (Part.LATENCY, {"p95_us": 1}, 100),
        (Part.QUALITY, {"good": 95}, 100),
        (Part.QUALITY, {"good": 50}, 0),
        (Part.QUALITY, {"good": 77}, 60),
        (Part.COST, {"wasted_nano": 10**7}, 100),
        (Part.COST, {"wasted_nano": 2 * 10**8}, 0),
        (Part.COST, {"cost_nano": 2 * 10**9}, 0),
        (Part.COST, {"cost_nano": 155 * 10**7}, 50),
        (Part.CACHE, {"cache_read_tokens": 1_000_000}, 100),
        (Part.CACHE, {"cache_read_tokens": 500_000}, 50),
        (Part.CACHE, {"cache_read_tokens": 0}, 0),
    ],
)
def test_a_part_between_its_marks(part: Part, change: dict[str, int], score: int) -> None:
    found = health_score(msgspec.structs.replace(PERFECT, **change))
    scores = {one.part: one.score for one in found.parts}
    assert scores.pop(part) == score
    assert set(scores.values()) == {100}
    assert found.score == round(100 - (100 - score) * health.WEIGHTS[part] / 100)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        (Part.ERRORS, {"calls": 19}),
        (Part.LATENCY, {"p95_us": None}),
        (Part.LATENCY, {"reference_p95_us": None}),
        (Part.LATENCY, {"reference_p95_us": 0}),
        (Part.QUALITY, {"judged": 19, "good": 0}),
        (Part.COST, {"cost_nano": 0}),
        (Part.CACHE, {"input_tokens": 1_023_000, "cache_read_tokens": 0}),
    ],
)
def test_what_is_not_known_has_no_part(part: Part, change: dict[str, int | None]) -> None:
    found = health_score(msgspec.structs.replace(PERFECT, **change))
    assert part not in [one.part for one in found.parts]
    assert found.score == 100


def test_of_nothing_there_is_no_score() -> None:
    assert health_score(HealthFacts(calls=0, failed=0)) == health.HealthScore(None, ())


@given(st.integers(20, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_failures_are_never_healthier(calls: int, failed: int, more: int) -> None:
    failed = min(failed, calls)
    facts = HealthFacts(calls=calls, failed=failed, judged=40, good=30)
    worse = msgspec.structs.replace(facts, failed=min(calls, failed + more))
    one, other = health_score(facts).score, health_score(worse).score
    assert one is not None
    assert other is not None
    assert 0 <= other <= one <= 100
