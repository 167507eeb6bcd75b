"""A loan whose answer is lost: nothing stays lent that no worker knows of, and nobody loses what calls have taken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from rig.lending import NOW, Worker, call_of, hard

from gateway.leasing import IDLE_S, RETRY_LONGEST_S, SWEEP_S
from storage.address import parse
from storage.budgets import admin, leases
from storage.budgets.leases import LEASE_S, Ask, Standing
from storage.budgets.model import Account, Budget, Mode, Unit, account_of
from storage.budgets.windows import span_of
from storage.control import control_of

LATER_S = RETRY_LONGEST_S + 1


@pytest.fixture
async def worker(database: str) -> AsyncIterator[Worker]:
    opened = await Worker(database).open()
    yield opened
    await opened.close()


def account(budget: Budget) -> Account:
    return account_of(budget, "", span_of(budget.window, budget.timezone, 1, NOW))


async def made(worker: Worker, budget: Budget) -> Account:
    await admin.create(worker.db, budget, "test", NOW)
    await worker.look()
    return account(budget)


async def standing(worker: Worker, drawn_on: Account) -> Standing:
    found = await leases.standings(worker.db, [drawn_on], worker.now_ms())
    return found.get(drawn_on.key, Standing())


async def lose_a_loan(worker: Worker, tokens: int) -> None:
    """A call that passes, as the database is taken to be away."""
    worker.db.loses_answers = True
    call = call_of()
    assert await worker.admit(call) is None
    assert worker.db.away, "it was lent, and the answer was lost"
    worker.db.away = False
    await worker.end(call, tokens)


async def test_a_part_that_is_of_no_use_is_not_lent(worker: Worker) -> None:
    drawn_on = await made(worker, hard(1_000))
    asked = [(980, 980, 980), (132, 21, 0), (132, 20, 20), (132, 0, 0)]
    for loan, (need, least, lent) in enumerate(asked, start=1):
        ask = Ask(drawn_on, need, least)
        (grant,) = await leases.grant(worker.db, worker.name, [ask], worker.now_ms(), loan)
        assert grant.amount == lent
    assert (await standing(worker, drawn_on)).lent == 1_000


async def test_what_was_lent_unheard_does_not_stay_lent(worker: Worker) -> None:
    drawn_on = await made(worker, hard(1_000_000))
    await lose_a_loan(worker, 100)
    assert worker.holds < 0
    assert (await standing(worker, drawn_on)).lent > 10_000
    await worker.after(LATER_S)
    found = await standing(worker, drawn_on)
    assert (found.spent, found.lent) == (100, max(worker.holds, 0))


async def test_answers_that_are_lost_again_and_again_leave_all_to_be_spent(worker: Worker) -> None:
    drawn_on = await made(worker, hard(3_032))  # a call may take 132
    for _ in range(4):
        await lose_a_loan(worker, 100)
        await worker.after(LATER_S)
    assert await worker.spend(100, 100) == 26
    found = await standing(worker, drawn_on)
    assert (found.spent, found.lent) == (3_000, worker.holds)


async def test_a_taking_back_whose_answer_is_lost_is_repeated(worker: Worker) -> None:
    drawn_on = await made(worker, hard(1_000_000))
    await lose_a_loan(worker, 100)
    for lost in (True, True, False):
        worker.db.loses_answers = lost
        await worker.after(LATER_S)
        assert worker.db.away is lost
        worker.db.away = False
    assert (await standing(worker, drawn_on)).lent == max(worker.holds, 0)


async def test_a_loan_that_was_used_up_unheard_is_owed(worker: Worker) -> None:
    """Its calls took all of it before it was taken back: nothing of it is left, and somebody else sweeps."""
    drawn_on = await made(worker, hard(10, unit=Unit.CALLS))
    await lose_a_loan(worker, 1)
    assert set((await leases.own(worker.db, worker.name)).values()) == {0}
    await leases.release(worker.db, [], worker.now_ms())
    await worker.after(LATER_S)
    running = call_of()
    assert await worker.admit(running) is None
    found = await standing(worker, drawn_on)
    assert (found.spent, found.lent) == (1, worker.holds)
    await worker.end(running, 1)


async def test_what_was_lent_unheard_is_taken_back_at_the_end(worker: Worker) -> None:
    drawn_on = await made(worker, hard(1_000_000))
    await lose_a_loan(worker, 100)
    await worker.leasing.stop(1)
    await worker.leasing._return_all()
    assert (await standing(worker, drawn_on)).lent == 0


async def test_leases_of_nothing_end_though_their_worker_lives(worker: Worker) -> None:
    """Used up to the last, and never given back."""
    await made(worker, hard(1, unit=Unit.CALLS))
    assert await worker.spend(2, 1) == 1
    assert set((await leases.own(worker.db, worker.name)).values()) == {0}
    for _ in range(LEASE_S // 60 + 1):
        await worker.after(60)
    await worker.after(IDLE_S + SWEEP_S)
    assert await leases.own(worker.db, worker.name) == {}


async def test_only_the_loan_of_that_number_is_taken_back(worker: Worker) -> None:
    drawn_on = await made(worker, hard(1_000))
    for number in (1, 2):
        await leases.grant(worker.db, "me", [Ask(drawn_on, 100)], worker.now_ms(), number)
    for number, left in ((1, 200), (2, 100), (2, 100)):
        await leases.undo(worker.db, "me", [drawn_on], number)
        assert (await standing(worker, drawn_on)).lent == left
    await leases.undo(worker.db, "other", [drawn_on], 1)
    assert (await standing(worker, drawn_on)).lent == 100


async def test_a_loan_that_is_still_on_its_way_is_waited_for(postgres: str) -> None:
    """The connection broke while it was committed; the server is not done with it yet."""
    budget = Budget(id="b", name="b", limit=1_000, unit=Unit.CALLS, mode=Mode.HARD)
    drawn_on, address = account(budget), parse(postgres, Path())
    theirs, ours = control_of(address), control_of(address)
    watching = await asyncpg.connect(address.dsn)
    async with theirs.transaction() as tx:
        await leases._grant(tx, "me", Ask(drawn_on, 100), NOW * 1000, 1)
        undone = asyncio.ensure_future(leases.undo(ours, "me", [drawn_on], 1))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not undone.done() and not await watching.fetchval(waiting):
            await asyncio.sleep(0.001)
        assert not undone.done()
    await undone
    assert (await leases.standings(ours, [drawn_on], NOW * 1000))[drawn_on.key].lent == 0
    for db in (theirs, ours, watching):
        await db.close()


async def test_whatever_is_lost_worker_and_lease_agree_in_the_end(worker: Worker) -> None:
    """Answers lost at any point, with calls and their rows before and after."""
    drawn_on = await made(worker, hard(20_000))
    chance = random.Random(11)
    lost = 0
    for _ in range(120):
        worker.db.loses_answers = chance.random() < 0.2
        call = call_of()
        if await worker.admit(call) is None:
            await worker.end(call, chance.randrange(132))
        lost += worker.db.away
        worker.db.away = worker.db.loses_answers = False
        worker.seconds += chance.choice((0.1, LATER_S))
        await worker.after(0)
        found = await standing(worker, drawn_on)
        assert found.spent <= 20_000
    assert lost > 10
    await worker.after(LATER_S)
    await worker.after(LATER_S)
    found = await standing(worker, drawn_on)
    assert found.lent == max(worker.holds, 0)
