"""SageMaker endpoints: billed by the hour, the body is the container's own. Usage is read where it has the OpenAI
shape; a stream wraps the container's bytes, themselves an event stream, into ``PayloadPart`` messages."""

from __future__ import annotations

import msgspec

from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Exchanged, Wire
from gateway.wire.errors import aws_error
from gateway.wire.eventstream import EXCEPTION
from gateway.wire.openai_chat import ChatReader
from gateway.wire.paths import after, ends
from gateway.wire.sse import SseFrames

_PART_LIMIT = 262_144


class EndpointReader(ChatReader):
    __slots__ = ("_parts",)

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._parts = SseFrames(self, super().event, _PART_LIMIT)

    def event(self, name: bytes, data: bytes) -> None:
        if name.startswith(EXCEPTION):
            self._seen.error(name[len(EXCEPTION) :].decode("latin-1")[:128])
        else:
            self._parts.feed(data)


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """The endpoint stands for the model."""
    del query
    asked = of_body(body)
    streamed = asked.stream or ends(path, "/invocations-response-stream")
    return msgspec.structs.replace(asked, model=after(path, "/endpoints/") or asked.model, stream=streamed)


def matches(method: str, path: str) -> bool:
    return (
        method == "POST"
        and "/endpoints/" in path
        and ends(path, "/invocations", "/invocations-response-stream")
    )


WIRE = Wire("sagemaker", "text_completion", matches, read_ask, EndpointReader, aws_error)
