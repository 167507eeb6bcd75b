"""The tables that say what is kept of people and of what they say, and for how long."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.settings.choices import Capture
from gateway.settings.section import Section

Days = Annotated[int, Field(ge=0, le=36_500)]


class Retention(Section):
    """How long what is kept is kept, in days; 0: for ever. Sums by hour and day stay."""

    calls_days: Days = Field(
        default=90,
        description="Calls, and what was said of them: feedback and outcomes. PostgreSQL drops calls by whole months.",
    )
    events_days: Days = Field(default=90, description="Events that apps send.")


class CaptureSection(Section):
    """What of prompts and answers is kept."""

    content: Capture = Field(default=Capture.NONE, description="none: no prompt, no answer is kept.")


class Quality(Section):
    """What is kept of what people say about answers, and of the people."""

    store_comments: bool = Field(
        default=False,
        description="Keep the comments of feedback: personal text. Credentials in them are masked.",
    )
    store_traits: bool = Field(
        default=False, description="Keep the traits of identify events: personal data, such as names."
    )
