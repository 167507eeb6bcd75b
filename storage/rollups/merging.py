"""Many stored histograms as one, and many hashes of sessions. Loads NumPy, so it is imported when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from storage.rollups.distinct import SIZE, Distinct
from storage.rollups.histogram import BUCKETS, Histogram


def merged(parts: Sequence[bytes], more: Mapping[int, int], taken: Sequence[bytes] = ()) -> Histogram:
    """Packed histograms and buckets counted besides, without those that are ``taken`` away, as one."""
    sums = _summed(parts)
    if taken:
        sums = sums - _summed(taken)
    for bucket, count in more.items():
        sums[bucket] += count
    there = np.flatnonzero(sums)
    return Histogram(dict(zip(there.tolist(), sums[there].tolist(), strict=True)))


def _summed(parts: Sequence[bytes]) -> NDArray[np.int64]:
    """The counts of all buckets: ten times as fast as :func:`storage.rollups.histogram.unpacked`."""
    words = np.frombuffer(b"".join(parts), "<u2").astype(np.int64)
    times = (words & 15) << 4 * (words >> 4 & 3)
    # Floats, exact up to 2**53.
    return np.bincount(words >> 6, weights=times, minlength=BUCKETS).astype(np.int64)


def different(parts: Sequence[bytes], below: int | None) -> Distinct:
    """How many different hashes there are. ``below``: the smallest of the largest hashes of full rows among them."""
    # In the machine's own order of bytes they are sorted several times as fast.
    hashes = np.unique(np.frombuffer(b"".join(parts), f">u{SIZE}").astype(np.uint64))
    if below is None:
        return Distinct(len(hashes), True)
    seen = int(np.searchsorted(hashes, np.uint64(below)))
    return Distinct(round(seen * (1 << 8 * SIZE) / below), False)
