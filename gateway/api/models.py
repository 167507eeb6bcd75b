"""What the API answers with. Money is given twice: exact decimal USD as text, and whole nano-USD."""

from __future__ import annotations

from pydantic import BaseModel, Field


class WhoOut(BaseModel):
    """For whom the call was made; ``sources`` says who said so (key, header, baggage, body)."""

    tenant: str | None = None
    team: str | None = None
    user: str | None = None
    project: str | None = None
    feature: str | None = None
    session: str | None = None
    environment: str | None = None
    agent: str | None = None
    parent_agent: str | None = None
    app: str | None = None
    key_id: str | None = None
    prompt_id: str | None = None
    prompt_version: str | None = None
    tags: dict[str, str] = {}
    sources: dict[str, str] = {}


class WhatOut(BaseModel):
    """What was asked, of whom."""

    provider: str
    wire: str | None = None
    operation: str | None = None
    method: str
    path: str
    model: str | None = None
    stream: bool
    max_tokens: int | None = None
    request_bytes: int


class RouteOut(BaseModel):
    """Where it went and why."""

    host: str | None = None
    attempts: int
    attempt_reason: str | None = None
    policy: str | None = None
    reason: str | None = None
    confidence_ppm: int | None = None
    baseline_model: str | None = None
    baseline_cost: MoneyOut | None = None
    """What the same usage would have cost on the baseline model; ``saving`` is the difference to the call's cost."""
    saving: MoneyOut | None = None
    experiment: str | None = None
    variant: str | None = None


class TimingOut(BaseModel):
    """Microseconds; ``first_chunk_us`` is the time to the first byte of the answer's body."""

    duration_us: int
    upstream_us: int | None = None
    first_byte_us: int | None = None
    first_chunk_us: int | None = None
    overhead_us: int


class AnswerOut(BaseModel):
    """What came back."""

    status: int | None = None
    model: str | None = None
    response_id: str | None = None
    finish_reasons: list[str] = []
    service_tier: str | None = None
    response_bytes: int
    error_type: str | None = None
    error_code: str | None = None


class CallUsageOut(BaseModel):
    """Counts in the normal form: ``input`` and ``output`` include everything, the others are parts of them."""

    source: str
    counts: dict[str, int] = {}
    """Only what was reported: a missing count is unknown, not 0."""
    reported: str | None = None
    """The usage as the provider sent it (JSON)."""
    also: list[dict[str, object]] = []
    """Usage with a price of its own: its ``model``, ``service_tier`` where that is not the call's, and counts. ``within``:
    they are also among the counts of the call, which is then paid for by these parts."""


class MoneyOut(BaseModel):
    """An amount, twice; both ``null`` where it is not known."""

    usd: str | None = Field(default=None, examples=["0.0001625"])
    nano_usd: int | None = Field(default=None, examples=[162_500])


class RepricedOut(BaseModel):
    """What it costs by later prices, as ``weighbridge prices reprice`` found."""

    status: str
    total: MoneyOut
    snapshot: str | None = None
    rule: str | None = None


class CostOut(BaseModel):
    """What it cost; the components add up to the total."""

    status: str
    source: str
    total: MoneyOut
    components: dict[str, MoneyOut]
    snapshot: str | None = None
    rule: str | None = None
    repriced: RepricedOut | None = Field(
        default=None, description="Beside the recorded cost, which is never changed; null: not priced again."
    )


class TraceOut(BaseModel):
    """W3C trace identity, in hexadecimal."""

    trace_id: str
    server_span_id: str | None = None
    client_span_id: str | None = None
    parent_span_id: str | None = None
    sampled: bool | None = None


class CallOut(BaseModel):
    """The one record of a call."""

    id: str
    started_at: str = Field(examples=["2026-11-20T12:00:00.123456Z"])
    outcome: str
    who: WhoOut
    what: WhatOut
    route: RouteOut
    timing: TimingOut
    answer: AnswerOut
    usage: CallUsageOut
    cost: CostOut
    trace: TraceOut | None = None


class CallsOut(BaseModel):
    """A page of calls, newest first; ``next_cursor`` is ``null`` on the last one."""

    items: list[CallOut]
    next_cursor: str | None = None


class CostLineOut(BaseModel):
    """Units times rate."""

    unit: str
    component: str
    quantity: int
    rate: str | None = None
    """USD for ``per`` units, exact; ``null``: no rate is known and the line counts as nothing."""
    per: int
    """1 000 000 tokens or characters, 1 000 searches, pages, images or requests, 1 hour of audio."""
    amount_usd: str
    """Exact, before the total is rounded to nano-USD."""
    note: str | None = None


class ExplanationOut(BaseModel):
    """From what the provider reported to the total."""

    id: str
    provider: str
    model: str | None = None
    asked_model: str | None = None
    recorded: CostOut
    reported: str | None = None
    counts: dict[str, int] = {}
    lines: list[CostLineOut] = []
    explained: CostOut
    """The same call priced now; differs from ``recorded`` when prices were corrected since."""
    rates_since: str | None = None
    rates_source: str | None = None
    notes: list[str] = []
    content: str | None = None
    """How prompt and answer are kept (hash, redacted, full): ``/api/calls/{id}/content``; ``null``: they are not."""


class HealthOut(BaseModel):
    """The process is alive."""

    status: str = "ok"
    version: str


class ReadyOut(BaseModel):
    """The gateway takes calls. ``degraded``: records wait on disk for the database."""

    status: str = "ready"
    degraded: bool
    reason: str | None = None


class RootOut(BaseModel):
    """Where to go from here."""

    name: str = "weighbridge"
    version: str
    calls: str = "/api/calls"
    openapi: str = "/api/openapi.json"
    docs: str = "/api/docs"
    base_urls: dict[str, str]
    """Provider and the path to put behind this server's address as the SDK's base URL."""
