"""The values a setting may choose from."""

from __future__ import annotations

import enum


class Durability(enum.StrEnum):
    """What a finished record survives before the app has its last byte."""

    OS = "os"
    """Written to the operating system: survives a crash of the gateway, not a power cut."""
    GROUP = "group"
    """As ``os``, and fsynced at most ``fsync_interval_ms`` later."""
    STRICT = "strict"
    """Fsynced before the last byte goes to the app."""


class SpoolFull(enum.StrEnum):
    """What happens when the spool has reached ``spool_max_mb``."""

    REFUSE = "refuse"
    DROP_OLDEST_PAYLOAD = "drop_oldest_payload"


class Migrate(enum.StrEnum):
    """Who brings the schema up to date."""

    AUTO = "auto"
    MANUAL = "manual"


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


class OtlpProtocol(enum.StrEnum):
    """How spans and metrics travel."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


class IncomingTrace(enum.StrEnum):
    """What an incoming ``traceparent`` means."""

    PARENT = "parent"
    LINK = "link"
    IGNORE = "ignore"


class MetricsNames(enum.StrEnum):
    """Which generation of the GenAI metric names is emitted."""

    V1_41 = "v1.41"
    LATEST = "latest"
    BOTH = "both"


class Capture(enum.StrEnum):
    """What of prompts and answers is kept."""

    NONE = "none"
