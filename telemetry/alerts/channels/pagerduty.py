"""PagerDuty, through its Events API v2: opened, told again and resolved under one key."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

import msgspec

from telemetry.alerts.channels.contract import Channel, Environ, Parcel, Reply, Secret
from telemetry.alerts.channels.http import post, read_url
from telemetry.alerts.given import Given, Unfit
from telemetry.alerts.message import Event, Message, moment

EVENTS_URL: Final = "https://events.pagerduty.com/v2/enqueue"
_ROUTING_KEY: Final = re.compile(r"[A-Za-z0-9]{32}")
_LONGEST_SUMMARY: Final = 1_024


class Target(msgspec.Struct, frozen=True):
    """An integration of a service."""

    url: Secret
    routing_key: Secret
    allow_private: bool


def _read(given: Given, environ: Environ) -> Target:
    url = read_url(given, environ, "https://events.eu.pagerduty.com/v2/enqueue", EVENTS_URL)
    key = environ.needed(given, "routing_key_env", "the integration key (Events API v2)")
    if not _ROUTING_KEY.fullmatch(key.value):
        how = "Copy the key of an integration of the kind Events API v2"
        raise Unfit("routing_key_env", "names a key that is not 32 letters and digits", how)
    return Target(url, key, given.flag("allow_private", False))


def _body(target: Target, message: Message) -> str:
    """All but the routing key, which is added when it is sent."""
    over = message.event is Event.RESOLVED
    told: dict[str, Any] = {
        "event_action": "resolve" if over else "trigger",
        "dedup_key": message.alert,
    }
    if not over:
        told["payload"] = {
            "summary": f"{message.title}: {message.summary}"[:_LONGEST_SUMMARY],
            "source": "weighbridge",
            "severity": message.severity.value,
            "timestamp": moment(message.fired_at),
            "component": message.rule,
            "class": message.kind,
            "custom_details": dict(message.facts),
        }
    return msgspec.json.encode(told).decode()


async def _send(target: Target, parcel: Parcel, timeout_s: int, now: datetime) -> Reply:
    told = {"routing_key": target.routing_key.value, **msgspec.json.decode(parcel.body)}
    return await post(target.url, msgspec.json.encode(told), timeout_s, allow_private=target.allow_private)


CHANNEL: Final = Channel(
    "pagerduty",
    "a PagerDuty service",
    _read,
    _body,
    _send,
    secrets=lambda target: (target.routing_key.value,),
    tracks=lambda target: True,
)
