"""The values a setting may choose from."""

from __future__ import annotations

import enum

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


class Durability(enum.StrEnum):
    """What a finished record survives before the app has its last byte."""

    OS = "os"
    """Written to the operating system: survives a crash of the gateway, not a power cut."""
    GROUP = "group"
    """As ``os``, and fsynced at most ``fsync_interval_ms`` later."""
    STRICT = "strict"
    """Fsynced before the last byte goes to the app."""


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
    """What of prompts and answers is kept."""

    NONE = "none"
