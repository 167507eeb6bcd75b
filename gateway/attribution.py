"""Who a call is for and how the app routed it, from what the request says of itself.

Order of trust: what the gateway key binds, ``x-weighbridge-*`` headers, headers of other gateways and agents (:mod:`gateway.aliases`), W3C baggage,
the body. Values are labels claimed by the app; they are bounded, and what addresses a gateway never reaches a provider.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from pydantic import SecretStr

from gateway.aliases import APPS, FAMILIES, in_baggage, said
from gateway.wire.contract import AskFields
from storage.keys.model import Key
from telemetry.addresses import shortened_value
from telemetry.record import Route, Who

MAX_VALUE: Final = 256
"""Characters kept of one value."""
MAX_TAGS: Final = 32
HASHED: Final = re.compile(r"u_[0-9a-f]{32}")
"""What :func:`hashed` makes of a user id."""

_ATTRIBUTES: Final = (
    "tenant",
    "team",
    "user",
    "project",
    "feature",
    "session",
    "environment",
    "agent",
    "parent_agent",
    "app",
    "key_id",
    "prompt_id",
    "prompt_version",
)
"""Fields of :class:`telemetry.record.Who`, in its order."""

_PLACES: Final = {
    b"x-weighbridge-" + name.replace("_", "-").encode("ascii"): index
    for index, name in enumerate(_ATTRIBUTES)
    if name != "key_id"
}
_INDEX: Final = {name: index for index, name in enumerate(_ATTRIBUTES)}
_USER: Final = _INDEX["user"]
_KEY_ID: Final = _INDEX["key_id"]
NOTHING_SEEN: Final[Mapping[bytes, bytes]] = MappingProxyType({})
_NOBODY: Final = Who()
NO_ROUTE: Final = Route()
"""The app says nothing of routing."""
_ROUTE: Final = (
    b"x-weighbridge-route-policy",
    b"x-weighbridge-route-reason",
    b"x-weighbridge-route-confidence",
    b"x-weighbridge-route-baseline-model",
    b"x-weighbridge-experiment",
    b"x-weighbridge-variant",
)


class Rules(msgspec.Struct, frozen=True):
    """What is believed of what a request says, beside ``x-weighbridge-*``."""

    aliases: tuple[bytes, ...] = tuple(FAMILIES.values())
    """Prefixes of other gateways' headers that are read, and end here."""
    baggage: frozenset[str] = frozenset(("user.id", "session.id"))
    salt: SecretStr | None = None
    """User ids are kept as a hash under this salt; ``None``: as they are."""


DEFAULT_RULES: Final = Rules()


def who(
    labels: dict[bytes, bytes],
    ask: AskFields,
    rules: Rules = DEFAULT_RULES,
    seen: Mapping[bytes, bytes] = NOTHING_SEEN,
    key: Key | None = None,
) -> Who:
    """Attribution of one call; ``labels`` holds the headers that speak of it, names lower-cased.

    Trust falls from the gateway key over ``x-weighbridge-*``, other gateways' headers and W3C baggage to the body.
    """
    baggage = seen.get(b"baggage")
    app = next((seen[name] for name in APPS if name in seen), None)
    if (
        key is None
        and not (labels or baggage or app)
        and ask.user is None
        and ask.session is None
        and not ask.tags
    ):
        return _NOBODY
    values: list[str | None] = [None] * len(_ATTRIBUTES)
    sources: list[tuple[str, str]] = []
    tags: dict[str, str] = {}

    def take(field: str, value: str, source: str) -> None:
        if field.startswith("tag:"):
            tags.setdefault(field[4:][:MAX_VALUE], value[:MAX_VALUE])
        elif value and values[_INDEX[field]] is None:
            values[_INDEX[field]] = value[:MAX_VALUE]
            sources.append((field, source))

    if key is not None:
        values[_KEY_ID] = key.id
        tags.update(key.tags)
        for field, value in key.bound:
            take(field, value, "key")
    raw_tags = labels.get(b"x-weighbridge-tags")
    for name, value in _tags(raw_tags) if raw_tags else ():
        tags.setdefault(name, value)
    for header, raw in labels.items():
        index = _PLACES.get(header)
        if index is not None and raw:
            take(_ATTRIBUTES[index], _text(raw), "header")
    for field, value in said(labels, rules.aliases):
        take(field, value, "alias")
    if app:
        take("app", _text(app), "alias")
    if baggage and rules.baggage:
        for field, value in in_baggage(baggage, rules.baggage):
            take(field, value, "baggage")
    take("user", ask.user or "", "body")
    take("session", ask.session or "", "body")
    for name, value in ask.tags:
        tags.setdefault(name, value)
    if rules.salt is not None and values[_USER]:
        values[_USER] = hashed(values[_USER] or "", rules.salt)
    kept = tuple((name, shortened_value(value)) for name, value in tags.items())[:MAX_TAGS] if tags else ()
    return Who(*values, kept, tuple(sources))  # type: ignore[call-arg, arg-type]  # star over the leading fields


def hashed(user: str, salt: SecretStr) -> str:
    """A user id nobody can read, the same for the same user and salt."""
    digest = hmac.new(salt.get_secret_value().encode(), user.encode("utf-8", "replace"), hashlib.sha256)
    return f"u_{digest.hexdigest()[:32]}"


def route(labels: dict[bytes, bytes]) -> Route:
    """What an app that routes by itself says of its decision."""
    if not labels:
        return NO_ROUTE
    policy, reason, confidence, baseline, experiment, variant = [labels.get(name) for name in _ROUTE]
    if not (policy or reason or confidence or baseline or experiment or variant):
        return NO_ROUTE
    return Route(
        None,
        0,
        None,
        _text(policy) if policy else None,
        _text(reason) if reason else None,
        parts_per_million(confidence) if confidence else None,
        _text(baseline) if baseline else None,
        _text(experiment) if experiment else None,
        _text(variant) if variant else None,
    )


def parts_per_million(raw: bytes) -> int | None:
    """``b"0.87"`` -> ``870000``; ``None`` for anything that is not a decimal from 0 to 1."""
    whole, _, fraction = raw.strip().partition(b".")
    if not (whole or fraction) or len(raw) > 16 or not (whole + fraction).isdigit():
        return None
    value = int(whole or b"0") * 1_000_000 + int(fraction[:6].ljust(6, b"0"))
    return value if value <= 1_000_000 else None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip()[:MAX_VALUE]


def _tags(raw: bytes) -> list[tuple[str, str]]:
    """``a=1, b`` -> ``[("a", "1"), ("b", "")]``."""
    found = []
    for part in _text_list(raw):
        name, _, value = part.partition("=")
        if name.strip():
            found.append((name.strip()[:MAX_VALUE], value.strip()[:MAX_VALUE]))
    return found[:MAX_TAGS]


def _text_list(raw: bytes) -> list[str]:
    return raw[: MAX_VALUE * MAX_TAGS].decode("utf-8", "replace").split(",")
