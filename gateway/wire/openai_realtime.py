"""OpenAI realtime over WebSocket: each ``response.done`` reports the usage of one turn.

The transcription of what the user says is another model's and reports its usage apart; it is not read.
"""

from __future__ import annotations

from urllib.parse import parse_qs

import msgspec

from gateway.wire.contract import AskFields, Exchanged, Reader, Wire
from gateway.wire.errors import code_in, openai_error
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import ends, plain
from gateway.wire.shapes import Shape, exact_object
from gateway.wire.turns import TurnsReader


class _Session(msgspec.Struct):
    id: object = None
    model: object = None


class _Response(msgspec.Struct):
    status: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")


class _Message(msgspec.Struct):
    type: object = None
    session: _Session | None = None
    response: _Response | None = None
    error: object = None


_MESSAGE = Shape(_Message)
_MARKS = (b'"session.', b'"response.done"', b'"error"')


class RealtimeReader(TurnsReader):
    __slots__ = ()

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self.marks = _MARKS

    def take(self, data: bytes) -> None:
        message = _MESSAGE.read(data)
        if message is None:
            return
        seen = self.seen
        if message.session is not None:
            seen.identity(message.session.model, message.session.id)
        if message.type == "error":
            seen.error(code_in(message.error))
        if message.type == "response.done" and message.response is not None:
            found = exact_object(message.response.usage)
            if found is not None:
                self.add(openai_usage(self.call.provider, found, self._counts), found)
            if message.response.status and not seen.finish:
                seen.finished_with(message.response.status)


def matches(method: str, path: str) -> bool:
    return method == "GET" and ends(plain(path), "/realtime")


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """The model (Azure: the deployment) is named in the query."""
    del path, body
    found = parse_qs(query)
    named = found.get("model") or found.get("deployment")
    return AskFields(model=named[0][:256] if named else None, stream=True)


def reader(call: Exchanged) -> Reader:
    return RealtimeReader(call)


WIRE = Wire("openai_realtime", "chat", matches, read_ask, reader, openai_error)
