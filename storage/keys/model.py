"""What a gateway key says, and how keys and tokens look."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import msgspec

KEY_PREFIX: Final = "wbk_"
TOKEN_PREFIX: Final = "wbt_"
_RANDOM_BYTES: Final = 32


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway key. What it binds goes before anything a request says of itself."""

    id: str
    """``key_...``; no secret."""
    name: str
    tenant: str | None = None
    team: str | None = None
    user: str | None = None
    project: str | None = None
    environment: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    providers: tuple[str, ...] = ()
    """Empty: all."""
    models: tuple[str, ...] = ()
    """Names, ``*`` stands for anything; empty: all."""
    required: tuple[str, ...] = ()
    """Attributes a request has to name."""
    calls_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    trusts_prices: bool = False
    """What an app says its call costs is believed."""
    traced: bool = False
    """The app exports spans of its model calls itself: ours would show each call twice."""
    capture: str | None = None
    """What of prompts and answers is kept at most (:class:`gateway.settings.choices.Capture`); ``None``: as it is set."""
    expires_ms: int | None = None
    """Milliseconds since 1970, UTC."""

    @property
    def bound(self) -> tuple[tuple[str, str], ...]:
        """Attributes it sets."""
        names = ("tenant", "team", "user", "project", "environment")
        return tuple((name, value) for name in names if (value := getattr(self, name)) is not None)


class KeyRow(msgspec.Struct, frozen=True):
    """A key as it is kept: digests, never the key."""

    key: Key
    digest: str
    previous_digest: str | None
    """Of the secret before the last rotation, good until then."""
    previous_until_ms: int | None
    created_ms: int
    revoked_ms: int | None


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token that may read what is within its scope."""

    id: str
    name: str
    tenant: str | None = None
    team: str | None = None
    user: str | None = None
    content: bool = False
    """It may also read prompts and answers that were kept."""
    expires_ms: int | None = None


class TokenRow(msgspec.Struct, frozen=True):
    """A token as it is kept."""

    token: Token
    digest: str
    created_ms: int
    revoked_ms: int | None


def new_secret(prefix: str) -> str:
    """256 random bits."""
    return prefix + secrets.token_urlsafe(_RANDOM_BYTES)


def new_key_id() -> str:
    return f"key_{secrets.token_hex(8)}"


def new_token_id() -> str:
    return f"tok_{secrets.token_hex(8)}"


def digest(secret: str | bytes) -> str:
    """What is kept of a secret. A plain hash is enough for 256 random bits."""
    data = secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogateescape")
    return hashlib.sha256(data).hexdigest()
