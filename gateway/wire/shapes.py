"""Decoding that expects the usual shape and survives every other.

The usual body is decoded straight into a Struct of the few fields that matter. What does not fit is decoded
without types and taken over field by field; JSON that only Python accepts (``NaN``) is read by Python.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Generic, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
NOT_AS_EXPECTED = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
"""The third: of a number with more of an exponent than a ``Decimal`` takes."""
_ANY = msgspec.json.Decoder()
_EXACT = msgspec.json.Decoder(float_hook=Decimal)
Name = Annotated[str, msgspec.Meta(max_length=256)]
Short = Annotated[str, msgspec.Meta(max_length=64)]
MOST_RAW = 65_536
"""A usage object larger than this is not one."""


def anything(data: bytes | memoryview) -> object:
    """The JSON value, or ``None`` where there is none to be had."""
    try:
        return _ANY.decode(data)
    except NOT_AS_EXPECTED:
        pass
    try:
        return json.loads(bytes(data))
    except NOT_AS_EXPECTED:
        return None


def exact_object(raw: msgspec.Raw | bytes) -> dict[str, object] | None:
    """A small JSON object with decimals kept exact; ``None`` for null, other values and oversize."""
    if not raw or len(memoryview(raw)) > MOST_RAW:
        return None
    try:
        value = _EXACT.decode(raw)
    except NOT_AS_EXPECTED:
        try:
            value = json.loads(bytes(raw), parse_float=Decimal)
        except NOT_AS_EXPECTED:
            return None
    return value if isinstance(value, dict) else None


class Shape(Generic[T]):
    """Reads one kind of Struct."""

    __slots__ = ("_decoder", "_fields", "_kind")

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind)
        self._fields = msgspec.structs.fields(kind)

    def read(self, data: bytes | msgspec.Raw) -> T | None:
        """``None`` where ``data`` is not a JSON object. Raises nothing."""
        try:
            return self._decoder.decode(data)
        except NOT_AS_EXPECTED:
            return self._lenient(data)

    def _lenient(self, data: bytes | msgspec.Raw) -> T | None:
        value = anything(memoryview(data))
        if not isinstance(value, dict):
            return None
        found: dict[str, object] = {}
        for field in self._fields:
            if field.encode_name not in value:
                continue
            try:
                if field.type is msgspec.Raw:
                    found[field.name] = msgspec.Raw(msgspec.json.encode(value[field.encode_name]))
                else:
                    found[field.name] = msgspec.convert(value[field.encode_name], field.type)
            except NOT_AS_EXPECTED:
                continue
        return self._kind(**found)


def text(value: object, limit: int = 256) -> str | None:
    """A short text that every store accepts; numbers become text; anything else is ``None``."""
    if type(value) is str:
        if value.isascii() and "\0" not in value and len(value) <= limit:
            return value or None
        short = value[:limit]
        return short.encode("utf-8", "replace").decode("utf-8").replace("\0", "") or None
    if type(value) is int and -(2**63) <= value < 2**63:
        return str(value)
    return None
