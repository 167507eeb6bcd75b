"""What cannot be asked is a 400 that names the parameter and what is allowed: at every endpoint there is, on its own
parameters as they are declared, so that a new endpoint or parameter is tried by itself."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, cast, get_args

import pytest
from pydantic import BaseModel
from rig.analytics import analytics
from rig.ledger import record
from rig.rollups import written

from gateway.api.analytics.asking import MOST_TOLD, alike
from gateway.api.analytics.endpoints import RESOURCES
from gateway.api.analytics.live import Live
from gateway.api.analytics.query import MOST_VALUES, BucketQuery, CutQuery, Name, PeriodQuery
from gateway.api.routes import Endpoint

PREFIX = "/api/analytics"
DEPS = cast(Any, None)
ENDPOINTS = [
    *(endpoint for resource in RESOURCES for endpoint in resource(DEPS).endpoints()),
    *Live(DEPS, DEPS).endpoints(),
]
Case = tuple[dict[str, Any], str, list[str] | None]
"""Parameters, the one that is named, and what is allowed; ``None``: not a list of values."""

PERIODS: list[Case] = [
    ({"period": "31d"}, "period", ["24h", "7d", "30d", "90d", "custom"]),
    ({"period": "7D"}, "period", ["24h", "7d", "30d", "90d", "custom"]),
    ({"period": ["7d", "30d"]}, "period", None),
    ({"period": "custom"}, "since", None),
    ({"period": "custom", "until": "2026-11-01"}, "since", None),
    ({"period": "7d", "since": "2026-11-01"}, "since", None),
    ({"period": "24h", "until": "2026-11-01"}, "until", None),
    ({"since": "2026-11-02", "until": "2026-11-01"}, "until", None),
    ({"since": "2026-11-02", "until": "2026-11-02"}, "until", None),
    ({"since": "2030-01-01"}, "until", None),
    ({"since": "2025-01-01"}, "since", None),
    ({"since": "999999d"}, "since", None),
    ({"since": "0001-01-01", "tz": "Asia/Tokyo"}, "since", None),
    ({"since": "9999-12-31", "tz": "America/New_York"}, "since", None),
    ({"since": "yesterday"}, "since", None),
    ({"since": ""}, "since", None),
    ({"since": "2026-11-01", "until": "2026-13-01"}, "until", None),
    ({"tz": "Europe/Berlinn"}, "tz", None),
    ({"tz": "../etc/passwd"}, "tz", None),
    ({"tz": "\x00"}, "tz", None),
    ({"compare": "perhaps"}, "compare", ["true", "false"]),
    ({"session": "s", "period": "90d"}, "period", None),
]
GROUPS: list[Case] = [
    ({"group_by": "colour"}, "group_by", [name.value for name in Name]),
    ({"group_by": "team,colour"}, "group_by", [name.value for name in Name]),
    ({"group_by": "team,team"}, "group_by", None),
    ({"group_by": "team,model,provider"}, "group_by", None),
    ({"group_by": ""}, "group_by", [name.value for name in Name]),
]


def enumerations(model: type[BaseModel]) -> Iterator[tuple[str, list[str]]]:
    """Parameters with a fixed set of values."""
    for name, field in model.model_fields.items():
        parts = [field.annotation]
        while parts:
            part = parts.pop()
            if isinstance(part, type) and issubclass(part, enum.Enum):
                yield name, [str(one.value) for one in part]
            parts += get_args(part)


def cases_of(endpoint: Endpoint) -> Iterator[Case]:
    """Everything that is wrong at this endpoint."""
    model = endpoint.query
    assert model is not None
    yield {"colour": "red"}, "colour", list(model.model_fields)
    yield {"Team": "search"}, "Team", list(model.model_fields)
    yield {"model": "gpt-5o-mini"}, "model", ["gpt-4o-mini-2024-07-18"]
    yield {"team": "x" * 513}, "team", None
    yield {"team": ["x"] * (MOST_VALUES + 1)}, "team", None
    for name, allowed in enumerations(model):
        yield {name: "nonsense"}, name, allowed
    for name in ("limit", "least_samples", "seconds"):
        if name in model.model_fields:
            for value in ("0", "-1", "1e3", "1" + "0" * 30, "many", ""):
                yield {name: value}, name, None
    if issubclass(model, PeriodQuery):
        quality = endpoint.path.endswith(("/quality", "/recommendations"))
        yield from (case for case in PERIODS if not (quality and "session" in case[0]))
    if issubclass(model, CutQuery):
        yield from GROUPS
    else:
        yield {"group_by": "team"}, "group_by", list(model.model_fields)
    if issubclass(model, BucketQuery):
        yield {"bucket": "hour", "period": "90d"}, "bucket", None


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
async def test_what_cannot_be_asked_is_named(sqlite: str, endpoint: Endpoint) -> None:
    await written(sqlite, [record()])
    tried = 0
    async with analytics(sqlite) as ask:
        for params, param, allowed in cases_of(endpoint):
            error = (await ask(endpoint.path.removeprefix(PREFIX), status=400, **params))["error"]
            assert error["param"] == param, (params, error)
            assert error["code"] in ("invalid_parameter", "unknown_parameter", "range_too_long"), params
            assert len(error["message"]) > 10, params
            if allowed is not None:
                assert error["allowed"] == allowed, params
                assert allowed[0] in error["message"], params
            tried += 1
    assert tried >= 8


def test_every_endpoint_of_the_analytics_is_tried() -> None:
    assert len({endpoint.path for endpoint in ENDPOINTS}) == len(ENDPOINTS) >= 13
    assert all(endpoint.query is not None and endpoint.path.startswith(PREFIX) for endpoint in ENDPOINTS)


async def test_a_time_zone_that_is_none_comes_with_those_like_it(sqlite: str) -> None:
    async with analytics(sqlite) as ask:
        error = (await ask("/costs", status=400, tz="Europe/Berlinn"))["error"]
    assert error["allowed"][0] == "Europe/Berlin"
    assert "Europe/Berlin" in error["message"]


def test_a_wrong_name_among_very_many_is_told_those_like_it() -> None:
    """Apps may name models as they like: comparing all of them by every letter would take minutes."""
    known = {f"{number}-{'x' * 400}" for number in range(30_000)} | {"gpt-4o-mini", "gpt-4o"}
    told = alike("gpt-4o-mni", known)
    assert told[:2] == ["gpt-4o-mini", "gpt-4o"]
    assert len(told) == MOST_TOLD
