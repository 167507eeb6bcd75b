"""OpenAI batches, created and polled. A batch is a job: its usage (where reported) belongs to it, not to a call."""

from __future__ import annotations

import re

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Reader, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import openai_error
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import plain
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Batch(msgspec.Struct):
    id: object = None
    kind: object = msgspec.field(name="object", default=None)
    model: object = None
    status: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    created_at: object = None


_BATCH = Shape(_Batch)
_ENDED = ("completed", "expired", "cancelled", "failed")
_BATCHES = re.compile(r"(?<!/messages)/batches(?:/[^/]+(?:/cancel)?)?$")


class BatchReader(AnswerReader):
    __slots__ = ()

    billable = False

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

    def usage(self, counts: Counts) -> Usage | None:
        return (
            openai_usage(self.call.provider, self.seen.usage, counts) if self.seen.usage is not None else None
        )

    def reading(self) -> Reading:
        counts = Counts()
        usage = self.usage(counts)
        of_job = counts.accept(usage) if usage is not None else None
        if of_job is not None and not of_job.input and not of_job.output:
            of_job = None
        read = self.seen.with_usage(self.call, None, counts, billable=False)
        return msgspec.structs.replace(
            read,
            service_tier="batch",
            job=self.seen.response_id,
            job_usage=of_job,
            job_at_s=self.seen.created,
        )


def matches(method: str, path: str) -> bool:
    return method in ("GET", "POST") and "/batches" in path and _BATCHES.search(plain(path)) is not None


def reader(call: Exchanged) -> Reader:
    return BatchReader(call)


WIRE = Wire("openai_batches", "batch", matches, read_body, reader, openai_error)
