"""What the rollups cost the writer: the same batches with and without them, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from bench.analytics.fill import batches
from bench.analytics.traffic import traffic
from storage.rollups.companion import RollupCompanion
from storage.targets.contract import Companion, Target

ROUNDS = 7
RECORDS = 10_000


class Ingest(msgspec.Struct, frozen=True):
    """Microseconds for a record, the best of some rounds."""

    batch: int
    without: float
    with_: float
    cpu_without: float
    cpu_with: float
    """Of our process alone; the database's is not in it."""

    @property
    def ratio(self) -> float:
        return self.with_ / self.without


def ingest(fresh: Callable[[Sequence[Companion]], Target], batch: int, records: int = RECORDS) -> Ingest:
    """``fresh(companions)`` gives a connected target on an empty database."""
    whole = list(traffic(records))
    best: dict[bool, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for on in (False, True):
            target = fresh((RollupCompanion(),) if on else ())
            wall, cpu = time.perf_counter(), time.process_time()
            for some in batches(whole, batch):
                target.write(some)
            took = ((time.perf_counter() - wall) / records * 1e6, (time.process_time() - cpu) / records * 1e6)
            target.close()
            best[on] = min(best.get(on, took), took)
    return Ingest(batch, best[False][0], best[True][0], best[False][1], best[True][1])
