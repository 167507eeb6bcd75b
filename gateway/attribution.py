"""Who a call is for and how the app routed it, from what the request says of itself.

Order of trust: the gateway key (:mod:`gateway.identity`), then ``x-weighbridge-*`` headers, then the body.
Values are labels claimed by the app; they are bounded, and never reach the provider as headers.
"""

from __future__ import annotations

from typing import Final

from gateway.wire.contract import AskFields
from telemetry.record import Route, Who

MAX_VALUE: Final = 256
"""Characters kept of one value."""
MAX_TAGS: Final = 32

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
_USER: Final = _ATTRIBUTES.index("user")
_SESSION: Final = _ATTRIBUTES.index("session")
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


def who(labels: dict[bytes, bytes], ask: AskFields) -> Who:
    """Attribution of one call; ``labels`` holds the headers addressed to us, names lower-cased."""
    if not labels and ask.user is None and ask.session is None and not ask.tags:
        return _NOBODY
    values: list[str | None] = [None] * len(_ATTRIBUTES)
    sources: list[tuple[str, str]] = []
    for header, raw in labels.items():
        index = _PLACES.get(header)
        if index is not None and raw:
            values[index] = _text(raw)
            sources.append((_ATTRIBUTES[index], "header"))
    for index, value in ((_USER, ask.user), (_SESSION, ask.session)):
        if value and values[index] is None:
            values[index] = value[:MAX_VALUE]
            sources.append((_ATTRIBUTES[index], "body"))
    tags = ask.tags
    raw_tags = labels.get(b"x-weighbridge-tags")
    if raw_tags:
        tags = (*_tags(raw_tags), *tags)[:MAX_TAGS]
    return Who(*values, tags, tuple(sources))  # type: ignore[call-arg, arg-type]  # star over the leading fields


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
