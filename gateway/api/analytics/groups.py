"""Groups of calls: the most expensive ones by name, all others as one, so that the groups add up to the total."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from gateway.api.analytics.figures import Tally, merged
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
    """By time, where the answer is."""
    parts: list[list[Tally]]
    """For each of the series, each of the groups, and what is left."""


def cut(lines: Sequence[Sum], limit: int) -> Cut:
    """Cut an answer. Groups that cost the same come by calls, then by name."""
    ranked = _ranked(lines)
    names, rest = ranked[:limit], len(ranked[limit:])
    place = {key: number for number, key in enumerate(names)}
    # Each line is added once, to its cell; everything else is sums of cells.
    # Times by the clock of the world: in the night when clocks are put back, an hour is there twice by the wall.
    cells: dict[float | None, list[Tally]] = {}
    begins: dict[float, datetime] = {}
    for line in lines:
        when = None if line.begin is None else line.begin.timestamp()
        row = cells.get(when)
        if row is None:
            row = cells[when] = [Tally() for _ in range(len(names) + 1)]
        if when is not None and line.begin is not None:
            begins[when] = line.begin
        row[place.get(line.key, len(names))].add(line)
    columns = [merged(column) for column in zip(*cells.values(), strict=True)] or [Tally()]
    times = sorted(begins)
    return Cut(
        merged(columns),
        list(zip(names, columns[:-1], strict=True)),
        columns[-1] if rest else None,
        rest,
        [(begins[when], merged(cells[when])) for when in times],
        [cells[when] for when in times],
    )


def named(group_by: Sequence[Dimension], key: Group) -> dict[str, str | None]:
    """A group's values by the API's names."""
    return {NAME[dimension].value: value for dimension, value in zip(group_by, key, strict=True)}


def _ranked(lines: Iterable[Sum]) -> list[Group]:
    costs: Counter[Group] = Counter()
    calls: Counter[Group] = Counter()
    for line in lines:
        costs[line.key] += line.sums.get("cost_nano", 0)
        calls[line.key] += line.sums["calls"]
    return sorted(calls, key=lambda key: (-costs[key], -calls[key], tuple(value or "" for value in key)))
