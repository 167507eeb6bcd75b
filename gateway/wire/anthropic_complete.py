"""Anthropic text completions (legacy). They report no usage."""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import anthropic_error, body_code
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Body(msgspec.Struct):
    type: object = None
    id: object = None
    model: object = None
    stop_reason: object = None
    completion: object = None


class _Ask(msgspec.Struct):
    max_tokens_to_sample: object = None


_BODY = Shape(_Body)
_ASK = Shape(_Ask)


class CompleteReader(AnswerReader):
    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        body = _BODY.read(data)
        if body is None:
            return
        if name == b"error" or body.type == "error":
            self.seen.error(body_code(data))
            self.finished = True
            return
        self.seen.began = True
        self.seen.identity(body.model, body.id)
        self.seen.finished_with(body.stop_reason)
        if body.stop_reason:
            self.finished = True
        if self.text is not None:
            self.text.add(body.completion)

    def usage(self, counts: Counts) -> Usage | None:
        return None


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    del path, query
    asked = of_body(body)
    found = _ASK.read(body)
    limit = found.max_tokens_to_sample if found is not None else None
    return msgspec.structs.replace(asked, max_tokens=limit if type(limit) is int and limit >= 0 else None)


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/v1/complete")


WIRE = Wire("anthropic_complete", "text_completion", matches, read_ask, CompleteReader, anthropic_error)
