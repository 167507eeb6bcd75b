"""Forecast, anomalies, recommendations and scores as the API tells them of known calls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from rig.analytics import NOW, analytics, judged
from rig.ledger import STARTED_MS, record
from rig.rollups import HOUR_MS, written

from gateway.api.viewer import Viewer
from pricing.cost import Cost, CostSource, CostStatus
from pricing.usage import Usage
from telemetry.outcome import Outcome
from telemetry.quality import Opinion, Scale, Source
from telemetry.record import CallRecord

DAY_MS = 24 * HOUR_MS
UP, DOWN = (Opinion(Source.USER, Scale.THUMBS, ppm) for ppm in (1_000_000, 0))


def call(days_ago: float, nano: int, **parts: Any) -> CallRecord:
    priced = Cost(CostStatus.PRICED, CostSource.CATALOGUE, nano, nano // 2, nano - nano // 2, 0, 0, 0)
    return record(ms=STARTED_MS - int(days_ago * DAY_MS), **{"cost": priced, **parts})


def weeks(days: int, team: str = "search") -> Iterator[CallRecord]:
    """Workdays cost ten times what weekends do."""
    for ago in range(days):
        weekday = (NOW - timedelta(days=ago)).weekday()
        yield call(ago, 100_000 if weekday > 4 else 1_000_000, who={"team": team})


async def test_a_forecast_knows_the_days_of_the_week(database: str) -> None:
    await written(database, list(weeks(60)))
    viewers = {"ops": Viewer("ops", tenant="acme", team="ops")}
    async with analytics(database, viewers=viewers) as ask:
        told = (await ask("/costs", period="24h"))["forecast"]
        assert (await ask("/costs", token="ops"))["forecast"] is None
        assert (await ask("/costs", forecast="false"))["forecast"] is None
        assert (await ask("/costs", session=""))["forecast"] is None
    assert (told["method"], told["history_days"], told["confidence_ppm"]) == ("seasonal", 59, 800_000)
    days = {day["day"]: day["expected"]["nano_usd"] for day in told["days"]}
    assert len(days) == 30
    assert (days["2026-11-18"], days["2026-11-20"], days["2026-11-21"]) == (1_000_000, 1_000_000, 100_000)
    month = told["outlooks"][0]
    assert (month["until"], month["last_day"]) == ("month", "2026-11-30")
    # 1 to 17 November: 12 workdays; today is spent as foretold; 19 to 30: 8 workdays and 4 others
    assert month["spent"]["nano_usd"] == 13_000_000 + 5 * 100_000
    assert month["expected"]["nano_usd"] == 13_500_000 + 8_000_000 + 400_000
    assert month["low"]["nano_usd"] <= month["expected"]["nano_usd"] <= month["high"]["nano_usd"]
    assert told["outlooks"][2]["last_day"] == "2026-12-31"


async def test_spend_beyond_what_was_foretold_is_in_the_outlook(sqlite: str) -> None:
    await written(sqlite, [*weeks(60), call(0, 10**12)])
    async with analytics(sqlite) as ask:
        month = (await ask("/costs"))["forecast"]["outlooks"][0]
    assert month["low"]["nano_usd"] >= month["spent"]["nano_usd"] > 10**12
    # and the days after it still cost what they were expected to: 19 to 30 November
    assert month["expected"]["nano_usd"] - month["spent"]["nano_usd"] == 8_000_000 + 400_000


async def test_a_day_that_does_not_fit_is_found(database: str) -> None:
    quiet = list(weeks(80, "ops"))
    await written(database, [*weeks(80), *quiet, call(4, 5_000_000), call(40, 9_000_000)])
    async with analytics(database) as ask:
        found = await ask("/anomalies", period="30d")
        by_team = await ask("/anomalies", period="30d", group_by="team")
        by_key = await ask("/anomalies", period="7d", group_by="team,key_id")
        calls = await ask("/anomalies", period="30d", measure="calls")
        long = await ask("/anomalies", period="90d", tz="Asia/Kolkata")
    [one] = found["anomalies"]
    assert one["begin"] == "2026-11-14T00:00:00+00:00"
    assert (one["direction"], one["key"], one["total"]["calls"]) == ("high", {}, 3)
    assert one["value"] == {"value": 5_200_000, "money": {"usd": "0.0052", "nano_usd": 5_200_000}}
    assert one["expected"]["value"] == 200_000
    assert found["series"] == 1
    assert [(one["key"], one["value"]["value"]) for one in by_team["anomalies"]] == [
        ({"team": "search"}, 5_100_000)
    ]
    assert by_team["series"] == 2
    # Calls are read for this one: a month of them, not three.
    assert (by_key["compared_since"], len(by_key["anomalies"])) == ("2026-10-18T00:00:00+00:00", 1)
    assert calls["measure"] == "calls"
    assert [one["begin"] for one in long["anomalies"]] == [
        "2026-11-14T00:00:00+05:30",
        "2026-10-09T00:00:00+05:30",
    ]


async def test_an_hour_that_does_not_fit_is_found(sqlite: str) -> None:
    hours = [call(hour / 24 + 0.001, 1000) for hour in range(24 * 15)]
    await written(sqlite, [*hours, *[call(3.5 / 24, 1000) for _ in range(40)]])
    async with analytics(sqlite) as ask:
        for zone, begin in (
            ("UTC", "2026-11-18T07:00:00+00:00"),
            ("Asia/Kolkata", "2026-11-18T12:30:00+05:30"),
        ):
            found = await ask("/anomalies", period="24h", measure="calls", tz=zone)
            assert [(one["begin"], one["value"]["value"]) for one in found["anomalies"]] == [(begin, 41)]
            assert found["anomalies"][0]["value"]["money"] is None


async def test_a_cheaper_model_of_equal_quality_is_recommended(database: str) -> None:
    def answer(model: str, number: int, nano: int) -> CallRecord:
        return call(
            number / 100,
            nano,
            who={"feature": "chat"},
            what={"model": model},
            answer={"model": model},
            usage=Usage(1000, 100),
        )

    dear = [answer("maxi", number, 200_000_000) for number in range(100)]
    cheap = [answer("mini", number, 20_000_000) for number in range(100)]
    await written(database, [*dear, *cheap])
    await judged(database, [(one, UP) for one in (*dear, *cheap)])
    viewers = {"beta": Viewer("beta", tenant="beta")}
    async with analytics(database, viewers=viewers) as ask:
        found = await ask("/recommendations", period="30d", tenant="acme")
        many = [f"name-{number}" for number in range(97)]
        named = {
            "team": ["search", "search", *many],
            "provider": ["openai", *many],
            "feature": ["chat", *many],
        }
        several = await ask("/recommendations", period="30d", **named)
        nothing = await ask("/recommendations", token="beta")
        error = (await ask("/recommendations", status=400, session="s"))["error"]
    first = found["recommendations"][0]
    assert (first["kind"], first["subject"]) == ("cheaper_model", "chat/maxi")
    assert first["evidence"]["judged"] == 100
    assert first["evidence"]["cost_nano"] == 100 * 200_000_000
    # 100 calls at 0.2 USD or at 0.02, in the 29 days that are over
    assert first["saving_30_days"]["nano_usd"] == 18_000_000_000 * 30 // 29
    assert 500_000 < first["confidence_ppm"] <= 1_000_000
    assert found["total"]["calls"] == 200
    assert several == found
    assert nothing["recommendations"] == []
    assert error["param"] == "session"
    assert "team" in error["allowed"]


async def test_scores_of_apps_by_their_parts(database: str) -> None:
    good = [call(number / 50, 1000, who={"feature": "good"}, usage=Usage(100, 20)) for number in range(30)]
    bad = [
        call(
            number / 50,
            1000,
            who={"feature": "bad"},
            usage=Usage(100, 20),
            outcome=Outcome.TIMEOUT if number % 2 else Outcome.COMPLETED,
        )
        for number in range(30)
    ]
    few = [call(0, 10, who={"feature": "few"})]
    await written(database, [*good, *bad, *few])
    await judged(database, [(one, UP) for one in good[:25]])
    async with analytics(database) as ask:
        found = await ask("/health-score", period="7d")
        by_model = await ask("/health-score", period="7d", by="model", limit=1)
    apps = {one["key"]["feature"]: one for one in found["apps"]}
    assert {part["part"]: part["score"] for part in apps["good"]["parts"]} == {
        "errors": 100,
        "quality": 100,
        "cost": 100,
    }
    assert apps["good"]["score"] == 100
    assert {part["part"]: part["score"] for part in apps["bad"]["parts"]} == {"errors": 0, "cost": 0}
    assert (apps["bad"]["score"], apps["bad"]["failed"]) == (0, 15)
    assert apps["few"]["parts"] == [{"part": "cost", "score": 100, "weight": 10, "value_ppm": 0}]
    assert 0 < found["overall"]["score"] < 100
    assert (found["overall"]["calls"], found["overall"]["judged_calls"]) == (61, 25)
    assert (len(by_model["apps"]), by_model["more_apps"]) == (1, 0)


@pytest.mark.parametrize(
    ("path", "params", "param"),
    [
        ("/anomalies", {"measure": "beauty"}, "measure"),
        ("/anomalies", {"group_by": "team,model,user"}, "group_by"),
        ("/health-score", {"by": "colour"}, "by"),
        ("/recommendations", {"limit": "0"}, "limit"),
        ("/costs", {"forecast": "maybe"}, "forecast"),
    ],
)
async def test_what_insights_cannot_be_asked_is_named(
    sqlite: str, path: str, params: dict[str, str], param: str
) -> None:
    async with analytics(sqlite) as ask:
        assert (await ask(path, status=400, **params))["error"]["param"] == param
