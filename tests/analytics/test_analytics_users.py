"""Active, new and returning users against a plain count over the calls; who spends most."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rig.analytics import NOW, analytics
from rig.filling import fills_a_database
from rig.ledger import STARTED_MS, record
from rig.rollups import DAY_MS, emptied, engine_of, written
from sqlalchemy import delete, update

from gateway.api.viewer import Viewer
from storage.queries.calls import CALLS
from storage.rollups.compaction import compact
from storage.rollups.distinct import UNKNOWN_GROUP
from storage.rollups.rebuild import rebuild
from storage.rollups.tables import USERS
from storage.rollups.verify import verify
from telemetry.record import CallRecord

Visit = tuple[int, str, str]
"""Days ago, tenant, user."""


def call(days_ago: int, tenant: str = "acme", user: str | None = "ada", **who: Any) -> CallRecord:
    return record(ms=STARTED_MS - days_ago * DAY_MS - 1000, who={"tenant": tenant, "user": user, **who})


visit = st.tuples(st.integers(0, 45), st.sampled_from(["acme", "beta"]), st.sampled_from("abcdef"))
visits = st.lists(visit, max_size=40)


def expected(seen: list[Visit], length: int) -> dict[str, Any]:
    """The numbers for a period of so many days up to today, counted one by one."""
    days: dict[tuple[str, str], set[int]] = defaultdict(set)
    for ago, tenant, user in seen:
        days[tenant, user].add(-ago)
    first = 1 - length
    inside = {who: min(day for day in on if day >= first) for who, on in days.items() if max(on) >= first}
    new = {who: day for who, day in inside.items() if min(days[who]) >= first}
    daily = sum(sum(day > -30 for day in on) for on in days.values())
    back = {
        age: (
            sum(day + age <= 0 for day in new.values()),
            sum(day + age in days[who] for who, day in new.items()),
        )
        for age in (1, 7, 30)
    }
    return {
        "period": len(inside),
        "new": len(new),
        "dau": sum(0 in on for on in days.values()),
        "wau": sum(max(on) > -7 for on in days.values()),
        "mau": sum(max(on) > -30 for on in days.values()),
        "mean": round(daily * 1000 / 30 + 1e-9),
        "back": back,
        "active": [sum(day in on for on in days.values()) for day in range(first, 1)],
        "new_on": [sum(one == day for one in new.values()) for day in range(first, 1)],
    }


def told(found: dict[str, Any]) -> dict[str, Any]:
    active, retention = found["active"], found["retention"]
    return {
        **{name: active[name] for name in ("period", "new", "dau", "wau", "mau")},
        "mean": active["mean_dau_thousandths"],
        "back": {age: (retention[f"d{age}"]["samples"], retention[f"d{age}"]["back"]) for age in (1, 7, 30)},
        "active": [day["active"] for day in found["days"]],
        "new_on": [day["new"] for day in found["days"]],
    }


@fills_a_database(6)
@given(folded=visits, waiting=visits, period=st.sampled_from(["7d", "30d"]))
async def test_users_are_counted_as_one_by_one(
    database: str, folded: list[Visit], waiting: list[Visit], period: str
) -> None:
    await emptied(database)
    await written(database, [call(*visit) for visit in folded])
    async with engine_of(database) as engine:
        await compact(engine, NOW)
    await written(database, [call(*visit) for visit in waiting])
    wanted = expected(folded + waiting, int(period[:-1]))
    async with analytics(database) as ask:
        assert told(await ask("/users", period=period)) == wanted
        # The filter holds for all. The first is told by the groups noted by user, the second by the calls.
        assert told(await ask("/users", period=period, environment="")) == wanted
        assert told(await ask("/users", period=period, app="")) == wanted
        acme = expected([visit for visit in folded + waiting if visit[1] == "acme"], int(period[:-1]))
        assert told(await ask("/users", period=period, tenant="acme")) == acme


@fills_a_database(6)
@given(
    folded=st.lists(st.tuples(visit, st.sampled_from(["chat", "mail"])), max_size=30),
    waiting=st.lists(st.tuples(visit, st.sampled_from(["chat", "mail"])), max_size=20),
    old=st.lists(visit, max_size=4),
)
async def test_users_of_a_feature_are_counted_as_one_by_one(
    database: str, folded: list[tuple[Visit, str]], waiting: list[tuple[Visit, str]], old: list[Visit]
) -> None:
    long_ago = [((ago + 70, tenant, user), "chat") for ago, tenant, user in old]
    await emptied(database)
    await written(database, [call(*one, feature=feature) for one, feature in folded + long_ago])
    async with engine_of(database) as engine:
        await compact(engine, NOW)
    await written(database, [call(*one, feature=feature) for one, feature in waiting])
    every = folded + long_ago + waiting
    async with analytics(database) as ask:
        for feature in ("chat", "mail"):
            if not any(of == feature for _, of in every):
                continue
            found = await ask("/users", period="30d", feature=feature)
            assert told(found) == expected([one for one, of in every if of == feature], 30)
            acme = await ask("/users", period="30d", feature=feature, tenant="acme")
            mine = [one for one, of in every if of == feature and one[1] == "acme"]
            assert told(acme) == expected(mine, 30)
            inside = [one for one, of in every if of == feature and one[0] < 30]
            assert found["total"]["calls"] == len(inside)
            assert (found["top"], found["other"]) == (None, None)
            assert found["top_missing"]
            people = (await ask(period="30d", feature=feature))["people"]
            assert people["users"] == len({one[1:] for one in inside})


async def test_rows_that_do_not_know_their_groups_leave_it_to_the_calls_until_they_are_rebuilt(
    database: str,
) -> None:
    await written(database, [call(2, feature="chat"), call(1, user="eve", feature="mail")])
    async with engine_of(database) as engine:
        await compact(engine, NOW)
        async with engine.begin() as connection:
            await connection.execute(update(USERS).values(group_ids=UNKNOWN_GROUP, group_sessions=b""))
        assert (await verify(engine)).differences == ()
        async with analytics(database) as ask:
            before = await ask("/users", period="30d", feature="chat")
            glance = await ask(period="30d", feature="chat")
        assert (before["active"]["period"], glance["people"]["users"]) == (1, 1)
        await rebuild(engine)
        async with engine.begin() as connection:
            await connection.execute(delete(CALLS))
        async with analytics(database) as ask:
            assert await ask("/users", period="30d", feature="chat") == before
            assert (await ask(period="30d", feature="chat"))["people"] == glance["people"]


async def test_cohorts_say_null_where_the_day_has_not_come(sqlite: str) -> None:
    await written(sqlite, [call(9), call(8), call(2), call(1, user="eve"), call(0, user="eve")])
    async with analytics(sqlite) as ask:
        retention = (await ask("/users", period="30d"))["retention"]
    assert retention["cohorts"] == [
        {"day": "2026-11-09", "users": 1, "d1": 1, "d7": 1, "d30": None},
        {"day": "2026-11-17", "users": 1, "d1": 1, "d7": None, "d30": None},
    ]
    assert retention["d1"] == {"samples": 2, "back": 2, "ppm": 1_000_000}
    assert retention["d30"] == {"samples": 0, "back": 0, "ppm": None}


async def test_those_who_spend_most_come_first_and_all_add_up(database: str) -> None:
    await written(
        database,
        [
            call(0),
            call(1),
            call(1, user="eve"),
            call(2, tenant="beta"),
            call(2, user=None),
            call(40, user="old"),
        ],
    )
    async with analytics(database) as ask:
        found = await ask("/users", period="30d", limit=2)
    assert [(one["tenant"], one["user"], one["calls"]) for one in found["top"]] == [
        ("acme", "ada", 2),
        ("acme", None, 1),
    ]
    assert found["top"][0]["share_ppm"] == 400_000
    assert (found["other"]["users"], found["other"]["calls"]) == (2, 2)
    costs = [one["cost"]["nano_usd"] for one in (*found["top"], found["other"])]
    assert sum(costs) == found["total"]["cost"]["nano_usd"] == 5 * 250_000
    assert found["period"]["source"] == "user_days"


async def test_a_reader_sees_its_own_users_alone(database: str) -> None:
    await written(
        database,
        [call(0), call(0, user="eve", team="ops"), call(0, tenant="beta", user="bob"), call(3, user="eve")],
    )
    viewers = {
        "acme": Viewer("acme", tenant="acme"),
        "ops": Viewer("ops", tenant="acme", team="ops"),
        "eve": Viewer("eve", tenant="acme", user="eve"),
    }
    async with analytics(database, viewers=viewers) as ask:
        found = {token: await ask("/users", token=token) for token in ("acme", "ops", "eve")}
    assert {token: one["active"]["mau"] for token, one in found.items()} == {"acme": 2, "ops": 1, "eve": 1}
    assert [one["user"] for one in found["ops"]["top"]] == ["eve"]
    assert found["eve"]["active"]["mean_dau_thousandths"] == 67
    assert found["ops"]["active"]["new"] == 1


def test_the_clock_of_the_tests_is_on_a_known_day() -> None:
    assert NOW - timedelta(hours=11, minutes=6, seconds=40) == datetime(2026, 11, 18, tzinfo=UTC)
