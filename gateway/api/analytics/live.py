"""``GET /api/analytics/live``: calls as they are recorded, as server-sent events.

An event ``call`` for each, ``skipped`` where somebody reads too slowly, a comment now and then to keep the connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from typing import Final

import msgspec
from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import Asking, checked
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.feed import Feed, Listener, Missed
from gateway.api.analytics.period import Period, Window
from gateway.api.analytics.query import Filters
from gateway.api.guard import is_still_admitted
from gateway.api.models import MoneyOut
from gateway.api.parameters import parse_query
from gateway.api.routes import Endpoint
from gateway.api.viewer import viewer_of
from gateway.api.views import moment, money
from storage.queries.analytics.conditions import Conditions
from storage.rollups.dimensions import Dimension
from storage.rollups.measures import CLASS_OF
from storage.tables import CallRow
from telemetry.outcome import Outcome

PULSE_S: Final = 1.0
"""How often is looked whether the listener is still there, and may still listen."""
KEEP_ALIVE_S: Final = 15.0
RETRY_MS: Final = 3000
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


class LiveQuery(Filters):
    """Which calls."""

    seconds: int | None = Field(
        default=None, ge=1, le=86_400, description="End after so many seconds; else when the listener goes."
    )


class LiveCallOut(BaseModel):
    """Data of an event ``call``. The whole record: ``GET /api/calls/{id}``."""

    id: str
    started_at: str
    tenant: str
    team: str | None
    user: str | None
    project: str | None
    feature: str | None
    session: str | None
    environment: str | None
    provider: str
    model: str | None
    outcome: str
    status: int | None
    duration_us: int
    ttft_us: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost: MoneyOut
    cost_status: str


class Live:
    """Handler over the feed."""

    def __init__(self, deps: AnalyticsDeps, feed: Feed, clock: Callable[[], float] = time.monotonic) -> None:
        self._deps = deps
        self._feed = feed
        self._clock = clock

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/live",
                self.tell,
                "Calls as they are recorded, as server-sent events",
                LiveCallOut,
                LiveQuery,
                (400, 401, 403, 429, 503),
                media=("text/event-stream",),
            ),
        )

    async def tell(self, request: web.Request) -> web.StreamResponse:
        """Tell calls until the listener goes or may listen no more, or the gateway stops."""
        query = parse_query(request.query, LiveQuery)
        now = self._deps.now()
        window = Window(Period.HOURS_24, now, now, "UTC")
        asking = Asking(self._deps, viewer_of(request), query, window)
        await self._deps.aside.run(checked(asking))
        wanted = wanted_by(asking.question(()).conditions)
        async with self._feed.listening(wanted) as listener:
            missed = await self._missed(request)
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            await response.write(b"retry: %d\n\n" % RETRY_MS)
            for row in filter(wanted, missed.rows):
                await response.write(call_event(row))
            if missed.more:
                await response.write(skipped_event(None))
            await self._tell(request, response, listener, {row.seq for row in missed.rows}, query.seconds)
        return response

    async def _missed(self, request: web.Request) -> Missed:
        """What was written since the last event that a listener who comes back has seen."""
        last = request.headers.get("Last-Event-ID")
        return Missed() if not last else await self._feed.since(last, viewer_of(request).scope)

    async def _tell(
        self,
        request: web.Request,
        response: web.StreamResponse,
        listener: Listener,
        known: Container[int],
        seconds: int | None,
    ) -> None:
        begun = told = judged = self._clock()
        while not _gone(request) and (seconds is None or self._clock() - begun < seconds):
            row = await listener.next(PULSE_S)
            if self._clock() - judged >= PULSE_S:
                if not await is_still_admitted(request):
                    return
                judged = self._clock()
            skipped = listener.skipped()
            if skipped:
                await response.write(skipped_event(skipped))
            if row is not None and row.seq not in known:
                await response.write(call_event(row))
            elif self._clock() - told >= KEEP_ALIVE_S:
                await response.write(b": alive\n\n")
            else:
                continue
            told = self._clock()


def wanted_by(conditions: Conditions) -> Callable[[CallRow], bool]:
    """Whether a call passes the filters."""

    def wanted(row: CallRow) -> bool:
        return all(value_of(row, dimension) in values for dimension, values in conditions.items())

    return wanted


def value_of(row: CallRow, dimension: Dimension) -> str | None:
    """A dimension of a call; ``None``: not set."""
    if dimension is Dimension.MODEL:
        return row.response_model or row.request_model
    if dimension is Dimension.OUTCOME_CLASS:
        return CLASS_OF[Outcome(row.outcome)].value
    found: str | None = getattr(row, dimension.value)
    return found


def call_out(row: CallRow) -> LiveCallOut:
    """A call in short."""
    return LiveCallOut(
        id=str(row.id),
        started_at=moment(row.started_ns),
        tenant=row.tenant_id,
        team=row.team,
        user=row.user_id,
        project=row.project,
        feature=row.feature,
        session=row.session_id,
        environment=row.environment,
        provider=row.provider,
        model=value_of(row, Dimension.MODEL),
        outcome=row.outcome,
        status=row.http_status,
        duration_us=row.duration_us,
        ttft_us=row.first_chunk_us if row.stream else None,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost=money(row.cost_nano),
        cost_status=row.cost_status,
    )


def call_event(row: CallRow) -> bytes:
    """Its id is the call's: a listener who comes back tells it, and gets what came after.

    The number of the row would show how much is called in all, also to those who may not see it.
    """
    out = call_out(row)
    return b"id: %b\nevent: call\ndata: %b\n\n" % (out.id.encode("ascii"), out.model_dump_json().encode())


def skipped_event(calls: int | None) -> bytes:
    """So many calls were not told; ``None``: nobody counted."""
    return b"event: skipped\ndata: %b\n\n" % msgspec.json.encode({"calls": calls})


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
