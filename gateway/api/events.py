"""``POST /api/events``: what apps tell beside their calls, one event or a batch, in the shape of Segment's HTTP API.

``track`` and ``identify`` are kept as events. Three kinds are ours: ``feedback`` and ``outcome`` (the bodies of the
endpoints of that name) and ``ai_request``, a call that was made past the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

import msgspec
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gateway.api.body import raw_body, unfit
from gateway.api.deps import ApiDeps
from gateway.api.feedback import Feedback, FeedbackIn
from gateway.api.known_calls import PAUSES, Name, QualityDeps
from gateway.api.outcomes import OutcomeIn, Outcomes
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.tracked import AiCallIn, Told, Tracking, record_of
from gateway.api.viewer import Viewer, viewer_of
from gateway.errors import Refusal
from storage.events import Event, EventKind
from storage.mend import storable
from storage.quality.keep import Fate
from storage.rows import DEFAULT_TENANT
from storage.store import StoreUnavailable
from telemetry.addresses import shortened_in
from telemetry.record import CallRecord
from telemetry.redact import Redactor

MOST_BYTES: Final = 512 * 1024
"""Of one request, as Segment allows."""
MOST_EVENT_BYTES: Final = 32 * 1024
MOST_EVENTS: Final = 500
MOST_DEPTH: Final = 100
"""Objects and lists within each other."""
EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(days=1)
"""Clocks of other machines are forgiven this much."""


class _Envelope(BaseModel):
    """What every event may say; what Segment's libraries send beside it (``context`` and others) is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    message_id: Name | None = Field(
        default=None, alias="messageId", description="Your id of this event: the same twice is kept once."
    )
    timestamp: datetime | None = Field(default=None, description="When it happened; UTC if it does not say.")
    user_id: Name | None = Field(default=None, alias="userId")
    anonymous_id: Name | None = Field(default=None, alias="anonymousId")
    session_id: Name | None = Field(default=None, alias="sessionId")
    tenant: Name | None = None


class TrackIn(_Envelope):
    """Somebody did something."""

    type: Literal["track"]
    event: Name = Field(description="What was done.")
    properties: dict[str, Any] = {}


class IdentifyIn(_Envelope):
    """Somebody is known by this id; traits are dropped unless ``quality.store_traits`` is on."""

    type: Literal["identify"]
    traits: dict[str, Any] = {}


class FeedbackEventIn(_Envelope):
    """As ``POST /api/feedback``."""

    type: Literal["feedback"]
    feedback: FeedbackIn


class OutcomeEventIn(_Envelope):
    """As ``POST /api/outcomes``."""

    type: Literal["outcome"]
    outcome: OutcomeIn


class AiRequestIn(_Envelope):
    """A call that was made past the gateway; needs ``messageId`` and ``timestamp`` (of its start)."""

    type: Literal["ai_request"]
    call: AiCallIn


AnyEvent = Annotated[
    TrackIn | IdentifyIn | FeedbackEventIn | OutcomeEventIn | AiRequestIn, Field(discriminator="type")
]
_EVENT: Final[TypeAdapter[AnyEvent]] = TypeAdapter(AnyEvent)


class EventsIn(BaseModel):
    """A batch; a single event comes without it."""

    batch: list[AnyEvent]


class RejectedOut(BaseModel):
    """An event that was not kept, and why."""

    index: int
    message_id: str | None = None
    code: str
    message: str
    param: str | None = None


class EventsOut(BaseModel):
    """What became of the events."""

    accepted: int = 0
    duplicates: int = Field(default=0, description="Known already.")
    rejected: list[RejectedOut] = []


class _Batch:
    """What becomes of one request's events."""

    def __init__(self) -> None:
        self.good: list[tuple[int, AnyEvent]] = []
        self.accepted = self.duplicates = 0
        self.rejected: list[tuple[RejectedOut, ApiError]] = []

    def reject(self, index: int, event: object, error: ApiError) -> None:
        told = event.message_id if isinstance(event, _Envelope) else _told_id(event)
        detail = error.detail
        out = RejectedOut(
            index=index, message_id=told, code=detail.code, message=detail.message, param=detail.param
        )
        self.rejected.append((out, error))

    def count(self, *, known: bool) -> None:
        self.duplicates += known
        self.accepted += not known

    def out(self) -> EventsOut:
        rejected = sorted((out for out, _ in self.rejected), key=lambda out: out.index)
        return EventsOut(accepted=self.accepted, duplicates=self.duplicates, rejected=rejected)


class Events:
    """Handlers over the event log, the quality log and the ledger."""

    def __init__(self, deps: ApiDeps, quality: QualityDeps, tracking: Tracking) -> None:
        self._deps = deps
        self._quality = quality
        self._tracking = tracking
        self._feedback = Feedback(quality, deps.pending)
        self._outcomes = Outcomes(quality, deps.pending)
        self._redactor = Redactor()

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/events",
                self.take,
                "Tell what happened beside the calls: one event, or a batch",
                EventsOut,
                errors=(400, 401, 403, 404, 409, 413, 503),
                method="POST",
                body=EventsIn,
                admin=True,
                apps=True,
            ),
        )

    async def take(self, request: web.Request) -> web.Response:
        """Keep what can be kept. A single event that can't be is an error; of a batch the bad ones are listed."""
        body = _parsed(await raw_body(request, MOST_BYTES))
        single = "batch" not in body
        told = [body] if single else body["batch"]
        if not isinstance(told, list) or len(told) > MOST_EVENTS:
            message = f"batch: a list of at most {MOST_EVENTS} events."
            raise ApiError(400, "invalid_body", message, param="batch")
        now = datetime.fromtimestamp(self._quality.clock(), UTC)
        batch = _read(told, now)
        viewer = viewer_of(request)
        # Calls first: what is said of them may come in the same batch.
        await self._track(batch, viewer)
        await self._keep(batch, now, viewer)
        await self._judge(batch, viewer)
        if single and batch.rejected:
            raise batch.rejected[0][1]
        return json_response(batch.out())

    async def _track(self, batch: _Batch, viewer: Viewer) -> None:
        """Record calls that were made past the gateway."""
        for index, event in batch.good:
            if not isinstance(event, AiRequestIn):
                continue
            if event.message_id is None or event.timestamp is None:
                missing = "timestamp" if event.timestamp is None else "messageId"
                message = f"{missing}: a call needs it, so that telling it twice is one call."
                batch.reject(index, event, ApiError(400, "invalid_body", message, param=missing))
                continue
            told = Told(
                event.message_id,
                event.timestamp,
                viewer.tenant or event.tenant,
                self._quality.user(event.user_id),
                event.session_id,
                event.call,
                viewer.key,
            )
            record = record_of(told, self._tracking.book(), self._tracking.price_as)
            known = await self._is_known(record)
            if not known:
                await self._publish(record)
            batch.count(known=known)

    async def _publish(self, record: CallRecord) -> None:
        try:
            await self._tracking.publish(record)
        except Refusal as refusal:
            headers = {"Retry-After": str(refusal.retry_after or 5)}
            raise ApiError(refusal.status, refusal.code, refusal.message, headers=headers) from refusal

    async def _is_known(self, record: CallRecord) -> bool:
        """The ledger would keep it once all the same; this spares those who look on from seeing it twice."""
        try:
            return (
                self._deps.pending(record.id) is not None
                or await self._deps.store.get_call(record.id) is not None
            )
        except StoreUnavailable:
            return False

    async def _keep(self, batch: _Batch, now: datetime, viewer: Viewer) -> None:
        """Keep track and identify events, all of them or none."""
        events = []
        for index, event in batch.good:
            if not isinstance(event, TrackIn | IdentifyIn):
                continue
            if event.user_id is None and event.anonymous_id is None:
                message = "userId: an event needs it, or anonymousId."
                batch.reject(index, event, ApiError(400, "invalid_body", message, param="userId"))
                continue
            events.append(self._event(event, now, viewer))
        fresh = await self._quality.events.keep(events)
        batch.accepted += fresh
        batch.duplicates += len(events) - fresh

    def _event(self, event: TrackIn | IdentifyIn, now: datetime, viewer: Viewer) -> Event:
        data: dict[str, Any] | None = None
        if isinstance(event, TrackIn):
            data = self._clean(event.properties) or None
        elif self._quality.store_traits():
            data = self._clean(event.traits) or None
        return Event(
            viewer.tenant or storable(event.tenant or DEFAULT_TENANT),
            storable(event.message_id or uuid4().hex),
            EventKind(event.type),
            storable(event.event) if isinstance(event, TrackIn) else None,
            viewer.user or self._quality.user(_text(event.user_id)),
            _text(event.anonymous_id),
            _text(event.session_id),
            event.timestamp or now,
            now,
            data,
        )

    def _clean(self, value: Any) -> Any:
        """JSON that every database takes, with credentials masked and IP addresses shortened."""
        if isinstance(value, dict):
            return {storable(key): self._clean(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._clean(inner) for inner in value]
        return shortened_in(self._redactor.text(storable(value))) if isinstance(value, str) else value

    async def _judge(self, batch: _Batch, viewer: Viewer) -> None:
        """Keep feedback and outcomes. Calls that are on their way are waited for once, not for each event."""
        pauses = iter(PAUSES)
        for index, event in batch.good:
            try:
                if isinstance(event, FeedbackEventIn):
                    kept = await self._feedback.keep(event.feedback, viewer, pauses)
                elif isinstance(event, OutcomeEventIn):
                    kept = await self._outcomes.keep(event.outcome, viewer, pauses)
                else:
                    continue
            except ApiError as error:
                batch.reject(index, event, error)
            else:
                batch.count(known=kept.status is Fate.UNCHANGED)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "invalid_body", f"The body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise ApiError(400, "invalid_body", "The body is an event, or an object with a batch of them.")
    return body


def _read(told: Sequence[object], now: datetime) -> _Batch:
    """Sort out what is no event."""
    batch = _Batch()
    for index, one in enumerate(told):
        if not _is_flat(one):
            message = f"The event has more than {MOST_DEPTH} objects or lists within each other."
            batch.reject(index, one, ApiError(400, "invalid_body", message))
            continue
        if len(msgspec.json.encode(one)) > MOST_EVENT_BYTES:
            message = f"The event has more than {MOST_EVENT_BYTES} bytes."
            batch.reject(index, one, ApiError(413, "too_large", message))
            continue
        try:
            event = _EVENT.validate_python(one)
        except ValidationError as error:
            batch.reject(index, one, _named(error))
            continue
        if event.timestamp is not None:
            at = event.timestamp if event.timestamp.tzinfo else event.timestamp.replace(tzinfo=UTC)
            if not EARLIEST <= at <= now + _AHEAD:
                message = f"timestamp: from {EARLIEST:%Y-%m-%d} to tomorrow."
                batch.reject(index, event, ApiError(400, "invalid_body", message, param="timestamp"))
                continue
            event = event.model_copy(update={"timestamp": at.astimezone(UTC)})
        batch.good.append((index, event))
    return batch


def _is_flat(event: object) -> bool:
    """Not so deep that who walks through it runs out of stack."""
    level = [event]
    for _ in range(MOST_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


def _named(error: ValidationError) -> ApiError:
    """400 with the field that is wrong, as its sender calls it (the union puts the type before it)."""
    found = unfit(error)
    kind, _, place = (found.detail.param or "").partition(".")
    if found.detail.param is None or not kind:
        return ApiError(400, "invalid_body", _first(error), param="type")
    message = found.detail.message.removeprefix(f"{kind}.")
    return ApiError(400, "invalid_body", message, param=place or "type")


def _first(error: ValidationError) -> str:
    return f"type: {error.errors(include_url=False, include_input=False)[0]['msg']}."


def _told_id(event: object) -> str | None:
    told = event.get("messageId") if isinstance(event, dict) else None
    return told[:256] if isinstance(told, str) else None


def _text(text: str | None) -> str | None:
    return None if text is None else storable(text)
