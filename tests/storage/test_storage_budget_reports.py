"""What workers tell of accounts is counted once, whatever became of the answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from rig.lending import NOW, Worker, call_of, hard

from gateway.keyring import KeyRing, KnownKey, Snapshot, limits_of
from gateway.leasing import RETRY_LONGEST_S, RETRY_S, SWEEP_S, UNTOLD_S
from storage.address import parse
from storage.budgets import admin, leases
from storage.budgets.leases import REPORT_S, Standing, Told
from storage.budgets.model import Account, Budget, Mode, Unit, account_of
from storage.budgets.windows import span_of
from storage.control import ControlDatabase, control_of
from storage.keys.model import Key, KeyRow, digest

LATER_S = RETRY_LONGEST_S + 1
SECRET = "wbk_" + "s" * 43
SHADOW = hard(0, unit=Unit.CALLS, mode=Mode.SHADOW)
"""Every call would be refused."""


@pytest.fixture
async def worker(database: str) -> AsyncIterator[Worker]:
    opened = await Worker(database).open()
    yield opened
    await opened.close()


@pytest.fixture
def known(tmp_path: Path) -> KnownKey:
    """A key with a limit of calls per minute."""
    ring = KeyRing(tmp_path)
    key = Key(id="key_1", name="search", calls_per_minute=1_000)
    ring.take(Snapshot(1, [KeyRow(key, digest(SECRET), None, None, 0, None)], []))
    found = ring.find(SECRET.encode(), 0)
    assert found is not None
    return found


def account(budget: Budget) -> Account:
    return account_of(budget, "", span_of(budget.window, budget.timezone, budget.week_start, NOW))


async def standing(db: ControlDatabase, told_of: Account) -> Standing:
    return (await leases.standings(db, [told_of], NOW * 1000)).get(told_of.key, Standing())


async def use(worker: Worker, known: KnownKey | None, calls: int) -> None:
    """Calls within the same minute, whenever they are made; nothing is told of them yet."""
    for _ in range(calls):
        call = call_of()
        assert await worker.admit(call, known) is None
        await worker.end(call, 1)


async def shadowed(worker: Worker, refused: int) -> Account:
    await admin.create(worker.db, SHADOW, "test", NOW)
    await worker.look()
    await use(worker, None, refused)
    return account(SHADOW)


def limit_of(known: KnownKey) -> Account:
    (limit,) = limits_of(known.key)
    return account(limit)


async def cut(worker: Worker, *, kept: bool) -> None:
    """A round whose report fails: ``kept``, only its answer is lost."""
    worker.db.loses_answers, worker.db.undoes = kept, not kept
    await worker.after(0.1)
    assert worker.db.away
    worker.db.away = False


@pytest.mark.parametrize("kept", [True, False])
async def test_what_a_key_used_is_counted_once(worker: Worker, known: KnownKey, kept: bool) -> None:
    await use(worker, known, 3)
    limit = limit_of(known)
    await cut(worker, kept=kept)
    assert (await standing(worker.db, limit)).spent == (3 if kept else 0)
    await worker.after(RETRY_S)
    found = await standing(worker.db, limit)
    assert found.spent == 3
    assert (await leases.own(worker.db, worker.name))[limit.key] == worker.holds == found.lent > 0


@pytest.mark.parametrize("kept", [True, False])
async def test_refusals_are_counted_once(worker: Worker, kept: bool) -> None:
    told_of = await shadowed(worker, 3)
    await cut(worker, kept=kept)
    assert (await standing(worker.db, told_of)).denied == (3 if kept else 0)
    await worker.after(LATER_S)
    assert (await standing(worker.db, told_of)).denied == 3


async def test_what_comes_meanwhile_is_told_next(worker: Worker) -> None:
    """It is not told with what may have been heard already, and cut again and again it is not lost."""
    told_of = await shadowed(worker, 3)
    for number, kept in enumerate((True, True, False, True, False)):
        worker.seconds += LATER_S
        await cut(worker, kept=kept)
        await use(worker, None, 1)
        assert (await standing(worker.db, told_of)).denied == 3, number
    await worker.after(LATER_S)
    assert (await standing(worker.db, told_of)).denied == 8


async def test_an_unheard_report_is_told_at_the_end(worker: Worker) -> None:
    told_of = await shadowed(worker, 3)
    await cut(worker, kept=False)
    await use(worker, None, 1)
    await worker.leasing._return_all()
    assert (await standing(worker.db, told_of)).denied == 4


async def test_a_worker_that_restarts_is_heard(database: str) -> None:
    """What it did not tell before is lost with it; what it told is counted, and what it tells now is news."""
    first = await Worker(database, seconds=3_600).open()
    told_of = await shadowed(first, 3)
    await cut(first, kept=True)
    await first.close()
    for seconds, total in ((3_660, 5), (60, 7)):  # its clock may have been set back
        again = await Worker(database, seconds=seconds).open()
        await use(again, None, 2)
        await again.after(0.1)
        assert (await standing(again.db, told_of)).denied == total
        await again.close()


async def test_two_workers_are_told_apart(worker: Worker, database: str, known: KnownKey) -> None:
    """Their numbers may well be the same."""
    other = await Worker(database, "other").open()
    for one, calls in ((worker, 2), (other, 3)):
        await use(one, known, calls)
        await cut(one, kept=True)
    for one in (worker, other, worker):
        await one.after(LATER_S)
    assert (await standing(worker.db, limit_of(known))).spent == 5
    await other.close()


async def test_only_the_same_report_is_told_again(worker: Worker) -> None:
    told_of = account(SHADOW)
    for number, denied in ((5, 1), (5, 1), (6, 2), (6, 2), (5, 3)):
        await leases.tell(worker.db, "me", [Told(told_of, denied=1)], NOW * 1000, number)
        assert (await standing(worker.db, told_of)).denied == denied
    await leases.tell(worker.db, "other", [Told(told_of, 4, 1)], NOW * 1000, 5)
    assert await standing(worker.db, told_of) == Standing(spent=4, denied=4)


async def test_a_report_that_is_still_on_its_way_is_waited_for(postgres: str) -> None:
    """The connection broke while it was committed; the server is not done with it yet."""
    address, told_of = parse(postgres, Path()), account(SHADOW)
    theirs, ours = control_of(address), control_of(address)
    watching = await asyncpg.connect(address.dsn)
    async with theirs.transaction() as tx:
        assert await leases._is_news(tx, "me", NOW * 1000, 1)
        repeated = asyncio.ensure_future(leases.tell(ours, "me", [Told(told_of, denied=1)], NOW * 1000, 1))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not repeated.done() and not await watching.fetchval(waiting):
            await asyncio.sleep(0.001)
        assert not repeated.done()
    await repeated
    assert await standing(ours, told_of) == Standing()
    for db in (theirs, ours, watching):
        await db.close()


async def test_a_number_is_kept_longer_than_its_report(worker: Worker, database: str) -> None:
    """Others sweep while this worker is cut off."""
    told_of = await shadowed(worker, 3)
    await cut(worker, kept=True)
    worker.db.away = True
    other = await Worker(database, "other", seconds=UNTOLD_S - 1).open()
    await other.after(SWEEP_S)
    assert await leases.owners(other.db) == ["me"]
    other.seconds = REPORT_S + 1
    await other.after(SWEEP_S)
    assert await leases.owners(other.db) == []
    await worker.after(UNTOLD_S + 2)
    worker.db.away = False
    await worker.after(LATER_S)
    assert (await standing(worker.db, told_of)).denied == 3
    await other.close()


async def test_a_number_goes_with_its_worker(worker: Worker) -> None:
    await shadowed(worker, 1)
    await worker.after(0.1)
    assert await leases.own(worker.db, "me") == {}
    assert await leases.owners(worker.db) == ["me"]
    await leases.release(worker.db, ["me"], worker.now_ms())
    assert await leases.owners(worker.db) == []


async def test_whatever_is_lost_sums_are_right_in_the_end(
    worker: Worker, database: str, known: KnownKey
) -> None:
    """Two workers, cut off before and after anything is kept, at any point of a minute."""
    await admin.create(worker.db, SHADOW, "test", NOW)
    other = await Worker(database, "other").open()
    workers, chance, made, failed = [worker, other], random.Random(12), 0, 0
    for one in workers:
        await one.look()
    for _ in range(80):
        one = chance.choice(workers)
        one.db.loses_answers, one.db.undoes = chance.choice(((True, False), (False, True), (False, False)))
        calls = chance.randrange(3)
        await use(one, known, calls)
        made += calls
        await one.after(chance.choice((0.1, 2 * RETRY_S)))
        failed += one.db.away
        one.db.away = one.db.loses_answers = one.db.undoes = False
    assert failed > 15
    for _ in range(2):
        for one in workers:
            await one.after(LATER_S)
    assert (await standing(worker.db, limit_of(known))).spent == made
    assert (await standing(worker.db, account(SHADOW))).denied == made
    await other.close()
