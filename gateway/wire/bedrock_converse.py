"""Bedrock ``converse`` and ``converse-stream``. The model is in the path; streams are Amazon event streams whose
last message, ``metadata``, carries the usage. A prompt router tells in the trace which model it chose; guardrails and
Nova's searches of the web have fees of their own, which are not told."""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_body
from gateway.wire.bedrock_usage import OPTIMIZED, bedrock_usage, header_error, model_of
from gateway.wire.contract import AskFields, Exchanged, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import aws_error
from gateway.wire.eventstream import EXCEPTION
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape, exact_object, text
from pricing.usage import Usage


class _Tier(msgspec.Struct):
    type: object = None


class _Delta(msgspec.Struct):
    text: object = None


class _Performance(msgspec.Struct):
    latency: object = None


class _Router(msgspec.Struct):
    model: object = msgspec.field(name="invokedModelId", default=None)


class _Trace(msgspec.Struct):
    router: _Router | None = msgspec.field(name="promptRouter", default=None)
    guardrail: msgspec.Raw = msgspec.Raw(b"")


class _Piece(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"")
    stop: object = msgspec.field(name="stopReason", default=None)
    tier: _Tier | None = msgspec.field(name="serviceTier", default=None)
    performance: _Performance | None = msgspec.field(name="performanceConfig", default=None)
    trace: _Trace | None = None
    delta: _Delta | None = None


class _Block(msgspec.Struct):
    text: object = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None


class _Output(msgspec.Struct):
    message: _Message | None = None


class _Words(msgspec.Struct):
    output: _Output | None = None


class _Limits(msgspec.Struct):
    tokens: object = msgspec.field(name="maxTokens", default=None)


class _Ask(msgspec.Struct):
    limits: _Limits | None = msgspec.field(name="inferenceConfig", default=None)
    tags: msgspec.Raw = msgspec.field(name="requestMetadata", default=msgspec.Raw(b""))


_PIECE = Shape(_Piece)
_WORDS = Shape(_Words)
_ASK = Shape(_Ask)
_VERBS = ("/converse-stream", "/converse")
_STOPPED = "guardrail_intervened"
_SEARCHED = b'"nova_grounding_result"'


class ConverseReader(AnswerReader):
    __slots__ = ("_searched",)

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._searched = False

    def document(self, body: bytes) -> None:
        super().document(body)
        if self.call.status >= 400:
            self.seen.error_code = header_error(self.call) or self.seen.error_code
        elif self.text is not None:
            words = _WORDS.read(body)
            message = words.output.message if words is not None and words.output is not None else None
            for block in (message.content if message is not None else None) or ():
                self.text.add(block.text)

    def take(self, name: bytes, data: bytes) -> None:
        seen = self.seen
        if name.startswith(EXCEPTION):
            seen.error(name[len(EXCEPTION) :].decode("latin-1")[:128])
            self.finished = True
            return
        seen.began = True
        if name == b"contentBlockDelta" and self.text is None:
            return
        self._searched = self._searched or _SEARCHED in data
        piece = _PIECE.read(data)
        if piece is None:
            return
        seen.finished_with(piece.stop)
        seen.usage_adds(piece.usage)
        if piece.performance is not None and piece.performance.latency == "optimized":
            seen.service_tier = OPTIMIZED
        if piece.trace is not None:
            if piece.trace.router is not None:
                seen.identity(piece.trace.router.model, None)
            if bytes(piece.trace.guardrail).startswith(
                b"{"
            ):  # an account may impose one that no request names
                seen.fees_unseen = True
        if piece.tier is not None:
            seen.service_tier = text(piece.tier.type, 64) or seen.service_tier
        if piece.delta is not None and self.text is not None:
            self.text.add(piece.delta.text)
        if name == b"metadata":
            self.finished = True

    def usage(self, counts: Counts) -> Usage | None:
        if self._searched or _STOPPED in self.seen.finish or b'"guardrailConfig"' in self.call.request_body:
            self.seen.fees_unseen = True
        return bedrock_usage(self.seen.usage, counts) if self.seen.usage is not None else None


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """Model and streaming are told by the path."""
    del query
    asked = of_body(body, model=model_of(path, *_VERBS), stream=ends(path, "/converse-stream"))
    found = _ASK.read(body)
    if found is None:
        return asked
    limit = found.limits.tokens if found.limits is not None else None
    tags = tuple((k[:64], v[:512]) for k, v in (exact_object(found.tags) or {}).items() if isinstance(v, str))
    return msgspec.structs.replace(
        asked, max_tokens=limit if type(limit) is int and limit >= 0 else None, tags=tags[:16] or asked.tags
    )


def matches(method: str, path: str) -> bool:
    return method == "POST" and "/model/" in path and ends(path, *_VERBS)


WIRE = Wire("bedrock_converse", "chat", matches, read_ask, ConverseReader, aws_error)
