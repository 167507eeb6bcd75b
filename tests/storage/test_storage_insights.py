"""Facts for insights: series without gaps, and what advice rests on, from the sums, the verdicts and the latest calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rig.ledger import STARTED_MS, record
from rig.rollups import written
from sqlalchemy.ext.asyncio import AsyncEngine

from pricing.cost import UNPRICED, Cost, CostSource, CostStatus
from pricing.usage import Usage
from storage.address import parse
from storage.engine import reading_engine, writing_engine
from storage.insights import advice
from storage.insights.advice import Adviser, idle_keys
from storage.insights.series import by_day, by_hour
from storage.quality.facts import facts_of
from storage.quality.keep import QualityLog, Rating
from storage.rollups.dimensions import Dimension
from storage.rollups.read import Reader
from storage.rollups.state import FORGOTTEN_MS, put
from storage.rollups.transactions import change, changing_engine
from storage.store import pending_row
from telemetry.insights.recommend import ModelUse, Unused
from telemetry.outcome import Outcome
from telemetry.quality import PPM, Opinion, Scale, Source
from telemetry.record import CallRecord

HOUR_MS = 3_600_000
NOW = datetime.fromtimestamp(STARTED_MS / 1000, UTC)
LATER = NOW + timedelta(minutes=1)
PERIOD = (NOW - timedelta(days=30), LATER)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    opened = reading_engine(parse(database, Path()))
    yield opened
    await opened.dispose()


def call(ago: timedelta = timedelta(), **parts: Any) -> CallRecord:
    """A call that long before :data:`NOW`."""
    return record(ms=STARTED_MS - int(ago / timedelta(milliseconds=1)), **parts)


def cost(nano: int) -> Cost:
    return Cost(CostStatus.PRICED, CostSource.CATALOGUE, nano, nano // 2, nano - nano // 2, 0, 0, 0)


async def test_an_hour_before_the_first_day_is_not_of_the_last(database: str, engine: AsyncEngine) -> None:
    """Where calls are no longer kept, half an hour before a midnight of Kolkata cannot be told from the half after."""
    today = NOW.date()
    before = datetime.combine(today - timedelta(days=6), time(18, 15), UTC)  # 23:45 of the day before, there
    await written(database, [call(NOW - before, cost=cost(7)), call(cost=cost(1))])
    changing = changing_engine(parse(database, Path()))
    async with change(changing) as connection:
        await put(connection, FORGOTTEN_MS, STARTED_MS)
    await changing.dispose()
    since, until = today - timedelta(days=5), today + timedelta(days=1)
    found = await by_day(Reader(engine), since, until, zone="Asia/Kolkata")
    assert found == {"cost_nano": [7, 0, 0, 0, 0, 1]}


async def test_days_without_calls_are_there_too(database: str, engine: AsyncEngine) -> None:
    days = [call(timedelta(days=ago), cost=cost(ago + 1)) for ago in (0, 0, 2, 5)]
    await written(database, days)
    today = NOW.date()
    found = await by_day(
        Reader(engine), today - timedelta(days=6), today + timedelta(days=1), measures=("calls", "cost_nano")
    )
    assert found == {"calls": [0, 1, 0, 0, 1, 0, 2], "cost_nano": [0, 6, 0, 0, 3, 0, 2]}


async def test_days_are_those_of_the_time_zone(database: str, engine: AsyncEngine) -> None:
    # 2026-10-25 has 25 hours in Berlin; the second call is in its last one, which UTC counts to the same day too.
    moments = [datetime(2026, 10, 24, 22, 30, tzinfo=UTC), datetime(2026, 10, 25, 22, 59, tzinfo=UTC)]
    await written(database, [record(ms=int(moment.timestamp() * 1000), cost=cost(5)) for moment in moments])
    reader, span = Reader(engine), (date(2026, 10, 24), date(2026, 10, 27))
    assert await by_day(reader, *span, zone="Europe/Berlin") == {"cost_nano": [0, 10, 0]}
    assert await by_day(reader, *span) == {"cost_nano": [5, 5, 0]}


async def test_hours_without_calls_are_there_too(database: str, engine: AsyncEngine) -> None:
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    ours = call(timedelta(hours=2), cost=cost(7), who={"team": "search"})
    others = call(timedelta(hours=2), cost=cost(9), who={"team": "ads"})
    await written(database, [ours, others])
    found = await by_hour(
        Reader(engine), hour - timedelta(hours=3), hour, where={Dimension.TEAM: ("search", None)}
    )
    assert found == {"cost_nano": [0, 7, 0]}


async def test_what_a_feature_did_with_a_model(database: str, engine: AsyncEngine) -> None:
    chat = {"feature": "chat", "session": "s1"}
    usage = Usage(1000, 200, 300)
    calls = [
        call(who=chat, usage=usage, cost=cost(100), what={"max_tokens": 900}),
        call(who={**chat, "prompt_id": "p"}, usage=usage, cost=cost(100), what={"max_tokens": 800}),
        call(
            who={**chat, "prompt_id": "p"}, usage=Usage(1000, 250), cost=UNPRICED, what={"max_tokens": 4000}
        ),
        call(who=chat, usage=usage, cost=cost(40), outcome=Outcome.TRUNCATED),
        call(who=chat, usage=None, cost=cost(1), outcome=Outcome.CANCELLED),
        call(who={**chat, "feature": "mail"}, usage=usage, cost=cost(70), what={"max_tokens": None}),
        call(timedelta(days=31), who=chat, usage=usage, cost=cost(1000)),
    ]
    await written(database, calls)
    await judge(database, calls[0], 1)
    await judge(database, calls[1], 0)
    facts = await Adviser(engine).facts(*PERIOD)
    assert facts.days == 30
    model = calls[0].answer.model
    assert model is not None
    chat_use, mail_use = facts.models
    assert chat_use == ModelUse(
        feature="chat",
        model=model,
        calls=5,
        failed=1,
        wasted_nano=40,
        input_tokens=4000,
        output_tokens=850,
        cache_read_tokens=900,
        priced_calls=4,
        cost_nano=241,
        cost_input_nano=120,
        cost_output_nano=121,
        judged=2,
        good=1,
        sampled=3,
        repeated=1,
        max_tokens=800,
        longest_tokens=250,
    )
    assert (mail_use.feature, mail_use.calls, mail_use.max_tokens, mail_use.judged) == ("mail", 1, None, 0)


async def judge(database: str, judged: CallRecord, good: int) -> None:
    writing = writing_engine(parse(database, Path()))
    log = QualityLog(writing, lambda: LATER)
    opinion = Opinion(Source.USER, Scale.THUMBS, good * PPM)
    await log.rate(facts_of(pending_row(judged)), Rating(opinion))
    await log.close()


async def test_facts_are_narrowed_to_what_a_viewer_may_see(database: str, engine: AsyncEngine) -> None:
    calls = [
        call(who={"team": team, "feature": feature, "user": user}, cost=cost(10))
        for team in ("search", "ads")
        for feature in ("chat", "mail")
        for user in ("ada", "bob")
    ]
    old = [
        call(timedelta(days=20), who={"team": team, "feature": f"old-{team}"}) for team in ("search", "ads")
    ]
    await written(database, [*calls, *old])
    for one in calls:
        await judge(database, one, 1)
    adviser = Adviser(engine)
    seen = await adviser.facts(
        NOW - timedelta(days=7), LATER, {Dimension.FEATURE: ("chat", "none")}, {"team": "search"}
    )
    assert [(one.feature, one.calls, one.judged, one.sampled) for one in seen.models] == [("chat", 2, 2, 2)]
    assert seen.features == ()
    seen = await adviser.facts(NOW - timedelta(days=7), LATER, None, {"team": "ads"})
    assert [one.feature for one in seen.models] == ["chat", "mail"]
    assert [one.name for one in seen.features] == ["old-ads"]
    own = await adviser.facts(NOW - timedelta(days=7), LATER, None, {"user_id": "ada"})
    assert [(one.feature, one.calls, one.judged, one.sampled) for one in own.models] == [
        ("chat", 2, 2, 2),
        ("mail", 2, 2, 2),
    ]


async def test_the_sample_is_of_the_latest_calls(
    database: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, "SAMPLE", 3)
    old = [call(timedelta(days=ago), who={"session": "s"}, what={"max_tokens": 1}) for ago in (6, 5, 4)]
    new = [call(timedelta(hours=ago), who={"session": "s"}, what={"max_tokens": 9}) for ago in (3, 2, 1)]
    await written(database, [*new, *old])
    (use,) = (await Adviser(engine).facts(*PERIOD)).models
    assert (use.calls, use.sampled, use.repeated, use.max_tokens) == (6, 3, 2, 9)


async def test_features_that_are_idle(database: str, engine: AsyncEngine) -> None:
    calls = [
        call(timedelta(days=16), who={"feature": "beta"}, cost=cost(30)),
        call(timedelta(days=40), who={"feature": "beta"}, cost=cost(20)),
        call(timedelta(days=70), who={"feature": "gone"}),
        call(timedelta(days=20), who={"feature": "chat"}),
        call(who={"feature": "chat"}),
        call(timedelta(days=20), who={"feature": None}),
    ]
    await written(database, calls)
    facts = await Adviser(engine).facts(*PERIOD)
    assert facts.features == (Unused("beta", 15, 2, 50),)


async def test_keys_that_are_idle(database: str, engine: AsyncEngine) -> None:
    calls = [
        call(timedelta(days=20), who={"key_id": "key_idle"}, cost=cost(8)),
        call(timedelta(days=20), who={"key_id": "key_busy"}),
        call(timedelta(days=1), who={"key_id": "key_busy"}),
        call(timedelta(days=20), who={"key_id": "key_revoked"}),
    ]
    await written(database, calls)
    living = {"key_idle": "ci", "key_busy": "web", "key_never": "spare"}
    assert await idle_keys(engine, living, LATER) == (Unused("ci", 19, 1, 8), Unused("spare", 30, 0))


async def test_of_an_empty_database_there_are_no_facts(engine: AsyncEngine) -> None:
    facts = await Adviser(engine).facts(*PERIOD)
    assert msgspec.structs.astuple(facts) == (30, (), (), ())
    assert await by_day(Reader(engine), date(2026, 1, 1), date(2026, 1, 3)) == {"cost_nano": [0, 0]}
