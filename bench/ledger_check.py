"""Were the calls of the benchmark recorded? A fast gateway that loses records would be worth nothing."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from bench.machine import BenchError
from bench.variants import Variant


def recorded(variant: Variant, data: Path, answered: int) -> str:
    """Waits for the last batches, then compares the rows with the calls that were answered.

    Raises :class:`BenchError` when they differ. The load client lets every call end, so they must be equal.
    """
    file = data / "weighbridge.db"
    if not file.exists():
        raise BenchError(f"{variant} has written no {file.name}")
    deadline = time.monotonic() + 20
    rows = -1
    while time.monotonic() < deadline and rows < answered:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
            rows = store.execute("select count(*) from model_requests").fetchone()[0]
        time.sleep(0.2)
    if rows != answered:
        raise BenchError(f"{variant}: {answered} calls answered, {rows} recorded")
    return f"{variant}: {answered:,} calls answered, {rows:,} recorded"
