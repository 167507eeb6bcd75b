"""Anthropic's message batches, created and polled. A batch is a job of which no poll tells the usage.

Usage stands in the results alone, a file of any size that SDKs fetch by an address of the provider's own, past the
gateway. What a batch cost of which requests succeeded is therefore not known.
"""

from __future__ import annotations

import re

import msgspec

from gateway.wire.contract import AskFields, Wire
from gateway.wire.errors import anthropic_error
from gateway.wire.openai_batches import BatchReader
from gateway.wire.paths import plain
from gateway.wire.shapes import Shape


class _Requests(msgspec.Struct):
    succeeded: object = None


class _Batch(msgspec.Struct):
    id: object = None
    type: object = None
    processing_status: object = None
    request_counts: _Requests | None = None
    created_at: object = None


_BATCH = Shape(_Batch)
_BATCHES = re.compile(r"/messages/batches(?:/[^/]+(?:/cancel)?)?$")


class MessageBatchReader(BatchReader):
    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        del name
        batch = _BATCH.read(data)
        if batch is None or batch.type != "message_batch":
            return
        seen = self.seen
        seen.began = True
        seen.identity(None, batch.id)
        seen.created_at(batch.created_at)
        if batch.processing_status == "ended":
            seen.finished_with("ended")
            self.idle = batch.request_counts is not None and batch.request_counts.succeeded == 0


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """Each request of a batch names a model of its own."""
    del path, query, body
    return AskFields()


def matches(method: str, path: str) -> bool:
    return method in ("GET", "POST") and "/batches" in path and _BATCHES.search(plain(path)) is not None


WIRE = Wire("anthropic_batches", "batch", matches, read_ask, MessageBatchReader, anthropic_error)
