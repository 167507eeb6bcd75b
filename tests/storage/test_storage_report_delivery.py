"""Scheduled reports: each told once to each channel, whoever leads and however often they restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import msgspec
import pytest
from alerts.messages import SECRET
from alerts.office import Office, hook
from rig.ledger import record
from rig.rollups import written
from rig.script import reply
from rig.upstream import ScriptedUpstream
from standardwebhooks import Webhook

from gateway.reporting.jobs import report_jobs
from gateway.reporting.plan import ReportPlan
from gateway.reporting.run import ReportRun
from pricing.cost import Cost, CostSource, CostStatus
from storage.address import parse
from storage.migrate import migrate
from telemetry.alerts.channels.contract import Post
from telemetry.insights.report.schedule import Due, Span

WEEKLY, MONTHLY = Due(Span.WEEKLY, 0, time(8)), Due(Span.MONTHLY, 1, time(8))
DUE = datetime(2026, 11, 16, 7, tzinfo=UTC)
"""Monday, 08:00 in Zurich."""


class Clock:
    """Moved by the test."""

    def __init__(self, now: datetime = DUE) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def plan(*posts: Post, dues: tuple[Due, ...] = (WEEKLY,)) -> Callable[[], ReportPlan]:
    found = ReportPlan(dues, "Europe/Zurich", posts)
    return lambda: found


def a_run(database: str, clock: Clock, *posts: Post, dues: tuple[Due, ...] = (WEEKLY,)) -> ReportRun:
    return ReportRun(plan(*posts, dues=dues), parse(database, Path()), clock)


async def spend(database: str) -> None:
    """2 USD on each day of three weeks."""
    cost = Cost(CostStatus.PRICED, CostSource.CATALOGUE, 2 * 10**9, 2 * 10**9, 0, 0, 0, 0)
    days = [DUE - timedelta(days=ago) for ago in range(21)]
    await written(database, [record(ms=int(day.timestamp() * 1000), cost=cost) for day in days])


async def test_a_report_that_is_due_arrives_signed_and_whole(database: str, tmp_path: Path) -> None:
    await spend(database)
    async with ScriptedUpstream(default=reply(200)) as receiver:
        clock, post = Clock(), hook(receiver.base)
        assert await a_run(database, clock, post).send() == "report-weekly-2026-W46 for ops"
        office = Office(database, tmp_path, [], [post])
        office.now = clock.now
        await office.deliver()
        (row,) = await office.deliveries()
        await office.close()
        (seen,) = receiver.requests
    assert (row.alert_id, row.event, row.state) == ("report-weekly-2026-W46", "report", "sent")
    headers = dict(seen.head.headers)
    # The library compares the time with its own clock; only the signature matters here.
    stamp = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    assert headers["webhook-signature"] == Webhook(SECRET).sign(row.id, stamp, seen.body.decode())
    assert b"ada" not in seen.body, "who made the calls is counted, not named"
    told = msgspec.json.decode(seen.body)
    assert told["type"] == "report.weekly"
    data = told["data"]
    assert data["title"] == "Weighbridge: Week 46 of 2026: 9 to 15 November"
    assert data["summary"][0] == "Spend: $14.00 (± 0 %)"
    assert {name: data["figures"][name] for name in ("cost_nano", "calls", "users")} == {
        "cost_nano": 14 * 10**9,
        "calls": 7,
        "users": 1,
    }
    assert data["markdown"].startswith("# Week 46 of 2026")
    assert data["html"].startswith("<!doctype html>")


async def test_it_is_told_once_over_four_leaders_and_their_restarts(database: str, tmp_path: Path) -> None:
    await spend(database)
    posts = hook("http://h:1"), hook("http://h:2", "second")
    clock = Clock()
    for _ in range(3):
        runs = [a_run(database, clock, *posts) for _ in range(4)]
        await asyncio.gather(*(run.send() for run in runs))
        clock.now += timedelta(minutes=7)
    office = Office(database, tmp_path, [])
    assert sorted(row.channel for row in await office.deliveries()) == ["ops", "second"]
    clock.now += timedelta(days=7)
    assert await a_run(database, clock, *posts).send() == "report-weekly-2026-W47 for ops, second"
    assert len(await office.deliveries()) == 4
    await office.close()


async def test_a_channel_that_is_new_gets_what_is_still_fresh(database: str) -> None:
    await spend(database)
    clock = Clock()
    first, second = hook("http://h:1"), hook("http://h:2", "second")
    assert await a_run(database, clock, first).send() == "report-weekly-2026-W46 for ops"
    assert await a_run(database, clock, first, second).send() == "report-weekly-2026-W46 for second"


@pytest.mark.parametrize(
    ("after", "sent"),
    [
        (timedelta(seconds=-1), False),
        (timedelta(), True),
        (timedelta(hours=24), True),
        (timedelta(hours=24, seconds=1), False),
    ],
)
async def test_when_it_is_sent(database: str, after: timedelta, sent: bool) -> None:
    await spend(database)
    said = await a_run(database, Clock(DUE + after), hook("http://h:1")).send()
    assert (said is not None) is sent


async def test_both_when_both_are_due(database: str) -> None:
    clock = Clock(datetime(2027, 2, 1, 12, tzinfo=UTC))
    assert clock.now.weekday() == 0
    run = a_run(database, clock, hook("http://h:1"), dues=(WEEKLY, MONTHLY))
    assert await run.send() == "report-weekly-2027-W04 for ops, report-monthly-2027-01 for ops"
    assert await run.send() is None


async def test_it_waits_while_the_database_is_away_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    address = parse(None, tmp_path / "later")
    (job,) = report_jobs(plan(hook("http://h:1")), address, Clock())
    for _ in range(3):
        assert await job.run() is None
    assert caplog.text.count("reports wait: ") == 1
    (tmp_path / "later").mkdir()
    await asyncio.to_thread(migrate, address)
    assert await job.run() == "report-weekly-2026-W46 for ops"
    assert await job.run() is None


async def test_without_a_time_nothing_is_looked_at(tmp_path: Path) -> None:
    (job,) = report_jobs(plan(hook("http://h:1"), dues=()), parse(None, tmp_path / "nowhere"), Clock())
    assert await job.run() is None
    assert not (tmp_path / "nowhere").exists()
