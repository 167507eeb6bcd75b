"""The call that somebody means by an id or its end."""

from __future__ import annotations

from typing import Final

from gateway.api.models import CallOut
from gateway.cli.source import CallSource

RECENT: Final = 1000
"""How many calls are searched for one whose id ends as given."""
WHOLE: Final = 36
"""Characters of a whole id."""


async def find_call(source: CallSource, call_id: str | None) -> CallOut | None:
    """The call of that id, or the latest one whose id ends so; without one the latest call."""
    if call_id is not None and len(call_id) == WHOLE:
        return await source.call(call_id.lower())
    page = await source.calls({"limit": str(RECENT if call_id else 1)})
    wanted = (call_id or "").lower()
    return next((call for call in page.items if call.id.endswith(wanted)), None)
