"""What a provider must offer. A provider file exports one ``PROVIDER: Provider``."""

from __future__ import annotations

import re

import msgspec


class Credential(msgspec.Struct, frozen=True):
    """How this provider takes its key."""

    header: str = "authorization"
    """Lower-cased header name."""
    prefix: str = "Bearer "
    env: str | None = None
    """Environment variable that usually holds the key (used only where the settings say so)."""
    query: str | None = None
    """Query parameter that may carry the key instead (Gemini ``key``); sent upstream, stripped elsewhere."""


class WireRule(msgspec.Struct, frozen=True):
    """Sends paths that match to a named wire, before the wires' own recognition is asked."""

    pattern: re.Pattern[str]
    wire: str | None
    """``None``: passed on and recorded without usage."""
    method: str | None = None
    """Only calls of this method; ``None``: all."""


class Provider(msgspec.Struct, frozen=True):
    """One provider: where it is, how it takes a key, what its paths mean."""

    name: str
    """Path prefix (``/openai/...``) and settings section (``[providers.openai]``)."""
    title: str
    otel_name: str
    """OpenTelemetry ``gen_ai.provider.name``."""
    price_as: str
    """Provider id in the price book."""
    base_url: str | None
    """``None``: must be set in the settings (Azure, self-hosted servers)."""
    credential: Credential = Credential()
    rules: tuple[WireRule, ...] = ()
    bare: tuple[str, ...] = ()
    """Path prefixes that reach this provider without its name in front (``/v1/messages``)."""
    sdk_base: str = ""
    """What users put behind ``http://host:port`` as the SDK's base URL, e.g. ``/openai/v1``."""
    sdk_env: str | None = None
    """Environment variable of the SDK for the base URL, e.g. ``OPENAI_BASE_URL``."""
    kind: str | None = None
    """Known provider that a configured one follows; ``None``: it is one itself."""
    aws_service: str | None = None
    """Name of the AWS service in Signature Version 4, where requests may be signed by the gateway."""
    reports_stream_usage: bool = False
    """Streams report their usage unasked, or refuse to be asked: nothing is injected unless the settings say so."""

    @property
    def canonical(self) -> str:
        """The known provider behind it, for readers that must tell vendors apart; else its own name."""
        return self.kind or self.name
