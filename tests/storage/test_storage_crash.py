"""What a killed process had promised is in the database after the next start, once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig.ledger import FlakyTarget, call_id, opening, record, started

from storage.ledger import Ledger
from storage.store import CallFilter, Store

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
"""A database that refuses: everything stays on the spool."""


class Child:
    """A running ``rig.ledger_child``."""

    def __init__(self, folder: Path, url: str, mode: str, base: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rig.ledger_child", str(folder), url, mode, str(base)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def kill(self) -> list[str]:
        """SIGKILL; returns the rest of what it had said, whole lines only."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.stdout is not None
        rest = self.process.stdout.read().decode()
        self.process.wait()
        return rest[: rest.rfind("\n") + 1].split()


@pytest.fixture
def children() -> Iterator[list[Child]]:
    running: list[Child] = []
    yield running
    for child in running:
        child.process.kill()
        child.process.wait()


async def all_calls(url: str, folder: Path) -> dict[str, str]:
    """Outcome of every call in the database by id; fails if an id is there twice."""
    store = await Store.open(url, data_dir=folder)
    found: dict[str, str] = {}
    cursor = None
    while True:
        page = await store.list_calls(CallFilter(), cursor, 1000)
        for item in page.items:
            assert item.id not in found
            found[item.id] = item.outcome
        cursor = page.next_cursor
        if cursor is None:
            await store.close()
            return found


@pytest.mark.parametrize("rounds", [4])
async def test_killed_again_and_again_loses_nothing_and_doubles_nothing(
    tmp_path: Path, database: str, rounds: int, children: list[Child]
) -> None:
    rng = random.Random(7)
    promised: list[str] = []
    for round_ in range(rounds):
        child = Child(tmp_path, database, "run", round_ * 1_000_000)
        children.append(child)
        assert child.line() == "started"
        promised += [child.line() for _ in range(rng.randint(1, 1500))]
        promised += child.kill()
    ledger = await started(tmp_path, url=database)
    assert await ledger.drained(30)
    stats = ledger.stats()
    await ledger.stop(5)
    found = await all_calls(database, tmp_path)
    assert {call: found.get(call) for call in promised} == dict.fromkeys(promised, "completed")
    assert len(found) - len(promised) <= rounds, "at most the call between write and promise of each round"
    assert stats.damaged == 0
    assert not any((tmp_path / "spool").iterdir()), "everything is in the database, the spools are gone"


async def test_a_call_that_died_in_mid_flight_becomes_an_interrupted_row(
    tmp_path: Path, sqlite: str, children: list[Child]
) -> None:
    child = Child(tmp_path, NOWHERE, "hold", 1)
    children.append(child)
    assert [child.line(), child.line()] == ["started", "holding"]
    child.kill()
    ledger = await started(tmp_path, url=sqlite)
    assert await ledger.drained(10)
    stats = ledger.stats()
    await ledger.stop(5)
    assert (stats.replayed, stats.interrupted) == (3, 2)
    assert await all_calls(sqlite, tmp_path) == {
        call_id(1): "completed",
        call_id(2): "interrupted",
        call_id(3): "interrupted",
    }
    store = await Store.open(sqlite, data_dir=tmp_path)
    row = await store.get_call(call_id(2))
    await store.close()
    assert row is not None
    assert (row.request_model, row.input_tokens) == ("gpt-4o-mini", None), "exactly as it was opened"


async def test_a_second_process_leaves_the_spool_of_a_living_one_alone_and_adopts_it_after_its_death(
    tmp_path: Path, children: list[Child]
) -> None:
    child = Child(tmp_path, NOWHERE, "hold", 1)
    children.append(child)
    assert [child.line(), child.line()] == ["started", "holding"]
    target = FlakyTarget()
    ledger = await started(tmp_path, target)
    own = record(9)
    ledger.opened(opening(own))
    ledger.closed(own)
    assert await ledger.drained(10)
    assert set(target.rows) == {own.id}
    child.kill()
    await adopted(ledger, 3)
    await ledger.stop(5)
    assert set(target.rows) == {own.id, call_id(1), call_id(2), call_id(3)}


async def adopted(ledger: Ledger, rows: int) -> None:
    """Wait until so many left-over rows were written (the writer looks for dead processes now and then)."""
    async with asyncio.timeout(20):
        while ledger.stats().replayed < rows:
            await asyncio.sleep(0.01)


async def test_two_processes_write_to_one_sqlite_file(
    tmp_path: Path, sqlite: str, children: list[Child]
) -> None:
    pair = [Child(tmp_path, sqlite, "finish", base) for base in (0, 1000)]
    children += pair
    said = [[child.line(), child.line()] for child in pair]
    assert said == [["started", "recorded 50"]] * 2
    assert [child.process.wait(20) for child in pair] == [0, 0]
    assert len(await all_calls(sqlite, tmp_path)) == 100
