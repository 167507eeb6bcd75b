"""What a budget is. Made at the edges (API, command line), kept as JSON, used by admission and by the writer."""

from __future__ import annotations

import enum
import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

EVERY: Final = "*"
"""In a scope: one account for each value."""
DIMENSIONS: Final = (
    "tenant",
    "team",
    "user",
    "project",
    "feature",
    "environment",
    "key",
    "provider",
    "model",
    "session",
    "agent",
    "app",
)
"""What a scope may name, besides ``tag:NAME``."""
TAG: Final = "tag:"
LONGEST_VALUE: Final = 190
"""Bytes of a value in a subject, as JSON."""
_KEPT: Final = 12
"""Characters that are kept of a longer one: at most twelve bytes each."""
PPM: Final = 1_000_000


class Unit(enum.StrEnum):
    """What is counted."""

    USD = "usd"
    """Nano-USD."""
    TOKENS = "tokens"
    """Input and output together."""
    CALLS = "calls"
    """Calls that went to a provider."""
    SLOTS = "slots"
    """Calls at the same time: nothing is spent, only held."""


class Window(enum.StrEnum):
    """When a budget begins anew. Nothing is reset: each window has an account of its own."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class Mode(enum.StrEnum):
    """What happens at the limit."""

    WATCH = "watch"
    """Nothing; it is counted and told."""
    SOFT = "soft"
    """Calls pass, and their answers say so."""
    HARD = "hard"
    """Calls are refused."""
    SHADOW = "shadow"
    """Calls pass; those that would have been refused are counted."""


class Unpriced(enum.StrEnum):
    """What a call whose price is unknown counts as, in a budget of USD."""

    IGNORE = "ignore"
    BLOCK = "block"
    """It is refused, where its model has no price."""
    CEILING = "ceiling"
    """Its tokens at ``ceiling_nano_per_mtok``."""


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One budget. ``limit`` is nano-USD, tokens or calls."""

    id: str
    name: str
    limit: int
    unit: Unit = Unit.USD
    window: Window = Window.MONTH
    timezone: str = "UTC"
    week_start: int = 1
    """ISO weekday, 1 is Monday."""
    scope: tuple[tuple[str, str], ...] = ()
    """Dimension and value (or ``*``), sorted by dimension; empty: every call."""
    mode: Mode = Mode.WATCH
    thresholds_ppm: tuple[int, ...] = (500_000, 750_000, 900_000, 1_000_000)
    unpriced: Unpriced = Unpriced.IGNORE
    ceiling_nano_per_mtok: int = 0
    """Nano-USD for a million tokens."""
    assumed_output_tokens: int = 1_024
    """What a call without a limit of its own is expected to answer."""

    @property
    def is_enforced(self) -> bool:
        """Does it take a part of the account before a call is made?"""
        return self.mode is Mode.HARD

    @property
    def counts_each(self) -> bool:
        """Has it an account for each value of a dimension?"""
        return any(value == EVERY for _, value in self.scope)

    @property
    def shape(self) -> tuple[str, ...]:
        """The dimensions of its scope."""
        return tuple(dimension for dimension, _ in self.scope)


class Span(msgspec.Struct, frozen=True, gc=False):
    """One window: ``start_s`` is its first second, ``end_s`` the first after it, UTC since 1970."""

    key: str
    """``month:2026-10-31T11:00:00Z``: kind and beginning."""
    start_s: int
    end_s: int


class Account(msgspec.Struct, frozen=True):
    """What a call draws on: a budget, for one subject, in one window."""

    budget: Budget
    subject: str
    """Values of the dimensions that are counted each for itself, as JSON; empty for a budget with one account."""
    window_key: str
    start_s: int
    """First second of the window, UTC since 1970."""
    end_s: int
    """First second after it."""
    key: tuple[str, str, str] = ("", "", "")
    """Budget, subject and window; see :func:`account_of`."""


def subject_of(values: Sequence[str | None]) -> str:
    """Values as the subject of an account.

    Long ones are cut and told apart by a digest: an index of PostgreSQL takes 2,704 bytes, and a scope may name twelve.
    """
    return json.dumps([value if value is None else short(value) for value in values])


def short(value: str) -> str:
    """A value as it stands in a subject."""
    escaped = json.dumps(value)
    if len(escaped) <= LONGEST_VALUE:
        return value
    digest = hashlib.sha256(escaped.encode("ascii")).hexdigest()
    return f"{value[:_KEPT]}~{digest[:32]}"


def account_of(budget: Budget, subject: str, span: Span) -> Account:
    """The account of a subject in a window."""
    return Account(budget, subject, span.key, span.start_s, span.end_s, (budget.id, subject, span.key))


_TAKING: Final = ("unit", "window", "timezone", "week_start", "scope", "unpriced", "ceiling_nano_per_mtok")


def counts_alike(before: Budget, after: Budget) -> bool:
    """Do both take the same from the same accounts?"""
    return all(getattr(before, name) == getattr(after, name) for name in _TAKING)


def draws_alike(before: Budget, after: Budget) -> bool:
    """Does what was lent on the one mean the same on the other?"""
    return before.is_enforced == after.is_enforced and counts_alike(before, after)


def new_budget_id() -> str:
    return f"bud_{secrets.token_hex(8)}"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Budget)


def encode(budget: Budget) -> str:
    return _encoder.encode(budget).decode()


def decode(text: str | bytes) -> Budget:
    """Raises ``msgspec.ValidationError``."""
    return _decoder.decode(text)
