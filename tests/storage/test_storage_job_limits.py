"""A job of the leader's that hangs holds up the others only so long, and leaves nothing half done."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from rig.ledger import STARTED_MS, record, started
from rig.process import eventually
from rig.rollups import engine_of, in_rollups

from gateway.alerting.jobs import alert_jobs
from gateway.alerting.plan import AlertPlan
from gateway.jobs import Job, Jobs
from gateway.reporting.jobs import report_jobs
from gateway.reporting.plan import ReportPlan
from gateway.upkeep import Keeping, upkeep
from storage.address import Engine, parse
from storage.leader import FileLeadership
from storage.retention import forget
from storage.rollups.verify import verify
from storage.store import CallFilter, Store

DAY_MS = 86_400_000


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cancelled is not waited for."""
    monkeypatch.setattr("gateway.jobs.FAREWELL_S", 0.01)


def made(folder: Path, *jobs: Job, now: list[float]) -> Jobs:
    return Jobs(FileLeadership(folder), jobs, lambda: now[0])


async def test_a_job_that_hangs_is_ended_and_the_next_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, runs = [0.0], []

    async def hangs() -> str | None:
        runs.append("hangs")
        try:
            await asyncio.Event().wait()
        finally:
            runs.append("ended")
        return None

    async def works() -> str | None:
        runs.append("works")
        return None

    jobs = made(tmp_path, Job("a", 5, hangs, limit_s=0.01), Job("b", 5, works), now=now)
    await jobs.run_due()
    assert runs == ["hangs", "ended", "works"]
    assert (jobs.stats.runs, jobs.stats.failures, jobs.stats.overdue) == (2, 1, 1)
    (line,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert line.getMessage() == "job a took longer than 0.01 s and was ended"
    now[0] = 5.0
    await jobs.run_due()
    assert runs == ["hangs", "ended", "works"] * 2


async def test_others_have_at_least_as_long_as_what_hangs(tmp_path: Path) -> None:
    """It waits for its limit once more, however short its interval is."""
    now, runs = [0.0], []

    async def hangs() -> str | None:
        runs.append(now[0])
        now[0] += 0.04
        await asyncio.Event().wait()
        return None

    jobs = made(tmp_path, Job("a", 0.001, hangs, limit_s=0.03), now=now)
    for now[0] in (0.0, 0.06, 0.07):
        await jobs.run_due()
    assert runs == [0.0, 0.07]


@pytest.mark.usefixtures("brief")
async def test_one_that_does_not_end_is_left_to_itself_and_not_begun_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, runs, go = [0.0], [], asyncio.Event()

    async def clings() -> str | None:
        runs.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await go.wait()
            runs.append("ended")
        return None

    async def works() -> str | None:
        runs.append("works")
        return None

    jobs = made(tmp_path, Job("a", 5, clings, limit_s=0.01), Job("b", 5, works), now=now)
    for now[0] in (0.0, 60.0, 120.0):
        await jobs.run_due()
    assert runs == ["begun", "works", "works", "works"]
    assert (jobs.stats.failures, jobs.stats.overdue) == (1, 1)
    go.set()
    await asyncio.sleep(0.01)
    now[0] = 180.0
    await jobs.run_due()
    assert runs[4:] == ["ended", "begun", "ended", "works"]
    warned = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert warned == [
        "job a took longer than 0.01 s and does not end: it is left to itself, and not begun again before it has",
        "job a took longer than 0.01 s and was ended",
    ]


@pytest.mark.usefixtures("brief")
def test_a_thread_that_hangs_keeps_neither_the_others_nor_the_stop(tmp_path: Path) -> None:
    go, runs = threading.Event(), []

    async def waits_in_a_thread() -> str | None:
        waiting = asyncio.create_task(asyncio.to_thread(go.wait, 30))
        try:
            await asyncio.shield(waiting)
        finally:
            await waiting
        return None

    async def works() -> str | None:
        runs.append("works")
        return None

    pair = [Job("a", 0.01, waits_in_a_thread, limit_s=0.01), Job("b", 0.01, works)]
    jobs = Jobs(FileLeadership(tmp_path), pair, tick_s=0.01)
    jobs.start()
    eventually(lambda: len(runs) > 3, "the other job, again and again")
    assert jobs.stats.overdue == 1
    assert jobs.stop(5)
    go.set()


async def test_what_fails_while_it_is_ended_is_ended(tmp_path: Path) -> None:
    async def fails() -> str | None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("disk")

    jobs = made(tmp_path, Job("a", 5, fails, limit_s=0.01), now=[0.0])
    await jobs.run_due()
    assert (jobs.stats.runs, jobs.stats.failures, jobs.stats.overdue) == (1, 1, 1)


def test_every_job_has_a_limit(tmp_path: Path) -> None:
    """Ten times its interval, within bounds; enough for what it may wait for elsewhere."""
    address = parse("postgresql://u@127.0.0.1:1/d", tmp_path)
    jobs = upkeep(address, tmp_path, lambda: Keeping(1, 1, 1))
    jobs += alert_jobs(AlertPlan, address, tmp_path) + report_jobs(ReportPlan, address)
    limits = {job.name: job.limit for job in jobs}
    assert limits == {
        "audit": 600.0,
        "accounts": 600.0,
        "rollups": 300.0,
        "rollups audit": 1_800.0,
        "months": 600.0,
        "retention": 600.0,
        "retention of contents": 600.0,
        "retention of events": 600.0,
        "alerts": 150.0,
        "alert-deliveries": 120.0,
        "alert-tidying": 600.0,
        "reports": 1_800.0,
    }


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Somebody else changes the rollups, and does not come to an end."""
    address = parse(url, Path())
    if address.engine is Engine.SQLITE:
        db = sqlite3.connect(address.dsn, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")
            db.close()
        return
    connection = await asyncpg.connect(address.dsn)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE rollup_state")
            yield
    finally:
        await connection.close()


@pytest.mark.usefixtures("brief")
async def test_a_lock_in_the_database_holds_up_nobody_else_and_nothing_is_half_done(
    database: str, tmp_path: Path
) -> None:
    ledger = await started(tmp_path, None, url=database)
    for number in range(20):
        ledger.closed(record(number))
    assert await ledger.drained(20)
    await ledger.stop(5)
    now, runs = [0.0], []
    address = parse(database, tmp_path)

    async def works() -> str | None:
        runs.append("works")
        return None

    (tend,) = [
        job
        for job in upkeep(
            address, tmp_path, lambda: Keeping(), lambda: datetime.fromtimestamp(STARTED_MS / 1000, UTC)
        )
        if job.name == "rollups"
    ]
    jobs = made(tmp_path, Job("rollups", 5, tend.run, limit_s=2.0), Job("b", 5, works), now=now)
    async with locked(database), engine_of(database) as engine:
        for now[0] in (0.0, 60.0):
            await jobs.run_due()
        assert runs == ["works", "works"]
        assert jobs.stats.overdue
    async with asyncio.timeout(20):
        while jobs.stats.runs == jobs.stats.failures + len(runs):  # what was left to itself has to end first
            now[0] += 60.0
            await jobs.run_due()
            await asyncio.sleep(0.01)
    async with engine_of(database) as engine:
        assert (await verify(engine)).differences == ()
        assert sum(line.sums[0] for line in (await in_rollups(engine)).hours.values()) == 20


async def test_forgetting_in_sqlite_ends_after_the_slice_at_hand(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.retention.SLICE", 10)
    monkeypatch.setattr("storage.retention.PAUSE_S", 0.2)
    ledger = await started(tmp_path, None, url=sqlite)
    for number in range(35):
        ledger.closed(record(number, ms=STARTED_MS - 200 * DAY_MS + number))
    assert await ledger.drained(20)
    await ledger.stop(5)
    address, before = parse(sqlite, tmp_path), datetime.fromtimestamp(STARTED_MS / 1000, UTC)
    forgetting = asyncio.create_task(forget(address, before))
    store = await Store.open(sqlite, data_dir=tmp_path)

    async def left() -> int:
        return len((await store.list_calls(CallFilter(), limit=50)).items)

    async with asyncio.timeout(20):
        while await left() == 35:
            await asyncio.sleep(0.005)
    forgetting.cancel()
    await asyncio.sleep(0.5)
    assert await left() == 25
    assert await forget(address, before) == 25
    await store.close()
