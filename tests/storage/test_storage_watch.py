"""The loops that keep keys and budgets true go on, whatever they meet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.admission import Admission
from gateway.keyring import KeyRing, Snapshot
from gateway.leasing import Leasing
from gateway.watch import Watch
from pricing.book import PriceBook
from storage.address import parse
from storage.budgets import admin
from storage.budgets.admin import bump
from storage.budgets.model import Budget, Mode
from storage.control import ControlDatabase, control_of
from storage.keys.admin import create_key, revoke_key
from storage.keys.model import Key, KeyRow

INSERT = "INSERT INTO budgets (id, name, definition, created_ms, updated_ms) VALUES (?, ?, ?, 0, 0)"
NEWER = '{"id":"new","name":"new","limit":1,"mode":"of-a-newer-version"}'


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.01)


async def run(db: ControlDatabase, statement: str, *values: Any) -> None:
    async with db.transaction() as tx:
        await tx.run(statement, *values)
        await bump(tx, "budgets")


async def test_what_cannot_be_read_does_not_end_the_watch(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.watch.TICK_S", 0.01)
    db, own = control_of(parse(database, Path())), control_of(parse(database, Path()))
    secret = await create_key(db, Key(id="key_1", name="search"), "test", 0)
    ring = KeyRing(tmp_path)
    watch = Watch(own, ring, Admission(PriceBook.load(), time.monotonic), lambda: None, lambda: 0)
    await watch.start()
    await until(lambda: ring.find(secret.encode(), 0) is not None)
    await run(db, INSERT, "new", "new", NEWER)
    await until(lambda: watch.trouble is not None)
    assert ring.find(secret.encode(), 0) is not None
    await revoke_key(db, "key_1", "test", 0)
    await run(db, "DELETE FROM budgets WHERE id = ?", "new")
    await until(lambda: ring.find(secret.encode(), 0) is None and watch.trouble is None)
    watch.stop()
    await own.close()
    await db.close()


async def test_a_round_that_fails_unforeseen_does_not_end_the_lending(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = control_of(parse(database, Path()))
    admission = Admission(PriceBook.load(), time.monotonic)
    leasing = Leasing(db, "me", admission, time.monotonic, lambda: time.time_ns() // 10**6, lambda _: [])
    await admin.create(db, Budget(id="b", name="b", limit=1, mode=Mode.HARD), "test", 0)

    async def broken() -> None:
        raise OverflowError

    monkeypatch.setattr(leasing, "_keep_up", broken)
    leasing.start()
    await until(lambda: leasing.failures > 0)
    assert await leasing.ask([])
    await leasing.stop(5)
    await db.close()


def test_a_secret_that_is_no_text_is_not_known(tmp_path: Path) -> None:
    assert KeyRing(tmp_path).token("wbt_\udcff", 0) is None


async def test_a_key_that_expires_ends_what_runs_with_it_also_without_the_database(tmp_path: Path) -> None:
    """Told once for each key, however often somebody looks; the database need not answer for that."""
    ring, told, now = KeyRing(tmp_path), 0, 1_000

    def changed() -> None:
        nonlocal told
        told += 1

    db = control_of(parse("postgresql://nobody@127.0.0.1:1/none", Path()))
    watch = Watch(db, ring, Admission(PriceBook.load(), time.monotonic), changed, lambda: now)
    rows = [
        KeyRow(Key(id=f"key_{end}", name=f"key {end}", expires_ms=end), f"{end}", None, None, 0, None)
        for end in (900, 2_000, 2_500, 4_000)
    ]
    ring.take(Snapshot(1, rows, []))
    found = []
    for at_ms in (1_500, 1_999, 2_000, 2_001, 3_000, 4_000, 5_000):
        now = at_ms
        await watch.look()
        await watch.end_expired()
        found.append(told)
    assert found == [0, 0, 1, 1, 2, 3, 3]
    assert watch.trouble is not None
    await db.close()
