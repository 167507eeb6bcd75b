"""Ollama chat. A stream of lines (the default); the last, ``"done": true``, carries the counts.

``prompt_eval_count`` is missing where the prompt was served from its cache.
"""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, plain_error
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Message(msgspec.Struct):
    content: object = None
    thinking: object = None


class _Line(msgspec.Struct):
    model: object = None
    done: object = None
    done_reason: object = None
    prompt_eval_count: object = None
    eval_count: object = None
    error: object = None
    message: _Message | None = None
    response: object = None


class _Options(msgspec.Struct):
    num_predict: object = None


class _Ask(msgspec.Struct):
    stream: object = None
    options: _Options | None = None


_LINE = Shape(_Line)
_ASK = Shape(_Ask)
_MARKS = (b'"done":true', b'"done": true', b'"error"')


class OllamaReader(AnswerReader):
    """Reads chat, generate and embed: all name their counts alike."""

    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        line = _LINE.read(data)
        if line is None:
            return
        seen = self.seen
        if line.error is not None:
            seen.error(body_code(data))
            self.finished = True
            return
        seen.began = True
        seen.identity(line.model, None)
        counted = {"prompt_eval_count": line.prompt_eval_count, "eval_count": line.eval_count}
        counted = {name: value for name, value in counted.items() if value is not None}
        if counted:
            seen.usage_adds(msgspec.json.encode(counted))
        if line.done is True:
            seen.finished_with(line.done_reason)
            self.finished = True
        elif self.text is None:
            self.marks = _MARKS
        if self.text is not None:
            self.text.add(line.response)
            if line.message is not None:
                self.text.add(line.message.thinking)
                self.text.add(line.message.content)

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage
        if found is None:
            return None
        return Usage(counts.take(found, "prompt_eval_count"), counts.take(found, "eval_count"))


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """As OpenAI's, but a stream is the default."""
    del path, query
    found = _ASK.read(body)
    asked = of_body(body, stream=found is None or found.stream is not False)
    limit = found.options.num_predict if found is not None and found.options is not None else None
    if type(limit) is int and limit > 0:
        asked = msgspec.structs.replace(asked, max_tokens=limit)
    return asked


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/api/chat")


WIRE = Wire("ollama_chat", "chat", matches, read_ask, OllamaReader, plain_error)
