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

import msgspec

from gateway import headers
from gateway.errors import Code, Refusal
from gateway.keyring import KeyRing, KnownKey
from gateway.providers.contract import Provider
from gateway.settings.choices import AuthMode
from storage.keys.model import KEY_PREFIX, Key
from telemetry.record import Who

OWN_HEADER: Final = b"x-weighbridge-key"
ALIASES: Final = (b"helicone-auth", b"x-portkey-api-key", b"x-litellm-api-key", b"x-bf-vk")
"""Where apps of other gateways put that gateway's key."""
_PREFIX: Final = KEY_PREFIX.encode("ascii")
_IN_QUERY: Final = re.compile(rb"(?:(?<=\?)|&)(?:key|api[-_]key)=(wbk_[^&]*)&?")
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
        place, secret = gateway_key(seen, labels, target)
        if secret is None:
            if self._mode is not AuthMode.PASSTHROUGH:
                raise Refusal(401, Code.UNAUTHORIZED, NO_KEY)
            configured = self._configured.get(provider.name)
            if configured is None or any(name in seen for name in headers.CREDENTIALS):
                return PASSTHROUGH
            return Caller(configured)
        known = self._known(secret, now_ms)
        drops = {place} if place in headers.CREDENTIALS else set()
        if self._mode is AuthMode.KEYS:
            drops |= headers.CREDENTIALS
        drops.update(name for name in ALIASES if _secret_in(labels.get(name, b"")))
        brings = any(name in seen and name not in drops for name in headers.CREDENTIALS)
        credential = None if brings else self._configured.get(provider.name)
        return Caller(credential, known, frozenset(drops))

    def _known(self, secret: bytes, now_ms: int) -> KnownKey:
        ring = self._ring
        if ring is None or not ring.is_known:
            raise Refusal(
                503, Code.KEYS_UNKNOWN, "The gateway does not know its keys yet; try again.", retry_after=1
            )
        known = ring.find(secret, now_ms)
        if known is None:
            why = ring.why_not(secret)
            raise Refusal(401, Code.UNAUTHORIZED, f"This gateway key {why}. Ask for a new one.")
        return known


NO_KEY: Final = (
    "This gateway needs a key of its own: send it as the API key of your SDK, or in the header x-weighbridge-key "
    "beside the provider's."
)


def gateway_key(
    seen: Mapping[bytes, bytes], labels: Mapping[bytes, bytes], target: bytes
) -> tuple[bytes, bytes | None]:
    """Where a request carries a gateway key, and the key."""
    for name in (OWN_HEADER, *ALIASES):
        value = labels.get(name)
        if value is not None:
            secret = _secret_in(value)
            if secret is not None or name == OWN_HEADER:
                return name, secret or value
    for name in headers.CREDENTIALS_ORDER:
        value = seen.get(name)
        if value is not None and (secret := _secret_in(value)) is not None:
            return name, secret
    if _PREFIX in target:
        found = _IN_QUERY.search(target)
        if found is not None:
            return b"", found[1]
    return b"", None


def without_key(target: bytes) -> bytes:
    """A request target without a gateway key in its query."""
    if _PREFIX not in target:
        return target
    return _IN_QUERY.sub(lambda found: b"&" if found[0][:1] == found[0][-1:] == b"&" else b"", target).rstrip(
        b"?&"
    )


def _secret_in(value: bytes) -> bytes | None:
    """The gateway key in a header's value, with or without ``Bearer``."""
    if value[:7].lower() == b"bearer ":
        value = value[7:].lstrip()
    return value if value.startswith(_PREFIX) else None


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
