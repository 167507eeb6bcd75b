"""Microsoft Teams, through the webhook of a workflow: an adaptive card."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from telemetry.alerts.channels.contract import Channel, Environ, Parcel, Reply, Secret
from telemetry.alerts.channels.http import post, read_url
from telemetry.alerts.given import Given
from telemetry.alerts.message import Event, Message
from telemetry.alerts.notice import Notice

_COLOURS: Final = {"critical": "Attention", "warning": "Warning", "info": "Accent"}


class Target(msgspec.Struct, frozen=True):
    """The URL is the secret."""

    url: Secret
    allow_private: bool


def _read(given: Given, environ: Environ) -> Target:
    url = read_url(given, environ, "https://prod-00.westeurope.logic.azure.com/workflows/...")
    return Target(url, given.flag("allow_private", False))


def _line(*runs: dict[str, Any]) -> dict[str, Any]:
    """Text runs know no markdown: labels, which apps choose, can't become links."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


def _body(target: Target, message: Message) -> str:
    colour = "Good" if message.event is Event.RESOLVED else _COLOURS[message.severity.value]
    title = {"text": message.title, "weight": "Bolder", "size": "Medium", "color": colour}
    facts = [
        _line({"text": f"{name}: ", "weight": "Bolder"}, {"text": value}) for name, value in message.facts
    ]
    about = _line({"text": message.alert, "isSubtle": True})
    return _card(_line(title), _line({"text": message.summary}), *facts, about)


def _notice(target: Target, notice: Notice) -> str:
    title = {"text": notice.title, "weight": "Bolder", "size": "Medium"}
    lines = [_line({"text": line}) for line in notice.lines]
    return _card(_line(title), *lines, _line({"text": notice.id, "isSubtle": True}))


def _card(*lines: dict[str, Any]) -> str:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": lines,
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return msgspec.json.encode({"type": "message", "attachments": [attachment]}).decode()


async def _send(target: Target, parcel: Parcel, timeout_s: int, now: datetime) -> Reply:
    return await post(target.url, parcel.body.encode(), timeout_s, allow_private=target.allow_private)


CHANNEL: Final = Channel(
    "teams",
    "a Microsoft Teams channel",
    _read,
    _body,
    _send,
    secrets=lambda target: (target.url.value,),
    notice=_notice,
)
