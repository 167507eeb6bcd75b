"""Vertex ``predict``: embeddings report tokens per text, Imagen one prediction per image, the text models of before
Gemini (``text-bison``) the tokens of both sides beside the predictions."""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.contract import Exchanged, Wire
from gateway.wire.counts import Counts, plus
from gateway.wire.errors import google_error
from gateway.wire.gemini_embed import read_ask
from gateway.wire.paths import plain
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Statistics(msgspec.Struct):
    token_count: object = None


class _Embeddings(msgspec.Struct):
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Embeddings | None = None
    media_type: object = msgspec.field(name="mimeType", default=None)


class _Total(msgspec.Struct):
    tokens: object = msgspec.field(name="totalTokens", default=None)


class _Tokens(msgspec.Struct):
    asked: _Total | None = msgspec.field(name="inputTokenCount", default=None)
    made: _Total | None = msgspec.field(name="outputTokenCount", default=None)


class _Metadata(msgspec.Struct):
    tokens: _Tokens | None = msgspec.field(name="tokenMetadata", default=None)


class _Body(msgspec.Struct):
    predictions: list[_Prediction] | None = None
    metadata: _Metadata | None = None


_BODY = Shape(_Body)


class PredictReader(AnswerReader):
    __slots__ = ("_images", "_made", "_tokens")

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._tokens: list[object] = []
        self._made: object = None
        self._images = 0

    def take(self, name: bytes, data: bytes) -> None:
        del name
        body = _BODY.read(data)
        if body is None:
            return
        self.seen.began = True
        for prediction in body.predictions or ():
            if prediction.embeddings is not None and prediction.embeddings.statistics is not None:
                self._tokens.append(prediction.embeddings.statistics.token_count)
            if isinstance(prediction.media_type, str) and prediction.media_type.startswith("image/"):
                self._images += 1
        both = body.metadata.tokens if body.metadata is not None else None
        if both is not None:
            self._tokens.append(both.asked.tokens if both.asked is not None else None)
            self._made = both.made.tokens if both.made is not None else None

    def usage(self, counts: Counts) -> Usage | None:
        usage = Usage(
            plus(*(counts.value(told) for told in self._tokens)),
            counts.value(self._made),
            images=self._images or None,
        )
        return None if usage == Usage() and not counts.invalid else usage


def matches(method: str, path: str) -> bool:
    return method == "POST" and plain(path).endswith(":predict")


WIRE = Wire("vertex_predict", "embeddings", matches, read_ask, PredictReader, google_error)
