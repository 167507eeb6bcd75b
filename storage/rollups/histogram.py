"""Durations and speeds as a histogram whose buckets are 2 % wide: percentiles within 1.3 % of the exact ones.

A bucket's count is exact and does not depend on the order or the grouping in which values came, so histograms can be
held against the calls bucket by bucket, as sums are. Stored, a histogram is a string of 16-bit words (little-endian)
that add up: the bucket in the upper ten bits, below it an exponent (2 bits) and a digit (4 bits); the word counts
``digit * 16**exponent`` values. Two histograms are merged by putting one behind the other; :func:`packed` makes the
result short again. A full one takes 2 KB for each digit of its counts, and that of 46 calls some 80 bytes.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

BUCKETS: Final = 1024
_FIRST: Final = 50
"""Upper edge of the lowest bucket: 50 us, or 0.05 tokens a second."""
_DIGIT: Final = 15
_LAST_EXPONENT: Final = 3


def _edges() -> tuple[int, ...]:
    edges = [_FIRST]
    while len(edges) < BUCKETS - 1:
        edges.append(edges[-1] + max(1, (edges[-1] + 25) // 50))
    return tuple(edges)


EDGES: Final = _edges()
"""Bucket ``n`` holds the integers above ``EDGES[n - 1]`` up to and including ``EDGES[n]``; the last one, all above
eight hours. Integers, so that every machine and every database finds the same bucket."""


def bucket_of(value: int) -> int:
    """The bucket of a value."""
    return bisect_left(EDGES, value)


def middle_of(bucket: int) -> int:
    """The value that stands for a bucket: no value within is further than 1.3 % from it."""
    if bucket == 0:
        return _FIRST // 2
    if bucket == BUCKETS - 1:
        return EDGES[-1]
    low, high = EDGES[bucket - 1] + 1, EDGES[bucket]
    return (2 * low * high + (low + high) // 2) // (low + high)


def packed(counts: Mapping[int, int]) -> bytes:
    """The words of a histogram given as bucket -> count, in the order of the buckets."""
    words = array("H")
    for bucket in sorted(counts):
        left, exponent = counts[bucket], 0
        while left > _DIGIT and exponent < _LAST_EXPONENT:
            if left & _DIGIT:
                words.append(bucket << 6 | exponent << 4 | left & _DIGIT)
            left >>= 4
            exponent += 1
        while left > 0:
            digit = min(left, _DIGIT)
            words.append(bucket << 6 | exponent << 4 | digit)
            left -= digit
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


def unpacked(words: bytes) -> dict[int, int]:
    """Bucket -> count, of the words of one histogram or of several one behind the other."""
    found = array("H", words)
    if sys.byteorder == "big":
        found.byteswap()
    return counted(Counter(found).items())


def counted(words: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Bucket -> count, of words and how often each occurs."""
    counts: dict[int, int] = {}
    for word, times in words:
        bucket = word >> 6
        counts[bucket] = counts.get(bucket, 0) + ((word & _DIGIT) << 4 * (word >> 4 & 3)) * times
    return counts


def added(words: bytes, values: Sequence[int]) -> bytes:
    """A packed histogram with more buckets counted once each."""
    counts = Counter(unpacked(words))
    counts.update(values)
    return packed(counts)


class Histogram:
    """What a reader gets: how many values there were, and percentiles of them."""

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int]) -> None:
        """``counts``: bucket -> count."""
        self.counts = counts

    @property
    def total(self) -> int:
        """How many values there were."""
        return sum(self.counts.values())

    def percentile(self, percent: float) -> int | None:
        """The value below or at which so many percent of the values lie (nearest rank); ``None`` if there are none."""
        (value,) = self.percentiles((percent,))
        return value

    def percentiles(self, percents: Sequence[float]) -> tuple[int | None, ...]:
        """Several at once."""
        buckets = sorted(self.counts)
        reached = list(accumulate(self.counts[bucket] for bucket in buckets))
        total = reached[-1] if reached else 0
        if total == 0:
            return (None,) * len(percents)
        ranks = [max(1, -int(-percent * total // 100)) for percent in percents]
        return tuple(middle_of(buckets[bisect_left(reached, rank)]) for rank in ranks)
