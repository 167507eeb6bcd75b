"""Perplexity's asynchronous completions, created and polled. Each is a job: the poll that brings the answer tells its
usage and what is charged for it."""

from __future__ import annotations

import re

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import openai_error
from gateway.wire.openai_usage import openai_charge, openai_usage
from gateway.wire.paths import plain
from gateway.wire.shapes import Shape
from pricing.usage import Usage


class _Response(msgspec.Struct):
    model: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")


class _Job(msgspec.Struct):
    id: object = None
    model: object = None
    status: object = None
    created_at: object = None
    response: _Response | None = None


class _Ask(msgspec.Struct):
    request: msgspec.Raw = msgspec.Raw(b"")


_JOB = Shape(_Job)
_ASK = Shape(_Ask)
_PATH = re.compile(r"/async/(?:chat/completions|sonar)(?:/([^/]+))?$")
_ENDED = ("COMPLETED", "FAILED")


class AsyncReader(AnswerReader):
    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        del name
        job = _JOB.read(data)
        if job is None:
            return
        seen = self.seen
        seen.began = True
        seen.identity(job.model, job.id)
        seen.created_at(job.created_at)
        if job.response is not None:
            seen.identity(job.response.model, None)
            seen.usage_adds(job.response.usage)
        if job.status in _ENDED:
            seen.finished_with(job.status)

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage
        return openai_usage(self.call.provider, found, counts) if found is not None else None

    def charge(self) -> int | None:
        found = self.seen.usage
        return openai_charge(self.call.provider, found) if found is not None else None

    def reading(self) -> Reading:
        counts = Counts()
        usage = self.usage(counts)
        begins = self.call.method == "POST"
        return self.seen.with_job(self.call, usage, counts, begins=begins, charge=self.charge())


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """What is asked for is wrapped."""
    del path, query
    ask = _ASK.read(body)
    return of_body(bytes(ask.request)) if ask is not None else AskFields()


def matches(method: str, path: str) -> bool:
    if "/async/" not in path:
        return False
    found = _PATH.search(plain(path))
    return found is not None and method == ("POST" if found.group(1) is None else "GET")


WIRE = Wire("perplexity_async", "chat", matches, read_ask, AsyncReader, openai_error)
