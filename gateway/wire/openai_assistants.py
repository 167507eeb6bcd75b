"""OpenAI assistants: runs, created, streamed and polled.

A run is a job of its own: it is created without usage and works on after the call that created it, and every poll
repeats what it has used. No call of this interface is billed; the run's usage is told as the job's.
"""

from __future__ import annotations

import re

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import read_body
from gateway.wire.contract import Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, code_in, openai_error
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import plain
from gateway.wire.shapes import Shape, anything
from pricing.usage import Usage


class _Run(msgspec.Struct):
    id: object = None
    kind: object = msgspec.field(name="object", default=None)
    model: object = None
    status: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    created_at: object = None
    last_error: msgspec.Raw = msgspec.Raw(b"")


_RUN = Shape(_Run)
_MARKS = (b"thread.run.", b"[DONE]", b"event: error")
_NULL = (b"", b"null")
_OPEN = (None, "queued", "in_progress", "requires_action", "cancelling")
_RUNS = re.compile(r"/threads(?:/[^/]+)?/runs(?:/[^/]+(?:/submit_tool_outputs|/cancel)?)?$")
_BEGINS = re.compile(r"/threads(?:/[^/]+)?/runs$")


class RunReader(AnswerReader):
    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        seen = self.seen
        if self.text is None:
            self.marks = _MARKS
        if name == b"error":
            seen.error(body_code(data))
            return
        run = _RUN.read(data)
        if run is None or run.kind != "thread.run":
            return
        seen.began = True
        seen.identity(run.model, run.id)
        seen.usage_adds(run.usage)
        seen.created_at(run.created_at)
        if run.status not in _OPEN:
            seen.finish.clear()
            seen.finished_with(run.status)
        if run.status == "failed":
            seen.error(
                code_in(anything(bytes(run.last_error))) if bytes(run.last_error) not in _NULL else None
            )

    def usage(self, counts: Counts) -> Usage | None:
        return (
            openai_usage(self.call.provider, self.seen.usage, counts) if self.seen.usage is not None else None
        )

    def reading(self) -> Reading:
        counts = Counts()
        usage = self.usage(counts)
        begins = self.call.method == "POST" and _BEGINS.search(plain(self.call.path)) is not None
        return self.seen.with_job(self.call, usage, counts, begins=begins)


def matches(method: str, path: str) -> bool:
    return method in ("GET", "POST") and "/threads" in path and _RUNS.search(plain(path)) is not None


WIRE = Wire("openai_assistants", "invoke_agent", matches, read_body, RunReader, openai_error)
