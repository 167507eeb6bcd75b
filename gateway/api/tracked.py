"""Calls that apps made past the gateway and tell of afterwards: each becomes a record like any other.

Marked by ``wire`` and ``method`` (:data:`TOLD`, "event"); every attribute says ``event`` as its source. The id is made
from the event's own, so that telling it twice is one call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.api.known_calls import Name
from gateway.attribution import MAX_TAGS
from gateway.ids import named_id
from gateway.saving import nano_on
from pricing.book import PriceBook, PriceQuery
from pricing.cost import NOT_BILLABLE, UNPRICED, Cost
from pricing.usage import MAX_COUNT, Usage
from storage.keys.model import Key
from storage.rows import DEFAULT_TENANT
from telemetry.addresses import shortened_value
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who, trace_of

TOLD: Final = "event"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_MS: Final = 86_400_000

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Millis = Annotated[float, Field(ge=0, le=_LONGEST_MS, allow_inf_nan=False)]


class AiCallIn(BaseModel):
    """A model call as its app tells of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Name = Field(description="Name of the provider, as in the gateway's paths.")
    model: Name = Field(description="Model that was asked for.")
    response_model: Name | None = Field(default=None, description="Model that answered.")
    operation: Name = Field(default="chat", description="chat, embeddings... (gen_ai.operation.name).")
    usage: dict[str, Count] | None = Field(
        default=None,
        description="Counts in the normal form: input and output include everything, the others are parts of them.",
    )
    estimated: bool = Field(default=False, description="The counts are not the provider's.")
    stream: bool = False
    max_tokens: Count | None = None
    duration_ms: Millis = 0
    ttft_ms: Millis | None = Field(default=None, description="Time to the first byte of the answer.")
    status: int | None = Field(default=None, ge=100, le=599, description="HTTP status of the provider.")
    error: Name | None = Field(default=None, description="Why it failed; a call without one completed.")
    response_id: Name | None = None
    trace_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$", description="W3C trace id.")
    finish_reason: Name | None = None
    service_tier: Name | None = None
    team: Name | None = None
    project: Name | None = None
    feature: Name | None = None
    environment: Name | None = None
    agent: Name | None = None
    parent_agent: Name | None = None
    app: Name | None = None
    prompt_id: Name | None = None
    prompt_version: Name | None = None
    tags: dict[Name, Name] = Field(default={}, max_length=MAX_TAGS)
    route_policy: Name | None = None
    route_reason: Name | None = None
    baseline_model: Name | None = None
    experiment: Name | None = None
    variant: Name | None = None

    @field_validator("usage")
    @classmethod
    def _known_counts(cls, told: dict[str, int] | None) -> dict[str, int] | None:
        unknown = [name for name in told or {} if name not in Usage.__struct_fields__]
        if unknown:
            raise ValueError(f"there is no count {unknown[0][:64]!r}")
        return told


class Told(msgspec.Struct, frozen=True):
    """A call and the event that tells of it."""

    message_id: str
    at: datetime
    tenant: str | None
    user: str | None
    """As it is kept: hashed where that is wanted."""
    session: str | None
    call: AiCallIn
    key: Key | None = None
    """Of the app that tells it: what the key binds goes before what the event says."""


class Tracking(msgspec.Struct, frozen=True):
    """What it takes to record such calls."""

    publish: Callable[[CallRecord], Awaitable[None]]
    """Puts one record into the ledger; done when it is as safe as ``storage.durability`` asks. Raises
    :class:`gateway.errors.Refusal` when none can be kept."""
    book: Callable[[], PriceBook]
    price_as: Callable[[str], str]
    """Provider name -> its id in the price book."""


def record_of(told: Told, book: PriceBook, price_as: Callable[[str], str]) -> CallRecord:
    """The record, priced by the price book."""
    call = told.call
    started_ns = (told.at - EPOCH) // timedelta(microseconds=1) * 1000
    usage = None if call.usage is None else Usage(**call.usage)
    failed = call.error is not None or (call.status is not None and call.status >= 400)
    cost = _cost(call, usage, started_ns, book, price_as, failed=failed)
    baseline = call.baseline_model
    duration_us = round(call.duration_ms * 1000)
    source = UsageSource.ESTIMATED if call.estimated else UsageSource.PROVIDER
    return CallRecord(
        named_id(f"{TOLD}\0{told.tenant or DEFAULT_TENANT}\0{told.message_id}", started_ns // 1_000_000),
        Outcome.PROVIDER_ERROR if failed else Outcome.COMPLETED,
        _who(told),
        What(
            call.provider, TOLD, call.operation, TOLD.upper(), "", call.model, call.stream, call.max_tokens, 0
        ),
        Route(
            policy=call.route_policy,
            reason=call.route_reason,
            baseline_model=baseline,
            experiment=call.experiment,
            variant=call.variant,
        ),
        Timing(
            started_ns,
            duration_us,
            duration_us,
            first_chunk_us=None if call.ttft_ms is None else round(call.ttft_ms * 1000),
        ),
        Answer(
            call.status,
            call.response_model,
            call.response_id,
            () if call.finish_reason is None else (call.finish_reason,),
            call.service_tier,
            error_type=call.error or (str(call.status) if failed else None),
        ),
        usage,
        UsageSource.NONE if usage is None else source,
        cost,
        None if call.trace_id is None else trace_of(int(call.trace_id, 16), 0, 0, sampled=False),
        baseline_nano=None
        if baseline is None
        else nano_on(book, baseline, price_as(call.provider), usage, cost, started_ns),
    )


def _cost(
    call: AiCallIn,
    usage: Usage | None,
    at_ns: int,
    book: PriceBook,
    price_as: Callable[[str], str],
    *,
    failed: bool,
) -> Cost:
    if usage is None:
        return NOT_BILLABLE if failed else UNPRICED
    return book.price(
        PriceQuery(
            price_as(call.provider),
            call.response_model,
            call.model,
            usage,
            at_ns,
            call.service_tier,
            estimated=call.estimated,
        )
    )


def _who(told: Told) -> Who:
    call = told.call
    said = {
        "tenant": told.tenant,
        "team": call.team,
        "user": told.user,
        "project": call.project,
        "feature": call.feature,
        "session": told.session,
        "environment": call.environment,
        "agent": call.agent,
        "parent_agent": call.parent_agent,
        "app": call.app,
        "prompt_id": call.prompt_id,
        "prompt_version": call.prompt_version,
    }
    sources = {name: TOLD for name, value in said.items() if value is not None}
    tags, key = {name: shortened_value(value) for name, value in call.tags.items()}, told.key
    if key is None:
        return Who(**said, tags=tuple(tags.items()), sources=tuple(sources.items()))
    said |= dict(key.bound)
    sources |= {name: "key" for name, _ in key.bound}
    tags = dict(key.tags) | {name: value for name, value in tags.items() if name not in dict(key.tags)}
    return Who(**said, key_id=key.id, tags=tuple(tags.items())[:MAX_TAGS], sources=tuple(sources.items()))
