"""OpenAI transcriptions and translations of speech (also Groq's).

Billed by tokens (``usage.type`` ``tokens``) or by duration (``usage.seconds``; ``duration`` of ``verbose_json``).
Plain text, SRT and VTT answers report nothing.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Reader, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, openai_error
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Groq(msgspec.Struct):
    id: object = None


class _Body(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"")
    duration: msgspec.Raw = msgspec.Raw(b"")
    type: object = None
    error: msgspec.Raw = msgspec.Raw(b"")
    x_groq: _Groq | None = None


_BODY = Shape(_Body)
_MARKS = (b".done", b'"error"', b"[DONE]")
_NULL = (b"", b"null")
MOST_SECONDS = 10_000_000


class TranscriptionReader(AnswerReader):
    __slots__ = ("_seconds",)

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._seconds: bytes = b""

    def take(self, name: bytes, data: bytes) -> None:
        body = _BODY.read(data)
        if body is None:
            return
        if bytes(body.error) not in _NULL:
            self.seen.error(body_code(data))
            return
        self.seen.began = True
        if body.x_groq is not None:
            self.seen.identity(None, body.x_groq.id)
        self._seconds = bytes(body.duration) or self._seconds
        self.seen.usage_adds(body.usage)
        if isinstance(body.type, str):
            self.marks = _MARKS
            self.finished = self.finished or body.type.endswith(".done")

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage
        if found is not None and found.get("type") != "duration" and "seconds" not in found:
            return openai_usage(self.call.provider, found, counts)
        told = (
            found.get("seconds") if found is not None else self._seconds.decode("ascii", "replace").strip('"')
        )
        length = milliseconds(told, counts)
        return Usage(audio_ms=length) if length is not None else None


def milliseconds(seconds: object, counts: Counts) -> int | None:
    """Whole milliseconds of a number of seconds, given as a number or as text; impossible ones are invalid."""
    if seconds in (None, "", "null"):
        return None
    try:
        amount = Decimal(str(seconds))
    except InvalidOperation:
        counts.invalid = True
        return None
    if isinstance(seconds, bool) or not amount.is_finite() or not 0 <= amount <= MOST_SECONDS:
        counts.invalid = True
        return None
    return int((amount * 1000).to_integral_value(ROUND_HALF_EVEN))


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/audio/transcriptions", "/audio/translations")


def reader(call: Exchanged) -> Reader:
    return TranscriptionReader(call)


WIRE = Wire("openai_transcriptions", "generate_content", matches, read_body, reader, openai_error)
