"""Replicate predictions. Each is a job: it may finish within the call that creates it or later, and polls repeat what
that call may have told."""

from __future__ import annotations

import re

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, detail_error
from gateway.wire.paths import plain
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Prediction(msgspec.Struct):
    id: object = None
    model: object = None
    status: object = None
    error: object = None
    created_at: object = None
    metrics: msgspec.Raw = msgspec.Raw(b"")


_PREDICTION = Shape(_Prediction)
_PATH = re.compile(r"/v1(?:/(models|deployments)/([^/]+/[^/]+))?/predictions(?:/[^/]+(?:/cancel)?)?$")
_ENDED = ("succeeded", "failed", "canceled", "aborted")


class PredictionReader(AnswerReader):
    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        del name
        prediction = _PREDICTION.read(data)
        if prediction is None:
            return
        seen = self.seen
        seen.began = True
        seen.identity(prediction.model, prediction.id)
        seen.usage_adds(prediction.metrics)
        seen.created_at(prediction.created_at)
        if prediction.status in _ENDED:
            seen.finished_with(prediction.status)
        if prediction.status == "failed":
            seen.error(body_code(data))

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage
        if found is None:
            return None
        usage = Usage(
            counts.take(found, "input_token_count"),
            counts.take(found, "output_token_count"),
            images=counts.take(found, "image_count"),
        )
        return usage if usage != Usage() else None

    def reading(self) -> Reading:
        counts = Counts()
        begins = self.call.method == "POST" and plain(self.call.path).endswith("/predictions")
        return self.seen.with_job(self.call, self.usage(counts), counts, begins=begins)


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """The model is in the path, or only a version of it in the body."""
    del query
    named = _PATH.search(plain(path))
    return of_body(body, model=named.group(2) if named is not None and named.group(1) == "models" else None)


def matches(method: str, path: str) -> bool:
    return method in ("GET", "POST") and "/predictions" in path and _PATH.search(plain(path)) is not None


WIRE = Wire("replicate", "generate_content", matches, read_ask, PredictionReader, detail_error)
