"""The tables that say what is kept of people and of what they say, and for how long."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import ByteSize, Field, SecretStr

from gateway.settings.choices import Capture
from gateway.settings.section import EnvName, Section

Days = Annotated[int, Field(ge=0, le=36_500)]


class Retention(Section):
    """How long what is kept is kept, in days; 0: for ever. Sums by hour and day stay."""

    calls_days: Days = Field(
        default=90,
        description="Calls, and what was said of them: feedback and outcomes. PostgreSQL drops calls by whole months.",
    )
    content_days: Days = Field(default=30, description="Prompts and answers that were captured.")
    events_days: Days = Field(default=90, description="Events that apps send.")


class CaptureSection(Section):
    """What of prompts and answers is kept."""

    content: Capture = Field(
        default=Capture.NONE,
        description="none; hash: digests by which the same prompt is known again; redacted: text without secrets and "
        "personal data; full.",
    )
    tenants: dict[str, Capture] = Field(
        default={},
        description='The same for tenants: [capture.tenants] "acme" = "full". One that no gateway key binds may only '
        "narrow.",
    )
    keys_may_widen: bool = Field(
        default=False, description="A gateway key may have more kept than its tenant; else only less."
    )
    hash_key_env: EnvName | None = Field(
        default=None,
        description="Environment variable with the key of the digests; without one a key is made in data_dir.",
    )
    request_bytes: ByteSize = Field(
        default=ByteSize(1024 * 1024),
        ge=1024,
        le=16 * 1024 * 1024,
        description="Most of one request that is looked at. 256 Ki characters of it are kept.",
    )
    answer_bytes: ByteSize = Field(
        default=ByteSize(1024 * 1024),
        ge=1024,
        le=16 * 1024 * 1024,
        description="Most of one answer, as it comes, that is held for it. 256 Ki characters of its text are kept.",
    )
    queue_bytes: ByteSize = Field(
        default=ByteSize(32 * 1024 * 1024),
        ge=64 * 1024,
        description="Most that waits for the database, per worker; what is beyond it is dropped and counted.",
    )

    @property
    def hash_key(self) -> SecretStr | None:
        """The key of the digests, if the environment has one."""
        value = os.environ.get(self.hash_key_env) if self.hash_key_env else None
        return SecretStr(value) if value else None


class Quality(Section):
    """What is kept of what people say about answers, and of the people."""

    store_comments: bool = Field(
        default=False,
        description="Keep the comments of feedback: personal text. Credentials in them are masked.",
    )
    store_traits: bool = Field(
        default=False, description="Keep the traits of identify events: personal data, such as names."
    )
