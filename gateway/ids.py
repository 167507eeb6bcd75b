"""Our own call ids: UUIDv7 (RFC 9562), ordered by time, never taken from a client or a provider."""

from __future__ import annotations

import hashlib
import random
import time
from typing import Final

_48_BITS: Final = (1 << 48) - 1
_VERSION: Final = 0x7000
_VARIANT: Final = 0x8000_0000_0000_0000
"""Of RFC 9562, each in its half."""


def call_id(now_ns: int | None = None) -> str:
    """Canonical text of a fresh UUIDv7; ``now_ns`` is UTC nanoseconds since 1970 (default: now).

    The 12 bits after the millisecond hold its fraction (RFC 9562 section 6.2, method 3), so ids of one
    process sort in the order they were made down to about a quarter of a microsecond. The rest is random,
    seeded from the operating system at start and in every forked worker; the id is not a secret.
    """
    ns = time.time_ns() if now_ns is None else now_ns
    millis, rest = divmod(ns, 1_000_000)
    high = (millis & _48_BITS) << 16 | _VERSION | (rest << 12) // 1_000_000
    low = _VARIANT | random.getrandbits(62)
    first = high.to_bytes(8, "big").hex("-", 2)  # half the time of formatting numbers
    return f"{first[:4]}{first[5:]}-{low.to_bytes(8, 'big').hex('-', 6)}"


def named_id(name: str, millis: int) -> str:
    """A UUIDv7 that anyone makes alike: of this millisecond (UTC, since 1970), a digest of ``name`` instead of chance."""
    digest = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:10], "big")
    low = digest & 0x3FFF_FFFF_FFFF_FFFF
    return (
        f"{millis >> 16 & 0xFFFF_FFFF:08x}-{millis & 0xFFFF:04x}-7{digest >> 62 & 0xFFF:03x}"
        f"-{0x8000 | low >> 48:04x}-{low & 0xFFFF_FFFF_FFFF:012x}"
    )
