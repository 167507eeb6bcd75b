"""The account of all calls: as JSON for people and as text for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr
from rig.client import call
from rig.gateway import gateway

from pricing.book import PriceBook
from storage.address import parse
from storage.claim import new_claim
from storage.rollups.care import audit
from storage.stats import JobStats, LedgerStats
from storage.store import Store
from storage.vitals import Vitals, write

from .conftest import NOON, Connect, make_call


def worker(
    root: Path,
    jobs: JobStats = JobStats(),  # noqa: B008 (frozen)
    refusals: dict[str, int] | None = None,
    **figures: int,
) -> None:
    """A worker that runs as long as this process and has these figures."""
    claim = new_claim(root)
    stats = LedgerStats(**figures)
    write(claim.folder, Vitals(7, 1_790_000_000_000_000_000, stats, jobs=jobs, refusals=refusals or {}))


async def test_all_workers_are_added_up(connect: Connect, tmp_path: Path) -> None:
    spool = tmp_path / "spools"
    worker(spool, accepted=10, recorded=7, spooled=2, in_flight=1)
    worker(spool, accepted=5, recorded=5, duplicates=3)
    client = await connect(spool=spool)
    found = await (await client.get("/api/integrity")).json()
    assert found["balanced"] is True
    assert (found["accepted"], found["recorded"], found["spooled"], found["in_flight"]) == (15, 12, 2, 1)
    assert [one["balance"] for one in found["workers"]] == [0, 0]
    text = await (await client.get("/metrics")).text()
    assert "weighbridge_ledger_accepted_total 15\n" in text
    assert "weighbridge_ledger_duplicates_total 3\n" in text
    assert "weighbridge_integrity_difference 0\n" in text
    assert "weighbridge_workers 2\n" in text


async def test_jobs_of_all_that_led_are_added_up(connect: Connect, tmp_path: Path) -> None:
    spool = tmp_path / "spools"
    worker(spool, jobs=JobStats(leads=True, runs=40, failures=3, overdue=2))
    worker(spool, jobs=JobStats(runs=2, failures=1))
    client = await connect(spool=spool)
    text = await (await client.get("/metrics")).text()
    assert "weighbridge_jobs_runs_total 42\n" in text
    assert "weighbridge_jobs_failures_total 4\n" in text
    assert "weighbridge_jobs_overdue_total 2\n" in text


async def test_refusals_of_all_workers_are_added_up_by_code(connect: Connect, tmp_path: Path) -> None:
    spool = tmp_path / "spools"
    worker(spool, refusals={"weighbridge_unknown_provider": 2, "weighbridge_bad_path": 1})
    worker(spool, refusals={"weighbridge_unknown_provider": 3})
    client = await connect(spool=spool)
    text = await (await client.get("/metrics")).text()
    told = [line for line in text.splitlines() if line.startswith("weighbridge_refusals_total")]
    assert told == [
        'weighbridge_refusals_total{code="weighbridge_bad_path"} 1',
        'weighbridge_refusals_total{code="weighbridge_unknown_provider"} 5',
    ]


async def test_calls_that_are_nowhere_are_told(connect: Connect, tmp_path: Path) -> None:
    spool = tmp_path / "spools"
    worker(spool, accepted=10, recorded=7)
    client = await connect(spool=spool)
    found = await (await client.get("/api/integrity")).json()
    assert found["balanced"] is False
    assert found["workers"][0]["balance"] == 3
    assert "weighbridge_integrity_difference 3\n" in await (await client.get("/metrics")).text()


async def test_every_line_is_what_prometheus_reads(connect: Connect, tmp_path: Path) -> None:
    worker(tmp_path / "spools", spool_bytes=123_456_789_012)
    client = await connect(spool=tmp_path / "spools")
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = await answer.text()
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) [a-z_]+ .+|[a-z_]+({code="[a-z_]+"})? [0-9.e+]+', line), line
    assert "weighbridge_ledger_spool_bytes 123456789012\n" in text


@pytest.mark.parametrize("path", ["/api/integrity", "/metrics"])
async def test_neither_is_open_to_everyone(connect: Connect, path: str) -> None:
    client = await connect(admin_token=SecretStr("t"), loopback=False)
    assert (await client.get(path)).status == 401
    assert (await client.get(path, headers={"Authorization": "Bearer t"})).status == 200


async def test_the_audit_of_the_rollups_is_told_once_there_was_one(
    connect: Connect, keep: Callable[..., Awaitable[None]], book: PriceBook, tmp_path: Path
) -> None:
    await keep(make_call(book), make_call(book, 1))
    client = await connect(spool=tmp_path / "spools")
    assert (await (await client.get("/api/integrity")).json())["rollups_differences"] is None
    assert "weighbridge_rollups_difference" not in await (await client.get("/metrics")).text()
    address, day_after = parse(None, tmp_path), datetime.fromtimestamp(NOON / 1e9, UTC) + timedelta(days=1)
    assert (await audit(address, day_after)) is not None
    found = await (await client.get("/api/integrity")).json()
    assert (found["rollups_day"], found["rollups_differences"]) == ("2026-09-21", 0)
    assert "weighbridge_rollups_difference 0\n" in await (await client.get("/metrics")).text()
    with contextlib.closing(sqlite3.connect(tmp_path / "weighbridge.db")) as db, db:
        db.execute("DELETE FROM rollup_deltas")
    await audit(address, day_after)
    assert (await (await client.get("/api/integrity")).json())["rollups_differences"] > 3
    assert "weighbridge_rollups_difference 0\n" not in await (await client.get("/metrics")).text()


async def test_metrics_go_on_while_the_database_is_away(connect: Connect, tmp_path: Path) -> None:
    lost = await Store.open("postgresql://u@127.0.0.1:1/d", data_dir=tmp_path)
    client = await connect(spool=tmp_path / "spools", store=lost)
    text = await (await client.get("/metrics")).text()
    assert "weighbridge_workers 0\n" in text
    assert "weighbridge_rollups_difference" not in text
    await lost.close()


async def test_the_account_of_the_workers_is_there_while_the_database_is_away(
    connect: Connect, tmp_path: Path
) -> None:
    spool = tmp_path / "spools"
    worker(spool, accepted=10, recorded=7, spooled=3)
    lost = await Store.open("postgresql://u@127.0.0.1:1/d", data_dir=tmp_path)
    client = await connect(spool=spool, store=lost)
    answer = await client.get("/api/integrity")
    found = await answer.json()
    assert (answer.status, found["balanced"], found["spooled"]) == (200, True, 3)
    assert found["database_trouble"] == "the database cannot be read: connection refused"
    names = ("calls", "calls_estimated", "calls_unpriced", "calls_partial", "dead_letters_kept")
    assert [found[name] for name in names] == [None] * 5
    await lost.close()


async def test_a_path_to_no_provider_is_counted(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, "http://127.0.0.1:1") as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        for path in ("/nowhere/v1/x", "/openai/v1/../../x"):
            await call(running.port, "POST", path, json={})
        counted = 'weighbridge_refusals_total{code="weighbridge_unknown_provider"} 1\n'
        async with asyncio.timeout(30):
            while counted not in (text := await (await session.get("/metrics")).text()):
                running.ledger.tell()
                await asyncio.sleep(0.02)
        assert 'weighbridge_refusals_total{code="weighbridge_bad_path"} 1\n' in text
        assert "weighbridge_ledger_accepted_total 0\n" in text
