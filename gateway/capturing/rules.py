"""What of one call is to be kept: as the settings have it, narrowed by the gateway key and by the app's headers.

A tenant's own mode widens only where a key binds the tenant: a tenant that an app merely names may narrow. A header
narrows, always.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from gateway.settings.choices import Capture
from storage.keys.model import Key
from telemetry.record import Who

HEADER: Final = b"x-weighbridge-capture"
_BOTH: Final = (
    (b"cf-aig-collect-log", b"false"),
    (b"cf-aig-collect-log-payload", b"false"),
    (b"x-litellm-enable-message-redaction", b"true"),
    (b"x-portkey-debug", b"false"),
)
_REQUEST: Final = (b"helicone-omit-request", b"true")
_ANSWER: Final = (b"helicone-omit-response", b"true")
_TEXT: Final = (
    b"application/json",
    b"application/x-ndjson",
    b"application/x-www-form-urlencoded",
    b"text/",
)
_NONE: Final = Capture.NONE
_ORDER: Final = {mode: place for place, mode in enumerate(Capture)}
_MODES: Final = {mode.value.encode("ascii"): mode for mode in Capture}


class Wanted(msgspec.Struct, frozen=True):
    """What is to be kept of one call."""

    request: Capture
    answer: Capture
    is_text: bool = True
    """The request's body is text, once it is inflated."""
    encoding: str = ""
    """Its content encoding, lower-cased; empty: none."""


class CaptureRules(msgspec.Struct, frozen=True):
    """The settings, as far as they decide it."""

    content: Capture = Capture.NONE
    tenants: Mapping[str, Capture] = MappingProxyType({})
    keys_may_widen: bool = False

    @property
    def never(self) -> bool:
        """Nothing can be kept of any call."""
        return self.content is _NONE and not self.keys_may_widen and self._no_tenant

    @property
    def _no_tenant(self) -> bool:
        return all(mode is _NONE for mode in self.tenants.values())

    def wanted(
        self, labels: Mapping[bytes, bytes], seen: Mapping[bytes, bytes], who: Who, key: Key | None
    ) -> Wanted | None:
        """What is to be kept of calls with these headers; ``None``: nothing."""
        mode = self._mode(who, key)
        if mode is _NONE:
            return None
        mode = narrower(mode, _said(labels))
        request = _NONE if _says(labels, _REQUEST) else mode
        answer = _NONE if _says(labels, _ANSWER) else mode
        if request is _NONE and answer is _NONE:
            return None
        kind = seen.get(b"content-type", b"application/json").lower()
        encoding = seen.get(b"content-encoding", b"").strip().lower()
        return Wanted(
            request,
            answer,
            kind.startswith(_TEXT) or b"+json" in kind,
            "" if encoding == b"identity" else encoding.decode("latin-1"),
        )

    def _mode(self, who: Who, key: Key | None) -> Capture:
        mode = self.content
        if who.tenant is not None and who.tenant in self.tenants:
            own = self.tenants[who.tenant]
            is_bound = key is not None and key.tenant == who.tenant
            mode = own if is_bound else narrower(mode, own)
        if key is None or key.capture is None:
            return mode
        own = Capture(key.capture)
        return own if self.keys_may_widen else narrower(mode, own)


NO_CAPTURE: Final = CaptureRules()


def narrower(one: Capture, other: Capture) -> Capture:
    """The one of the two that keeps less."""
    return one if _ORDER[one] <= _ORDER[other] else other


def _said(labels: Mapping[bytes, bytes]) -> Capture:
    """What the app's headers allow at most; what nobody understands allows nothing."""
    if any(_says(labels, pair) for pair in _BOTH):
        return _NONE
    said = labels.get(HEADER)
    return Capture.FULL if said is None else _MODES.get(said.lower(), _NONE)


def _says(labels: Mapping[bytes, bytes], pair: tuple[bytes, bytes]) -> bool:
    name, value = pair
    return labels.get(name, b"").lower() == value
