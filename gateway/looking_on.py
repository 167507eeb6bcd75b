"""Who looks on while an answer passes: the tap of its wire; whether the answer is a stream, and how it ended."""

from __future__ import annotations

from typing import Final

from gateway.call import Call, Progress
from gateway.gear import Gear
from gateway.headers import AnswerHead
from gateway.upstream import Connection
from gateway.wire.contract import Exchanged, Wire
from gateway.wire.tap import Tap
from telemetry.outcome import Outcome

STREAMED: Final = (
    "text/event-stream",
    "application/x-ndjson",
    "application/vnd.amazon.eventstream",
    "application/jsonl",
)
"""Media types of answers that are never held."""
# Bound once: reading a member off its class costs as much as a function call.
_COMPLETED: Final = Outcome.COMPLETED
_PROVIDER_ERROR: Final = Outcome.PROVIDER_ERROR


def tap_of(gear: Gear, wire: Wire, call: Call, status: int, head: AnswerHead) -> Tap:
    """A tap for the answer whose head has come; it holds more of one that is to be kept."""
    target = call.target
    return Tap(
        wire,
        Exchanged(
            call.method,
            target.path,
            target.query,
            call.ask,
            status,
            head,
            call.body,
            target.provider.canonical,
        ),
        head.content_type,
        head.content_encoding,
        gear.tap_limits if call.capture is None else gear.capture_limits,
    )


def look(pieces: list[bytes], progress: Progress, tap: Tap | None) -> bool:
    """Count a part of the answer and let the tap see it; whether the answer's own terminal event has been seen."""
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    progress.response_bytes += len(data)
    if not progress.first_chunk_at:
        progress.first_chunk_at = progress.last_read_at
    return tap is not None and tap.feed(data)


def ended(connection: Connection) -> Outcome:
    """How a call ends whose answer is whole."""
    return _PROVIDER_ERROR if connection.status >= 400 else _COMPLETED


def is_streamed(call: Call, head: AnswerHead) -> bool:
    return call.ask.stream or head.content_type.startswith(STREAMED)


def hides_usage(head: AnswerHead) -> bool:
    """Can the extra chunk that we asked for be kept from the app?"""
    return head.content_type.startswith("text/event-stream") and not head.content_encoding
