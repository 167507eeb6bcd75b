"""Groups of calls: the most expensive ones by name, all others as one, so that the groups add up to the total."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from gateway.api.analytics.figures import Tally
from gateway.api.analytics.query import NAME
from storage.rollups.dimensions import Dimension, Group
from storage.rollups.question import Sum


class Cut(msgspec.Struct, frozen=True):
    """Lines of an answer, cut by group and by time."""

    total: Tally
    groups: list[tuple[Group, Tally]]
    """The most expensive first."""
    other: Tally | None
    """All groups beyond the limit."""
    other_groups: int
    series: list[tuple[datetime, Tally]]
    """By time."""
    parts: list[list[Tally]]
    """For each of the series, each of the groups, and what is left."""


def cut(lines: Iterable[Sum], limit: int) -> Cut:
    """Cut an answer. Groups that cost the same come by calls, then by name."""
    total = Tally()
    groups: dict[Group, Tally] = {}
    series: dict[datetime, Tally] = {}
    cells: dict[tuple[datetime, Group], Tally] = {}
    for line in lines:
        total.add(line)
        groups.setdefault(line.key, Tally()).add(line)
        if line.begin is not None:
            series.setdefault(line.begin, Tally()).add(line)
            cells.setdefault((line.begin, line.key), Tally()).add(line)
    ranked = sorted(groups.items(), key=lambda one: _rank(*one))
    shown, rest = ranked[:limit], ranked[limit:]
    other = Tally() if rest else None
    for _, tally in rest:
        assert other is not None
        other.merge(tally)
    times = sorted(series)
    names = [key for key, _ in shown]
    return Cut(
        total,
        shown,
        other,
        len(rest),
        [(begin, series[begin]) for begin in times],
        [_parts(begin, names, [key for key, _ in rest], cells) for begin in times],
    )


def named(group_by: Sequence[Dimension], key: Group) -> dict[str, str | None]:
    """A group's values by the API's names."""
    return {NAME[dimension].value: value for dimension, value in zip(group_by, key, strict=True)}


def _parts(
    begin: datetime, names: Sequence[Group], rest: Sequence[Group], cells: dict[tuple[datetime, Group], Tally]
) -> list[Tally]:
    left = Tally()
    for key in rest:
        if (begin, key) in cells:
            left.merge(cells[begin, key])
    return [*(cells.get((begin, key), Tally()) for key in names), left]


def _rank(key: Group, tally: Tally) -> tuple[int, int, tuple[str, ...]]:
    return -tally["cost_nano"], -tally["calls"], tuple(value or "" for value in key)
