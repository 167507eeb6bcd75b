"""Attribution in the words of other gateways and of coding agents: change the base URL, keep the headers.

Headers of other gateways (``helicone-*``, ``x-litellm-*``...) address a gateway and end here, unless their family is
switched off. Headers of coding agents belong to the agents' own protocol: they are read and passed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

import msgspec

FAMILIES: Final = {
    "helicone": b"helicone-",
    "litellm": b"x-litellm-",
    "portkey": b"x-portkey-",
    "cloudflare": b"cf-aig-",
    "bifrost": b"x-bf-",
}
"""Other gateways and the prefix of their headers."""
_PREFIXES: Final = tuple(FAMILIES.values())

_FIELDS: Final = {
    b"helicone-user-id": "user",
    b"helicone-session-id": "session",
    b"helicone-prompt-id": "prompt_id",
    b"x-litellm-end-user-id": "user",
    b"x-litellm-customer-id": "user",
    b"x-bf-session-id": "session",
}
AGENTS: Final = {
    b"x-claude-code-session-id": "session",
    b"x-claude-code-agent-id": "agent",
    b"x-claude-code-parent-agent-id": "parent_agent",
    b"x-opencode-session": "session",
    b"session-id": "session",
    b"session_id": "session",
}
"""Headers of coding agents."""
APPS: Final = (b"x-title", b"http-referer")
"""Headers of OpenRouter's that name the app; they go upstream."""
_TAG_PREFIXES: Final = (b"helicone-property-", b"x-bf-dim-", b"x-bf-prom-")
_TAGS: Final = {
    b"helicone-session-name": "session_name",
    b"helicone-session-path": "session_path",
    b"x-bf-customer-id": "customer",
}
_METADATA: Final = (b"x-portkey-metadata", b"cf-aig-metadata", b"x-litellm-spend-logs-metadata")
_LISTS: Final = (b"x-litellm-tags",)
_IN_METADATA: Final = {
    "_user": "user",
    "user": "user",
    "user_id": "user",
    "session": "session",
    "session_id": "session",
    "team": "team",
    "environment": "environment",
    "_environment": "environment",
}
_BAGGAGE: Final = {
    "user.id": "user",
    "enduser.id": "user",
    "session.id": "session",
    "tenant.id": "tenant",
    "team": "team",
    "project": "project",
    "feature": "feature",
    "deployment.environment.name": "environment",
}
BAGGAGE_KEYS: Final = tuple(_BAGGAGE)
_MOST_JSON: Final = 8_192


def is_alias(lower: bytes) -> bool:
    """Is this a header of another gateway, or of a coding agent?"""
    return lower.startswith(_PREFIXES) or lower in AGENTS


def families(names: tuple[str, ...]) -> tuple[bytes, ...]:
    """Prefixes of the families of that name."""
    return tuple(FAMILIES[name] for name in names)


def said(labels: Mapping[bytes, bytes], prefixes: tuple[bytes, ...]) -> Iterator[tuple[str, str]]:
    """What the aliases say, as pairs of a field of ``Who`` (or ``tag:NAME``) and its value; the first of a field wins."""
    for header, raw in labels.items():
        field = AGENTS.get(header)
        if field is not None:
            yield field, _text(raw)
        elif prefixes and header.startswith(prefixes):
            yield from _of_gateway(header, raw)


def in_baggage(raw: bytes, allowed: frozenset[str]) -> Iterator[tuple[str, str]]:
    """What W3C baggage says under the keys that are allowed."""
    for member in raw[:_MOST_JSON].decode("latin-1").split(","):
        name, equals, value = member.partition(";")[0].partition("=")
        key = name.strip()
        if equals and key in allowed:
            yield _BAGGAGE.get(key, f"tag:{key}"), unquote(value.strip(), errors="replace")


def _of_gateway(header: bytes, raw: bytes) -> Iterator[tuple[str, str]]:
    if header in _FIELDS:
        yield _FIELDS[header], _text(raw)
    elif header in _TAGS:
        yield f"tag:{_TAGS[header]}", _text(raw)
    elif header in _METADATA:
        yield from _of_object(raw)
    elif header in _LISTS:
        for part in _text(raw).split(","):
            name, _, value = part.strip().partition(":")
            if name:
                yield f"tag:{name.strip()}", value.strip()
    elif header.startswith(_TAG_PREFIXES):
        prefix = next(one for one in _TAG_PREFIXES if header.startswith(one))
        yield f"tag:{header[len(prefix) :].decode('latin-1')}", _text(raw)


def _of_object(raw: bytes) -> Iterator[tuple[str, str]]:
    if len(raw) > _MOST_JSON:
        return
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    for name, value in found.items() if isinstance(found, dict) else ():
        if isinstance(value, bool | int | str):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            yield _IN_METADATA.get(name, f"tag:{name}"), text


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip()
