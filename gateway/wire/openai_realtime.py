"""OpenAI realtime over WebSocket: each ``response.done`` reports the usage of one turn.

What the user says is written down by another model, whose usage is told with each transcript. A session that does
nothing else has that model for its own. A session that interprets has no turns and reports nothing.
"""

from __future__ import annotations

from urllib.parse import parse_qs

import msgspec

from gateway.wire.contract import AskFields, Exchanged, Wire
from gateway.wire.counts import milliseconds
from gateway.wire.errors import code_in, openai_error
from gateway.wire.openai_transcriptions import heard
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape, exact_object, text
from gateway.wire.turns import TurnsReader


class _Hearing(msgspec.Struct):
    model: object = None


class _Input(msgspec.Struct):
    transcription: _Hearing | None = None


class _Audio(msgspec.Struct):
    input: _Input | None = None


class _Session(msgspec.Struct):
    id: object = None
    model: object = None
    audio: _Audio | None = None
    heard_by: _Hearing | None = msgspec.field(name="input_audio_transcription", default=None)
    """As the interface had it at first."""


class _Response(msgspec.Struct):
    status: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")


class _Message(msgspec.Struct):
    type: object = None
    session: _Session | None = None
    response: _Response | None = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    error: object = None


SOCKETS = ("/realtime", "/realtime/translations")
_MESSAGE = Shape(_Message)
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_MARKS = (
    b'session.created"',
    b'session.updated"',
    b'"response.done"',
    b'transcription.completed"',
    b'"error"',
)
_UNNAMED = "transcription"
"""Stands for the listening model where no session named it."""


class RealtimeReader(TurnsReader):
    __slots__ = ("_hears",)

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self.marks = _MARKS
        self._hears: str | None = None

    def take(self, data: bytes) -> None:
        message = _MESSAGE.read(data)
        if message is None:
            return
        if message.session is not None:
            self._begun(message.session)
        if message.type == "error":
            self.seen.error(code_in(message.error))
        elif message.type == _TRANSCRIBED:
            found = exact_object(message.usage)
            if found is not None:
                usage = heard(self.call.provider, found, self._counts)
                self.add(usage, found, self._hears or _UNNAMED)
        elif message.type == "response.done" and message.response is not None:
            self._turn(message.response)

    def _begun(self, session: _Session) -> None:
        self.seen.identity(session.model, session.id)
        listening = session.audio.input if session.audio is not None else None
        hearing = session.heard_by if listening is None else listening.transcription
        if hearing is not None:
            self._hears = text(hearing.model) or self._hears

    def _turn(self, response: _Response) -> None:
        found = exact_object(response.usage)
        if found is not None:
            usage = openai_usage(self.call.provider, found, self._counts)
            length = milliseconds(found.get("billable_audio_seconds"), self._counts)  # xAI charges by time
            if length is not None:
                usage = msgspec.structs.replace(usage, audio_ms=length)
            self.add(usage, found)
        if response.status and not self.seen.finish:
            self.seen.finished_with(response.status)


def matches(method: str, path: str) -> bool:
    return method == "GET" and ends(path, *SOCKETS)


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """The model (Azure: the deployment) is named in the query."""
    del path, body
    found = parse_qs(query)
    named = found.get("model") or found.get("deployment")
    return AskFields(model=named[0][:256] if named else None, stream=True)


WIRE = Wire("openai_realtime", "chat", matches, read_ask, RealtimeReader, openai_error)
