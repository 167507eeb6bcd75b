"""Who calls, and whose key goes to the provider.

A value that begins as our keys do is a gateway key wherever an SDK puts its key, and never goes to a provider. Provider
keys are those of the app, or of the settings where the app brings none. None of them is stored, logged or put into an error.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from gateway import headers
from gateway.errors import Code, Refusal
from gateway.keyring import KeyRing, KnownKey
from gateway.providers.contract import Provider
from gateway.settings.choices import AuthMode
from storage.keys.model import KEY_PREFIX, TOKEN_PREFIX, Key
from telemetry.record import Who

OWN_HEADER: Final = b"x-weighbridge-key"
ALIASES: Final = (b"helicone-auth", b"x-portkey-api-key", b"x-litellm-api-key", b"x-bf-vk")
"""Where apps of other gateways put that gateway's key."""
_TOKEN: Final = TOKEN_PREFIX.encode("ascii")
_PREFIXES: Final = (KEY_PREFIX.encode("ascii"), _TOKEN)
"""Gateway keys, and tokens that may read: nothing of ours is a provider's business."""
_BEGINNING: Final = b"wb"
"""What all of them begin with; few other header lines have it."""
_IN_QUERY: Final = frozenset((b"key", b"api-key", b"api_key"))
"""Parameters in which SDKs put a key."""
_WHOLE: Final = re.compile(rb"\b(?:%b)[A-Za-z0-9_-]{43}" % b"|".join(_PREFIXES))
"""One of them, wherever it stands."""
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))


class Caller(msgspec.Struct, frozen=True):
    """Who calls."""

    credential: bytes | None = None
    """The header line to add for the provider; ``None``: the app brought its own, or none is needed."""
    known: KnownKey | None = None
    drops: frozenset[bytes] = headers.NOTHING
    """Header lines that stay here, by lower-cased name."""

    def forward(self, lines: list[bytes]) -> list[bytes]:
        """Header lines for the provider with the credential in place."""
        if self.drops:
            lines = [line for line in lines if headers.name_of(line) not in self.drops]
        if any(_BEGINNING in line for line in lines):  # a second line of a name, a cookie: anywhere
            lines = [line for line in lines if _BEGINNING not in line or not _WHOLE.search(line)]
        return lines if self.credential is None else [*lines, self.credential]


PASSTHROUGH = Caller()


class Identity:
    """Made from the settings: provider name -> header line with the configured key."""

    def __init__(
        self,
        configured: Mapping[str, bytes],
        mode: AuthMode = AuthMode.PASSTHROUGH,
        ring: KeyRing | None = None,
    ) -> None:
        self._configured = dict(configured)
        self._mode = mode
        self._ring = ring

    def identify(
        self,
        seen: Mapping[bytes, bytes],
        labels: Mapping[bytes, bytes],
        target: bytes,
        provider: Provider,
        now_ms: int,
    ) -> Caller:
        """The caller of a request; ``seen`` and ``labels`` hold its headers, names lower-cased.

        Raises :class:`gateway.errors.Refusal` 401 where a gateway key is needed or is not good.
        """
        secret = gateway_key(seen, labels, target)
        if secret is None:
            if self._mode is not AuthMode.PASSTHROUGH:
                raise Refusal(401, Code.UNAUTHORIZED, NO_KEY)
            configured = self._configured.get(provider.name)
            if configured is None or any(name in seen for name in headers.CREDENTIALS):
                return PASSTHROUGH
            return Caller(configured)
        known = self._known(secret, now_ms)
        drops = {name for name in headers.CREDENTIALS if _secret_in(seen.get(name, b"")) is not None}
        if self._mode is AuthMode.KEYS:
            drops |= headers.CREDENTIALS
        drops.update(name for name in ALIASES if _secret_in(labels.get(name, b"")))
        brings = any(name in seen and name not in drops for name in headers.CREDENTIALS)
        credential = None if brings else self._configured.get(provider.name)
        return Caller(credential, known, frozenset(drops))

    def sent_target(self, target: bytes, provider: Provider) -> bytes:
        """A request target as the provider sees it: without gateway keys, and without any key of the app where only
        the gateway holds keys."""
        ours = provider.credential.query if self._mode is AuthMode.KEYS else None
        return without_key(target, ours.encode("ascii") if ours is not None else None)

    def _known(self, secret: bytes, now_ms: int) -> KnownKey:
        if secret.startswith(_TOKEN):
            raise Refusal(401, Code.UNAUTHORIZED, READS_ONLY)
        ring = self._ring
        if ring is None or not ring.is_known:
            raise Refusal(
                503, Code.KEYS_UNKNOWN, "The gateway does not know its keys yet; try again.", retry_after=1
            )
        known = ring.find(secret, now_ms)
        if known is None:
            why, key = ring.why_not(secret)
            raise Refusal(401, Code.UNAUTHORIZED, f"This gateway key {why}. Ask for a new one.", key=key)
        return known


NO_KEY: Final = (
    "This gateway needs a key of its own: send it as the API key of your SDK, or in the header x-weighbridge-key "
    "beside the provider's."
)


READS_ONLY: Final = (
    "This is a token that may only read the gateway's API (wbt_...); calls need a gateway key (wbk_...)."
)


def gateway_key(seen: Mapping[bytes, bytes], labels: Mapping[bytes, bytes], target: bytes) -> bytes | None:
    """The gateway key of a request; ``None``: it has none."""
    for name in (OWN_HEADER, *ALIASES):
        value = labels.get(name)
        if value is not None:
            secret = _secret_in(value)
            if secret is not None or name == OWN_HEADER:
                return secret or value
    for name in headers.CREDENTIALS_ORDER:
        value = seen.get(name)
        if value is not None and (secret := _secret_in(value)) is not None:
            return secret
    found = [secret for part in _parameters(target) if (secret := _secret_of(part)) is not None]
    return found[0] if found else None


def without_key(target: bytes, credential: bytes | None = None) -> bytes:
    """A request target without gateway keys in its query, and without the parameter ``credential``."""
    parts = _parameters(target)
    kept = [
        part
        for part in parts
        if _secret_of(part) is None and (credential is None or unquote_to_bytes(_name_of(part)) != credential)
    ]
    if len(kept) == len(parts):
        return target
    path, query = target.partition(b"?")[0], b"&".join(kept).strip(b"&")
    return path + b"?" + query if query else path


def _parameters(target: bytes) -> list[bytes]:
    query = target.partition(b"?")[2]
    return query.split(b"&") if query else []


def _name_of(parameter: bytes) -> bytes:
    return parameter.partition(b"=")[0]


def _secret_of(parameter: bytes) -> bytes | None:
    """The gateway key in a parameter of a query, however it is escaped."""
    plain = unquote_to_bytes(parameter) if b"%" in parameter else parameter
    name, _, value = plain.partition(b"=")
    if name in _IN_QUERY and value.startswith(_PREFIXES):
        return value
    found = _WHOLE.search(plain)
    return found[0] if found is not None else None


def _secret_in(value: bytes) -> bytes | None:
    """The gateway key in a header's value, with or without ``Bearer``."""
    if value[:7].lower() == b"bearer ":
        value = value[7:].lstrip()
    return value if value.startswith(_PREFIXES) else None


def check_allowed(key: Key, provider: Provider, method: str, model: str | None) -> None:
    """Raises :class:`Refusal` 403 for a provider or a model this key may not use."""
    if key.providers and provider.name not in key.providers:
        allowed = ", ".join(key.providers)
        raise Refusal(
            403, Code.NOT_ALLOWED, f"This key may not call {provider.title}; it may call: {allowed}."
        )
    if not key.models or method in _SAFE:
        return
    if model is None or not _matches(key.models, model):
        allowed = ", ".join(key.models)
        what = f"the model {model[:100]!r}" if model is not None else "calls that name no model"
        raise Refusal(403, Code.NOT_ALLOWED, f"This key may not use {what}; it may use: {allowed}.")


def check_attributes(key: Key, who: Who) -> None:
    """Raises :class:`Refusal` 400 where a request does not name what this key wants to know."""
    missing = [name for name in key.required if getattr(who, name) is None]
    if missing:
        wanted = ", ".join(f"x-weighbridge-{name.replace('_', '-')}" for name in missing)
        raise Refusal(
            400, Code.ATTRIBUTE_REQUIRED, f"This key wants to know {' and '.join(missing)}: send {wanted}."
        )


@functools.lru_cache(maxsize=1024)
def _matches(patterns: tuple[str, ...], model: str) -> bool:
    return any(fnmatch.fnmatchcase(model, pattern) for pattern in patterns)
