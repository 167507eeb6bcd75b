"""Mistral OCR, at Azure too: billed per page, and per page at another rate where annotations were asked for."""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import read_body
from gateway.wire.contract import Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import message_error
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Body(msgspec.Struct):
    model: object = None
    usage: msgspec.Raw = msgspec.field(name="usage_info", default=msgspec.Raw(b""))


class _Ask(msgspec.Struct):
    document_annotation_format: msgspec.Raw = msgspec.Raw(b"")
    bbox_annotation_format: msgspec.Raw = msgspec.Raw(b"")


_BODY = Shape(_Body)
_ASK = Shape(_Ask)
_NULL = (b"", b"null")


class OcrReader(AnswerReader):
    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        del name
        body = _BODY.read(data)
        if body is None:
            return
        self.seen.began = True
        self.seen.identity(body.model, None)
        self.seen.usage_adds(body.usage)

    def usage(self, counts: Counts) -> Usage | None:
        if self.seen.usage is None:
            return None
        pages = counts.take(self.seen.usage, "pages_processed")
        return Usage(pages=pages, annotated_pages=pages if self._annotated() else None)

    def _annotated(self) -> bool:
        ask = _ASK.read(self.call.request_body)
        if ask is None:
            return False
        return any(
            bytes(raw) not in _NULL for raw in (ask.document_annotation_format, ask.bbox_annotation_format)
        )


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/v1/ocr", "/azure/ocr")


WIRE = Wire("mistral_ocr", "generate_content", matches, read_body, OcrReader, message_error)
