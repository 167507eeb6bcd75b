"""docs/analytics.md says what the code does: endpoints, parameters and where they hold, and every number."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from multidict import MultiDict

from gateway.api.analytics.asking import MOST_DAYS_OF_CALLS, MOST_HOURS
from gateway.api.analytics.endpoints import RESOURCES
from gateway.api.analytics.feed import MOST_LISTENERS, MOST_WAITING
from gateway.api.analytics.live import Live
from gateway.api.analytics.period import DEFAULT, MOST_DAYS, Period
from gateway.api.analytics.query import DIMENSION, CutQuery, Filters, GroupQuery, Name
from gateway.api.analytics.repriced import RepricedSumOut
from gateway.api.analytics.verdicts import KNOWN
from gateway.api.parameters import parse_query
from gateway.cli.costs import PERIODS
from storage.queries.analytics.repriced import MOST_READ
from storage.queries.analytics.sessions import MOST_LOOKED_AT
from storage.rollups.dimensions import DIMENSIONS, Dimension
from storage.rollups.distinct import KEPT

TEXT = (Path(__file__).parents[2] / "docs/analytics.md").read_text(encoding="utf-8")
FLAT = " ".join(TEXT.split())
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ")
]
DEPS = cast(Any, None)
ENDPOINTS = {
    endpoint.path: endpoint
    for endpoint in (
        *(endpoint for resource in RESOURCES for endpoint in resource(DEPS).endpoints()),
        *Live(DEPS, DEPS).endpoints(),
    )
}


def told(begin: str) -> list[str]:
    """The row whose first cell begins so."""
    [row] = [row for row in ROWS if row[0].startswith(begin)]
    return row


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_endpoint_has_its_row() -> None:
    assert sorted(name for row in ROWS for name in code(row[0]) if name.startswith("/api")) == sorted(
        ENDPOINTS
    )


def test_periods_and_their_lengths() -> None:
    assert code(told("`period`")[1])[:4] == ["24h", "7d", "30d", "90d"]
    assert {*code(told("`period`")[1])} - {"tz"} == {period.value for period in Period}
    assert f"`{DEFAULT.value}` (the default)" in told("`period`")[1]
    assert f"at most {MOST_DAYS} days" in told("`since`")[1]
    assert f"Hours up to {MOST_HOURS // 24} days" in told("`bucket`")[1]


def test_filters_and_what_they_cost() -> None:
    summed, user, read = ({*code(told(begin)[0])} for begin in ("`tenant`", "`user`", "`session`"))
    names = {dimension: name.value for name, dimension in DIMENSION.items()}
    assert summed == {names[dimension] for dimension in DIMENSIONS}
    assert user == {names[Dimension.USER]}
    assert summed | user | read == {name.value for name in Name} == set(Filters.model_fields)
    assert f"at most {MOST_DAYS_OF_CALLS} days" in told("`session`")[1]


def test_where_groups_can_be_asked_for() -> None:
    cut = {path for path, endpoint in ENDPOINTS.items() if issubclass(cast(type, endpoint.query), CutQuery)}
    here = {name for name in code(told("`group_by`")[1]) if name not in ("by", "health-score")}
    assert {"/api/analytics", *(f"/api/analytics/{name}" for name in here)} == cut
    assert "overview" in told("`group_by`")[1]


def test_the_example_can_be_asked() -> None:
    [url] = re.findall(r"curl '([^']+)'", TEXT)
    query = parse_query(MultiDict(parse_qsl(urlsplit(url).query)), GroupQuery)
    assert query.group_by == (Name.TEAM, Name.MODEL)


def test_the_command_knows_what_is_told_of_it() -> None:
    options = re.findall(r"\$ weighbridge costs --period (\w+) --by (\w+)", TEXT)
    assert all(period in PERIODS and Name(by) for period, by in options)
    assert len(options) == 1


def test_what_quality_is_kept_by() -> None:
    [sentence] = re.findall(r"It is kept by ([^;]+);", FLAT)
    words = {word.replace(" ", "_") for word in re.split(r", | and ", sentence)}
    names = {dimension: name.value for name, dimension in DIMENSION.items()}
    assert words == {names[dimension].replace("prompt_id", "prompt") for dimension in KNOWN}


def test_the_other_numbers() -> None:
    for said in (
        f"exactly up to {KEPT:,} sessions",
        f"the newest {MOST_LOOKED_AT:,} calls",
        f"A worker serves {MOST_LISTENERS} listeners",
        f"more than {MOST_WAITING:,} waiting calls",
    ):
        assert said in FLAT, said


def test_what_later_prices_change_is_shown_with_all_its_fields() -> None:
    [example] = re.findall(r'"repriced": (\{.*?\})\n```', TEXT, re.DOTALL)
    assert [*json.loads(example)] == [*RepricedSumOut.model_fields]
    assert f"more than {MOST_READ:,} such calls are not read" in FLAT
