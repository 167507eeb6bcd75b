"""``python -m bench.analytics``: fills databases with a month of traffic and times questions about it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from bench.analytics.databases import postgres_server, targets_on
from bench.analytics.fill import fill
from bench.analytics.ingest import Ingest, ingest
from bench.analytics.questions import PEOPLE, TOTALS
from bench.analytics.traffic import END, Company, traffic
from storage.address import Address, Engine, parse
from storage.engine import reading_engine
from storage.rollups.compaction import compact
from storage.rollups.read import Reader
from storage.rollups.tables import DAYS, GROUPS, HOURS, ROUTES, USERS
from storage.rollups.transactions import changing_engine
from storage.rollups.verify import verify

MOST_MS = 200.0
MOST_ROWS = 0.02
MOST_RATIO = 1.5


class Timed(msgspec.Struct, frozen=True):
    """One question; milliseconds."""

    name: str
    lines: int
    p50: float
    p95: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200,000 and 100,000 calls; a minute or two")
    parser.add_argument("--calls", type=int, help="calls in PostgreSQL (10,000,000)")
    parser.add_argument("--sqlite-calls", type=int, help="calls in SQLite (2,000,000)")
    parser.add_argument("--only", choices=[engine.value for engine in Engine])
    parser.add_argument("--rounds", type=int, default=20, help="times each question is asked (20)")
    parser.add_argument("--enforce", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    sizes = {
        Engine.POSTGRESQL: options.calls or (200_000 if options.quick else 10_000_000),
        Engine.SQLITE: options.sqlite_calls or (100_000 if options.quick else 2_000_000),
    }
    console = Console(width=120, highlight=False)
    kept = True
    with tempfile.TemporaryDirectory(prefix="weighbridge-bench-") as folder:
        for engine, calls in sizes.items():
            if options.only in (None, engine.value):
                kept &= run(engine, calls, Path(folder), options.rounds, console)
    return 1 if options.enforce and not kept else 0


def run(engine: Engine, calls: int, folder: Path, rounds: int, console: Console) -> bool:
    """One database from empty to the last answer; whether every bar was kept."""
    if engine is Engine.SQLITE:
        return bench(parse(f"sqlite:///{folder}/bench.db", folder), calls, rounds, console)
    with postgres_server() as server:
        server.psql("CREATE DATABASE bench")
        return bench(parse(server.get_uri("bench"), folder), calls, rounds, console)


def bench(address: Address, calls: int, rounds: int, console: Console) -> bool:
    size = Company.of(calls)
    console.print(
        f"\n{address.engine.value}: {calls:,} calls of 30 days, {size.tenants} tenants, {size.teams} teams,"
        f" {size.features} features, {size.users:,} users",
        style="bold",
    )
    ratios = [ingest(targets_on(address), batch) for batch in (500, 50)]
    show_ingest(ratios, console)
    with console.status("filling") as status:
        took = fill(address, traffic(calls), lambda done: status.update(f"filling: {done:,}"))
    console.print(f"filled in {took:,.0f} s, {calls / took:,.0f} calls/s")
    share = asyncio.run(_care(address, calls, console))
    timed = asyncio.run(_ask(address, rounds))
    show(timed, console)
    return (
        share <= MOST_ROWS
        and all(one.p95 <= MOST_MS for one in timed)
        and all(one.ratio <= MOST_RATIO for one in ratios)
    )


async def _care(address: Address, calls: int, console: Console) -> float:
    """Compact, verify, count; the rows of sums as a share of the calls."""
    engine = changing_engine(address, timeout_s=3600)
    begin = time.monotonic()
    await compact(engine, END)
    console.print(f"compacted in {time.monotonic() - begin:,.1f} s")
    begin = time.monotonic()
    verified = await verify(engine)
    took = time.monotonic() - begin
    console.print(
        f"verified {verified.calls:,} calls of {verified.days} days in {took:,.0f} s:"
        f" {len(verified.differences)} differences"
    )
    rows = {}
    async with engine.connect() as connection:
        for table in (HOURS, DAYS, USERS, ROUTES, GROUPS):
            rows[table.name] = (
                await connection.execute(select(func.count()).select_from(table))
            ).scalar_one()
    await engine.dispose()
    share = sum(rows.values()) / calls
    parts = ", ".join(f"{name} {number:,} ({number / calls:.2%})" for name, number in rows.items())
    console.print(f"rows of sums: {share:.2%} of the calls (bar {MOST_ROWS:.0%}): {parts}")
    return 1.0 if verified.differences or verified.calls != calls else share


async def _ask(address: Address, rounds: int) -> list[Timed]:
    engine = reading_engine(address)
    reader = Reader(engine, lambda: END)
    found = []
    for name, question in TOTALS.items():
        found.append(await timed(name, rounds, lambda one=question: _totals(reader, one)))  # type: ignore[misc]
    for name, question in PEOPLE.items():
        found.append(await timed(name, rounds, lambda one=question: _people(reader, one)))  # type: ignore[misc]
    await engine.dispose()
    return found


async def _totals(reader: Reader, question: object) -> int:
    totals = await reader.totals(question)  # type: ignore[arg-type]
    for line in totals.lines:
        for histogram in line.histograms.values():
            histogram.percentiles((50, 95, 99))
    return len(totals.lines)


async def _people(reader: Reader, question: object) -> int:
    return len(await reader.people(question))  # type: ignore[arg-type]


async def timed(name: str, rounds: int, ask: Callable[[], Awaitable[int]]) -> Timed:
    took, lines = [], 0
    for _ in range(rounds):
        begin = time.perf_counter()
        lines = await ask()
        took.append((time.perf_counter() - begin) * 1000)
    took.sort()
    return Timed(name, lines, took[len(took) // 2], took[min(len(took) - 1, int(len(took) * 0.95))])


def show(timed_: list[Timed], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("QUESTION", "LINES", "P50 ms", "P95 ms", f"BAR {MOST_MS:.0f} ms"):
        table.add_column(title, justify="left" if title == "QUESTION" else "right")
    for one in timed_:
        kept = "kept" if one.p95 <= MOST_MS else "[bold red]missed[/]"
        table.add_row(one.name, f"{one.lines:,}", f"{one.p50:.1f}", f"{one.p95:.1f}", kept)
    console.print(table)


def show_ingest(ratios: list[Ingest], console: Console) -> None:
    for one in ratios:
        console.print(
            f"writing, batches of {one.batch}: {one.without:.1f} us a record without rollups, {one.with_:.1f} with"
            f" (x{one.ratio:.2f}, bar x{MOST_RATIO}); of it our CPU {one.cpu_without:.1f} and {one.cpu_with:.1f}"
        )


if __name__ == "__main__":
    sys.exit(main())
