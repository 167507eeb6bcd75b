"""Gemini Live (``BidiGenerateContent``) over WebSocket: ``usageMetadata`` comes with each turn.

The model is named in the app's first message, which the gateway reads for that alone.
"""

from __future__ import annotations

import msgspec

from gateway.wire.contract import AskFields, Wire
from gateway.wire.errors import google_error
from gateway.wire.gemini_usage import gemini_usage, traffic_of
from gateway.wire.shapes import Shape, exact_object
from gateway.wire.turns import TurnsReader


class _Setup(msgspec.Struct):
    model: object = None


class _Message(msgspec.Struct):
    setup: _Setup | None = None
    usage: msgspec.Raw = msgspec.field(name="usageMetadata", default=msgspec.Raw(b""))


_MESSAGE = Shape(_Message)


class LiveReader(TurnsReader):
    __slots__ = ()

    def take(self, data: bytes) -> None:
        message = _MESSAGE.read(data)
        if message is None:
            return
        if message.setup is not None and isinstance(message.setup.model, str):
            self.seen.identity(message.setup.model.rpartition("/")[2], None)
        found = exact_object(message.usage)
        if found is not None:
            self.add(gemini_usage(found, self._counts), found, tier=traffic_of(found))


def matches(method: str, path: str) -> bool:
    return method == "GET" and "BidiGenerateContent" in path


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    del path, query, body
    return AskFields(stream=True)


WIRE = Wire("gemini_live", "generate_content", matches, read_ask, LiveReader, google_error)
