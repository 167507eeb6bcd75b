"""Query parameters of the calls listing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from multidict import MultiMapping
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.api.parameters import TIME_HELP, moment_of, parse_query
from gateway.api.problems import ApiError
from storage.mend import storable
from storage.queries.calls import LATELY, MAX_LIMIT, CallFilter, Order
from telemetry.outcome import Outcome

DEFAULT_LIMIT: Final = 50
PAGING: Final = ("limit", "cursor", "order")
"""Parameters that do not say which calls."""
MOST_NANO: Final = 2**63 - 1
"""What a column of the database holds."""

Text = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(storable)]


class CallsQuery(BaseModel):
    """``GET /api/calls``. All given conditions must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Text | None = Field(default=None, description=f"Started at or after: {TIME_HELP}.")
    until: Text | None = Field(default=None, description=f"Started before: {TIME_HELP}.")
    provider: Text | None = Field(default=None, description="Name of the provider.")
    model: Text | None = Field(default=None, description="Model that was asked for or that answered.")
    tenant: Text | None = Field(default=None, description="Tenant; calls that name none are 'default'.")
    team: Text | None = Field(default=None, description="Team the call was made for.")
    user: Text | None = Field(default=None, description="End user the call was made for.")
    project: Text | None = Field(default=None, description="Project the call was made for.")
    feature: Text | None = Field(default=None, description="Feature the call was made for.")
    session: Text | None = Field(default=None, description="Session the call belongs to.")
    key_id: Text | None = Field(default=None, description="Gateway key the call was made with.")
    outcome: Outcome | None = Field(default=None, description="How the call ended.")
    status: int | None = Field(default=None, ge=100, le=599, description="HTTP status the app saw.")
    min_cost_nano: int | None = Field(
        default=None, ge=0, le=MOST_NANO, description="Cost at least this, in nano-USD."
    )
    unpriced: bool | None = Field(default=None, description="true: cost unknown; false: cost known.")
    failed: bool | None = Field(default=None, description="true: did not complete; false: completed.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most calls on a page.")
    cursor: Text | None = Field(default=None, description="next_cursor of the page before.")
    order: Order = Field(
        default=Order.STARTED,
        description="started: those first that began last. recorded: those first that were recorded last, of the last "
        f"{LATELY:,}; without a cursor.",
    )

    def to_filter(self, now: datetime) -> CallFilter:
        """The filter of the store; raises :class:`ApiError` for a time that is none."""
        chosen: dict[str, Any] = self.model_dump(exclude={"since", "until", *PAGING})
        if self.since is not None:
            chosen["since"] = moment_of("since", self.since, now)
        if self.until is not None:
            chosen["until"] = moment_of("until", self.until, now)
        return CallFilter(**chosen)


def parse_calls_query(query: MultiMapping[str], now: datetime | None = None) -> tuple[CallsQuery, CallFilter]:
    """Checks the parameters; raises :class:`ApiError` 400 naming the first that can't be used."""
    parsed = parse_query(query, CallsQuery)
    if parsed.order is Order.RECORDED and parsed.cursor is not None:
        message = "cursor: with order=recorded there is one page; leave the cursor out."
        raise ApiError(400, "invalid_parameter", message, param="cursor")
    return parsed, parsed.to_filter(now or datetime.now(UTC))
