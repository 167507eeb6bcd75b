"""Something to read that is no alert, such as a report: told once to the channels that can show it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from telemetry.alerts.message import moment


class Told(enum.StrEnum):
    """What a notice is, where messages are listed."""

    REPORT = "report"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """The same thing in every form a channel may want."""

    id: str
    """Names it for ever: the same notice has the same id, whoever makes it."""
    kind: str
    """``report.weekly``."""
    title: str
    lines: tuple[str, ...]
    """The most important, as plain text."""
    markdown: str
    html: str
    """A whole page."""
    figures: Mapping[str, int]
    """For programs."""
    at: datetime

    # What the outbox wants to know of a message.

    @property
    def alert(self) -> str:
        return self.id

    @property
    def event(self) -> Told:
        return Told.REPORT

    @property
    def number(self) -> int:
        return 1


def payload(notice: Notice) -> dict[str, Any]:
    """The notice as JSON: ``type``, ``timestamp`` and ``data``, as Standard Webhooks has it."""
    return {
        "type": notice.kind,
        "timestamp": moment(notice.at),
        "data": {
            "report": notice.id,
            "title": notice.title,
            "summary": list(notice.lines),
            "figures": dict(notice.figures),
            "markdown": notice.markdown,
            "html": notice.html,
        },
    }
