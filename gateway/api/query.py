"""Query parameters of the calls listing: checked, and what is wrong with one named."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar, get_args

from multidict import MultiMapping
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.api.problems import ApiError, bad_value
from gateway.settings.problem import did_you_mean
from storage.queries.calls import MAX_LIMIT, CallFilter
from telemetry.outcome import Outcome

DEFAULT_LIMIT: Final = 50
_AGO: Final = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TIME_HELP: Final = "an ISO 8601 time (2026-11-20T12:00:00Z, 2026-11-20) or an age (15m, 2h, 7d)"

Query = TypeVar("Query", bound=BaseModel)
Text = Annotated[str, Field(min_length=1, max_length=512)]


class CallsQuery(BaseModel):
    """``GET /api/calls``. All given conditions must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Text | None = Field(default=None, description=f"Started at or after: {_TIME_HELP}.")
    until: Text | None = Field(default=None, description=f"Started before: {_TIME_HELP}.")
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
    min_cost_nano: int | None = Field(default=None, ge=0, description="Cost at least this, in nano-USD.")
    unpriced: bool | None = Field(default=None, description="true: cost unknown; false: cost known.")
    failed: bool | None = Field(default=None, description="true: did not complete; false: completed.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most calls on a page.")
    cursor: Text | None = Field(default=None, description="next_cursor of the page before.")

    def to_filter(self, now: datetime) -> CallFilter:
        """The filter of the store; raises :class:`ApiError` for a time that is none."""
        chosen: dict[str, Any] = self.model_dump(exclude={"since", "until", "limit", "cursor"})
        if self.since is not None:
            chosen["since"] = _moment("since", self.since, now)
        if self.until is not None:
            chosen["until"] = _moment("until", self.until, now)
        return CallFilter(**chosen)


def parse_calls_query(query: MultiMapping[str], now: datetime | None = None) -> tuple[CallsQuery, CallFilter]:
    """Checks the parameters; raises :class:`ApiError` 400 naming the first that can't be used."""
    parsed = parse_query(query, CallsQuery)
    return parsed, parsed.to_filter(now or datetime.now(UTC))


def parse_query(query: MultiMapping[str], model: type[Query]) -> Query:
    """The parameters as ``model``; raises :class:`ApiError` 400 naming the first that can't be used."""
    given: dict[str, str] = {}
    for name, value in query.items():
        if name in given:
            message = f"{name[:64]} is given twice; once is allowed."
            raise ApiError(400, "invalid_parameter", message, param=name[:64])
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _explained(error.errors(include_url=False)[0], given, model) from None


def _explained(details: Any, given: Mapping[str, str], model: type[BaseModel]) -> ApiError:
    param = str(details["loc"][0])[:64]
    kind = details["type"]
    if kind == "extra_forbidden":
        known = list(model.model_fields)
        message = f"There is no parameter {param!r}. {did_you_mean(param, known)}"
        return ApiError(400, "unknown_parameter", message.strip(), param=param, allowed=known)
    if kind == "enum":
        return bad_value(param, given[param], _choices(model.model_fields[param].annotation))
    if kind.startswith("bool"):
        return bad_value(param, given[param], ["true", "false"])
    message = f"{param}: {details['msg'][:1].lower()}{details['msg'][1:]}."
    return ApiError(400, "invalid_parameter", message, param=param)


def _choices(annotation: Any) -> list[str]:
    """The values of the enum within a field's type."""
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, enum.Enum):
            return [str(choice.value) for choice in part]
    return []


def _moment(param: str, text: str, now: datetime) -> datetime:
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        # A "+" of a time zone that was not escaped arrives as a space.
        moment = datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text))
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ApiError(400, "invalid_parameter", f"{param} must be {_TIME_HELP}.", param=param) from None
