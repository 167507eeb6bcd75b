"""Events as ``POST /api/events`` takes them. Nothing is checked here: the gateway names what it can't use."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Event = dict[str, Any]


def envelope(
    kind: str,
    *,
    message_id: str | None,
    timestamp: datetime | None,
    user: str | None = None,
    anonymous: str | None = None,
    session: str | None = None,
    tenant: str | None = None,
) -> Event:
    """What every event says; the id and the time are fixed now, so that a resend is the same event."""
    at: object = datetime.now(UTC) if timestamp is None else timestamp
    if isinstance(at, datetime):
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat(timespec="milliseconds")
    said = {
        "type": kind,
        "messageId": message_id or uuid.uuid4().hex,
        "timestamp": at,
        "userId": user,
        "anonymousId": anonymous,
        "sessionId": session,
        "tenant": tenant,
    }
    return filled(said)


def filled(said: Mapping[str, Any]) -> Event:
    """Without what was left open."""
    return {name: value for name, value in said.items() if value is not None}


def encoded(event: Event) -> bytes:
    """JSON; what JSON does not know (dates, decimals, ids) becomes text. Raises whatever such a thing raises as text.

    Half a surrogate pair is no text: left in, it would make the whole batch unreadable.
    """
    text = json.dumps(event, default=_plain, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def batch_of(events: list[bytes]) -> bytes:
    """The body of a request."""
    return b'{"batch":[' + b",".join(events) + b"]}"
