"""OpenAI responses over WebSocket: the events of its stream, any number of responses over one connection.

Each turn names its model and its tier of service; what has rates of its own is told apart.
"""

from __future__ import annotations

import msgspec

from gateway.wire.contract import AskFields, Exchanged, Wire
from gateway.wire.errors import body_code, openai_error
from gateway.wire.openai_responses import EVENT, TERMINAL, Response
from gateway.wire.openai_tools import tool_use
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import exact_object, text
from gateway.wire.turns import TurnsReader

_MARKS = (b'"response.c', b'"response.incomplete"', b'"response.failed"', b'"error"')


class SocketReader(TurnsReader):
    __slots__ = ()

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self.marks = _MARKS

    def take(self, data: bytes) -> None:
        event = EVENT.read(data)
        if event is None:
            return
        if event.type == "error":
            self.seen.error(body_code(data))
        response = event.response
        if response is None:
            return
        seen = self.seen
        seen.identity(None if seen.model else response.model, response.id)
        if event.type in TERMINAL:
            why = response.incomplete_details.reason if response.incomplete_details is not None else None
            seen.finished_with(why or response.status)
            self._count(response)

    def _count(self, response: Response) -> None:
        found = exact_object(response.usage)
        if found is None:
            return
        usage = openai_usage(self.call.provider, found, self._counts)
        tools = tool_use(response.output or (), response.tool_usage, response.tools, text(response.model))
        if tools.web or tools.files:
            usage = msgspec.structs.replace(
                usage, web_searches=tools.web or None, file_searches=tools.files or None
            )
        if tools.fees_unseen:
            self.seen.fees_unseen = True
        tier = text(response.service_tier, 64)
        self.add(usage, found, text(response.model), tier)
        if tools.images is not None:
            self.add(tools.images.usage, found, tools.images.model, tier)


def matches(method: str, path: str) -> bool:
    return method == "GET" and ends(path, "/responses")


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    del path, query, body
    return AskFields(stream=True)


WIRE = Wire("openai_responses_socket", "chat", matches, read_ask, SocketReader, openai_error)
