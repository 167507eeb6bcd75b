"""Cohere chat, v1 (line-delimited stream) and v2 (event stream).

Cohere counts twice: ``tokens`` is what the model saw, its own prompt template included; ``billed_units`` is what it
charges. They differ in nearly every call, so both are kept (``Usage.billed_input``, ``Usage.billed_output``).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import read_body
from gateway.wire.contract import Wire
from gateway.wire.counts import Counts, plus
from gateway.wire.errors import message_error
from gateway.wire.openai_usage import openai_charge, openai_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Content(msgspec.Struct):
    text: object = None


class _Part(msgspec.Struct):
    content: list[_Content] | _Content | None = None


class _Delta(msgspec.Struct):
    finish_reason: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    message: _Part | None = None


class _Generation(msgspec.Struct):
    finish_reason: object = None


class _Answer(msgspec.Struct):
    generation_id: object = None
    response_id: object = None
    finish_reason: object = None
    meta: msgspec.Raw = msgspec.Raw(b"")
    usage: msgspec.Raw = msgspec.Raw(b"")


class _Piece(msgspec.Struct):
    id: object = None
    generation_id: object = None
    response_id: object = None
    model: object = None
    finish_reason: object = None
    meta: msgspec.Raw = msgspec.Raw(b"")
    usage: msgspec.Raw = msgspec.Raw(b"")
    type: object = None
    event_type: object = None
    is_finished: object = None
    delta: _Delta | None = None
    response: _Answer | None = None
    generations: list[_Generation] | None = None
    text: object = None
    message: _Part | None = None


_PIECE = Shape(_Piece)
_MARKS = (b"finish", b"_units", b"[DONE]", b'"error"')
"""``is_finished`` of v1 is in every line; its last one is told by ``billed_units``."""
_FAILED = ("ERROR", "TIMEOUT")
_MARKS_V1 = (b"stream-end", b"_units", b'"error"')


class CohereReader(AnswerReader):
    """Reads every Cohere answer: all carry ``meta`` or ``usage`` with the same two counts."""

    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        piece = _PIECE.read(data)
        if piece is None:
            return
        seen = self.seen
        seen.began = True
        seen.identity(piece.model, piece.generation_id or piece.id or piece.response_id)
        if not self.marks and self.text is None and seen.response_id is not None:
            if piece.event_type is not None:
                self.marks = _MARKS_V1
            elif piece.type is not None:
                self.marks = _MARKS
        seen.usage_adds(piece.meta)
        seen.usage_adds(piece.usage)
        answer = piece.response
        if answer is not None:
            seen.identity(None, answer.generation_id or answer.response_id)
            seen.usage_adds(answer.meta)
            seen.usage_adds(answer.usage)
        if piece.delta is not None:
            seen.finished_with(piece.delta.finish_reason)
            seen.usage_adds(piece.delta.usage)
        seen.finished_with(piece.finish_reason)
        for generation in piece.generations or ():
            seen.finished_with(generation.finish_reason)
        if any(reason in _FAILED for reason in seen.finish):
            seen.error(None)
        if piece.event_type == "stream-end" or piece.type == "message-end":
            self.finished = True
        if self.text is not None:
            self._keep(piece)

    def _keep(self, piece: _Piece) -> None:
        if self.text is None:
            return
        if piece.event_type in (None, "text-generation"):
            self.text.add(piece.text)
        part = piece.delta.message if piece.delta is not None else piece.message
        if part is not None:
            content = part.content
            for text in content if isinstance(content, list) else [content]:
                if text is not None:
                    self.text.add(text.text)

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage
        return cohere_usage(found, self.call.provider, counts) if found is not None else None

    def charge(self) -> int | None:
        found = self.seen.usage
        return openai_charge(self.call.provider, found) if found is not None and "cost" in found else None


def cohere_usage(found: Mapping[str, object], provider: str, counts: Counts) -> Usage | None:
    """Normal form of ``usage`` or ``meta``."""
    billed = counts.part(found, "billed_units")
    tokens = counts.part(found, "tokens")
    if not billed and not tokens:
        # others who offer the same paths (rerank, embed) report like OpenAI
        usage = openai_usage(provider, found, counts)
        if usage.input is None:
            usage = Usage(counts.take(found, "total_tokens"), search_units=counts.take(found, "search_units"))
        return usage if usage != Usage() else None
    charged_in, image = counts.take(billed, "input_tokens"), counts.take(billed, "image_tokens")
    if image and image > (charged_in or 0):  # embeddings may count them apart
        charged_in = plus(counts.take(billed, "text_tokens") if charged_in is None else charged_in, image)
    charged_out = counts.take(billed, "output_tokens")
    seen_in = counts.take(tokens, "input_tokens")
    seen_out = counts.take(tokens, "output_tokens")
    apart = bool(tokens)
    return Usage(
        seen_in if apart else charged_in,
        seen_out if apart else charged_out,
        counts.take(found, "cached_tokens"),
        search_units=counts.take(billed, "search_units"),
        images=None if image else counts.take(billed, "images") or None,
        input_image=image or None,
        billed_input=charged_in if apart else None,
        billed_output=charged_out if apart else None,
    )


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/v1/chat", "/v2/chat")


WIRE = Wire("cohere_chat", "chat", matches, read_body, CohereReader, message_error)
