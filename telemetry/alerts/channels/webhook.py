"""Webhooks, signed as Standard Webhooks has it."""

from __future__ import annotations

import base64
import binascii
import enum
from datetime import UTC, datetime
from typing import Final

import msgspec
from standardwebhooks import Webhook

from telemetry.alerts.channels import alertmanager
from telemetry.alerts.channels.contract import Channel, Environ, Parcel, Reply, Secret
from telemetry.alerts.channels.http import post, read_url
from telemetry.alerts.given import Given, Unfit
from telemetry.alerts.message import Message, payload
from telemetry.alerts.notice import Notice
from telemetry.alerts.notice import payload as notice_payload

PREFIX: Final = "whsec_"
LEAST_BYTES: Final = 24
_HOW: Final = 'Make one with: echo "whsec_$(openssl rand -base64 32)"'


class Format(enum.StrEnum):
    """How the body looks."""

    WEIGHBRIDGE = "weighbridge"
    ALERTMANAGER = "alertmanager"


class Target(msgspec.Struct, frozen=True):
    """``secrets``: one, or two while a receiver changes over; the first is the new one."""

    url: Secret
    secrets: tuple[Secret, ...]
    format: Format
    allow_private: bool


def _read(given: Given, environ: Environ) -> Target:
    url = read_url(given, environ, "https://hooks.example.com/alerts")
    style = given.choice("format", Format, Format.WEIGHBRIDGE)
    assert style is not None
    secrets = []
    for key in ("secret_env", "old_secret_env"):
        secret = environ.secret(given, key)
        if secret is not None:
            _key(key, secret)
            secrets.append(secret)
    if not secrets and style is Format.WEIGHBRIDGE:
        raise given.missing("secret_env", "Name the environment variable that holds the signing secret")
    return Target(url, tuple(secrets), style, given.flag("allow_private", False))


def _key(key: str, secret: Secret) -> bytes:
    """The bytes of a secret. Raises ``Unfit``."""
    text = secret.value.removeprefix(PREFIX)
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Unfit(key, "names a secret that is not base64", _HOW) from None
    if len(found) < LEAST_BYTES:
        raise Unfit(key, f"names a secret of {len(found)} bytes; {LEAST_BYTES} are the least", _HOW)
    return found


def _body(target: Target, message: Message) -> str:
    told = alertmanager.payload(message) if target.format is Format.ALERTMANAGER else payload(message)
    return msgspec.json.encode(told).decode()


def _notice(target: Target, notice: Notice) -> str:
    return msgspec.json.encode(notice_payload(notice)).decode()


async def _send(target: Target, parcel: Parcel, timeout_s: int, now: datetime) -> Reply:
    # The library takes the time as it stands, without its zone: it has to stand in UTC.
    at = now.astimezone(UTC)
    signed = (Webhook(_key("", secret)).sign(parcel.id, at, parcel.body) for secret in target.secrets)
    headers = {"webhook-id": parcel.id, "webhook-timestamp": str(int(at.timestamp()))}
    if target.secrets:
        headers["webhook-signature"] = " ".join(signed)
    return await post(
        target.url, parcel.body.encode(), timeout_s, allow_private=target.allow_private, headers=headers
    )


CHANNEL: Final = Channel(
    "webhook",
    "an HTTP endpoint of yours, signed",
    _read,
    _body,
    _send,
    secrets=lambda target: (target.url.value, *(secret.value for secret in target.secrets)),
    tracks=lambda target: target.format is Format.ALERTMANAGER,
    notice=_notice,
)
