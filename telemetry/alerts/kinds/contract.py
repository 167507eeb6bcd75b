"""What a kind of rule is: how its keys are read, what it asks, and a pure function that judges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from telemetry.alerts.facts import AlertFacts
from telemetry.alerts.given import Given
from telemetry.alerts.rule import Rule
from telemetry.alerts.verdict import Subject, Verdict

Params = TypeVar("Params")
Fact = TypeVar("Fact")


class Case(msgspec.Struct, Generic[Fact], frozen=True):
    """One subject and the fact it is judged by."""

    subject: Subject
    fact: Fact


class Kind(msgspec.Struct, Generic[Params, Fact], frozen=True):
    """One kind of rule; ``name`` is that of its file."""

    name: str
    about: str
    """When it fires, in a few words."""
    read: Callable[[Given], Params]
    """The keys of its own; raises :class:`telemetry.alerts.given.Unfit`."""
    gather: Callable[[Rule[Params], AlertFacts, datetime], Awaitable[Sequence[Case[Fact]]]]
    evaluate: Callable[[Rule[Params], Fact, datetime], Verdict]
    """Pure: the same rule, fact and time give the same verdict."""
    renotify_s: int = 0
    """Unless the rule says otherwise."""
    every_s: int = 0
    """Not evaluated more often than this, because what it asks is costly."""
