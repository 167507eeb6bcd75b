"""What a wire format must offer. A wire file exports one ``WIRE: Wire``.

A wire only looks on: it reads copies of the bytes that pass, never changes them, and whatever it raises is
caught and counted by the tap. A ``Reader`` lives for one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from pricing.usage import Part, Usage


class AskFields(msgspec.Struct, frozen=True, gc=False):
    """What a request says of itself. Everything is optional: a wire returns what it finds."""

    model: str | None = None
    stream: bool = False
    max_tokens: int | None = None
    user: str | None = None
    """End user named in the body (OpenAI ``user``, Anthropic ``metadata.user_id``)."""
    session: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    """``metadata`` pairs of the body, bounded."""
    service_tier: str | None = None
    wants_usage: bool = False
    """A stream was asked to report usage (``stream_options.include_usage``)."""
    conversation: str | None = None
    answers: int = 1
    """How many are wanted, each of up to ``max_tokens`` (``n``, ``best_of``, ``candidateCount``)."""


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What an answer said of itself."""

    usage: Usage | None = None
    """``None``: nothing reported. Zero stays zero."""
    usage_raw: bytes | None = None
    """The usage as reported, JSON, at most 4 KiB."""
    invalid: bool = False
    """Impossible counts (negative, boolean, text, above 2**53, subsets above their whole): no cost may be made of it."""
    billable: bool = True
    """False for polls, listings, counts and errors: must add no tokens and no cost."""
    model: str | None = None
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    service_tier: str | None = None
    speed: str | None = None
    """Anthropic ``usage.speed``."""
    geo: str | None = None
    """Anthropic ``usage.inference_geo``."""
    plain: Usage | None = None
    """``usage``, where its reader knows it to be plain (:func:`pricing.plain.is_plain`) without a look at all of it."""
    charge: int | None = None
    """Charge reported by the provider itself, nano-USD: for the call, or for ``job`` where there is one."""
    error_code: str | None = None
    """The provider's error type or code, whatever its JSON type; also for errors inside a 200."""
    failed: bool = False
    """The answer is an error although its HTTP status says success (mid-stream error event, failed response)."""
    also: tuple[Part, ...] = ()
    """Usage with a price of its own within this call: other models, further passes of the same model, other tiers."""
    fees_unseen: bool = False
    """The provider charges for something that is not counted here (a code interpreter's container, an image made by a
    tool, more models on one socket than are kept apart): what ``usage`` (or ``job_usage``) costs is a lower bound."""
    job: str | None = None
    """Id of the background job (run, background response, batch) this answer reports on."""
    job_usage: Usage | None = None
    """Usage of ``job`` so far. It belongs to the job, not to this call: every poll repeats it, so it may be
    billed at most once per ``job``. Set only where ``billable`` is false. ``None`` for a job that has ended
    (``finish_reasons``): what it cost is not known."""
    job_at_s: int | None = None
    """When the job began, seconds since 1970 (UTC), as the provider tells it."""
    estimated: bool = False
    """Some of ``usage`` is our own count (:mod:`gateway.estimation`); never set by a reader."""
    goes_on: bool = False
    """The provider works on after this whole answer: what it will have used cannot be counted from it."""


class Kept(Protocol):
    """Takes the answer's text for token estimation (``gateway/wire/text.py``)."""

    def add(self, piece: object) -> None: ...


class Reader(Protocol):
    """Reads one answer. Fed by the tap with decoded (uncompressed, de-chunked) pieces."""

    finished: bool
    """Set once the answer's own terminal event was seen (``[DONE]``, ``message_stop``, ``response.completed``):
    from then on the call counts as complete even if the connection breaks."""
    marks: tuple[bytes, ...]
    """Only events containing one of these may be of interest; the framing skips all others unparsed. Empty:
    every event is. Looked at anew for every piece, so a reader may narrow it once it has seen the first event."""
    text: Kept | None
    """Set by the tap where the answer's text is to be kept; a reader that honours it leaves ``marks`` empty."""

    def event(self, name: bytes, data: bytes) -> None:
        """One SSE event (``name`` empty where none was given), NDJSON line or element of a JSON array stream."""

    def document(self, body: bytes) -> None:
        """One whole body that is not a stream (also error bodies and errors sent instead of a stream)."""

    def reading(self) -> Reading:
        """What is known so far; may be called at any moment, once or more."""


class Exchanged(msgspec.Struct, frozen=True, gc=False):
    """What a reader may need to know of the call it reads."""

    method: str
    path: str
    """Path as sent to the provider, escapes kept, without the query."""
    query: str
    ask: AskFields
    status: int
    headers: Iterable[tuple[bytes, bytes]]
    """Response headers, names lower-cased; to be gone through anew each time."""
    request_body: bytes = b""
    """The request as far as it was held (for units that only the request tells, e.g. characters to speak)."""
    provider: str = ""
    """Name of the provider's kind (``xai``, ``openrouter``): the same wire means different things at some."""


class Wire(msgspec.Struct, frozen=True):
    """One wire format."""

    name: str
    """``openai_chat``, ``anthropic_messages``...: stored in the record."""
    operation: str
    """OpenTelemetry ``gen_ai.operation.name``."""
    matches: Callable[[str, str], bool]
    """``(method, path)``: is this a call of this wire? The path is as sent to the provider, without query."""
    read_ask: Callable[[str, str, bytes], AskFields]
    """``(path, query, body)``. Raises nothing on bad JSON: returns what it can."""
    reader: Callable[[Exchanged], Reader]
    error_body: Callable[[int, str, str], bytes]
    """``(status, code, message)`` -> JSON error body in the wire's own shape."""
    inject_usage: Callable[[bytes], bytes | None] | None = None
    """Request body with usage reporting switched on, or ``None`` when it must not be touched."""
    json_stream: bool = False
    """A stream may come as one JSON array (``application/json``): read it element by element."""
    fallback: bool = False
    """Asked only when no other wire matches."""
    usual: Callable[[str, bytes], Reading | None] | None = None
    """``(path, body)``: what a reader would read off a whole JSON answer (200, to a ``POST``), if it is as nearly all
    are; ``None`` for any other. It is there for speed alone: a property test holds it to the reader."""
    free: bool = False
    """Its calls cost nothing, whatever they ask: they manage or count."""
