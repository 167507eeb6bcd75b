"""A rule: what is watched, and who is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from telemetry.alerts.given import Given, Unfit, meant
from telemetry.alerts.labels import DIMENSIONS, Labels
from telemetry.alerts.verdict import Severity

Params = TypeVar("Params")

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NAME_HELP: Final = "Use lower-case letters, digits, - and _, at most 63"
MOST_GROUPING: Final = 3
"""Dimensions of ``group_by``."""
DAY_S: Final = 86_400


class Rule(msgspec.Struct, Generic[Params], frozen=True):
    """One rule. ``params`` are those of its kind."""

    name: str
    """Never another rule's: alerts are told apart by it."""
    kind: str
    params: Params
    severity: Severity | None = None
    """``None``: what the kind finds fit."""
    channels: tuple[str, ...] = ()
    """Empty: every channel there is."""
    scope: Labels = ()
    group_by: tuple[str, ...] = ()
    renotify_s: int = 0
    """Told again so long after the last time, while it fires; 0: once."""

    def severity_or(self, otherwise: Severity) -> Severity:
        """Its own, if it has one."""
        return self.severity or otherwise


class Common(msgspec.Struct, frozen=True):
    """The keys that every kind of rule has."""

    name: str
    kind: str
    severity: Severity | None
    channels: tuple[str, ...]
    scope: Labels
    group_by: tuple[str, ...]
    renotify_s: int | None
    """``None``: the kind's default."""


def read_common(given: Given, kinds: Mapping[str, Any]) -> Common:
    """Raises :class:`telemetry.alerts.given.Unfit`."""
    name = given.name("name", NAME, NAME_HELP)
    kind = given.text("kind")
    if kind not in kinds:
        what = "is missing" if kind is None else f"{kind!r} is not a kind of rule"
        raise Unfit("kind", what, f"{meant(kind, kinds)}Choose {', '.join(kinds)}")
    scope, group_by = given.texts("scope"), given.names("group_by")
    for key, dimensions in (("scope", [dimension for dimension, _ in scope]), ("group_by", group_by)):
        for dimension in dimensions:
            if dimension not in DIMENSIONS:
                what = f"{dimension!r} is not a dimension of calls"
                raise Unfit(key, what, f"{meant(dimension, DIMENSIONS)}Choose {', '.join(DIMENSIONS)}")
    if len(group_by) > MOST_GROUPING:
        raise Unfit("group_by", "has too many dimensions", f"Name at most {MOST_GROUPING}")
    renotify = given.seconds("renotify", 0, 0, 30 * DAY_S) if given.has("renotify") else None
    if renotify is not None and 0 < renotify < 60:
        raise Unfit("renotify", "is too often", 'Write 0 for once, or at least "1m"')
    return Common(
        name,
        str(kind),
        given.choice("severity", Severity, None),
        given.names("channels"),
        scope,
        group_by,
        renotify,
    )
