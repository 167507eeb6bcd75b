"""How many different sessions: the smallest hashes of their ids, as many as are kept.

A row that saw at most :data:`KEPT` sessions knows their number exactly, and so do several rows together. Beyond that
the share of all hashes below the largest one kept tells the number, 2.2 % off or less in two cases of three. What is
kept does not depend on the order in which sessions came.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

KEPT: Final = 2048
SIZE: Final = 8
"""Bytes of a hash."""
_ALL: Final = 1 << 64


class Distinct(msgspec.Struct, frozen=True):
    """A number of different things, and whether it is exact."""

    count: int
    exact: bool


def hash_of(tenant: str, session: str) -> bytes:
    """The hash of one session of one tenant."""
    return blake2b(f"{tenant}\0{session}".encode(), digest_size=SIZE).digest()


def kept(hashes: bytes, more: Iterable[bytes] = ()) -> bytes:
    """The smallest different ones of hashes put one behind the other, in their order."""
    found = {hashes[at : at + SIZE] for at in range(0, len(hashes), SIZE)}
    found.update(more)
    return b"".join(sorted(found)[:KEPT])


class Hashes:
    """Sessions that several rows saw, growing."""

    __slots__ = ("_below", "_found")

    def __init__(self) -> None:
        self._found: set[bytes] = set()
        self._below = _ALL

    def add(self, hashes: bytes, below: int | None = None) -> None:
        """Hashes put one behind the other. ``below``: the smallest of the largest hashes of full rows among them."""
        self._found.update(hashes[at : at + SIZE] for at in range(0, len(hashes), SIZE))
        if below is not None:
            self._below = min(self._below, below)

    def update(self, hashes: Iterable[bytes]) -> None:
        """All hashes of something that keeps all."""
        self._found.update(hashes)

    @property
    def number(self) -> Distinct:
        """How many there are."""
        if self._below == _ALL:
            return Distinct(len(self._found), True)
        limit = self._below.to_bytes(SIZE, "big")
        seen = sum(1 for one in self._found if one < limit)
        return Distinct(round(seen * _ALL / self._below), False)
