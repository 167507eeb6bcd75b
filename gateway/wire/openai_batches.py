"""OpenAI batches, created and polled. A batch is a job: its usage belongs to it, not to a call.

Not every provider reports it; what requests of a batch cost that were done and are not told of is not known.
"""

from __future__ import annotations

import re

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import openai_error
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import plain
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Requests(msgspec.Struct):
    completed: object = None


class _Batch(msgspec.Struct):
    id: object = None
    kind: object = msgspec.field(name="object", default=None)
    model: object = None
    status: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    created_at: object = None
    request_counts: _Requests | None = None


_BATCH = Shape(_Batch)
_ENDED = ("completed", "expired", "cancelled", "failed")
_BATCHES = re.compile(r"(?<!/messages)/batches(?:/[^/]+(?:/cancel)?)?$")


class BatchReader(AnswerReader):
    __slots__ = ("idle",)

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self.idle = False
        """It ended before anything was done."""

    def take(self, name: bytes, data: bytes) -> None:
        del name
        batch = _BATCH.read(data)
        if batch is None or batch.kind != "batch":
            return
        self.seen.began = True
        self.seen.identity(batch.model, batch.id)
        self.seen.usage_adds(batch.usage)
        self.seen.created_at(batch.created_at)
        if batch.status in _ENDED:
            self.seen.finished_with(batch.status)
            done = batch.request_counts.completed if batch.request_counts is not None else None
            self.idle = done == 0 or (done is None and batch.status == "failed")

    def usage(self, counts: Counts) -> Usage | None:
        return (
            openai_usage(self.call.provider, self.seen.usage, counts) if self.seen.usage is not None else None
        )

    def reading(self) -> Reading:
        counts = Counts()
        usage = self.usage(counts)
        if usage is not None and not usage.input and not usage.output:
            usage = None  # not told: batches of before it was have zeros there
        begins = self.call.method == "POST" and plain(self.call.path).endswith("/batches")
        if self.idle and usage is None:
            read = self.seen.with_usage(self.call, None, counts, billable=False)
        else:
            read = self.seen.with_job(self.call, usage, counts, begins=begins)
        return msgspec.structs.replace(read, service_tier="batch")


def matches(method: str, path: str) -> bool:
    return method in ("GET", "POST") and "/batches" in path and _BATCHES.search(plain(path)) is not None


WIRE = Wire("openai_batches", "batch", matches, read_body, BatchReader, openai_error)
