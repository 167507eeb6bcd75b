"""What was spent: groups, series and the period before, and everything adds up."""

from __future__ import annotations

from typing import Any

import pytest
from rig.analytics import analytics
from rig.ledger import STARTED_MS, record
from rig.rollups import HOUR_MS, written

from gateway.api.viewer import Viewer
from pricing.cost import UNPRICED, Cost, CostSource, CostStatus

DAY_MS = 24 * HOUR_MS


def cost(nano: int, status: CostStatus = CostStatus.PRICED) -> Cost:
    return Cost(status, CostSource.CATALOGUE, nano, nano - 3, 2, 1, 0, 0)


def call(days_ago: float = 0, team: str | None = "search", nano: int = 100, **parts: Any) -> Any:
    who = {"team": team, **parts.pop("who", {})}
    return record(ms=STARTED_MS - int(days_ago * DAY_MS) - 1000, who=who, **{"cost": cost(nano), **parts})


async def test_totals_groups_and_series_add_up(database: str) -> None:
    await written(
        database,
        [
            call(team="search", nano=500),
            call(1, team="search", nano=300),
            call(1, team="sales", nano=200, what={"model": "o3"}, answer={"model": "o3"}),
            call(2, team=None, nano=50),
            call(2, team="ops", nano=7, cost=cost(7, CostStatus.ESTIMATED)),
            call(2, team="ops", cost=UNPRICED),
        ],
    )
    async with analytics(database) as ask:
        found = await ask("/costs", period="7d", group_by="team", limit=2)
    assert found["total"]["calls"] == 6
    assert found["total"]["cost"] == {"usd": "0.000001057", "nano_usd": 1057}
    assert found["total"]["estimated_calls"] == 1
    assert found["total"]["estimated_cost"]["nano_usd"] == 7
    assert found["total"]["unpriced_calls"] == 1
    assert [(one["key"], one["cost"]["nano_usd"]) for one in found["groups"]] == [
        ({"team": "search"}, 800),
        ({"team": "sales"}, 200),
    ]
    assert found["groups"][0]["share_ppm"] == 756859
    assert (found["other"]["groups"], found["other"]["calls"], found["other"]["cost"]["nano_usd"]) == (
        2,
        3,
        57,
    )
    components = found["total"]["components"]
    assert sum(part["nano_usd"] for part in components.values()) == 1057
    assert [(one["begin"], one["total"]["cost"]["nano_usd"]) for one in found["series"]] == [
        ("2026-11-16T00:00:00+00:00", 57),
        ("2026-11-17T00:00:00+00:00", 500),
        ("2026-11-18T00:00:00+00:00", 500),
    ]
    for point in found["series"]:
        parts = [*point["groups"], point["other"]]
        assert sum(part["calls"] for part in parts) == point["total"]["calls"]
        assert sum(part["cost"]["nano_usd"] for part in parts) == point["total"]["cost"]["nano_usd"]


async def test_the_period_before_is_as_long_and_ends_at_the_same_time_of_day(database: str) -> None:
    await written(
        database,
        [
            call(nano=300),
            call(7, nano=200),  # as far into that day as now
            call(6.9, nano=1000),  # later on that day: in neither
            call(13.4, nano=10),  # its first day
            call(14, nano=5000),  # the day before that
        ],
    )
    async with analytics(database) as ask:
        found = await ask("/costs", period="7d", group_by="model")
        alone = await ask("/costs", period="7d", compare="false")
    assert found["total"]["cost"]["nano_usd"] == 300
    assert found["previous"]["cost"]["nano_usd"] == 210
    assert found["change"] == {
        "calls": -1,
        "calls_ppm": -500000,
        "cost": {"usd": "0.00000009", "nano_usd": 90},
        "cost_ppm": 428571,
    }
    assert found["groups"][0]["change"] == found["change"]
    assert alone["previous"] is None
    assert alone["change"] is None


async def test_days_are_those_of_the_time_zone(database: str) -> None:
    # 2026-11-17 23:06 UTC is the 18th in Berlin
    await written(database, [call(12 / 24, nano=1), call(nano=2)])
    async with analytics(database) as ask:
        utc = await ask("/costs", period="7d")
        berlin = await ask("/costs", period="7d", tz="Europe/Berlin")
    assert [one["total"]["cost"]["nano_usd"] for one in utc["series"]] == [1, 2]
    assert [(one["begin"], one["total"]["cost"]["nano_usd"]) for one in berlin["series"]] == [
        ("2026-11-18T00:00:00+01:00", 3)
    ]


async def test_filters_narrow_and_an_empty_one_means_not_set(database: str) -> None:
    await written(
        database,
        [call(team="search", nano=1), call(team=None, nano=2), call(team="ops", nano=4, who={"user": "eve"})],
    )
    async with analytics(database) as ask:

        async def nano(**filters: Any) -> int:
            return int((await ask("/costs", **filters))["total"]["cost"]["nano_usd"])

        assert await nano(team="") == 2
        assert await nano(team=["search", "ops"]) == 5
        assert await nano(team=["search", ""]) == 3
        assert await nano(user="eve") == 4
        assert await nano(outcome_class="ok") == 7
        assert await nano(outcome="completed", session="") == 7
        assert await nano(outcome_class="failed") == 0
        assert await nano(team="nobody") == 0


async def test_a_reader_sees_its_own_calls_alone(database: str) -> None:
    await written(
        database,
        [
            call(team="search", nano=1),
            call(team="ops", nano=2),
            call(team="search", nano=4, who={"tenant": "beta"}),
            call(team="search", nano=8, who={"user": "eve"}),
        ],
    )
    viewers = {
        "acme": Viewer("acme", tenant="acme"),
        "team": Viewer("team", tenant="acme", team="search"),
        "eve": Viewer("eve", tenant="acme", user="eve"),
        "beta": Viewer("beta", tenant="beta"),
    }
    expected = {"acme": 11, "team": 9, "eve": 8, "beta": 4, "": 15}
    async with analytics(database, viewers=viewers) as ask:
        for token, nano in expected.items():
            found = await ask("/costs", token=token, group_by="tenant,team")
            assert found["total"]["cost"]["nano_usd"] == nano
            asked = await ask("/costs", token=token, tenant="beta")
            assert asked["total"]["cost"]["nano_usd"] == (4 if token in ("", "beta") else 0)


@pytest.mark.parametrize(
    ("params", "param", "allowed"),
    [
        ({"period": "31d"}, "period", ["24h", "7d", "30d", "90d", "custom"]),
        ({"group_by": "colour"}, "group_by", None),
        ({"group_by": "team,team"}, "group_by", None),
        ({"group_by": "team,model,user"}, "group_by", None),
        ({"bucket": "week"}, "bucket", ["hour", "day"]),
        ({"outcome_class": "good"}, "outcome_class", None),
        ({"model": "gpt-5o-mini"}, "model", ["gpt-4o-mini-2024-07-18"]),
        ({"period": "custom"}, "since", None),
        ({"period": "7d", "since": "2026-11-01"}, "since", None),
        ({"since": "2026-11-02", "until": "2026-11-01"}, "until", None),
        ({"since": "2026-11-02", "until": "2026-11-02"}, "until", None),
        ({"since": "2024-01-01"}, "since", None),
        ({"since": "0001-01-01", "tz": "Asia/Tokyo"}, "since", None),
        ({"since": "9999-12-31", "tz": "America/New_York"}, "since", None),
        ({"since": "yesterday"}, "since", None),
        ({"tz": "Europe/Berlinn"}, "tz", None),
        ({"tz": "../etc/passwd"}, "tz", None),
        ({"bucket": "hour", "period": "90d"}, "bucket", None),
        ({"session": "s", "period": "90d"}, "period", None),
        ({"limit": "0"}, "limit", None),
        ({"colour": "red"}, "colour", None),
        ({"period": ["7d", "30d"]}, "period", None),
    ],
)
async def test_what_cannot_be_asked_is_named(
    sqlite: str, params: dict[str, Any], param: str, allowed: list[str] | None
) -> None:
    await written(sqlite, [call()])
    async with analytics(sqlite) as ask:
        error = (await ask("/costs", status=400, **params))["error"]
    assert error["param"] == param
    if allowed is not None:
        assert error["allowed"] == allowed
