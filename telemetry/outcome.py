"""How a call can end. There is no other way."""

from __future__ import annotations

import enum


class Outcome(enum.StrEnum):
    """One per record; the HTTP status the app saw is stored beside it."""

    COMPLETED = "completed"
    """The provider's answer went through whole, with a status below 400."""
    PROVIDER_ERROR = "provider_error"
    """The provider answered 4xx or 5xx, or an error inside a 200 stream; passed on unchanged."""
    REFUSED = "refused"
    """We refused it (credential, size, budget, bad request): never reached a provider."""
    CONNECT_FAILED = "connect_failed"
    """The provider could not be reached (DNS, refused, TLS, connect deadline)."""
    RESET = "reset"
    """The provider closed the connection before a complete response head."""
    TIMEOUT = "timeout"
    """No complete response head within the header deadline, or the total deadline passed."""
    STALLED = "stalled"
    """The response body paused for longer than the idle deadline."""
    TRUNCATED = "truncated"
    """The provider cut the response body short."""
    PROTOCOL_ERROR = "protocol_error"
    """What the provider sent is not HTTP."""
    CANCELLED = "cancelled"
    """The app went away before it had the whole answer."""
    REVOKED = "revoked"
    """The gateway key was revoked, its secret replaced, or it expired while the answer was under way."""
    SHUTDOWN = "shutdown"
    """We were stopped before the answer was complete."""
    INTERRUPTED = "interrupted"
    """The gateway process died in mid-flight; recorded at the next start."""
    GATEWAY_ERROR = "gateway_error"
    """A defect of ours; counted and logged."""

    @property
    def error_type(self) -> str | None:
        """The OpenTelemetry ``error.type`` of this end; ``None`` for success and where the HTTP status says it."""
        return _ERROR_TYPES.get(self)


_ERROR_TYPES = {
    Outcome.REFUSED: "refused",
    Outcome.CONNECT_FAILED: "connection_error",
    Outcome.RESET: "connection_reset",
    Outcome.TIMEOUT: "timeout",
    Outcome.STALLED: "timeout",
    Outcome.TRUNCATED: "stream_truncated",
    Outcome.PROTOCOL_ERROR: "protocol_error",
    Outcome.CANCELLED: "client_disconnected",
    Outcome.REVOKED: "key_revoked",
    Outcome.SHUTDOWN: "gateway_shutdown",
    Outcome.INTERRUPTED: "gateway_crash",
    Outcome.GATEWAY_ERROR: "gateway_error",
}
