"""One leader at a time, jobs that may fail, and old calls that are forgotten."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rig.ledger import STARTED_MS, record, started
from rig.process import eventually
from rig.rollups import engine_of, in_rollups
from sqlalchemy import select

from gateway.jobs import Job, Jobs
from gateway.upkeep import Keeping, upkeep
from storage.address import parse
from storage.engine import writing_engine
from storage.events import EVENTS, Event, EventKind, EventLog
from storage.leader import FileLeadership, leadership
from storage.partitions import Month, too_old
from storage.retention import forget
from storage.rollups.state import FORGOTTEN_MS, numbers
from storage.rollups.transactions import snapshot
from storage.rollups.verify import verify
from storage.store import CallFilter, Store

DAY_MS = 86_400_000


async def test_one_leads_and_another_takes_over(database: str, tmp_path: Path) -> None:
    first, second = (leadership(parse(database, tmp_path), tmp_path) for _ in range(2))
    assert await first.hold()
    assert not await second.hold()
    assert await first.hold()
    await first.release()
    assert await second.hold()
    assert not await first.hold()
    await second.release()


async def test_nobody_leads_without_a_database(tmp_path: Path) -> None:
    lost = leadership(parse("postgresql://u@127.0.0.1:1/d", tmp_path), tmp_path)
    assert not await lost.hold()
    await lost.release()


async def test_a_job_that_fails_stops_no_other_and_each_keeps_its_interval(tmp_path: Path) -> None:
    now, runs = [0.0], []

    async def fails() -> str | None:
        runs.append("fails")
        raise OSError("disk")

    async def works() -> str | None:
        runs.append("works")
        return "done"

    jobs = Jobs(FileLeadership(tmp_path), [Job("a", 10, fails), Job("b", 25, works)], lambda: now[0])
    for now[0] in (0.0, 5.0, 10.0, 20.0, 25.0):
        await jobs.run_due()
    assert runs == ["fails", "works", "fails", "fails", "works"]
    assert (jobs.stats.runs, jobs.stats.failures) == (5, 3)


async def test_a_job_that_ends_as_if_it_was_cancelled_ends_nothing_else(tmp_path: Path) -> None:
    runs: list[str] = []

    async def cancelled() -> str | None:
        raise asyncio.CancelledError

    async def works() -> str | None:
        runs.append("works")
        return None

    jobs = Jobs(FileLeadership(tmp_path), [Job("a", 10, cancelled), Job("b", 10, works)], lambda: 0.0)
    await jobs.run_due()
    assert runs == ["works"]
    assert jobs.stats.failures == 1


async def test_a_daily_job_that_fails_is_tried_again_within_a_minute(tmp_path: Path) -> None:
    now, runs = [0.0], []

    async def fails_once() -> str | None:
        runs.append(now[0])
        if len(runs) == 1:
            raise OSError("disk")
        return None

    jobs = Jobs(FileLeadership(tmp_path), [Job("daily", 86_400, fails_once)], lambda: now[0])
    for now[0] in (0.0, 59.0, 60.0, 120.0, 86_459.0, 86_460.0):
        await jobs.run_due()
    assert runs == [0.0, 60.0, 86_460.0]


def test_no_job_runs_before_there_is_a_database(tmp_path: Path) -> None:
    order: list[str] = []

    async def run() -> str | None:
        order.append("run")
        return None

    def ready() -> bool:
        order.append("asked")
        return len(order) == 3

    jobs = Jobs(FileLeadership(tmp_path), [Job("only", 3600, run)], tick_s=0.01, ready=ready)
    jobs.start()
    eventually(lambda: "run" in order, "the job")
    assert jobs.stop(5)
    assert order == ["asked", "asked", "asked", "run"]
    waiting = Jobs(FileLeadership(tmp_path), [Job("only", 3600, run)], ready=lambda: False)
    waiting.start()
    assert waiting.stop(5), "one that waits can be stopped"


def test_only_the_leaders_jobs_run_and_a_stop_gives_the_lock_back(tmp_path: Path) -> None:
    done: list[str] = []

    def jobs(name: str) -> Jobs:
        async def run() -> str | None:
            done.append(name)
            return None

        return Jobs(FileLeadership(tmp_path), [Job("only", 3600, run)], tick_s=0.01)

    first, second = jobs("first"), jobs("second")
    first.start()
    eventually(lambda: bool(done), "the first job")
    second.start()
    assert first.stop(5)
    eventually(lambda: done == ["first", "second"], "the second leader's job")
    assert second.stats.leads
    assert second.stop(5)


async def test_old_calls_are_forgotten_and_no_others(database: str, tmp_path: Path) -> None:
    ledger = await started(tmp_path, None, url=database)
    old = [record(number, ms=STARTED_MS - 200 * DAY_MS + number) for number in range(5)]
    new = [record(100 + number, ms=STARTED_MS + number) for number in range(3)]
    for one in (*old, *new):
        ledger.closed(one)
    assert await ledger.drained(20)
    await ledger.stop(5)
    now = datetime.fromtimestamp(STARTED_MS / 1000, UTC)
    (job,) = [
        one
        for one in upkeep(parse(database, tmp_path), tmp_path, lambda: Keeping(calls=90), lambda: now)
        if one.name == "retention"
    ]
    said = await job.run()
    assert said is not None or database.startswith("postgres")
    assert await job.run() is None
    async with engine_of(database) as engine, snapshot(engine) as connection:
        assert (await numbers(connection))[FORGOTTEN_MS] == STARTED_MS - 90 * DAY_MS
    store = await Store.open(database, data_dir=tmp_path)
    page = await store.list_calls(CallFilter(), limit=50)
    await store.close()
    assert sorted(str(row.id) for row in page.items) == sorted(one.id for one in new)
    async with engine_of(database) as engine:
        kept = await in_rollups(engine)
        verified = await verify(engine)
    assert sum(line.sums[0] for line in kept.hours.values()) == len(old) + len(new), "sums outlive the calls"
    assert (verified.calls, verified.differences) == (len(new), ())


async def test_events_are_forgotten_by_their_own_age(database: str, tmp_path: Path) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    address = parse(database, tmp_path)
    engine = writing_engine(address)
    log = EventLog(engine)
    for days in (9, 10, 11):
        at = now - timedelta(days=days, seconds=1)
        await log.keep([Event("acme", f"{days}", EventKind.TRACK, "e", "ada", None, None, at, now, None)])
    jobs = {
        one.name: one for one in upkeep(address, tmp_path, lambda: Keeping(calls=1, events=10), lambda: now)
    }
    assert await jobs["retention"].run() is None
    async with engine.connect() as db:
        assert len((await db.execute(select(EVENTS))).all()) == 3
    assert await jobs["retention of events"].run() == "2 events deleted"
    assert await jobs["retention of events"].run() is None
    await engine.dispose()


async def test_what_is_kept_for_ever_is_not_looked_at_until_a_reload_says_otherwise(
    database: str, tmp_path: Path
) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    address = parse(database, tmp_path)
    log = EventLog(writing_engine(address))
    at = now - timedelta(days=400)
    await log.keep([Event("acme", "e", EventKind.TRACK, "e", "ada", None, None, at, now, None)])
    keeping = Keeping()
    jobs = [one for one in upkeep(address, tmp_path, lambda: keeping, lambda: now) if "retention" in one.name]
    assert [await one.run() for one in jobs] == [None] * 3
    keeping = Keeping(events=399)
    assert [await one.run() for one in jobs] == [None, None, "1 events deleted"]


async def test_a_gateway_that_has_just_begun_has_nothing_to_forget(
    empty_postgres: str, tmp_path: Path
) -> None:
    """The leader may be faster than the first migration."""
    for url in (None, empty_postgres):
        for job in upkeep(parse(url, tmp_path / "new"), tmp_path, lambda: Keeping(1, 1)):
            if job.name.startswith("retention"):
                assert await job.run() is None
    assert not (tmp_path / "new").exists()


async def test_months_are_made_and_dropped_whole(postgres: str, tmp_path: Path) -> None:
    address = parse(postgres, tmp_path)
    then = datetime(2026, 1, 15, tzinfo=UTC)
    (months,) = [
        one for one in upkeep(address, tmp_path, lambda: Keeping(), lambda: then) if one.name == "months"
    ]
    said = await months.run()
    assert said is not None
    assert "model_requests_y2026m03" in said
    assert await months.run() is None
    dropped = await forget(address, datetime(2026, 2, 1, tzinfo=UTC))
    assert dropped == 2, "December and January, not February"


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("model_requests_y2026m01", True),
        ("model_requests_y2026m02", False),
        ("model_requests_default", False),
        ("x", False),
    ],
)
def test_a_month_is_old_when_all_of_it_is(name: str, old: bool) -> None:
    assert too_old(name, datetime(2026, 2, 28, 23, tzinfo=UTC)) is old
    assert not too_old(name, Month(2026, 2).begin - timedelta(seconds=1))


async def test_the_audit_finds_what_is_nowhere(tmp_path: Path) -> None:
    ledger = await started(tmp_path)
    ledger.opened(record(1))
    ledger.closed(record(1))
    assert await ledger.drained(10)
    (audit,) = [
        one
        for one in upkeep(parse(None, tmp_path), tmp_path / "spool", lambda: Keeping())
        if one.name == "audit"
    ]
    ledger.tell()
    await asyncio.sleep(0.05)
    assert await audit.run() is None
    ledger._accepted += 2
    ledger.tell()
    await asyncio.sleep(0.05)
    assert "2 calls are nowhere" in str(await audit.run())
    ledger._accepted -= 2
    await ledger.stop(5)
