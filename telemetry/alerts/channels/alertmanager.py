"""Alerts as Alertmanager's webhook receiver tells them (version 4), for what understands that already."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from telemetry.alerts.message import Event, Message, cut, moment
from telemetry.alerts.words import amount

_NEVER: Final = "0001-01-01T00:00:00Z"


def payload(message: Message) -> dict[str, Any]:
    """One alert in a group of its own."""
    own = {
        "alertname": message.rule,
        "severity": message.severity.value,
        "kind": message.kind,
        "level": message.level,
    }
    labels = {**{name: cut(value) for name, value in message.labels}, **own}
    annotations = {
        "summary": message.summary,
        "value": amount(message.value, message.unit),
        "limit": amount(message.limit, message.unit),
    }
    over = message.event is Event.RESOLVED
    status = "resolved" if over else "firing"
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": moment(message.fired_at),
        "endsAt": moment(message.at) if over else _NEVER,
        "generatorURL": "",
        "fingerprint": sha256(message.alert.encode()).hexdigest()[:16],
    }
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{message.rule}", alert="{message.alert}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "weighbridge",
        "groupLabels": {"alertname": message.rule},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [alert],
    }
