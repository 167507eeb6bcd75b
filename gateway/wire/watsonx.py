"""IBM watsonx text generation; its chat reports like OpenAI's.

In a stream the counts are cumulative, but the input is told once and is 0 from then on: the larger value counts.
"""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Exchanged, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, watsonx_error
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape, text
from pricing.usage import Usage


class _Result(msgspec.Struct):
    input_token_count: object = None
    generated_token_count: object = None
    stop_reason: object = None
    generated_text: object = None


class _Choice(msgspec.Struct):
    finish_reason: object = None


class _Body(msgspec.Struct):
    model_id: object = None
    model: object = None
    id: object = None
    results: list[_Result] | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    input_token_count: object = None
    errors: msgspec.Raw = msgspec.Raw(b"")


class _Ask(msgspec.Struct):
    model_id: object = None
    parameters: _Limits | None = None


class _Limits(msgspec.Struct):
    max_new_tokens: object = None


_BODY = Shape(_Body)
_ASK = Shape(_Ask)
_NULL = (b"", b"null")
_PATHS = ("/text/generation", "/generation/text", "/text/chat")
_STREAMS = ("/text/generation_stream", "/generation/text_stream", "/text/chat_stream")


class WatsonxReader(AnswerReader):
    __slots__ = ("_asked", "_made")

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._asked: object = None
        self._made: object = None

    def take(self, name: bytes, data: bytes) -> None:
        body = _BODY.read(data)
        if body is None:
            return
        seen = self.seen
        if bytes(body.errors) not in _NULL or name == b"error":
            seen.error(body_code(data))
            return
        seen.began = True
        seen.identity(body.model_id or body.model, body.id)
        seen.usage_adds(body.usage)
        self._asked = _larger(self._asked, body.input_token_count)
        for choice in body.choices or ():
            seen.finished_with(choice.finish_reason)
        for result in body.results or ():
            self._asked = _larger(self._asked, result.input_token_count)
            self._made = _larger(self._made, result.generated_token_count)
            if result.stop_reason not in (None, "not_finished"):
                seen.finished_with(result.stop_reason)
            if self.text is not None:
                self.text.add(result.generated_text)

    def usage(self, counts: Counts) -> Usage | None:
        if self._asked is None and self._made is None:
            found = self.seen.usage
            return openai_usage(self.call.provider, found, counts) if found is not None else None
        told = {"input_token_count": self._asked, "generated_token_count": self._made}
        self.seen.usage_is({name: n for name, n in told.items() if n is not None}, None)
        return Usage(counts.value(self._asked), counts.value(self._made))


def _larger(known: object, told: object) -> object:
    """A value that is no count wins, so that it is found invalid."""
    if told is None:
        return known
    if type(known) is int and type(told) is int:
        return max(known, told) if told >= 0 else told
    return told if known is None or type(known) is int else known


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    del query
    asked = of_body(body, stream=ends(path, *_STREAMS))
    found = _ASK.read(body)
    if found is None:
        return asked
    limit = found.parameters.max_new_tokens if found.parameters is not None else None
    return msgspec.structs.replace(
        asked,
        model=text(found.model_id) or asked.model,
        max_tokens=limit if type(limit) is int and limit >= 0 else asked.max_tokens,
    )


def matches(method: str, path: str) -> bool:
    return method == "POST" and "/ml/" in path and ends(path, *_PATHS, *_STREAMS)


WIRE = Wire("watsonx", "text_completion", matches, read_ask, WatsonxReader, watsonx_error)
