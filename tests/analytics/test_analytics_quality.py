"""What was said of answers: by group, by day, against the days before, and which slices are worse than all others."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rig.analytics import analytics, judged
from rig.filling import fills_a_database
from rig.ledger import STARTED_MS, record
from rig.rollups import DAY_MS, emptied, written

from gateway.api.viewer import Viewer
from pricing.cost import UNPRICED, Cost, CostSource, CostStatus
from telemetry.quality import Opinion, Scale, Source
from telemetry.record import CallRecord

UP, DOWN = (Opinion(Source.USER, Scale.THUMBS, ppm) for ppm in (1_000_000, 0))
FIVE, ONE = (Opinion(Source.USER, Scale.STARS, ppm) for ppm in (1_000_000, 0))


def call(
    days_ago: int = 0,
    model: str = "mini",
    nano: int = 100,
    status: CostStatus = CostStatus.PRICED,
    **who: Any,
) -> CallRecord:
    cost = UNPRICED if nano < 0 else Cost(status, CostSource.CATALOGUE, nano, nano, 0, 0, 0, 0)
    named = {"model": model}
    ms = STARTED_MS - days_ago * DAY_MS - 1000
    return record(ms=ms, who={"user": "ada", **who}, what=named, answer=named, cost=cost)


async def test_groups_days_and_what_is_left_add_up(database: str) -> None:
    calls = [
        call(model="maxi", nano=900, feature="chat"),
        call(model="mini", nano=100, feature="chat"),
        call(1, model="mini", nano=50, feature="mail", status=CostStatus.ESTIMATED),
        call(1, model="nano", nano=-1, feature=None),
        call(8, model="mini", nano=70, feature="chat"),
    ]
    await written(database, calls)
    await judged(database, zip(calls, (UP, DOWN, FIVE, ONE, UP), strict=True))
    async with analytics(database) as ask:
        found = await ask("/quality", period="7d", group_by="model", limit=1)
        chat = await ask("/quality", period="7d", feature="chat", group_by="feature,model")
        alone = await ask("/quality", period="7d", compare="false")
    total = found["total"]
    assert (total["rated_calls"], total["good"]["ppm"], total["csat"]["ppm"]) == (4, 500_000, 500_000)
    assert (total["cost"]["nano_usd"], total["cost_samples"], total["judged_calls"]) == (1050, 3, 4)
    assert total["estimated_cost"]["nano_usd"] == 50
    assert total["cost_per_good_answer"] == {"usd": "0.000000525", "nano_usd": 525}
    assert [(one["key"], one["rated_calls"]) for one in found["groups"]] == [({"model": "mini"}, 2)]
    assert (found["other"]["groups"], found["other"]["rated_calls"]) == (2, 2)
    assert [(one["day"], one["rated_calls"]) for one in found["days"]] == [
        ("2026-11-17", 2),
        ("2026-11-18", 2),
    ]
    assert found["previous"]["rated_calls"] == 1
    assert found["period"] == {
        "since": "2026-11-12T00:00:00+00:00",
        "until": "2026-11-19T00:00:00+00:00",
        "tz": "UTC",
        "source": "verdicts",
    }
    assert [one["key"] for one in chat["groups"]] == [
        {"feature": "chat", "model": "maxi"},
        {"feature": "chat", "model": "mini"},
    ]
    assert alone["previous"] is None
    assert alone["groups"] == []


async def test_slices_that_are_worse_than_the_rest_are_named(database: str) -> None:
    good = [call(model="maxi", feature="chat", prompt_id="p", prompt_version="1") for _ in range(30)]
    bad = [call(model="mini", feature="chat", prompt_id="p", prompt_version="2") for _ in range(25)]
    await written(database, [*good, *bad])
    await judged(database, [*((one, UP) for one in good), *((one, DOWN) for one in bad)])
    async with analytics(database) as ask:
        found = await ask("/quality", period="7d")
        by_model = await ask("/quality", period="7d", group_by="model")
        too_few = await ask("/quality", period="7d", least_samples=26)
    assert [one["key"] for one in found["weak"]] == [
        {"model": "mini"},
        {"prompt_id": "p", "prompt_version": "2"},
    ]
    weak = found["weak"][0]
    assert (weak["satisfaction"]["samples"], weak["satisfaction"]["ppm"]) == (25, 0)
    assert (weak["elsewhere"]["samples"], weak["elsewhere"]["ppm"]) == (30, 1_000_000)
    assert weak["satisfaction"]["high_ppm"] < weak["elsewhere"]["low_ppm"]
    assert by_model["weak"] == [weak]
    assert too_few["weak"] == []


async def test_what_quality_is_not_kept_by_is_refused_with_what_it_is(sqlite: str) -> None:
    async with analytics(sqlite) as ask:
        for params, param in (
            ({"group_by": "user"}, "group_by"),
            ({"group_by": "outcome"}, "group_by"),
            ({"app": "bot"}, "app"),
            ({"outcome_class": "ok"}, "outcome_class"),
        ):
            error = (await ask("/quality", status=400, **params))["error"]
            assert error["param"] == param
            assert {"model", "feature", "prompt_version"} <= set(error["allowed"])
        error = (await ask("/quality", status=400, user=["ada", "eve"]))["error"]
        assert error["param"] == "user"


async def test_a_reader_sees_what_was_said_of_its_own_calls(database: str) -> None:
    calls = [call(team="search"), call(team="ops"), call(tenant="beta"), call(user="eve", team="search")]
    await written(database, calls)
    await judged(database, [(one, UP) for one in calls])
    viewers = {
        "acme": Viewer("acme", tenant="acme"),
        "search": Viewer("search", tenant="acme", team="search"),
        "eve": Viewer("eve", tenant="acme", user="eve"),
    }
    async with analytics(database, viewers=viewers) as ask:
        everything = await ask("/quality", period="7d")
        found = {token: await ask("/quality", token=token, group_by="tenant") for token in viewers}
    assert everything["total"]["rated_calls"] == 4
    assert {token: one["total"]["rated_calls"] for token, one in found.items()} == {
        "acme": 3,
        "search": 2,
        "eve": 1,
    }
    assert [one["key"] for one in found["acme"]["groups"]] == [{"tenant": "acme"}]


opinions = st.sampled_from([None, UP, DOWN, FIVE, ONE])
said = st.lists(
    st.tuples(
        st.integers(0, 9), st.sampled_from(["mini", "maxi"]), st.sampled_from(["chat", None]), opinions
    ),
    max_size=25,
)


@fills_a_database(6)
@given(told=said, model=st.sampled_from([None, "mini"]), limit=st.integers(1, 3))
async def test_groups_and_days_add_up_to_a_plain_count(
    database: str,
    told: list[tuple[int, str, str | None, Opinion | None]],
    model: str | None,
    limit: int,
) -> None:
    await emptied(database)
    calls = [call(ago, name, feature=feature) for ago, name, feature, _ in told]
    await written(database, [*calls, call(0, "mini")])
    pairs = [(one, opinion) for one, (*_, opinion) in zip(calls, told, strict=True) if opinion is not None]
    await judged(database, pairs)
    inside = [
        opinion for ago, name, _, opinion in told if opinion is not None and ago < 7 and model in (None, name)
    ]
    expected = (len(inside), sum(one.ppm > 0 for one in inside))
    async with analytics(database) as ask:
        asked = {} if model is None else {"model": model}
        found = await ask("/quality", period="7d", group_by="model,feature", limit=limit, **asked)

    def known(one: dict[str, Any]) -> tuple[int, int]:
        samples, ppm = one["satisfaction"]["samples"], one["satisfaction"]["ppm"] or 0
        return samples, round(samples * ppm / 1_000_000)

    def added(parts: list[dict[str, Any]]) -> tuple[int, int]:
        counts = [known(one) for one in parts]
        return sum(count for count, _ in counts), sum(good for _, good in counts)

    assert known(found["total"]) == expected
    assert added(found["days"]) == expected
    assert added([*found["groups"], *([found["other"]] if found["other"] else [])]) == expected
