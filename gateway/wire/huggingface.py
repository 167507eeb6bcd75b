"""Hugging Face text generation (TGI) and inference endpoints, which are billed by time.

Token counts are taken where both sides are reported (``input_length`` and ``generated_tokens`` of a stream's last
event); one side alone stays in the raw usage.
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, plain_error
from gateway.wire.paths import ends, plain
from gateway.wire.shapes import Shape, anything
from pricing.usage import Usage


class _Details(msgspec.Struct):
    finish_reason: object = None
    generated_tokens: object = None
    input_length: object = None


class _Token(msgspec.Struct):
    text: object = None


class _Body(msgspec.Struct):
    generated_text: object = None
    details: _Details | None = None
    token: _Token | None = None
    error: object = None


class _Limits(msgspec.Struct):
    max_new_tokens: object = None


class _Ask(msgspec.Struct):
    parameters: _Limits | None = None


_BODY = Shape(_Body)
_ASK = Shape(_Ask)
_MARKS = (b'"details":{', b'"details": {', b'"error"')
_MODEL = re.compile(r"(?:/models|^/pipeline/[^/]+)/([^/]+(?:/(?!pipeline/)[^/]+)?)")
"""Its owner stands before the model's name; few models have none. What is asked of it stands behind, or in front."""


class GenerationReader(AnswerReader):
    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        del name
        if data.startswith(b"["):
            value = anything(data)
            # The standard library's: a text may hold half of a character, of which msgspec makes no JSON.
            data = json.dumps(value[0]).encode() if isinstance(value, list) and value else b""
        body = _BODY.read(data)
        if body is None:
            return
        seen = self.seen
        if body.error is not None:
            seen.error(body_code(data))
            return
        seen.began = True
        if body.token is not None and self.text is None:
            self.marks = _MARKS
        if self.text is not None:
            self.text.add(body.token.text if body.token is not None else body.generated_text)
        details = body.details
        if details is not None:
            seen.finished_with(details.finish_reason)
            told = {"input_length": details.input_length, "generated_tokens": details.generated_tokens}
            seen.usage_adds(msgspec.json.encode({name: n for name, n in told.items() if n is not None}))

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage or {}
        asked, made = counts.take(found, "input_length"), counts.take(found, "generated_tokens")
        return Usage(asked, made) if asked is not None and made is not None else None


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """The model is in the path where it is anywhere."""
    del query
    named = _MODEL.search(plain(path))
    asked = of_body(body, model=unquote(named.group(1))[:512] if named is not None else None)
    found = _ASK.read(body)
    limit = found.parameters.max_new_tokens if found is not None and found.parameters is not None else None
    streamed = asked.stream or ends(path, "/generate_stream")
    return msgspec.structs.replace(
        asked, stream=streamed, max_tokens=limit if type(limit) is int and limit >= 0 else asked.max_tokens
    )


def matches(method: str, path: str) -> bool:
    return method == "POST" and path in ("/generate", "/generate_stream")


WIRE = Wire("huggingface", "text_completion", matches, read_ask, GenerationReader, plain_error)
