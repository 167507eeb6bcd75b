"""What a failed call is called: ``error.type`` and which spans count as errors."""

from __future__ import annotations

from typing import Final

from telemetry.names import ERROR_OTHER
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

_NOT_OUR_FAULT: Final = frozenset(
    {Outcome.COMPLETED, Outcome.REFUSED, Outcome.CANCELLED, Outcome.PROVIDER_ERROR, Outcome.REVOKED}
)
_CUT: Final = frozenset(
    {
        Outcome.CANCELLED,
        Outcome.TRUNCATED,
        Outcome.STALLED,
        Outcome.RESET,
        Outcome.TIMEOUT,
        Outcome.PROTOCOL_ERROR,
        Outcome.SHUTDOWN,
        Outcome.REVOKED,
        Outcome.INTERRUPTED,
        Outcome.GATEWAY_ERROR,
    }
)


def error_type(record: CallRecord) -> str | None:
    """``error.type`` of the operation; ``None`` for success.

    The provider's HTTP status where it answered with an error ("429"), else how the call ended
    ("timeout", "connection_error", "client_disconnected", "stream_truncated"...). The provider's own code
    is not used here: it is free text and stands in ``weighbridge.error.code``.
    """
    outcome = record.outcome
    if outcome is Outcome.COMPLETED:
        return None
    status = record.answer.status
    if outcome is Outcome.PROVIDER_ERROR:
        if status is not None and status >= 400:
            return str(status)
        return record.answer.error_type or ERROR_OTHER
    return outcome.error_type or record.answer.error_type or ERROR_OTHER


def server_error_type(record: CallRecord) -> str | None:
    """``error.type`` of the SERVER span; ``None`` leaves its status unset.

    HTTP conventions: a 4xx is the caller's doing and no error of the server's; a 5xx is, and so is a failure
    while the answer was on its way, whatever the status said. A caller that left is no error of the server's.
    """
    status = record.answer.status
    outcome = record.outcome
    if status is not None and 400 <= status < 500:
        return None
    if status is not None and status >= 500:
        return error_type(record) or str(status)
    if outcome is Outcome.PROVIDER_ERROR or outcome not in _NOT_OUR_FAULT:
        return error_type(record)
    return None


def was_cut(record: CallRecord) -> bool:
    """True if the answer ended before its own end."""
    return record.outcome in _CUT
