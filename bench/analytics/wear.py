"""What a database goes through: opinions of calls, writers beside the compaction, a person erased, old calls deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from bench.analytics.fill import batches
from bench.analytics.traffic import END, traffic
from storage.address import Address
from storage.engine import writing_engine
from storage.privacy.database import Person
from storage.privacy.erase import erase
from storage.quality.facts import facts_of
from storage.quality.keep import QualityLog, Rating
from storage.retention import forget
from storage.rollups.care import note_forgotten
from storage.rollups.compaction import compact
from storage.rollups.transactions import Stale, changing_engine
from storage.schema import Migrate
from storage.store import pending_row
from storage.targets import open_target
from telemetry.quality import Opinion, Scale, Source
from telemetry.record import CallRecord

WRITERS = 2
WRITTEN = 20_000
KEPT = timedelta(days=60)


async def judge(address: Address, calls: Iterable[CallRecord]) -> None:
    """Users like four answers of five."""
    engine = writing_engine(address)
    log = QualityLog(engine, lambda: END)
    for number, call in enumerate(calls):
        opinion = Opinion(Source.USER, Scale.THUMBS, 0 if number % 5 == 4 else 1_000_000)
        await log.rate(facts_of(pending_row(call)), Rating(opinion))
    await engine.dispose()


async def wear(address: Address, folder: Path) -> int:
    """All of it; how many calls were written."""
    engine = changing_engine(address, timeout_s=3600)
    calls = list(traffic(WRITTEN, seed=2))
    writers = [asyncio.to_thread(_write, address, calls[number::WRITERS]) for number in range(WRITERS)]
    writing = asyncio.gather(*writers)
    while not writing.done():
        try:
            await compact(engine, END)
        except Stale:
            continue
    await writing
    await engine.dispose()
    await erase(address, folder, Person(ids=("user-1",), tenant="tenant-0"), "bench")
    before = END - KEPT
    await note_forgotten(address, before)
    await forget(address, before)
    return len(calls)


def _write(address: Address, calls: Sequence[CallRecord]) -> None:
    target = open_target(address, migrate=Migrate.MANUAL, timeout_s=60, power_safe=False)
    target.connect()
    for some in batches(calls, 200):
        target.write(some)
    target.close()
