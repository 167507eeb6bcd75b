"""Aleph Alpha completions (luminous). Billed in credits of its own, so its counts stay in the raw usage."""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import message_error
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Completion(msgspec.Struct):
    finish_reason: object = None
    completion: object = None


class _Body(msgspec.Struct):
    completions: list[_Completion] | None = None
    num_tokens_prompt_total: object = None
    num_tokens_generated: object = None


class _Ask(msgspec.Struct):
    maximum_tokens: object = None


_BODY = Shape(_Body)
_ASK = Shape(_Ask)


class CompletionReader(AnswerReader):
    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        del name
        body = _BODY.read(data)
        if body is None:
            return
        self.seen.began = True
        for completion in body.completions or ():
            self.seen.finished_with(completion.finish_reason)
            if self.text is not None:
                self.text.add(completion.completion)
        told = {
            "num_tokens_prompt_total": body.num_tokens_prompt_total,
            "num_tokens_generated": body.num_tokens_generated,
        }
        self.seen.usage_adds(msgspec.json.encode({name: n for name, n in told.items() if n is not None}))

    def usage(self, counts: Counts) -> Usage | None:
        return None


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    del path, query
    asked = of_body(body)
    found = _ASK.read(body)
    limit = found.maximum_tokens if found is not None else None
    return msgspec.structs.replace(asked, max_tokens=limit if type(limit) is int and limit >= 0 else None)


def matches(method: str, path: str) -> bool:
    return method == "POST" and path == "/complete"


WIRE = Wire("aleph_alpha", "text_completion", matches, read_ask, CompletionReader, message_error)
