"""Our own call ids: UUIDv7 (RFC 9562), ordered by time, never taken from a client or a provider."""

from __future__ import annotations

import hashlib
import random
import time


def call_id(now_ns: int | None = None) -> str:
    """Canonical text of a fresh UUIDv7; ``now_ns`` is UTC nanoseconds since 1970 (default: now).

    The 12 bits after the millisecond hold its fraction (RFC 9562 section 6.2, method 3), so ids of one
    process sort in the order they were made down to about a quarter of a microsecond. The rest is random,
    seeded from the operating system at start and in every forked worker; the id is not a secret.
    """
    ns = time.time_ns() if now_ns is None else now_ns
    millis, rest = divmod(ns, 1_000_000)
    fraction = (rest << 12) // 1_000_000
    chance = random.getrandbits(62)
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - half the time of the f-string
        millis >> 16 & 0xFFFF_FFFF,
        millis & 0xFFFF,
        fraction,
        0x8000 | chance >> 48,
        chance & 0xFFFF_FFFF_FFFF,
    )


def named_id(name: str, millis: int) -> str:
    """A UUIDv7 that anyone makes alike: of this millisecond (UTC, since 1970), a digest of ``name`` instead of chance."""
    digest = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:10], "big")
    low = digest & 0x3FFF_FFFF_FFFF_FFFF
    return (
        f"{millis >> 16 & 0xFFFF_FFFF:08x}-{millis & 0xFFFF:04x}-7{digest >> 62 & 0xFFF:03x}"
        f"-{0x8000 | low >> 48:04x}-{low & 0xFFFF_FFFF_FFFF:012x}"
    )
