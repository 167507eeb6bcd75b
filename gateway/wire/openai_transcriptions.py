"""OpenAI transcriptions and translations of speech (also Groq's, Mistral's, OpenRouter's).

Billed by tokens (``usage.type`` ``tokens``) or by duration (``usage.seconds``; ``duration`` of ``verbose_json``);
OpenRouter tells both, and the charge. Plain text, SRT and VTT answers report nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Wire
from gateway.wire.counts import Counts, milliseconds
from gateway.wire.errors import body_code, openai_error
from gateway.wire.openai_usage import openai_charge, openai_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Groq(msgspec.Struct):
    id: object = None


class _Body(msgspec.Struct):
    model: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    duration: msgspec.Raw = msgspec.Raw(b"")
    type: object = None
    error: msgspec.Raw = msgspec.Raw(b"")
    x_groq: _Groq | None = None


_BODY = Shape(_Body)
_MARKS = (b".done", b'"error"', b"[DONE]")
_NULL = (b"", b"null")


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
        self.seen.identity(body.model, None)
        self._seconds = bytes(body.duration) or self._seconds
        self.seen.usage_adds(body.usage)
        if isinstance(body.type, str):
            self.marks = _MARKS
            self.finished = self.finished or body.type.endswith(".done")

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage
        if found is not None:
            return heard(self.call.provider, found, counts)
        length = milliseconds(self._seconds.decode("ascii", "replace").strip('"'), counts)
        return Usage(audio_ms=length) if length is not None else None

    def charge(self) -> int | None:
        found = self.seen.usage
        return openai_charge(self.call.provider, found) if found is not None else None


def heard(provider: str, found: Mapping[str, object], counts: Counts) -> Usage:
    """Normal form of what listening used: tokens, a duration, or both."""
    length = milliseconds(found.get("seconds"), counts)
    if found.get("type") == "duration":
        return Usage(audio_ms=length)
    usage = openai_usage(provider, found, counts)
    return usage if length is None else msgspec.structs.replace(usage, audio_ms=length)


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/audio/transcriptions", "/audio/translations")


WIRE = Wire(
    "openai_transcriptions", "generate_content", matches, read_body, TranscriptionReader, openai_error
)
