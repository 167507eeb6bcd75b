"""Records that cannot be stored as they are, made storable with as little lost as possible.

Text that is no Unicode (lone surrogates from odd bytes) or holds NUL, which PostgreSQL refuses, gets the replacement
character; a number beyond 64 bits cannot be a count or an amount of money, so usage and cost are marked invalid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pricing.cost import INVALID_USAGE
from telemetry.record import CallRecord, encode

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def encode_anyhow(record: CallRecord) -> bytes:
    """MessagePack of the record, mended first if it needs it. Never raises for a well-typed record."""
    try:
        return encode(record)
    except (UnicodeEncodeError, OverflowError):
        return encode(mend(record))


def encode_all(records: Sequence[CallRecord]) -> list[bytes]:
    """The same of many."""
    try:
        return [*map(encode, records)]
    except (UnicodeEncodeError, OverflowError):
        return [*map(encode_anyhow, records)]


def mend(record: CallRecord, longest: int | None = None) -> CallRecord:
    """The nearest record that every store takes; with ``longest``, no text has more characters than that."""
    trace, raw = record.trace, record.usage_raw
    plain = msgspec.to_builtins(msgspec.structs.replace(record, trace=None, usage_raw=None))
    clean, exact = _clean(plain, longest)
    mended = msgspec.structs.replace(msgspec.convert(clean, CallRecord), usage_raw=raw)
    if trace is not None:
        state = storable(trace.state)[:longest] if trace.state else None
        mended = msgspec.structs.replace(mended, trace=msgspec.structs.replace(trace, state=state))
    if not exact:
        mended = msgspec.structs.replace(mended, usage=None, cost=INVALID_USAGE)
    return mended


def storable(text: str) -> str:
    """The nearest text that is Unicode and holds no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _clean(value: Any, longest: int | None) -> tuple[Any, bool]:
    """The value with storable text and numbers, and whether every number was kept."""
    if isinstance(value, str):
        return storable(value)[:longest], True
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        return 0, False
    if isinstance(value, list | tuple):
        pairs = [_clean(item, longest) for item in value]
        return [item for item, _ in pairs], all(exact for _, exact in pairs)
    return value, True
