"""``POST /api/outcomes``: what came of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from aiohttp import web
from pydantic import Field

from gateway.api.body import body_of
from gateway.api.feedback import KeptOut, forgotten, kept_out, other_call
from gateway.api.known_calls import CallNamed, KnownCalls, Name, QualityDeps
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.viewer import Viewer, viewer_of
from pricing.cost import NANO_PER_USD
from storage.mend import storable
from storage.quality.keep import Forgotten, OtherCall, Outcome
from telemetry.quality import Result
from telemetry.record import CallRecord

MOST_USD: Final = 1_000_000
"""What one conversion may be worth; sums stay within 64 bits."""


class OutcomeIn(CallNamed):
    """One thing that came of one call."""

    outcome: Result = Field(
        description="accepted and rejected take each other's place, the others stand beside each other."
    )
    value: Decimal | None = Field(
        default=None,
        ge=0,
        le=MOST_USD,
        decimal_places=9,
        description='What a conversion was worth, in USD: decimal text such as "12.50".',
    )
    user: Name | None = Field(default=None, description="Whose outcome it is; else the call's user's.")
    id: Name | None = Field(
        default=None,
        description="Your id of this outcome: the same twice is kept once. Without one, each outcome counts once for "
        "a call.",
    )

    def nano(self) -> int:
        """The value, nano-USD. Raises :class:`ApiError` 400."""
        if self.value is None:
            return 0
        if self.outcome is not Result.CONVERTED:
            raise ApiError(400, "invalid_body", "value: only a conversion has one.", param="value")
        return int(self.value * NANO_PER_USD)


class Outcomes:
    """Handlers over the quality log."""

    def __init__(self, deps: QualityDeps, pending: Callable[[str], CallRecord | None]) -> None:
        self._deps = deps
        self._calls = KnownCalls(deps, pending)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/outcomes",
                self.note,
                "Say what came of an answer",
                KeptOut,
                errors=(400, 401, 403, 404, 409, 413, 503),
                method="POST",
                body=OutcomeIn,
                admin=True,
                apps=True,
            ),
        )

    async def note(self, request: web.Request) -> web.Response:
        """Keep one outcome."""
        return json_response(await self.keep(await body_of(request, OutcomeIn), viewer_of(request)))

    async def keep(self, said: OutcomeIn, viewer: Viewer, pauses: Iterator[float] | None = None) -> KeptOut:
        """The same, without HTTP (``pauses``: :meth:`KnownCalls.find`). Raises :class:`ApiError`."""
        nano = said.nano()
        call = await self._calls.find(said, viewer, pauses)
        user = self._deps.user(None if said.user is None else storable(said.user))
        try:
            return kept_out(await self._deps.log.note(call, Outcome(said.outcome, nano, user, said.id)))
        except OtherCall as error:
            raise other_call() from error
        except Forgotten as error:
            raise forgotten() from error
