"""The rounds in which a worker borrows and looks: what they keep in memory, and what they make of trouble."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from rig.lending import NOW, Worker, call_of, hard

from gateway.admission import Admission
from gateway.keyring import KeyRing, KnownKey, Snapshot
from gateway.leasing import FIRST_LOOK_S, KEY_UNTOLD_S, RETRY_S, UNTOLD_S, Leasing
from gateway.watch import TICK_S, Watch
from pricing.book import PriceBook
from storage.address import parse
from storage.budgets import admin, leases
from storage.budgets.leases import Ask, Grant
from storage.budgets.model import EVERY, Account, Budget, Mode, Unit, Window, account_of
from storage.budgets.windows import span_of
from storage.control import ControlUnavailable, NoTables, control_of
from storage.control.contract import Collision, Transaction
from storage.keys.model import Key, KeyRow, digest
from storage.migrate import migrate
from telemetry.record import Who

SECRET = "wbk_" + "s" * 43


@pytest.fixture
async def worker(database: str) -> AsyncIterator[Worker]:
    opened = await Worker(database).open()
    yield opened
    await opened.close()


def account(name: str) -> Account:
    budget = Budget(id=name, name=name, limit=1_000, unit=Unit.CALLS, mode=Mode.HARD)
    return account_of(budget, "", span_of(Window.MONTH, "UTC", 1, NOW))


def notes(worker: Worker) -> bytes:
    """What the app of another call would be told."""
    call = call_of()
    admitted = worker.admission.admit(call, None)
    worker.admission.release(call.id)
    return admitted.notes


async def spent_before(database: str, budget: Budget, tokens: int) -> None:
    """By a worker that is gone."""
    other = await Worker(database, "other").open()
    await admin.create(other.db, budget, "test", NOW)
    await other.look()
    call = call_of()
    assert await other.admit(call) is None
    await other.end(call, tokens)
    await other.close()


async def test_what_was_spent_before_is_told_after_the_first_look(worker: Worker, database: str) -> None:
    """Nothing is told until then; an account that is new is looked at in the next round, not in two seconds."""
    watched = Budget(id="w", name="watched", limit=10_000_000)
    await spent_before(database, watched, 4_000)
    await worker.after(0)
    await worker.look()
    assert notes(worker) == b""
    await worker.after(FIRST_LOOK_S)
    assert notes(worker) == b"x-weighbridge-budget-remaining-usd: 0.006\r\n"


async def test_a_soft_budget_that_was_used_up_before_is_told_after_the_first_look(
    worker: Worker, database: str
) -> None:
    soft = Budget(id="s", name="soft", limit=1_000, unit=Unit.TOKENS, mode=Mode.SOFT)
    await spent_before(database, soft, 1_000)
    await worker.after(0)
    await worker.look()
    assert notes(worker) == b""
    await worker.after(FIRST_LOOK_S)
    assert notes(worker) == b"x-weighbridge-budget-exceeded: soft\r\n"


async def test_an_account_that_nobody_drew_on_is_known_too(worker: Worker) -> None:
    await admin.create(worker.db, Budget(id="w", name="w", limit=10**9), "test", NOW)
    await worker.after(0)
    await worker.look()
    assert notes(worker) == b""
    await worker.after(FIRST_LOOK_S)
    assert notes(worker) == b"x-weighbridge-budget-remaining-usd: 1\r\n"


@pytest.mark.parametrize("mode", [Mode.HARD, Mode.WATCH, Mode.SHADOW])
async def test_without_the_database_accounts_are_forgotten_too(worker: Worker, mode: Mode) -> None:
    """An agent makes a session for each call, and the database is away for hours."""
    scope = (("session", EVERY),)
    await admin.create(worker.db, hard(1, mode=mode, window=Window.TOTAL, scope=scope), "test", NOW)
    await worker.look()
    worker.db.away = True
    for number in range(50):
        call = msgspec.structs.replace(call_of(), who=Who(session=str(number)))
        assert await worker.admit(call) is None
        await worker.end(call, 100, written=False)
    assert len(worker.admission.purses) == 50
    await worker.after(UNTOLD_S + 1)
    assert not worker.admission.purses
    worker.db.away = False
    await worker.after(RETRY_S * 100)
    assert worker.holds == 0


async def test_minutes_of_keys_are_forgotten_and_leave_no_leases(worker: Worker, tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    key = Key(id="key_1", name="search", calls_per_minute=1_000)
    ring.take(Snapshot(1, [KeyRow(key, digest(SECRET), None, None, 0, None)], []))
    known = ring.find(SECRET.encode(), 0)
    assert known is not None
    assert await calls(worker, known) == 1
    assert worker.holds > 0
    worker.db.away = True
    for _ in range(3):
        await worker.after(60 + KEY_UNTOLD_S)
        assert await calls(worker, known) == 1
        assert len(worker.admission.purses) == 1
    worker.db.away = False
    await worker.after(7_200)  # the leases are renewed: it is still the same worker
    await worker.after(7_200)
    assert await leases.own(worker.db, worker.name) == {}


async def calls(worker: Worker, known: KnownKey) -> int:
    call = call_of(at_s=int(NOW + worker.seconds))
    assert await worker.admit(call, known) is None
    await worker.end(call, 1)
    return 1


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Url of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("empty_postgres"))


async def test_while_the_tables_are_made_nobody_complains(
    empty: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A first start: the tables come while keys and budgets are looked for already."""
    address, seconds = parse(empty, Path()), 0.0
    db = control_of(address, durable=False)
    with pytest.raises(NoTables):
        await leases.owners(db)
    with pytest.raises(NoTables):
        await leases.renew(db, "me", 0)
    admission = Admission(PriceBook.load(), lambda: seconds)
    leasing = Leasing(db, "me", admission, lambda: seconds, lambda: NOW * 1000, lambda _: [])
    watch = Watch(db, KeyRing(tmp_path), admission, lambda: None, lambda: NOW * 1000)
    with caplog.at_level(logging.WARNING, "gateway"):
        for _ in range(10):
            await watch.look()
            await leasing.round()
            seconds += max(TICK_S, RETRY_S)
        assert (leasing.failures, caplog.messages) == (0, [])
        await asyncio.to_thread(migrate, address)
        await watch.look()
        await leasing.round()
        assert (watch.trouble, await db.fetch("SELECT owner FROM budget_leases")) == (None, [])
    await db.close()


async def test_tables_that_never_come_are_told_of(
    empty: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = control_of(parse(empty, Path()))
    watch = Watch(
        db, KeyRing(tmp_path), Admission(PriceBook.load(), lambda: 0.0), lambda: None, lambda: NOW * 1000
    )
    for _ in range(40):
        await watch.look()
    assert len(caplog.messages) == 1
    await db.close()


async def test_a_deadlock_is_tried_again_at_once(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another transaction has one account and wants the other; PostgreSQL undoes ours, and it is made again."""
    address, asked, grant = parse(postgres, Path()), [], leases._grant

    async def noted(tx: Transaction, owner: str, ask: Ask, now_ms: int, loan: int) -> Grant:
        asked.append(ask.account.budget.id)
        return await grant(tx, owner, ask, now_ms, loan)

    first, second = account("a"), account("b")
    db = control_of(address)
    await leases.grant(db, "them", [Ask(first, 1), Ask(second, 1)], NOW * 1000, 1)
    await db.fetch("SET deadlock_timeout = '20ms'")
    theirs = await asyncpg.connect(address.dsn)
    await theirs.execute("SET deadlock_timeout = '60s'")
    lock = "SELECT 1 FROM budget_accounts WHERE budget_id = $1 FOR UPDATE"
    monkeypatch.setattr(leases, "_grant", noted)
    async with theirs.transaction():
        await theirs.execute(lock, "b")
        ours = asyncio.ensure_future(leases.grant(db, "me", [Ask(first, 7), Ask(second, 7)], NOW * 1000, 1))
        while asked != ["a", "b"]:  # ours has the one and waits for the other
            await asyncio.sleep(0.001)
        await theirs.execute(lock, "a")
    granted = await ours
    assert [got.amount >= 7 for got in granted] == [True, True]
    held = await leases.own(db, "me")
    assert sorted(held.values()) == sorted(got.amount for got in granted)
    assert asked[:4] == ["a", "b", "a", "b"]
    await theirs.close()
    await db.close()


async def test_who_is_always_in_the_way_is_told_so(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await Worker(sqlite).open()
    tries = 0

    async def colliding(*args: Any) -> Grant:
        nonlocal tries
        tries += 1
        raise Collision("in the way")

    monkeypatch.setattr(leases, "_grant", colliding)
    with pytest.raises(ControlUnavailable):
        await leases.grant(worker.db, "me", [Ask(account("a"), 1)], NOW * 1000, 1)
    assert tries > 1
    await worker.close()
