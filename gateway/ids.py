"""Our own call ids: UUIDv7 (RFC 9562), ordered by time, never taken from a client or a provider."""

from __future__ import annotations

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
    value = (
        ((millis & 0xFFFF_FFFF_FFFF) << 80)
        | (0x7000 | fraction) << 64
        | 0x8000_0000_0000_0000
        | random.getrandbits(62)
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
