"""Budgets at the edge: what people may say of one, and how its accounts stand."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator

from gateway.api.fit import known_of, not_one_of, wrong
from gateway.api.key_models import kept_user
from gateway.api.values import Title, nano_usd, share, share_ppm, whole, zone
from gateway.attribution import MAX_VALUE
from pricing.cost import format_usd
from storage.budgets.model import DIMENSIONS, EVERY, TAG, Budget, Mode, Unit, Unpriced, Window

MOST_CEILING_NANO: Final = 1_000 * 1_000_000_000
"""Of a million tokens: sums of tokens times this stay within 64 bits."""
MOST_ASSUMED: Final = 10_000_000
MOST_THRESHOLDS: Final = 20
DAYS: Final = tuple(name.lower() for name in calendar.day_name)
_TAG_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SCOPE_HOW: Final = (
    'Write dimensions and values: {"team": "search"}, "*" for an account of each value. '
    f"Dimensions: {', '.join(DIMENSIONS)}, {TAG}NAME"
)

DayName = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
UnitName = Literal["usd", "tokens", "calls"]
Amount = Annotated[int, WithJsonSchema({"type": "string", "examples": ["500.00"]})]
"""Nano-USD, tokens or calls; given as decimal text."""
Share = Annotated[int, WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 10})]
"""Millionths; given as a share."""


class BudgetIn(BaseModel):
    """What may be spent, by whom, in which window, and what happens at the limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Title = Field(description="What it is called; no two have the same name.")
    unit: UnitName = Field(default="usd", description="usd, tokens (input and output) or calls.")
    limit: Amount = Field(
        description='In its unit: decimal text such as "500.00" for USD, else a whole number.'
    )
    window: Window = Field(
        default=Window.MONTH, description="When it begins anew; minutes and hours are those of UTC."
    )
    timezone: str = Field(default="UTC", description="Where days, weeks and months begin: an IANA name.")
    week_start: DayName = Field(default="monday", description="First day of a week.")
    scope: dict[str, str] = Field(
        default={},
        description="Which calls: dimension and value; * as a value has an account for each. Empty: every call. "
        f"Dimensions: {', '.join(DIMENSIONS)}, {TAG}NAME.",
    )
    mode: Mode = Field(
        default=Mode.WATCH,
        description="watch: count; soft: tell apps in a header; hard: refuse calls; shadow: count what hard would "
        "refuse.",
    )
    thresholds: list[Share] = Field(
        default=[500_000, 750_000, 900_000, 1_000_000],
        description="Shares of the limit that are told when they are reached: 0.5 is 50 %.",
        json_schema_extra={"default": [0.5, 0.75, 0.9, 1]},
    )
    unpriced: Unpriced = Field(
        default=Unpriced.IGNORE,
        description="What a call without a price counts as: ignore: nothing; block: a hard budget refuses it; "
        "ceiling: its tokens at ceiling_usd_per_mtok.",
    )
    ceiling_usd_per_mtok: Amount | None = Field(
        default=None, description="USD for a million tokens without a price.", validate_default=True
    )
    assumed_output_tokens: int = Field(
        default=1_024,
        ge=1,
        le=MOST_ASSUMED,
        description="Output that is reserved for a call that sets no limit of its own.",
    )

    @field_validator("limit", mode="before")
    @classmethod
    def _limit(cls, value: object, info: ValidationInfo) -> int:
        unit = info.data.get("unit", "usd")
        return nano_usd(value) if unit == "usd" else whole(value, unit)

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        return zone(value)

    @field_validator("scope", mode="before")
    @classmethod
    def _scope(cls, value: object, info: ValidationInfo) -> dict[str, str]:
        return _scope_of(value, info)

    @field_validator("thresholds", mode="before")
    @classmethod
    def _thresholds(cls, value: object) -> list[int]:
        if not isinstance(value, list | tuple) or len(value) > MOST_THRESHOLDS:
            how = f"Write a list of shares of the limit, at most {MOST_THRESHOLDS}: [0.5, 0.9, 1]"
            raise wrong("is not a list of shares", how)
        return sorted({share_ppm(one) for one in value})

    @field_validator("unpriced")
    @classmethod
    def _unpriced(cls, value: Unpriced, info: ValidationInfo) -> Unpriced:
        if value is not Unpriced.IGNORE and info.data.get("unit", "usd") != "usd":
            raise wrong(
                f"{value.value} has no meaning here", "Only a budget of USD asks for prices: leave it out"
            )
        return value

    @field_validator("ceiling_usd_per_mtok", mode="before")
    @classmethod
    def _ceiling(cls, value: object, info: ValidationInfo) -> int | None:
        if value is None:
            if info.data.get("unpriced") is Unpriced.CEILING:
                raise wrong(
                    "is missing", 'unpriced = "ceiling" needs the USD of a million tokens, such as "10.00"'
                )
            return None
        nano = nano_usd(value)
        if not 0 < nano <= MOST_CEILING_NANO:
            most = format_usd(MOST_CEILING_NANO)
            raise wrong(
                f"{format_usd(nano)} is not usable",
                f"Write USD for a million tokens, above 0, at most {most}",
            )
        return nano

    def to_budget(self, budget_id: str) -> Budget:
        return Budget(
            id=budget_id,
            name=self.name,
            limit=self.limit,
            unit=Unit(self.unit),
            window=self.window,
            timezone=self.timezone,
            week_start=DAYS.index(self.week_start) + 1,
            scope=tuple(sorted(self.scope.items())),
            mode=self.mode,
            thresholds_ppm=tuple(self.thresholds),
            unpriced=self.unpriced,
            ceiling_nano_per_mtok=self.ceiling_usd_per_mtok or 0,
            assumed_output_tokens=self.assumed_output_tokens,
        )


class BudgetChangeIn(BudgetIn):
    """What is to change; what is left out stays as it is."""

    name: Title = Field(default="", description="What it is called; no two have the same name.")
    limit: Amount = Field(default=0, description="In its unit.")


class BudgetAmountOut(BaseModel):
    """An amount in the budget's unit: USD twice, exact, or a count of tokens or calls."""

    usd: str | None = Field(default=None, examples=["12.5"])
    nano_usd: int | None = Field(default=None, examples=[12_500_000_000])
    count: int | None = None


class AccountOut(BaseModel):
    """How one account stands in the current window."""

    of: dict[str, str] = Field(description="Whose it is: dimension and value.")
    window: str = Field(examples=["month:2026-11-01T00:00:00Z"])
    window_start: str | None = Field(description="null: it has none.")
    window_end: str | None
    spent: BudgetAmountOut = Field(description="By calls that are recorded.")
    reserved: BudgetAmountOut = Field(description="Lent to workers for calls under way and to come.")
    remaining: BudgetAmountOut = Field(description="The limit less both; never below 0.")
    used: float | None = Field(description="Spent as a share of the limit; null: the limit is 0.")
    projected: BudgetAmountOut | None = Field(
        description="Spent at the end of the window if it goes on like this; null in its first 5 %."
    )
    crossed: list[float] = Field(description="Thresholds that are reached.")
    calls: int
    unpriced: int = Field(description="Of them, those whose price is not known.")
    denied: int = Field(description="Calls refused for want of money (shadow: that would have been).")


class BudgetOut(BaseModel):
    """A budget in the form in which it is given, and its accounts with most spent."""

    id: str = Field(examples=["bud_0123456789abcdef"])
    name: str
    unit: UnitName
    limit: str = Field(examples=["500"])
    window: Window
    timezone: str
    week_start: DayName
    scope: dict[str, str]
    mode: Mode
    thresholds: list[float]
    unpriced: Unpriced
    ceiling_usd_per_mtok: str | None
    assumed_output_tokens: int
    accounts: list[AccountOut]
    accounts_count: int = Field(description="All there are; /api/budgets/{id}/accounts lists them.")
    notes: list[str] = Field(
        default=[],
        description="Of a budget that was just made or changed: what may not be meant so, such as a model no call asks for.",
    )


class BudgetsOut(BaseModel):
    """A page of budgets by name; ``next_cursor`` is ``null`` on the last one."""

    items: list[BudgetOut]
    next_cursor: str | None = None


class AccountsOut(BaseModel):
    """A page of accounts, those with most spent first; ``next_cursor`` is ``null`` on the last one."""

    items: list[AccountOut]
    next_cursor: str | None = None


class BudgetGoneOut(BaseModel):
    """The budget is no more, nor are its accounts."""

    id: str
    deleted: bool = True


def said_of(budget: Budget) -> dict[str, Any]:
    """A budget in the form of :class:`BudgetIn`."""
    ceiling = budget.ceiling_nano_per_mtok
    return {
        "name": budget.name,
        "unit": budget.unit.value,
        "limit": amount_text(budget, budget.limit),
        "window": budget.window.value,
        "timezone": budget.timezone,
        "week_start": DAYS[budget.week_start - 1],
        "scope": dict(budget.scope),
        "mode": budget.mode.value,
        "thresholds": [share(ppm) for ppm in budget.thresholds_ppm],
        "unpriced": budget.unpriced.value,
        "ceiling_usd_per_mtok": format_usd(ceiling) if ceiling else None,
        "assumed_output_tokens": budget.assumed_output_tokens,
    }


def amount_text(budget: Budget, value: int) -> str:
    """An amount in the budget's unit, exact."""
    return format_usd(value) if budget.unit is Unit.USD else str(value)


def amount_out(budget: Budget, value: int) -> BudgetAmountOut:
    """As the API shows it."""
    if budget.unit is Unit.USD:
        return BudgetAmountOut(usd=format_usd(value), nano_usd=value)
    return BudgetAmountOut(count=value)


def _scope_of(value: object, info: ValidationInfo) -> dict[str, str]:
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise wrong("is not a table of dimensions", _SCOPE_HOW)
    known = known_of(info)
    found: dict[str, str] = {}
    for dimension, said in pairs:
        _check_dimension(dimension)
        if dimension in found:
            raise wrong(
                f"names {dimension} twice", "Name each dimension once; make two budgets of two values"
            )
        if not isinstance(said, str) or not 1 <= len(said) <= MAX_VALUE or not said.isprintable():
            raise wrong(f"{dimension} has no usable value", f"{_SCOPE_HOW}; at most {MAX_VALUE} characters")
        if dimension == "provider" and said not in (EVERY, *known.providers):
            raise not_one_of(said, sorted(known.providers))
        user = dimension == "user" and said != EVERY
        found[dimension] = (kept_user(said, info) or "") if user else said
    return found


def _check_dimension(name: object) -> None:
    if isinstance(name, str) and name.startswith(TAG):
        if not _TAG_NAME.fullmatch(name.removeprefix(TAG)):
            how = "Write tag:NAME; a name has letters, digits, _ . and -, 64 at most"
            raise wrong(f"{name[:80]!r} names no tag", how)
    elif name not in DIMENSIONS:
        raise not_one_of(name, (*DIMENSIONS, f"{TAG}NAME"))
