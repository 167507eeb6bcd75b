"""What is known of one call: before it goes out (``Call``, frozen) and while it runs (``Progress``)."""

from __future__ import annotations

import msgspec

from gateway.capturing.rules import Wanted
from gateway.headers import Scan
from gateway.keyring import KnownKey
from gateway.price_headers import PriceSaid
from gateway.providers.contract import Provider
from gateway.signing import Signer
from gateway.upstream import Origin
from gateway.wire.contract import AskFields, Wire
from telemetry.record import Route, Trace, What, Who


class Recall(msgspec.Struct):
    """Where the proxy keeps what it made of a head that comes again (:mod:`gateway.familiar`)."""

    plan: Plan | None = None
    who: Who | None = None
    """Whom the last body named, with that head and plan."""
    named: tuple[str | None, str | None, tuple[tuple[str, str], ...]] | None = None
    """What that body said: user, session, tags."""


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """A request head as the server read it."""

    method: str
    target: bytes
    """Raw path and query, escapes and double slashes kept."""
    scan: Scan
    """Its headers, in one pass: what passes and what we look at."""
    http10: bool
    keep_alive: bool
    chunked: bool
    """The body came in chunked transfer coding."""
    content_length: int | None
    """Length the app declared; ``None`` for a chunked body or none. The server has checked the digits. 0 in a head that came
    before, of a request that is here whole: the body tells its length."""
    peer: str | None
    recall: Recall | None = None
    """Set once the head has come before."""

    @property
    def expects_continue(self) -> bool:
        return self.scan.seen.get(b"expect", b"").lower() == b"100-continue"


def declared_length(seen: dict[bytes, bytes], *, chunked: bool, http10: bool) -> int | None:
    """``Content-Length`` as far as it counts.

    Raises ``ValueError`` for a body whose end another server might see elsewhere: a transfer coding beside
    ``chunked``, or any in HTTP/1.0.
    """
    if chunked:
        if http10 or seen.get(b"transfer-encoding", b"").lower() != b"chunked":
            raise ValueError("ambiguous transfer coding")
        return None
    value = seen.get(b"content-length")
    return int(value) if value is not None else None


class Target(msgspec.Struct, frozen=True, gc=False):
    """Where a call goes. Made from the settings and the path; nothing else of a request has a say."""

    provider: Provider
    origin: Origin
    authority: bytes
    """``Host`` header value."""
    sent_target: bytes
    """Path and query of the request line for the provider, byte for byte what the app sent behind the prefix."""
    path: str
    """The path in it, without the query and without the base path of the settings: what wires recognise."""
    query: str
    wire: Wire | None
    route: Route
    """What is recorded of a call that goes there at the first attempt and says nothing of routing."""
    signer: Signer | None = None
    """Signs the request for AWS."""
    region: str | None = None
    """The provider's region, where the path names it (Vertex): it may change the price."""


class Plan(msgspec.Struct, frozen=True):
    """What follows from a request's head alone."""

    epoch: object
    """The settings it was made under."""
    target: Target
    opening: bytes
    """The request as it goes upstream: request line and headers, without framing, body and the empty line."""
    who: Who
    """Attribution by headers."""
    route: Route
    signer: Signer | None
    """Signs this request for AWS; ``None`` where nobody has to."""
    price_said: PriceSaid | None
    known: KnownKey | None
    """The gateway key it comes with."""
    injects_usage: bool
    """Streams of this target are asked for their usage in the app's place."""
    capture: Wanted | None = None
    """What of prompt and answer is to be kept; ``None``: nothing."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """A call that passed every stage and goes upstream."""

    id: str
    started_ns: int
    method: str
    target: Target
    ask: AskFields
    what: What
    who: Who
    route: Route
    trace: Trace | None
    request: bytes
    """Request head, and the body behind it if it is whole, ready to be written (again)."""
    body: bytes
    """The held part of the body, as the app sent it."""
    whole: bool
    """The body is complete; otherwise the rest is uploaded while it arrives."""
    chunked: bool = False
    """The rest goes up in chunked transfer coding."""
    price_said: PriceSaid | None = None
    """What the app says it costs, where that is believed."""
    hides_usage: bool = False
    """We asked for usage in the app's place: the extra chunk is kept from the app."""
    known: KnownKey | None = None
    """The gateway key it was made with."""
    capture: Wanted | None = None
    """What of prompt and answer is to be kept; ``None``: nothing."""


class Progress:
    """What has happened so far. Times are seconds of the loop's monotonic clock; 0.0 means not yet."""

    __slots__ = (
        "attempt_reason",
        "attempts",
        "code",
        "finished_at",
        "first_byte_at",
        "first_chunk_at",
        "last_read_at",
        "read_whole",
        "request_bytes",
        "response_bytes",
        "sent_at",
        "started_at",
        "status",
        "stuck_at",
        "unanswered",
        "uploaded_at",
        "waited",
    )

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.sent_at = 0.0
        self.stuck_at = 0.0
        """The provider stopped reading the request; 0.0 while it reads."""
        self.uploaded_at = 0.0
        """The whole request is with the provider."""
        self.first_byte_at = 0.0
        self.first_chunk_at = 0.0
        self.last_read_at = 0.0
        self.finished_at = 0.0
        self.waited = 0.0
        """Seconds spent waiting for a connection (not our overhead)."""
        self.attempts = 0
        self.attempt_reason: str | None = None
        self.code: str | None = None
        """Of our own error, where the app was told one that belongs into the record."""
        self.read_whole = False
        """The app did not get it all, but the provider's answer was read to its end all the same."""
        self.status: int | None = None
        """Status the app saw or is about to see."""
        self.unanswered = False
        """That status is ours: the provider has the request, may bill it, and did not even answer with an error."""
        self.request_bytes = 0
        self.response_bytes = 0
