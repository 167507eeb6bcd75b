"""Percentiles within 1.3 %, whatever came, in whatever order and in how many parts; nothing is ever lost in packing."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.rollups.histogram import (
    BUCKETS,
    EDGES,
    Histogram,
    bucket_of,
    middle_of,
    packed,
    unpacked,
)
from storage.rollups.merging import merged

VALUES = st.lists(st.integers(EDGES[0] + 1, EDGES[-1]), min_size=1, max_size=200)
COUNTS = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 2**22), max_size=40)


def exact(values: list[int], percent: float) -> int:
    """Nearest rank."""
    return sorted(values)[max(1, math.ceil(percent * len(values) / 100)) - 1]


def of(values: list[int]) -> Histogram:
    return Histogram(Counter(map(bucket_of, values)))


@settings(deadline=None)
@given(VALUES, st.sampled_from([0.0, 1, 25, 50, 90, 95, 99, 99.9, 100]))
def test_a_percentile_is_within_its_bound(values: list[int], percent: float) -> None:
    found, truth = of(values).percentile(percent), exact(values, percent)
    assert found is not None
    assert abs(found - truth) <= 0.013 * truth


@pytest.mark.parametrize("name", ["lognormal", "exponential", "pareto", "uniform", "constant", "two humps"])
def test_of_real_shapes_too(name: str) -> None:
    chance = random.Random(7)
    draw = {
        "lognormal": lambda: chance.lognormvariate(14, 1),
        "exponential": lambda: 1_000 + chance.expovariate(1e-6),
        "pareto": lambda: 50_000 * chance.paretovariate(1.2),
        "uniform": lambda: chance.uniform(10_000, 90_000_000),
        "constant": lambda: 1_234_567,
        "two humps": lambda: chance.choice([chance.gauss(2e5, 2e4), chance.gauss(3e7, 1e6)]),
    }[name]
    values = [max(EDGES[0] + 1, min(EDGES[-1], int(draw()))) for _ in range(20_000)]
    for percent, found in zip((50, 95, 99), of(values).percentiles((50, 95, 99)), strict=True):
        assert found is not None
        assert abs(found / exact(values, percent) - 1) <= 0.013


@settings(deadline=None)
@given(COUNTS)
def test_packing_loses_nothing(counts: dict[int, int]) -> None:
    assert unpacked(packed(counts)) == counts


@settings(deadline=None)
@given(st.lists(COUNTS, max_size=5), COUNTS)
def test_one_behind_the_other_is_the_sum(parts: list[dict[int, int]], more: dict[int, int]) -> None:
    truth: Counter[int] = Counter(more)
    for part in parts:
        truth.update(part)
    assert merged([packed(part) for part in parts], more).counts == truth
    assert packed(unpacked(b"".join(map(packed, parts)))) == packed(
        unpacked(b"".join(map(packed, parts[::-1])))
    )


def test_it_stays_small() -> None:
    chance = random.Random(3)
    few = Counter(bucket_of(int(chance.lognormvariate(14, 0.9))) for _ in range(46))
    assert len(packed(few)) < 100
    assert len(packed(dict.fromkeys(range(BUCKETS), 15))) == 2 * BUCKETS
    assert len(packed(dict.fromkeys(range(BUCKETS), 65_535))) == 8 * BUCKETS


def test_values_outside_the_edges_are_counted() -> None:
    assert [bucket_of(value) for value in (0, 50, 51, EDGES[-1], EDGES[-1] + 1, 2**60)] == [
        0, 0, 1, BUCKETS - 2, BUCKETS - 1, BUCKETS - 1,
    ]  # fmt: skip
    assert of([0, 2**60]).percentiles((50, 100)) == (25, EDGES[-1])
    assert Histogram({}).percentile(50) is None


def test_every_bucket_is_narrow() -> None:
    assert len(EDGES) == BUCKETS - 1
    for bucket in range(1, BUCKETS - 1):
        low, high = EDGES[bucket - 1] + 1, EDGES[bucket]
        assert low <= middle_of(bucket) <= high
        assert max(middle_of(bucket) / low, high / middle_of(bucket)) <= 1.0135
