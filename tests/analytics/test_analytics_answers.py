"""What the overview, models, performance, sessions and the last hour tell of a few known calls."""

from __future__ import annotations

from typing import Any

import pytest
from rig.analytics import analytics, judged
from rig.ledger import STARTED_MS, record
from rig.rollups import HOUR_MS, written

from gateway.api.viewer import Viewer
from pricing.cost import UNPRICED, Cost, CostSource, CostStatus
from pricing.usage import Usage
from telemetry.outcome import Outcome
from telemetry.quality import Opinion, Scale, Source
from telemetry.record import CallRecord

DAY_MS = 24 * HOUR_MS
MINUTE_MS = 60_000
UP, DOWN = (Opinion(Source.USER, Scale.THUMBS, ppm) for ppm in (1_000_000, 0))


def call(minutes_ago: float = 0, model: str = "gpt-4o", nano: int = 1000, **parts: Any) -> CallRecord:
    priced = Cost(CostStatus.PRICED, CostSource.CATALOGUE, nano, nano, 0, 0, 0, 0)
    given = {
        "what": {"model": model, **parts.pop("what", {})},
        "answer": {"model": model, **parts.pop("answer", {})},
        "cost": priced,
        "usage": Usage(100, 20, 40),
    }
    return record(ms=STARTED_MS - int(minutes_ago * MINUTE_MS) - 1000, **{**given, **parts})


def failing(minutes_ago: float, outcome: Outcome, status: int | None = None) -> CallRecord:
    return call(minutes_ago, outcome=outcome, answer={"status": status}, cost=UNPRICED, usage=None)


async def test_a_period_at_a_glance(database: str) -> None:
    await written(
        database,
        [
            call(nano=4000, baseline_nano=10_000, who={"user": "ada", "session": "s1"}),
            call(60, nano=2000, who={"user": "eve", "session": "s1"}),
            call(26 * 60, "o3", nano=1000, who={"user": "ada", "session": "s2"}),
            failing(5, Outcome.PROVIDER_ERROR, 529),
            failing(5, Outcome.TIMEOUT),
            failing(5, Outcome.CANCELLED, 200),
            failing(5, Outcome.REFUSED, 402),
            call(8 * 24 * 60, nano=3500),
        ],
    )
    async with analytics(database) as ask:
        found = await ask(period="7d")
    total = found["total"]
    assert (total["calls"], total["cost"]["nano_usd"], total["unpriced_calls"]) == (7, 7000, 4)
    assert total["outcomes"] == {
        "ok": 3,
        "provider_error": 1,
        "client_cancelled": 1,
        "failed": 1,
        "refused": 1,
    }
    assert (total["errors"], total["error_rate_ppm"]) == (2, 285714)
    assert {kind: n for kind, n in total["errors_by_kind"].items() if n} == {"server": 1, "timeout": 1}
    assert total["tokens"] == {
        "input": 300,
        "output": 60,
        "cache_read": 120,
        "cache_write": 0,
        "reasoning": 0,
    }
    assert (total["cache_hits"], total["cache_read_ppm"]) == (3, 400_000)
    assert total["mean_cost_per_call"]["nano_usd"] == 2333
    assert total["mean_overhead_us"] == 180
    assert total["savings"] == {
        "compared_calls": 1,
        "baseline": {"usd": "0.00001", "nano_usd": 10_000},
        "cost": {"usd": "0.000004", "nano_usd": 4000},
        "saved": {"usd": "0.000006", "nano_usd": 6000},
        "saved_ppm": 600_000,
    }
    assert found["previous"]["cost"]["nano_usd"] == 3500
    assert found["change"]["cost_ppm"] == 1_000_000
    assert found["people"] == {"users": 2, "sessions": 2, "sessions_exact": True}
    assert [(one["model"], one["share_ppm"]) for one in found["models"]] == [
        ("gpt-4o", 857143),
        ("o3", 142857),
    ]
    assert found["speed"]["duration_us"]["samples"] == 7
    assert [point["calls"] for point in found["series"]] == [1, 6]
    assert found["quality"]["judged_calls"] == 0


async def test_models_side_by_side_with_what_was_said_of_them(database: str) -> None:
    cheap = [call(number, "mini", nano=100, timing={"duration_us": 100_000}) for number in range(4)]
    dear = [call(number, "maxi", nano=900, timing={"duration_us": 900_000}) for number in range(2)]
    await written(database, [*cheap, *dear, failing(3, Outcome.CONNECT_FAILED)])
    await judged(database, [(cheap[0], UP), (cheap[1], DOWN), (dear[0], UP)])
    async with analytics(database) as ask:
        found = await ask("/models", period="24h")
        filtered = await ask("/models", period="24h", outcome_class="ok")
    maxi, mini, failed = found["models"]
    assert (maxi["model"], mini["model"], failed["model"]) == ("maxi", "mini", "gpt-4o")
    assert (maxi["calls_share_ppm"], maxi["cost_share_ppm"]) == (285714, 818182)
    assert mini["cost_per_1000_calls"]["nano_usd"] == 100_000
    assert mini["cost_per_million_tokens"]["nano_usd"] == 400 * 1_000_000 // 480
    assert abs(maxi["speed"]["duration_us"]["p50"] - 900_000) < 900_000 * 0.013
    assert maxi["speed"]["duration_us"]["samples"] == 2
    assert failed["errors_by_kind"]["connection"] == 1
    assert failed["cost_per_1000_calls"]["nano_usd"] is None
    assert mini["quality"]["satisfaction"]["ppm"] == 500_000
    assert mini["quality"]["cost_per_good_answer"]["nano_usd"] == 200
    assert (mini["quality"]["good"]["samples"], mini["quality"]["good"]["low_ppm"] > 0) == (2, True)
    assert maxi["quality"]["good"]["ppm"] == 1_000_000
    assert filtered["models"][0]["quality"] is None


async def test_people_of_a_long_period_are_counted_by_what_the_sums_know(database: str) -> None:
    await written(database, [call(60 * 24 * 50, who={"user": "ada"}), call(who={"user": "eve"})])
    async with analytics(database) as ask:
        assert (await ask(period="90d", team="search"))["people"]["users"] == 2
        assert (await ask(period="90d", provider="openai"))["people"]["users"] == 2
        assert (await ask(period="30d", provider="openai"))["people"]["users"] == 1
        assert (await ask("/users", period="90d", provider="openai"))["active"]["period"] == 2
        for path in ("", "/sessions", "/users"):
            error = (await ask(path, status=400, period="90d", app="x", provider="openai"))["error"]
            assert (error["code"], error["param"]) == ("range_too_long", "period")
            assert error["message"].startswith("app: ")


async def test_a_period_and_its_models_are_cut_into_groups(database: str) -> None:
    calls = [
        call(1, "mini", nano=100, who={"team": "search"}),
        call(2, "mini", nano=200, who={"team": "ops"}),
        call(3, "maxi", nano=900, who={"team": "search"}),
    ]
    await written(database, [*calls, failing(3, Outcome.TIMEOUT)])
    await judged(database, [(calls[0], UP), (calls[1], DOWN)])
    async with analytics(database) as ask:
        found = await ask(period="24h", group_by="team,model", limit=2)
        models = await ask("/models", period="24h", group_by="team,model")
        plain = await ask("/models", period="24h")
    assert [(one["key"], one["cost"]["nano_usd"], one["share_ppm"]) for one in found["groups"]] == [
        ({"team": "search", "model": "maxi"}, 900, 750_000),
        ({"team": "ops", "model": "mini"}, 200, 166_667),
    ]
    assert (found["other"]["groups"], found["other"]["calls"], found["other"]["cost"]["nano_usd"]) == (
        2,
        2,
        100,
    )
    assert [(one["model"], one["key"]["team"], one["cost"]["nano_usd"]) for one in models["models"]][:3] == [
        ("maxi", "search", 900),
        ("mini", "ops", 200),
        ("mini", "search", 100),
    ]
    good = [one["quality"]["good"]["ppm"] for one in models["models"]]
    assert good == [None, 0, 1_000_000, None]
    assert models["total"] == plain["total"]
    assert [one["key"] for one in plain["models"]] == [{}] * 3


async def test_what_routers_decided_and_whether_it_was_good(database: str) -> None:
    def routed(policy: str | None, reason: str | None, sure: int | None, **parts: Any) -> CallRecord:
        route = {"policy": policy, "reason": reason, "confidence_ppm": sure}
        return call(**{"route": route, "baseline_nano": 3000, **parts})

    sure = [routed("cheapest", "short", 950_000, minutes_ago=number) for number in range(3)]
    unsure = [
        routed("cheapest", "short", 310_000),
        routed("cheapest", "code", 390_000, model="o3", nano=5000),
    ]
    await written(
        database,
        [*sure, *unsure, routed("best", None, None), routed(None, "forced", 1_000_000), call(), call()],
    )
    await judged(database, [(sure[0], UP), (sure[1], UP), (unsure[0], DOWN), (unsure[1], UP)])
    viewers = {"beta": Viewer("beta", tenant="beta")}
    async with analytics(database, viewers=viewers) as ask:
        found = await ask("/router", period="7d")
        best = await ask("/router", period="7d", route_policy="best")
        short = await ask("/router", period="7d", limit=1)
        nothing = await ask("/router", token="beta")
        read = await ask("/router", period="7d", session="")
    total = found["total"]
    assert (total["calls"], found["routed_share_ppm"]) == (7, 777_778)
    assert total["savings"]["saved"]["nano_usd"] == 7 * 3000 - 6 * 1000 - 5000
    assert (total["confidence_samples"], total["mean_confidence_ppm"]) == (6, 758_333)
    assert [(one["policy"], one["calls"]) for one in found["policies"]] == [
        ("cheapest", 5),
        (None, 1),
        ("best", 1),
    ]
    assert [(one["policy"], one["reason"], one["calls"]) for one in found["reasons"]][:2] == [
        ("cheapest", "short", 4),
        (None, "forced", 1),
    ]
    assert (found["models"][0]["policy"], found["models"][0]["model"]) == ("cheapest", "gpt-4o")
    bands = {one["from_ppm"]: one for one in found["bands"] if one["calls"]}
    assert {start: one["calls"] for start, one in bands.items()} == {300_000: 2, 900_000: 4, None: 1}
    assert (bands[900_000]["accuracy"]["ppm"], bands[900_000]["accuracy"]["samples"]) == (1_000_000, 2)
    assert bands[300_000]["accuracy"]["ppm"] == 500_000
    assert bands[300_000]["savings"]["saved"]["nano_usd"] == 0
    assert best["total"]["calls"] == 1
    assert best["bands"][9]["accuracy"]["samples"] == 0
    assert (short["other_reasons"]["lines"], short["other_reasons"]["calls"]) == (3, 3)
    assert nothing["total"]["calls"] == 0
    assert read["period"]["source"] == "calls"
    assert read["bands"][9]["accuracy"] is None
    assert read["total"] == total


async def test_performance_over_time_and_by_group(database: str) -> None:
    await written(
        database,
        [
            call(5, timing={"duration_us": 2_000_000, "first_chunk_us": 500_000, "overhead_us": 300}),
            call(65, timing={"duration_us": 4_000_000, "first_chunk_us": 600_000, "overhead_us": 100}),
            call(65, "o3", what={"stream": False}, timing={"duration_us": 1_000_000}),
            failing(65, Outcome.PROVIDER_ERROR, 429),
            call(25 * 60, timing={"duration_us": 8_000_000}),
        ],
    )
    async with analytics(database) as ask:
        found = await ask("/performance", period="24h", group_by="model", limit=1)
    total = found["total"]
    assert (total["calls"], total["streams"], total["errors"]) == (4, 3, 1)
    assert total["errors_by_kind"]["rate_limited"] == 1
    assert total["mean_overhead_us"] == (300 + 100 + 180 + 180) // 4
    assert total["speed"]["ttft_us"]["samples"] == 3
    # 20 tokens in 1.5 s, and in 3.4 s
    assert total["mean_tokens_per_1000_s"] == round(40 / 4.9 * 1000)
    assert found["previous"]["mean_duration_us"] == 8_000_000
    assert [(one["key"], one["calls"]) for one in found["groups"]] == [({"model": "gpt-4o"}, 3)]
    assert (found["other"]["groups"], found["other"]["mean_duration_us"]) == (1, 1_000_000)
    assert [(point["begin"], point["calls"]) for point in found["series"]] == [
        ("2026-11-18T10:00:00+00:00", 3),
        ("2026-11-18T11:00:00+00:00", 1),
    ]


async def test_sessions_by_name_and_in_number(database: str) -> None:
    def said(session: str | None, minutes_ago: float, nano: int, **who: str) -> CallRecord:
        return call(minutes_ago, nano=nano, who={"session": session, **who})

    await written(
        database,
        [
            said("long", 30 * 60, 10),
            said("long", 20, 10),
            said("long", 10, 10, user="eve"),
            said("dear", 40, 5000),
            said("new", 1, 1, team="ops"),
            said(None, 1, 7),
            said("other", 1, 1, tenant="beta"),
        ],
    )
    viewers = {"ops": Viewer("ops", tenant="acme", team="ops")}
    async with analytics(database, viewers=viewers) as ask:
        found = await ask("/sessions", period="7d", tenant="acme")
        by_cost = await ask("/sessions", period="7d", order="cost", limit=1)
        mine = await ask("/sessions", token="ops")
    assert (found["sessions"], found["sessions_exact"]) == (3, True)
    assert (found["total"]["calls"], found["total"]["cost"]["nano_usd"]) == (6, 10 * 3 + 5000 + 1 + 7)
    assert found["days"] == [
        {"day": "2026-11-17", "sessions": 1, "exact": True},
        {"day": "2026-11-18", "sessions": 3, "exact": True},
    ]
    assert [(one["session"], one["calls"], one["cost"]["nano_usd"]) for one in found["items"]] == [
        ("new", 1, 1),
        ("long", 3, 30),
        ("dear", 1, 5000),
    ]
    long = found["items"][1]
    assert long["users"] == ["ada", "eve"]
    assert long["length_us"] == (30 * 60 - 10) * 60 * 1_000_000
    assert found["lately"]["calls"] == 6
    assert found["lately"]["calls_per_session"] == {"p50": 1, "p95": 3}
    assert found["lately"]["cost_per_session"]["p50"]["nano_usd"] == 30
    assert [one["session"] for one in by_cost["items"]] == ["dear"]
    assert [one["session"] for one in mine["items"]] == ["new"]
    assert mine["sessions"] == 1
    assert (mine["lately"]["calls"], mine["lately"]["since"]) == (1, mine["items"][0]["first_call_at"])


@pytest.mark.parametrize("scope", [{"team": "ops"}, {"user": "eve"}, {"tenant": "acme", "user": "eve"}])
async def test_a_reader_does_not_learn_how_many_calls_others_make(
    database: str, scope: dict[str, str]
) -> None:
    mine = call(5, who={"team": "ops", "user": "eve", "session": "mine"})
    await written(database, [mine, *(call(minute) for minute in range(40))])
    async with analytics(database, viewers={"reader": Viewer("reader", **scope)}) as ask:
        lately = (await ask("/sessions", token="reader"))["lately"]
    assert (lately["calls"], lately["since"]) == (1, "2026-11-18T11:01:39.000000Z")


async def test_the_last_hour_by_the_minute(database: str) -> None:
    await written(
        database,
        [
            call(0, nano=5),
            call(0.5, nano=6),
            call(58, "o3", nano=7, timing={"overhead_us": 1000}),
            call(61, nano=8),
            failing(2, Outcome.TIMEOUT),
            call(-30, nano=9),  # of a machine whose clock is ahead
        ],
    )
    viewers = {"beta": Viewer("beta", tenant="beta")}
    async with analytics(database, viewers=viewers) as ask:
        found = await ask("/realtime")
        nothing = await ask("/realtime", token="beta")
        assert (await ask("/realtime", status=400, period="7d"))["error"]["param"] == "period"
    assert found["since"] == "2026-11-18T10:07:00+00:00"
    assert (found["total"]["calls"], found["total"]["cost"]["nano_usd"]) == (5, 27)
    assert found["errors_by_kind"]["timeout"] == 1
    assert len(found["series"]) == 60
    calls = {point["begin"][11:16]: point["calls"] for point in found["series"] if point["calls"]}
    assert calls == {"10:08": 1, "11:04": 1, "11:06": 3}
    assert [one["model"] for one in found["models"]] == ["gpt-4o", "o3"]
    assert found["overhead_us"]["samples"] == 5
    assert abs(found["overhead_us"]["p99"] - 1000) < 13
    assert nothing["total"]["calls"] == 0
    assert nothing["models"] == []
