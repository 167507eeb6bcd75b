"""The values a setting may choose from."""

from __future__ import annotations

import enum

from storage.durability import Durability
from storage.schema import Migrate
from storage.spool import WhenFull
from telemetry.config import MetricNames, Protocol
from telemetry.sampling import IncomingTrace

__all__ = [
    "AuthMode",
    "Capture",
    "Durability",
    "IncomingTrace",
    "MetricNames",
    "Migrate",
    "Protocol",
    "StreamUsage",
    "WhenFull",
]


class StreamUsage(enum.StrEnum):
    """Whether a stream that was not asked to report its usage is made to."""

    INJECT = "inject"
    NEVER = "never"


class AuthMode(enum.StrEnum):
    """Whose key goes to the provider."""

    PASSTHROUGH = "passthrough"
    """The app's own provider key."""
    KEYS = "keys"
    """Apps hold gateway keys; the gateway holds the provider keys."""
    BOTH = "both"


class Capture(enum.StrEnum):
    """What of prompts and answers is kept; each keeps more than the one before."""

    NONE = "none"
    HASH = "hash"
    """Digests, by which the same prompt is known again."""
    REDACTED = "redacted"
    """Their text without secrets and personal data."""
    FULL = "full"
