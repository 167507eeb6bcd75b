"""The figures of a report are those of the calls, in both databases."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rig.ledger import STARTED_MS, record
from rig.rollups import written
from sqlalchemy.ext.asyncio import AsyncEngine

from pricing.cost import UNPRICED, Cost, CostSource, CostStatus
from storage.address import parse
from storage.control import control_of
from storage.engine import reading_engine, writing_engine
from storage.insights import report as reporting
from storage.insights.living import living_keys
from storage.insights.report import Reporter, Wanted
from storage.keys.admin import create_key, revoke_key
from storage.keys.model import Key
from storage.quality.facts import facts_of
from storage.quality.keep import QualityLog, Rating
from storage.rows import started_ms
from storage.store import pending_row
from telemetry.insights.ahead import Until
from telemetry.insights.forecast import Method
from telemetry.insights.report.contents import Line
from telemetry.insights.report.schedule import Span
from telemetry.outcome import Outcome
from telemetry.quality import PPM, Opinion, Scale, Source
from telemetry.record import CallRecord

ZONE = "America/New_York"
WEEK = Wanted(span=Span.WEEKLY, since=date(2026, 11, 9), until=date(2026, 11, 16), zone=ZONE)
MONTH = Wanted(span=Span.MONTHLY, since=date(2026, 10, 1), until=date(2026, 11, 1), zone=ZONE)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    opened = reading_engine(parse(database, Path()))
    yield opened
    await opened.dispose()


def calls(seed: int = 1, count: int = 400, days: int = 60) -> list[CallRecord]:
    """Of two months before 2026-11-18, over the change of the clock in New York."""
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        nano = dice.randrange(10**9)
        status = dice.choice([CostStatus.PRICED, CostStatus.ESTIMATED, CostStatus.PARTIAL])
        cost = Cost(status, CostSource.CATALOGUE, nano, nano, 0, 0, 0, 0) if dice.random() < 0.9 else UNPRICED
        found.append(
            record(
                ms=STARTED_MS - dice.randrange(days * 86_400_000),
                outcome=dice.choice(
                    [Outcome.COMPLETED] * 6 + [Outcome.CANCELLED, Outcome.TIMEOUT, Outcome.REFUSED]
                ),
                who={
                    "tenant": dice.choice(["acme", "beta"]),
                    "team": dice.choice(["search", "ads", None]),
                    "user": dice.choice(["ada", "bob", "eve", None]),
                    "session": f"s{dice.randrange(30)}",
                },
                answer={"model": dice.choice(["large", "small"])},
                timing={"duration_us": dice.randrange(100_000, 9_000_000)},
                cost=cost,
                baseline_nano=dice.choice([None, 10**9]),
            )
        )
    return found


def day_of(call: CallRecord) -> date:
    return datetime.fromtimestamp(started_ms(call.id) / 1000, ZoneInfo(ZONE)).date()


def nano(call: CallRecord) -> int:
    return call.cost.total or 0


@pytest.mark.parametrize("wanted", [WEEK, MONTH], ids=["week", "month"])
async def test_every_figure_is_the_sum_of_its_calls(
    database: str, engine: AsyncEngine, wanted: Wanted
) -> None:
    every = calls()
    await written(database, every)
    report = await Reporter(engine).report(wanted)
    mine = [call for call in every if wanted.since <= day_of(call) < wanted.until]
    earlier = wanted.since - timedelta(days=7) if wanted is WEEK else date(2026, 9, 1)
    past = [call for call in every if earlier <= day_of(call) < wanted.since]
    now = report.now
    assert (now.calls, report.before.calls) == (len(mine), len(past))
    assert (now.cost_nano, report.before.cost_nano) == (sum(map(nano, mine)), sum(map(nano, past)))
    assert now.failed == sum(call.outcome is Outcome.TIMEOUT for call in mine)
    assert now.unpriced_calls == sum(call.cost.total is None for call in mine)
    assert now.estimated_nano == sum(nano(call) for call in mine if call.cost.status is CostStatus.ESTIMATED)
    assert now.partial_nano == sum(nano(call) for call in mine if call.cost.status is CostStatus.PARTIAL)
    assert now.users == len({(call.who.tenant, call.who.user) for call in mine if call.who.user})
    assert now.sessions == len({(call.who.tenant, call.who.session) for call in mine})
    routed = [call for call in mine if call.baseline_nano is not None and call.cost.total is not None]
    assert (now.baseline_nano, now.baseline_cost_nano) == (len(routed) * 10**9, sum(map(nano, routed)))
    durations = sorted(call.timing.duration_us for call in mine)
    assert now.p50_us == pytest.approx(durations[(len(mine) + 1) // 2 - 1], rel=0.013)
    by_day: Counter[date] = Counter()
    for call in mine:
        by_day[day_of(call)] += nano(call)
    assert report.days == tuple(
        by_day[wanted.since + timedelta(days=place)] for place in range((wanted.until - wanted.since).days)
    )
    for ranking in report.rankings:
        assert sum(line.cost_nano for line in ranking.lines) == (now.cost_nano if ranking.lines else 0)
        assert [line.cost_nano for line in ranking.lines] == sorted(
            (line.cost_nano for line in ranking.lines), reverse=True
        )
    teams = {line.name: line for line in report.rankings[0].lines}
    assert teams["ads"] == Line(
        "ads",
        sum(call.who.team == "ads" for call in mine),
        sum(nano(call) for call in mine if call.who.team == "ads"),
        sum(nano(call) for call in past if call.who.team == "ads"),
    )
    assert {line.name for line in report.rankings[1].lines} == {"large", "small"}
    assert report.rankings[2].lines == (), "no call names a feature"


async def test_a_scope_narrows_everything(database: str, engine: AsyncEngine) -> None:
    every = calls(count=150)
    await written(database, every)
    await judge(database, [call for call in every if WEEK.since <= day_of(call) < WEEK.until])
    scope = {"tenant_id": "beta", "team": "ads"}
    wanted = Wanted(span=Span.WEEKLY, since=WEEK.since, until=WEEK.until, zone=ZONE, scope=scope)
    report = await Reporter(engine).report(wanted)
    alone = [call for call in every if (call.who.tenant, call.who.team) == ("beta", "ads")]
    mine = [call for call in alone if WEEK.since <= day_of(call) < WEEK.until]
    assert report.scope == (("team", "ads"), ("tenant", "beta"))
    assert (report.now.calls, report.now.cost_nano) == (len(mine), sum(map(nano, mine)))
    assert [line.name for line in report.rankings[0].lines] == ["ads"]
    assert report.quality.judged == sum(call.outcome is Outcome.COMPLETED for call in mine)
    elapsed = [call for call in alone if date(2026, 11, 1) <= day_of(call) < WEEK.until]
    assert report.outlooks[0].spent_nano == sum(map(nano, elapsed))


async def judge(database: str, judged: list[CallRecord]) -> None:
    log = QualityLog(writing_engine(parse(database, Path())), lambda: datetime.now(UTC))
    for call in judged:
        if call.outcome is Outcome.COMPLETED:
            await log.rate(facts_of(pending_row(call)), Rating(Opinion(Source.USER, Scale.THUMBS, PPM)))
    await log.close()


def spend(days: int, nano: int, **parts: Any) -> list[CallRecord]:
    """One call at noon on each of so many days before 2026-11-16, UTC."""
    noon = datetime(2026, 11, 16, 12, tzinfo=UTC)
    cost = Cost(CostStatus.PRICED, CostSource.CATALOGUE, nano, nano, 0, 0, 0, 0)
    return [
        record(ms=int((noon - timedelta(days=ago)).timestamp() * 1000), cost=cost, **parts)
        for ago in range(days, 0, -1)
    ]


async def test_what_is_to_come_begins_after_the_report(database: str, engine: AsyncEngine) -> None:
    await written(database, spend(80, 10**9))
    wanted = Wanted(span=Span.WEEKLY, since=date(2026, 11, 9), until=date(2026, 11, 16))
    month, quarter, year = (await Reporter(engine).report(wanted)).outlooks
    assert (month.until, month.last, month.spent_nano) == (Until.MONTH, date(2026, 11, 30), 15 * 10**9)
    assert (quarter.last, quarter.spent_nano) == (date(2026, 12, 31), 46 * 10**9)
    assert (year.last, year.spent_nano) == (date(2026, 12, 31), 80 * 10**9)
    assert [one.total_nano for one in (month, quarter, year)] == [30 * 10**9, 92 * 10**9, 126 * 10**9]
    assert month.method is Method.SEASONAL
    monthly = Wanted(span=Span.MONTHLY, since=date(2026, 10, 1), until=date(2026, 11, 1))
    first = (await Reporter(engine).report(monthly)).outlooks[0]
    assert (first.last, first.spent_nano, first.total_nano) == (date(2026, 11, 30), 0, 30 * 10**9)


async def test_days_that_stand_out_and_where(database: str, engine: AsyncEngine) -> None:
    search = spend(60, 10**9, who={"team": "search"}, answer={"model": "large"})
    quiet = spend(60, 10**9, who={"team": "ads"}, answer={"model": "small"})
    leap = spend(3, 40 * 10**9, who={"team": "search"}, answer={"model": "large"})[:1]
    old = spend(20, 40 * 10**9, who={"team": "ads"}, answer={"model": "small"})[:1]
    await written(database, [*search, *quiet, *leap, *old])
    wanted = Wanted(span=Span.WEEKLY, since=date(2026, 11, 9), until=date(2026, 11, 16))
    found = (await Reporter(engine).report(wanted)).standouts
    assert [(one.day, one.of) for one in found] == [
        (date(2026, 11, 13), ""),
        (date(2026, 11, 13), "model large"),
        (date(2026, 11, 13), "team search"),
    ]
    assert (found[2].anomaly.value, found[2].anomaly.expected) == (41 * 10**9, 10**9)


async def test_more_names_than_lines_are_added_up(
    database: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "TOP", 2)
    for number, name in enumerate(("a", "b", "c", "d"), 1):
        await written(database, spend(14, number * 10**6, who={"team": name}))
    await written(database, spend(14, 10**5, who={"team": None})[:7])
    wanted = Wanted(span=Span.WEEKLY, since=date(2026, 11, 9), until=date(2026, 11, 16))
    teams = (await Reporter(engine).report(wanted)).rankings[0]
    assert [line.name for line in teams.lines] == ["d", "c"]
    assert teams.others == 2
    # Those without a team made no call this week, and are in what the others cost before.
    assert teams.rest == Line(None, 14, 21 * 10**6, 21 * 10**6 + 7 * 10**5)


async def test_of_nothing_there_is_nothing_to_tell(engine: AsyncEngine) -> None:
    report = await Reporter(engine).report(WEEK)
    assert (report.now.calls, report.now.p95_us, report.days) == (0, None, (0,) * 7)
    assert (report.outlooks, report.standouts, report.recommendations) == ((), (), ())


async def test_keys_that_could_be_idle(database: str, tmp_path: Path) -> None:
    control, day = control_of(parse(database, tmp_path)), 86_400_000
    try:
        for name, made, expires in (
            ("old", 0, None),
            ("young", 10, None),
            ("over", 0, 15),
            ("ended", 0, None),
        ):
            key = Key(id=f"key_{name}", name=name, expires_ms=None if expires is None else expires * day)
            await create_key(control, key, "test", made * day)
        await revoke_key(control, "key_ended", "test", day)
        assert await living_keys(control, 20 * day) == {"key_old": "old"}
    finally:
        await control.close()
