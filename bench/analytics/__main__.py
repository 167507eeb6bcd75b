"""``python -m bench.analytics``: ninety days of traffic in both databases, and every endpoint asked about thirty of them."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from sqlalchemy import func, select

from bench.analytics.databases import database, targets_on
from bench.analytics.fill import fill
from bench.analytics.ingest import ingest
from bench.analytics.served import ask
from bench.analytics.shown import Verdict
from bench.analytics.traffic import DAYS as TRAFFIC_DAYS
from bench.analytics.traffic import END, Company, busiest_model, traffic
from bench.analytics.wear import KEPT, judge, wear
from storage.address import Address, Engine
from storage.migrate import migrate
from storage.rollups.compaction import compact
from storage.rollups.tables import DAYS, GROUPS, HOURS, ROUTES, USERS
from storage.rollups.transactions import changing_engine
from storage.rollups.verify import Verified, verify
from telemetry.record import CallRecord

JUDGED = 3_000
"""Calls somebody has an opinion of."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200,000 and 100,000 calls; a few minutes")
    parser.add_argument("--calls", type=int, help="calls in PostgreSQL (10,000,000)")
    parser.add_argument("--sqlite-calls", type=int, help="calls in SQLite (2,000,000)")
    parser.add_argument("--only", choices=[engine.value for engine in Engine])
    parser.add_argument("--requests", type=int, default=40, help="requests to each endpoint (40)")
    parser.add_argument("--folder", type=Path, help="keep the databases here, or take those that are there")
    parser.add_argument("--ask", action="store_true", help="only ask the endpoints; needs filled databases")
    options = parser.parse_args()
    sizes = {
        Engine.POSTGRESQL: options.calls or (200_000 if options.quick else 10_000_000),
        Engine.SQLITE: options.sqlite_calls or (100_000 if options.quick else 2_000_000),
    }
    verdict = Verdict(Console(width=150, highlight=False))
    with tempfile.TemporaryDirectory(prefix="weighbridge-bench-") as passing:
        for engine, calls in sizes.items():
            if options.only in (None, engine.value):
                folder = (options.folder or Path(passing)) / engine.value
                folder.mkdir(parents=True, exist_ok=True)
                with database(engine, folder) as address:
                    if not options.ask:
                        prepare(address, calls, folder, verdict)
                    timed = asyncio.run(ask(address, options.requests, busiest_model(calls)))
                    verdict.endpoints(timed)
                    if not options.ask:
                        asyncio.run(_worn(address, folder, verdict))
    for what in verdict.missed:
        verdict.console.print(f"missed: {what}", style="bold red")
    return 1 if verdict.missed else 0


def prepare(address: Address, calls: int, folder: Path, verdict: Verdict) -> None:
    """From nothing to sums that are as they should be."""
    size, filled = Company.of(calls), folder / "filled"
    verdict.console.print(
        f"\n{address.engine.value}: {calls:,} calls of {TRAFFIC_DAYS} days, {size.tenants} tenants,"
        f" {size.teams} teams, {size.features} features, {size.users:,} users",
        style="bold",
    )
    migrate(address)
    verdict.ingest([ingest(targets_on(address), batch) for batch in (500, 50)])
    if not filled.exists():
        _fill(address, calls, verdict)
        filled.touch()
    asyncio.run(_care(address, calls, verdict))


def _fill(address: Address, calls: int, verdict: Verdict) -> None:
    some: list[CallRecord] = []

    def records() -> Iterator[CallRecord]:
        every = max(1, calls // JUDGED)
        for number, record in enumerate(traffic(calls)):
            if number % every == 0:
                some.append(record)
            yield record

    with verdict.console.status("filling") as status:
        took = fill(address, records(), lambda done: status.update(f"filling: {done:,}"))
        asyncio.run(judge(address, some))
    verdict.console.print(f"filled in {took:,.0f} s, {calls / took:,.0f} calls/s")


async def _care(address: Address, calls: int, verdict: Verdict) -> None:
    """Compact, verify, count."""
    engine = changing_engine(address, timeout_s=3600)
    begin = time.monotonic()
    await compact(engine, END)
    verdict.console.print(f"compacted in {time.monotonic() - begin:,.1f} s")
    verdict.verified("as filled", *await _verified(address, calls))
    rows = {}
    async with engine.connect() as connection:
        for table in (HOURS, DAYS, USERS, ROUTES, GROUPS):
            count = select(func.count()).select_from(table)
            rows[table.name] = (await connection.execute(count)).scalar_one()
    await engine.dispose()
    verdict.rows(rows, calls)


async def _worn(address: Address, folder: Path, verdict: Verdict) -> None:
    written = await wear(address, folder)
    verdict.console.print(
        f"{written:,} calls written beside compaction, a user erased, calls older than {KEPT.days} days deleted"
    )
    verdict.verified("after that", *await _verified(address, None))


async def _verified(address: Address, calls: int | None) -> tuple[Verified, int | None, float]:
    engine = changing_engine(address, timeout_s=3600)
    begin = time.monotonic()
    found = await verify(engine)
    await engine.dispose()
    return found, calls, time.monotonic() - begin


if __name__ == "__main__":
    sys.exit(main())
