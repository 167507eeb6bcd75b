"""What every endpoint can be asked: a period, a time zone, the same filters, and by what to group."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.api.analytics.period import DEFAULT, Period
from gateway.api.parameters import TIME_HELP
from storage.mend import storable
from storage.rollups.dimensions import Dimension
from storage.rollups.measures import OutcomeClass
from storage.rollups.question import Bucket
from telemetry.outcome import Outcome

MOST_VALUES: Final = 100
"""Of one filter."""
MOST_GROUPS: Final = 1000
DEFAULT_GROUPS: Final = 20


class Name(enum.StrEnum):
    """What calls are filtered and grouped by, as the API calls it."""

    TENANT = "tenant"
    TEAM = "team"
    USER = "user"
    PROJECT = "project"
    FEATURE = "feature"
    ENVIRONMENT = "environment"
    PROVIDER = "provider"
    MODEL = "model"
    ROUTE_POLICY = "route_policy"
    EXPERIMENT = "experiment"
    VARIANT = "variant"
    OUTCOME_CLASS = "outcome_class"
    SESSION = "session"
    KEY = "key_id"
    APP = "app"
    AGENT = "agent"
    PROMPT = "prompt_id"
    PROMPT_VERSION = "prompt_version"
    OPERATION = "operation"
    OUTCOME = "outcome"


DIMENSION: Final = {name: Dimension[name.name] for name in Name}
NAME: Final = {dimension: name for name, dimension in DIMENSION.items()}
_UNSET: Final = "An empty value means: not set. Several values: any of them."

Value = Annotated[str, Field(max_length=512)]
Values = Annotated[tuple[Value, ...], Field(max_length=MOST_VALUES)]


def _filter(what: str) -> Any:
    return Field(default=(), description=f"{what} {_UNSET}")


class Filters(BaseModel):
    """Which calls. All given filters must hold; each may be given several times."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: Values = _filter("Tenant; calls that name none are 'default'.")
    team: Values = _filter("Team the call was made for.")
    user: Values = _filter("End user the call was made for.")
    project: Values = _filter("Project the call was made for.")
    feature: Values = _filter("Feature the call was made for.")
    environment: Values = _filter("Environment the call was made in.")
    provider: Values = _filter("Name of the provider.")
    model: Values = _filter("Model that answered, else the one asked for.")
    route_policy: Values = _filter("Policy of the app's router.")
    experiment: Values = _filter("Experiment the call was part of.")
    variant: Values = _filter("Variant of the experiment.")
    outcome_class: Annotated[tuple[OutcomeClass, ...], Field(max_length=MOST_VALUES)] = Field(
        default=(), description="How the call ended, roughly. Several values: any of them."
    )
    session: Values = _filter("Session the call belongs to. Read from the calls.")
    key_id: Values = _filter("Gateway key the call was made with. Read from the calls.")
    app: Values = _filter("App that made the call. Read from the calls.")
    agent: Values = _filter("Agent that made the call. Read from the calls.")
    prompt_id: Values = _filter("Prompt the call was made with. Read from the calls.")
    prompt_version: Values = _filter("Version of the prompt. Read from the calls.")
    operation: Values = _filter("Kind of call: chat, embeddings... Read from the calls.")
    outcome: Annotated[tuple[Outcome, ...], Field(max_length=MOST_VALUES)] = Field(
        default=(),
        description="How the call ended, exactly. Several values: any of them. Read from the calls.",
    )

    def where(self) -> dict[Dimension, tuple[str | None, ...]]:
        """What must hold of a call; ``None``: not set."""
        given = {name: getattr(self, name.value) for name in Name}
        return {
            DIMENSION[name]: tuple(storable(str(value)) or None for value in values)
            for name, values in given.items()
            if values
        }


class PeriodQuery(Filters):
    """Which calls, of which time."""

    period: Period | None = Field(
        default=None,
        description=f"How far back, {DEFAULT.value} if nothing is said: 24h, or so many calendar days of tz, today "
        "being the last. custom: from since to until.",
    )
    since: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description=f"With period=custom: calls that began at or after, {TIME_HELP}."
    )
    until: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="With period=custom: calls that began before; else now."
    )
    tz: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        default="UTC", description="Time zone of days, and of times without one: UTC, Europe/Berlin..."
    )
    compare: bool = Field(default=True, description="Also the period before, as long as this one.")


class BucketQuery(PeriodQuery):
    """Which calls, of which time, and how fine the series is."""

    bucket: Bucket | None = Field(
        default=None,
        description="Stretches of the series; hours up to two days, else days, if nothing is said.",
    )


class CutQuery(PeriodQuery):
    """Which calls, of which time, cut into groups."""

    group_by: Annotated[tuple[Name, ...], Field(max_length=2)] = Field(
        default=(), description="One or two dimensions, as group_by=team,model or given twice."
    )
    limit: int = Field(
        default=DEFAULT_GROUPS,
        ge=1,
        le=MOST_GROUPS,
        description="Most groups; all others together are 'other', so that totals add up.",
    )

    @field_validator("group_by", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        if not isinstance(given, list):
            return given
        return [part for text in given for part in str(text).split(",")]

    @field_validator("group_by")
    @classmethod
    def _different(cls, given: tuple[Name, ...]) -> tuple[Name, ...]:
        if len(set(given)) < len(given):
            raise ValueError("The dimensions must differ")
        return given


class GroupQuery(CutQuery, BucketQuery):
    """The same, and how fine the series is."""
