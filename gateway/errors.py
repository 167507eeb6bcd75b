"""What we say when we refuse a call or cannot deliver it. One place for codes, statuses and texts."""

from __future__ import annotations

import enum
import os
import socket
import ssl
from typing import Final

import msgspec

from gateway.wire.contract import Wire
from storage.keys.model import Key


class Code(enum.StrEnum):
    """Stable, documented codes of our own errors (README)."""

    UNKNOWN_PROVIDER = "weighbridge_unknown_provider"
    PROVIDER_NOT_CONFIGURED = "weighbridge_provider_not_configured"
    BAD_PATH = "weighbridge_bad_path"
    BAD_REQUEST = "weighbridge_bad_request"
    UNAUTHORIZED = "weighbridge_unauthorized"
    NOT_ALLOWED = "weighbridge_not_allowed"
    KEYS_UNKNOWN = "weighbridge_keys_unknown"
    ATTRIBUTE_REQUIRED = "weighbridge_attribute_required"
    BUDGET_EXCEEDED = "weighbridge_budget_exceeded"
    BUDGET_UNKNOWN = "weighbridge_budget_unknown"
    RATE_LIMITED = "weighbridge_rate_limited"
    KEY_REVOKED = "weighbridge_key_revoked"
    TOO_LARGE = "weighbridge_request_too_large"
    UPGRADE_UNSUPPORTED = "weighbridge_upgrade_unsupported"
    CANNOT_ACCOUNT = "weighbridge_cannot_account"
    SHUTTING_DOWN = "weighbridge_shutting_down"
    TOO_MANY_CONNECTIONS = "weighbridge_too_many_connections"
    CONNECT_FAILED = "weighbridge_provider_unreachable"
    RESET = "weighbridge_provider_closed"
    TIMEOUT = "weighbridge_provider_timeout"
    PROTOCOL_ERROR = "weighbridge_provider_protocol_error"
    GATEWAY_ERROR = "weighbridge_internal_error"


LONGEST_RETRY_S: Final = 60
"""SDKs try again by themselves after so many seconds at most; where it takes longer, it is for the app to know."""
KEY_ENDED: Final = "The gateway key was revoked or replaced, or has expired."
"""In the course of a call."""


class Refusal(Exception):  # noqa: N818 - a decision, not a defect
    """A stage refused the call: ``status`` and ``message`` are for the app, nothing in it is secret."""

    def __init__(
        self,
        status: int,
        code: Code,
        message: str,
        *,
        retry_after: int | None = None,
        key: Key | None = None,
    ) -> None:
        """``key``: the one whose secret is not good any more; the record names it."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.key = key

    @property
    def header_lines(self) -> bytes:
        """``Retry-After``, and a word to SDKs that would otherwise try again before it makes sense."""
        wait = self.retry_after
        if wait is None:
            return b""
        again = b"" if wait <= LONGEST_RETRY_S else b"x-should-retry: false\r\n"
        return b"Retry-After: %d\r\n%b" % (wait, again)


class _Detail(msgspec.Struct):
    message: str
    type: str
    code: str


class _Body(msgspec.Struct):
    error: _Detail


def error_body(wire: Wire | None, status: int, code: Code, message: str) -> bytes:
    """JSON error in the shape the app's SDK expects; the OpenAI shape where the wire is not known."""
    if wire is not None:
        return wire.error_body(status, code, message)
    return msgspec.json.encode(_Body(_Detail(message, _TYPES.get(status, "api_error"), code)))


_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def reason_of(error: Exception) -> str:
    """Why a connection failed, fit for an app's eyes: no address, no path."""
    if isinstance(error, TimeoutError):
        return "connect deadline passed"
    if isinstance(error, ssl.SSLError):
        return "TLS handshake failed"
    if isinstance(error, socket.gaierror):
        return "host name not found"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
