"""Gemini's batches, created and polled. A batch is a job: the poll that finds it ended holds every answer, each with its
usage, unless they are in a file. What a batch cost whose answers are not there is not known.

A poll is on a path where OpenAI's is too: the provider's rules choose between the two.
"""

from __future__ import annotations

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.contract import Exchanged, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import google_error
from gateway.wire.gemini_embed import read_ask
from gateway.wire.gemini_usage import gemini_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape, exact_object
from gateway.wire.turns import sum_of
from pricing.usage import Usage, size_of


class _Answer(msgspec.Struct):
    usage: msgspec.Raw = msgspec.field(name="usageMetadata", default=msgspec.Raw(b""))


class _Request(msgspec.Struct):
    response: _Answer | None = None


class _Requests(msgspec.Struct):
    each: list[_Request] | None = msgspec.field(name="inlinedResponses", default=None)


class _Output(msgspec.Struct):
    inlined: _Requests | None = msgspec.field(name="inlinedResponses", default=None)


class _Statistics(msgspec.Struct):
    succeeded: object = msgspec.field(name="successfulRequestCount", default=None)


class _Metadata(msgspec.Struct):
    model: object = None
    state: object = None
    created: object = msgspec.field(name="createTime", default=None)
    statistics: _Statistics | None = msgspec.field(name="batchStats", default=None)
    output: _Output | None = None


class _Batch(msgspec.Struct):
    name: object = None
    metadata: _Metadata | None = None
    response: _Output | None = None


_BATCH = Shape(_Batch)
_BEGINS = (":batchGenerateContent", ":asyncBatchEmbedContent")
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
_SEARCHED = b'"webSearchQueries"'


class GeminiBatchReader(AnswerReader):
    __slots__ = ("_answers", "_idle")

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._answers: list[_Answer] = []
        self._idle = False
        """It ended, and nothing was done."""

    def take(self, name: bytes, data: bytes) -> None:
        del name
        batch, seen = _BATCH.read(data), self.seen
        if batch is None or not isinstance(batch.name, str) or not batch.name.startswith("batches/"):
            return
        seen.began = True
        seen.identity(None, batch.name)
        about = batch.metadata
        if about is None:
            if self.call.method == "GET":  # too large to be read whole, which it is for its answers alone
                seen.finished_with("SUCCEEDED")
            return
        seen.identity(about.model.removeprefix("models/") if isinstance(about.model, str) else None, None)
        seen.created_at(about.created)
        state = str(about.state).removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")
        if state not in _ENDED:
            return
        seen.finished_with(state)
        self._idle = about.statistics is not None and about.statistics.succeeded in (None, 0, "0")
        output = batch.response or about.output
        inlined = output.inlined.each if output is not None and output.inlined is not None else None
        self._answers = [request.response for request in inlined or () if request.response is not None]
        seen.fees_unseen = _SEARCHED in data

    def usage(self, counts: Counts) -> Usage | None:
        """The sum of what the answers tell; a lower bound where one does not."""
        told = [found for answer in self._answers if (found := exact_object(answer.usage))]
        if not told:
            return None
        self.seen.fees_unseen = self.seen.fees_unseen or len(told) < len(self._answers)
        self.seen.usage_is({"requests": len(told), "last": told[-1]}, None)
        usages = [gemini_usage(found, counts) for found in told]
        if len({size_of(usage.input or 0) for usage in usages}) == 1:
            return sum_of(usages)
        self.seen.fees_unseen = True  # the larger ones may cost more
        return msgspec.structs.replace(
            sum_of(usages), largest_input=min(usage.input or 0 for usage in usages) or None
        )

    def reading(self) -> Reading:
        counts = Counts()
        usage = self.usage(counts)
        if self._idle and usage is None:
            read = self.seen.with_usage(self.call, None, counts, billable=False)
        else:
            begins = self.call.method == "POST" and ends(self.call.path, *_BEGINS)
            read = self.seen.with_job(self.call, usage, counts, begins=begins)
        return msgspec.structs.replace(read, service_tier="batch")


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, *_BEGINS)


WIRE = Wire("gemini_batches", "batch", matches, read_ask, GeminiBatchReader, google_error)
