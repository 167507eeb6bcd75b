"""Rows by user and day narrowed to groups of calls: who was there, and in which sessions. Loads NumPy.

A row says to which groups its calls belong, so a filter by any dimension of the groups tells exactly whether a user was
there. Its sessions are told with their groups; a row that has too many keeps some of them
(:mod:`storage.rollups.distinct`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from storage.rollups.distinct import SIZE

_PLAIN: Final = f">u{SIZE}"
_NATIVE: Final = np.uint64


class Visits(msgspec.Struct, frozen=True):
    """One group of an answer."""

    rows: Sequence[int]
    """The places of the rows that have calls in it."""
    hashes: bytes
    """Of the sessions, each once."""
    below: int | None
    """The smallest of the largest hashes of full rows; ``None`` if no row is full."""


def narrowed(
    groups: Sequence[bytes],
    pairs: Sequence[bytes],
    wanted: Mapping[int, int],
    last: Mapping[int, int] | None = None,
) -> dict[int, Visits] | None:
    """The rows by what they count for; ``None`` where a row does not know its groups.

    ``groups`` and ``pairs``: of each row, as they are kept. ``wanted``: number of a group -> what it counts for.
    ``last``: place of a full row -> the largest hash of its sessions.
    """
    numbers, owners = _flat(groups, SIZE)
    if len(numbers) and not numbers[:, 0].all():
        return None
    hits, kinds = _hits(numbers[:, 0], wanted)
    count = max(1, len(groups))
    seen = np.unique(kinds * count + owners[hits])
    kind_of, row_of = seen // count, seen % count
    hashed, _ = _flat(pairs, 2 * SIZE)
    of_pairs, pair_kinds = _hits(hashed[:, 1], wanted)
    full = last or {}
    found = {}
    for kind in np.unique(kind_of).tolist():
        rows = row_of[kind_of == kind].tolist()
        hashes = np.unique(hashed[of_pairs[pair_kinds == kind], 0])
        ends = [full[row] for row in rows if row in full]
        found[kind] = Visits(rows, hashes.astype(_PLAIN).tobytes(), min(ends, default=None))
    return found


def _flat(packed: Sequence[bytes], size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """All numbers, one line for each part, and the row each part is of."""
    numbers = np.frombuffer(b"".join(packed), _PLAIN).astype(_NATIVE).reshape(-1, size // SIZE)
    return numbers, np.repeat(np.arange(len(packed)), [len(one) // size for one in packed])


def _hits(
    numbers: NDArray[np.uint64], wanted: Mapping[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the numbers are wanted, and what they count for."""
    if not wanted:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    ordered = sorted(wanted)
    known = np.array(ordered, _NATIVE)
    places = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    hits = np.flatnonzero(known[places] == numbers)
    return hits, np.array([wanted[one] for one in ordered], np.int64)[places[hits]]
