"""Who calls, and whose key goes to the provider.

The default mode passes the app's own key through. Where the settings name a key for a provider, it is used for
calls that bring none. Keys are never stored, logged or put into an error.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway import headers
from gateway.providers.contract import Provider


class Caller(msgspec.Struct, frozen=True):
    """Who calls. ``credential`` is the header line to add for the provider, or ``None``: the app brought its own."""

    credential: bytes | None = None

    def forward(self, lines: list[bytes]) -> list[bytes]:
        """Header lines for the provider with the credential in place."""
        return lines if self.credential is None else [*lines, self.credential]


PASSTHROUGH = Caller()


class Identity:
    """Made from the settings: provider name -> header line with the configured key."""

    def __init__(self, configured: Mapping[str, bytes]) -> None:
        self._configured = dict(configured)

    def identify(self, seen: Mapping[bytes, bytes], provider: Provider) -> Caller:
        """The caller of a request; ``seen`` holds its headers, names lower-cased."""
        configured = self._configured.get(provider.name)
        if configured is None or any(name in seen for name in headers.CREDENTIALS):
            return PASSTHROUGH
        return Caller(configured)
