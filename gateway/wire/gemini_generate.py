"""Gemini ``generateContent`` and ``streamGenerateContent`` (SSE or one JSON array), also on Vertex.

The model is in the path. ``usageMetadata`` comes with every chunk and replaces the one before; early chunks may
carry one without counts. A stream has no terminal event of its own: a chunk with a finish reason may be followed
by one with more usage, so only the end of the body ends it.
"""

from __future__ import annotations

import re

import msgspec

from gateway.wire.asking import answers, of_body
from gateway.wire.contract import AskFields, Exchanged, Kept, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, google_error
from gateway.wire.gemini_usage import gemini_usage, traffic_of
from gateway.wire.paths import after, plain
from gateway.wire.seen import Seen
from gateway.wire.shapes import Shape, exact_object, text
from pricing.usage import Usage


class _Part(msgspec.Struct):
    text: object = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Place(msgspec.Struct):
    maps: object = None


class _Grounding(msgspec.Struct):
    queries: list[object] | None = msgspec.field(name="webSearchQueries", default=None)
    chunks: list[_Place] | None = msgspec.field(name="groundingChunks", default=None)


class _Candidate(msgspec.Struct):
    index: object = None
    finish_reason: object = msgspec.field(name="finishReason", default=None)
    grounding: _Grounding | None = msgspec.field(name="groundingMetadata", default=None)


class _Spoken(msgspec.Struct):
    content: _Content | None = None


class _Feedback(msgspec.Struct):
    block_reason: object = msgspec.field(name="blockReason", default=None)


class _Chunk(msgspec.Struct):
    candidates: list[_Candidate] | None = None
    usage: msgspec.Raw = msgspec.field(name="usageMetadata", default=msgspec.Raw(b""))
    model: object = msgspec.field(name="modelVersion", default=None)
    response_id: object = msgspec.field(name="responseId", default=None)
    feedback: _Feedback | None = msgspec.field(name="promptFeedback", default=None)
    error: msgspec.Raw = msgspec.Raw(b"")


class _Words(msgspec.Struct):
    candidates: list[_Spoken] | None = None


class _Limits(msgspec.Struct):
    tokens: object = msgspec.field(name="maxOutputTokens", default=None)
    candidates: object = msgspec.field(name="candidateCount", default=None)


class _Ask(msgspec.Struct):
    config: _Limits | None = msgspec.field(name="generationConfig", default=None)
    labels: msgspec.Raw = msgspec.Raw(b"")


_CHUNK = Shape(_Chunk)
_WORDS = Shape(_Words)
_ASK = Shape(_Ask)
_FINISH = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER", 6: "BLOCKLIST"} | {
    7: "PROHIBITED_CONTENT",
    8: "SPII",
    9: "MALFORMED_FUNCTION_CALL",
    10: "MODEL_ARMOR",
}
_BLOCKED = {
    1: "SAFETY",
    2: "OTHER",
    3: "BLOCKLIST",
    4: "PROHIBITED_CONTENT",
    5: "MODEL_ARMOR",
    6: "JAILBREAK",
}
_PER_PROMPT = re.compile(r"gemini-[12]\b")
"""Models whose searches are charged once for the prompt, however many there were; later ones are charged for each."""
MOST_QUERIES = 256
_TIER = b"x-gemini-service-tier"
_NULL = (b"", b"null")
_PROMPT = -1
"""In place of a candidate's number: the prompt was blocked."""


class GenerateReader:
    __slots__ = ("_blocked", "_call", "_queries", "_seen", "finished", "marks", "text")

    def __init__(self, call: Exchanged) -> None:
        self._call = call
        self._seen = Seen()
        self._queries: set[int] = set()
        """Hashes of what Google Search was asked; the same twice is charged once."""
        self._blocked = False
        """The prompt was, so nothing was made of it."""
        self.finished = False
        self.marks: tuple[bytes, ...] = ()
        self.text: Kept | None = None

    def event(self, name: bytes, data: bytes) -> None:
        if data.startswith(b"[DONE]"):
            self.finished = True
            return
        self._chunk(data)

    def document(self, body: bytes) -> None:
        self._chunk(body)
        self.finished = True

    def _chunk(self, data: bytes) -> None:
        seen = self._seen
        if self._call.status >= 400:
            seen.error_code = body_code(data)
            return
        chunk = _CHUNK.read(data)
        if chunk is None:
            return
        if bytes(chunk.error) not in _NULL:
            seen.error(body_code(data))
            return
        seen.began = True
        seen.identity(chunk.model, chunk.response_id)
        found = exact_object(chunk.usage)
        if found is not None:
            if seen.usage is None or any(name.endswith("TokenCount") for name in found):
                seen.usage_is(found, bytes(chunk.usage))
            seen.service_tier = traffic_of(found) or seen.service_tier
            if "serviceTier" in found:
                seen.service_tier = text(found["serviceTier"], 64) or seen.service_tier
        for candidate in chunk.candidates or ():
            if candidate.grounding is not None:
                self._ground(candidate.grounding)
            reason = candidate.finish_reason
            if reason:
                which = candidate.index if type(candidate.index) is int else 0
                # A stream may say it more than once: where tools were used, or in every chunk.
                seen.choice_ended(which, _FINISH.get(reason, reason) if type(reason) is int else reason)
        if chunk.feedback is not None and chunk.feedback.block_reason:
            why, self._blocked = chunk.feedback.block_reason, True
            seen.choice_ended(_PROMPT, _BLOCKED.get(why, why) if type(why) is int else why)
        if self.text is not None:
            self._keep(self.text, data)

    def _ground(self, grounding: _Grounding) -> None:
        for query in grounding.queries or ():
            if isinstance(query, str) and query and len(self._queries) < MOST_QUERIES:
                self._queries.add(hash(query))
        if any(chunk.maps is not None for chunk in grounding.chunks or ()):
            self._seen.fees_unseen = True

    def _keep(self, kept: Kept, data: bytes) -> None:
        words = _WORDS.read(data)
        for candidate in (words.candidates if words is not None else None) or ():
            for part in (candidate.content.parts if candidate.content is not None else None) or ():
                kept.add(part.text)

    def reading(self) -> Reading:
        seen, counts = self._seen, Counts()
        seen.finished_as_told()
        usage = gemini_usage(seen.usage, counts) if seen.usage is not None else None
        if usage is not None and usage == _WITHOUT_COUNTS:
            usage = None
        if usage is not None and usage.output is None and self._blocked:
            usage = msgspec.structs.replace(usage, output=0)
        if seen.service_tier is None:
            told = next((value for name, value in self._call.headers if name == _TIER), None)
            seen.service_tier = None if told is None else text(told.decode("latin-1"), 64)
        if usage is not None and (self._queries or seen.fees_unseen):
            usage = grounded(usage, self._searches())
        return seen.with_usage(self._call, usage, counts)

    def _searches(self) -> int | None:
        model = self._seen.model or self._call.ask.model or ""
        return 1 if self._queries and _PER_PROMPT.search(model) else len(self._queries) or None


_WITHOUT_COUNTS = Usage()


def grounded(usage: Usage, searches: int | None) -> Usage:
    """Of an answer that rests on Google's search or maps: those are charged, and what they put into the prompt is
    not."""
    free = usage.tool_input
    billed = usage.input - free if free and usage.input is not None else None
    return msgspec.structs.replace(usage, web_searches=searches, billed_input=billed)


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """Model and streaming are told by the path; ``labels`` of Vertex are tags."""
    del query
    model = model_of(path)
    asked = of_body(body, model=model, stream=plain(path).endswith(":streamGenerateContent"))
    found = _ASK.read(body)
    if found is None:
        return asked
    config, labels = found.config, exact_object(found.labels)
    if config is not None or labels:
        limit = config.tokens if config is not None else None
        tags = tuple((str(k)[:64], v[:512]) for k, v in (labels or {}).items() if isinstance(v, str))[:16]
        asked = msgspec.structs.replace(
            asked,
            max_tokens=limit if type(limit) is int and limit >= 0 else asked.max_tokens,
            tags=asked.tags or tags,
            answers=answers(config.candidates) if config is not None else 1,
        )
    return asked


def model_of(path: str) -> str | None:
    """``.../models/NAME:verb`` or ``.../endpoints/NAME:verb`` -> ``NAME``."""
    named = after(path, "/models/") or after(path, "/tunedModels/") or after(path, "/endpoints/")
    return named.rpartition(":")[0] or named if named else None


def matches(method: str, path: str) -> bool:
    return method == "POST" and plain(path).endswith((":generateContent", ":streamGenerateContent"))


WIRE = Wire(
    "gemini_generate", "generate_content", matches, read_ask, GenerateReader, google_error, None, True
)
