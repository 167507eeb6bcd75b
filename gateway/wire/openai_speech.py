"""OpenAI speech. The answer is sound; what is billed is told by the request (characters), or, where the sound is
sent as events, by the last of them (tokens)."""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import openai_error
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Ask(msgspec.Struct):
    input: object = None


class _Event(msgspec.Struct):
    type: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")


_ASK = Shape(_Ask)
_EVENT = Shape(_Event)


class SpeechReader(AnswerReader):
    __slots__ = ()

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self.marks = (b".done", b'"error"')

    def take(self, name: bytes, data: bytes) -> None:
        event = _EVENT.read(data)
        if event is None:
            return
        self.seen.began = True
        self.seen.usage_adds(event.usage)
        if event.type == "speech.audio.done":
            self.finished = True

    def usage(self, counts: Counts) -> Usage | None:
        if self.seen.usage is not None:
            return openai_usage(self.call.provider, self.seen.usage, counts)
        ask = _ASK.read(self.call.request_body)
        spoken = ask.input if ask is not None else None
        return Usage(characters=len(spoken)) if isinstance(spoken, str) and self.call.status < 400 else None


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/audio/speech")


WIRE = Wire("openai_speech", "generate_content", matches, read_body, SpeechReader, openai_error)
