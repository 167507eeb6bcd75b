"""Slack, through an incoming webhook."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from telemetry.alerts.channels.contract import Channel, Environ, Parcel, Reply, Secret
from telemetry.alerts.channels.http import post, read_url
from telemetry.alerts.given import Given
from telemetry.alerts.message import Event, Message
from telemetry.alerts.notice import Notice

_MARKS: Final = {"critical": "🔴", "warning": "🟠", "info": "🔵"}
_MOST_FIELDS: Final = 10
"""Slack shows no more in one section."""
_LONGEST_TITLE: Final = 150
_LONGEST_TEXT: Final = 3_000
"""Of one section."""


class Target(msgspec.Struct, frozen=True):
    """The URL is the secret."""

    url: Secret
    allow_private: bool


def _read(given: Given, environ: Environ) -> Target:
    url = read_url(given, environ, "https://hooks.slack.com/services/T000/B000/XXXX")
    return Target(url, given.flag("allow_private", False))


def _plain(text: str) -> dict[str, object]:
    """Text that pings nobody and links nowhere: labels are chosen by apps."""
    return {"type": "plain_text", "text": text, "emoji": False}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _body(target: Target, message: Message) -> str:
    mark = "🟢" if message.event is Event.RESOLVED else _MARKS[message.severity.value]
    title = f"{mark} {message.title}"[:_LONGEST_TITLE]
    fields = [_plain(f"{name}: {value}") for name, value in message.facts[:_MOST_FIELDS]]
    told = {
        # Shown in notifications, where there are no blocks.
        "text": _escaped(f"{title}: {message.summary}"),
        "mrkdwn": False,
        "blocks": [
            {"type": "header", "text": _plain(title)},
            {"type": "section", "text": _plain(message.summary)},
            {"type": "section", "fields": fields},
            {"type": "context", "elements": [_plain(message.alert)]},
        ],
    }
    return msgspec.json.encode(told).decode()


def _notice(target: Target, notice: Notice) -> str:
    told = {
        "text": _escaped(f"{notice.title}: {notice.lines[0]}" if notice.lines else notice.title),
        "mrkdwn": False,
        "blocks": [
            {"type": "header", "text": _plain(notice.title[:_LONGEST_TITLE])},
            {"type": "section", "text": _plain("\n".join(notice.lines)[:_LONGEST_TEXT] or "–")},
            {"type": "context", "elements": [_plain(notice.id)]},
        ],
    }
    return msgspec.json.encode(told).decode()


async def _send(target: Target, parcel: Parcel, timeout_s: int, now: datetime) -> Reply:
    return await post(target.url, parcel.body.encode(), timeout_s, allow_private=target.allow_private)


CHANNEL: Final = Channel(
    "slack",
    "a Slack channel",
    _read,
    _body,
    _send,
    secrets=lambda target: (target.url.value,),
    notice=_notice,
)
