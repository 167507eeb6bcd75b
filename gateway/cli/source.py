"""What the commands ask about calls, wherever the answer comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.api.content_models import ContentOut
from gateway.api.models import CallOut, CallsOut, ExplanationOut
from gateway.cli.exits import Exit


class SourceError(Exception):
    """What was asked for can't be had; ``hint`` says what to do, ``code`` is the exit code."""

    def __init__(self, message: str, hint: str = "", code: Exit = Exit.UNREACHABLE) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


class CallSource(Protocol):
    """Calls, one call, one cost, one content."""

    async def calls(self, query: Mapping[str, str]) -> CallsOut: ...

    async def call(self, call_id: str) -> CallOut | None: ...

    async def cost(self, call_id: str) -> ExplanationOut | None: ...

    async def content(self, call_id: str) -> ContentOut | None:
        """What was kept of prompt and answer; leaves a line in the log of changes."""
