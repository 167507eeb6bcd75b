"""OpenAI images: generations, edits, variations, also streamed (partial images, then one with the usage).

Older models report no tokens and are billed per image.
"""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, openai_error
from gateway.wire.openai_usage import openai_charge, openai_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Image(msgspec.Struct):
    url: object = None


class _Body(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"")
    data: list[_Image] | None = None
    type: object = None
    error: msgspec.Raw = msgspec.Raw(b"")
    model: object = None


_BODY = Shape(_Body)
_PATHS = ("/images/generations", "/images/edits", "/images/variations", "/api/v1/images")
_MARKS = (b".completed", b'"error"')
_NULL = (b"", b"null")


class ImagesReader(AnswerReader):
    __slots__ = ("_images",)

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._images = 0

    def take(self, name: bytes, data: bytes) -> None:
        body = _BODY.read(data)
        if body is None:
            return
        if bytes(body.error) not in _NULL:
            self.seen.error(body_code(data))
            return
        self.seen.began = True
        self.seen.identity(body.model, None)
        self.seen.usage_adds(body.usage)
        if body.data is not None:
            self._images = len(body.data)
        elif isinstance(body.type, str):
            self.marks = _MARKS
            if body.type.endswith(".completed"):
                self._images += 1
                self.finished = True

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage
        made = self._images or None
        if found is None:
            return Usage(images=made) if made else None
        usage = openai_usage(self.call.provider, found, counts)
        painted = usage.output_image
        if painted is None and usage.output is not None:
            said = counts.take(counts.part(found, "output_tokens_details"), "text_tokens") or 0
            painted = max(usage.output - said, 0)
        return msgspec.structs.replace(usage, images=made, output_image=painted)

    def charge(self) -> int | None:
        found = self.seen.usage
        return openai_charge(self.call.provider, found) if found is not None else None


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, *_PATHS)


WIRE = Wire("openai_images", "generate_content", matches, read_body, ImagesReader, openai_error)
