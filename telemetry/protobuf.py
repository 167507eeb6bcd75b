"""The protobuf wire format, as far as OTLP needs it: small functions from values to bytes.

``tag`` is always the encoded field key (field number and wire type) as bytes.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

AttributeValue = str | bool | int | float | tuple[str, ...]
"""What an attribute may hold."""

pack_double: Final = Struct("<Bd").pack
"""``(one-byte tag, value)``."""
pack_fixed64: Final = Struct("<BQ").pack

_VARINTS: Final = tuple(bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(16384))
"""Nearly every length and count is in here."""


def varint(number: int) -> bytes:
    """A number of 0 or more."""
    if number < 16384:
        return _VARINTS[number]
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def nested(tag: bytes, data: bytes) -> bytes:
    """A message, or bytes, with length."""
    return tag + varint(len(data)) + data


def string(tag: bytes, text: str) -> bytes:
    """UTF-8; what cannot be encoded (lone surrogates) becomes ``?``."""
    data = text.encode("utf-8", "replace")
    return tag + varint(len(data)) + data


def any_value(value: AttributeValue) -> bytes:
    """Body of an OTLP ``AnyValue``. Raises ``TypeError`` for other types."""
    kind = type(value)
    if kind is str:
        return string(b"\x0a", value)  # type: ignore[arg-type]
    if kind is int:
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)  # type: ignore[operator]
    if kind is float:
        return pack_double(0x21, value)
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, str):
        return string(b"\x0a", value)
    if isinstance(value, tuple):
        return nested(b"\x2a", b"".join(nested(b"\x0a", string(b"\x0a", item)) for item in value))
    raise TypeError(f"no OTLP form for {kind.__name__}")


def key_value(tag: bytes, key: str, value: AttributeValue) -> bytes:
    """An OTLP ``KeyValue``."""
    return nested(tag, string(b"\x0a", key) + nested(b"\x12", any_value(value)))
