"""What a worker gives back is lent to others: whatever became of the answer, it draws on it no more."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from rig.lending import NOW, Worker, call_of, hard

from gateway.leasing import IDLE_S, RENEW_S, RETRY_LONGEST_S, RETRY_S, UNTOLD_S
from storage.budgets import admin, leases
from storage.budgets.leases import Ask, Standing, Told
from storage.budgets.model import Account, Budget, Unit, account_of
from storage.budgets.windows import span_of

LATER_S = RETRY_LONGEST_S + 1
LIMIT = 100
CALLS = hard(LIMIT, unit=Unit.CALLS)


@pytest.fixture
async def worker(database: str) -> AsyncIterator[Worker]:
    """It has made one call, and holds more than it needs."""
    opened = await Worker(database).open()
    await admin.create(opened.db, CALLS, "test", NOW)
    await opened.look()
    assert await opened.spend(1, 1) == 1
    assert opened.holds == 4
    yield opened
    await opened.close()


@pytest.fixture
async def other(worker: Worker, database: str) -> AsyncIterator[Worker]:
    opened = await Worker(database, "other").open()
    yield opened
    await opened.close()


def account(budget: Budget) -> Account:
    return account_of(budget, "", span_of(budget.window, budget.timezone, 1, NOW))


async def standing(worker: Worker) -> Standing:
    drawn_on = account(CALLS)
    return (await leases.standings(worker.db, [drawn_on], worker.now_ms()))[drawn_on.key]


async def cut(worker: Worker, *, kept: bool) -> None:
    """It gives back what it does not need, and hears nothing of it; ``kept``: only the answer is lost."""
    worker.db.loses_answers, worker.db.undoes = kept, not kept
    await worker.after(IDLE_S + 1)
    assert worker.db.away
    worker.db.away = False


async def test_what_was_given_back_unheard_is_spent_once(worker: Worker, other: Worker) -> None:
    await cut(worker, kept=True)
    assert await other.spend(LIMIT, 1) == LIMIT - 1
    worker.seconds += RETRY_S + 1
    assert await worker.spend(5, 1) == 0
    found = await standing(worker)
    assert (found.spent, found.lent) == (LIMIT, 0)


async def test_what_was_not_given_back_after_all_is_nobodys_for_long(worker: Worker, other: Worker) -> None:
    await cut(worker, kept=False)
    assert (worker.holds, (await standing(worker)).lent) == (0, 4)
    assert await other.spend(LIMIT, 1) == LIMIT - 5
    worker.seconds += RETRY_S + 1
    assert await worker.spend(5, 1) == 4
    assert await other.spend(1, 1) == 0


async def test_cut_again_and_again_it_is_returned_once(worker: Worker, other: Worker) -> None:
    for kept in (True, False, True, True, False):
        worker.seconds += LATER_S
        await cut(worker, kept=kept)
        assert (worker.holds, (await standing(worker)).lent) == (0, 0)
    await worker.after(LATER_S)
    assert await leases.own(worker.db, worker.name) == {}
    assert await other.spend(LIMIT, 1) == LIMIT - 1


async def test_nothing_is_lent_before_the_report_was_heard(worker: Worker) -> None:
    """A loan that was made before would be taken for heard of when the report comes, and never undone."""
    await cut(worker, kept=False)
    worker.seconds += LATER_S
    worker.db.loses_answers = True
    call = call_of()
    assert await worker.admit(call) is None
    assert (worker.db.away, worker.admission.overdrawn) == (True, 1)
    worker.db.away = False
    assert (await standing(worker)).lent == 0, "the report was heard, and nothing lent"
    await worker.end(call, 1)
    await worker.after(LATER_S)
    found = await standing(worker)
    assert (found.spent, found.lent) == (2, max(worker.holds, 0))


async def test_at_the_end_it_is_returned_once(worker: Worker) -> None:
    await cut(worker, kept=True)
    await worker.leasing._return_all()
    assert ((await standing(worker)).lent, await leases.own(worker.db, worker.name)) == (0, {})


@pytest.mark.parametrize("kept", [True, False])
async def test_a_report_that_is_dropped_leaves_nothing_lent(worker: Worker, kept: bool) -> None:
    """No other worker is there to sweep what expired, and this one renews what it holds."""
    await cut(worker, kept=kept)
    worker.db.away = True
    await worker.after(UNTOLD_S + 2)
    assert worker.leasing._report is None
    worker.db.away = False
    await worker.after(RENEW_S + 1)
    assert (worker.holds, (await standing(worker)).lent) == (0, 0)
    assert await worker.spend(LIMIT, 1) == LIMIT - 1


async def test_only_the_same_return_is_counted_once(worker: Worker) -> None:
    drawn_on = account(CALLS)
    await leases.grant(worker.db, "w", [Ask(drawn_on, 20)], NOW * 1000, 1)
    for number, left in ((5, 17), (5, 17), (6, 14), (6, 14), (5, 11)):
        await leases.tell(worker.db, "w", [Told(drawn_on, returned=3)], NOW * 1000, number)
        assert (await leases.own(worker.db, "w"))[drawn_on.key] == left
    found = await standing(worker)
    assert (found.spent, found.denied) == (1, 0)


async def test_whatever_is_lost_the_limit_holds(worker: Worker, other: Worker) -> None:
    """Both are cut off before and after anything is kept, in rounds that borrow and in rounds that give back."""
    chance, failed, spent, unheard = random.Random(4), 0, 1, 0
    for _ in range(120):
        one = chance.choice((worker, other))
        spent += await one.spend(chance.randrange(2), 1)
        if chance.random() < 0.5:
            await one.after(0.1)
        one.db.loses_answers, one.db.undoes = chance.choice(((True, False), (False, True), (False, False)))
        await one.after(IDLE_S + 1)
        failed += one.db.away
        unheard += one.leasing._report is not None
        one.db.away = one.db.loses_answers = one.db.undoes = False
        one.seconds += LATER_S
        found = await standing(one)
        assert found.spent == spent
        assert found.spent + found.lent <= LIMIT
        assert worker.holds + other.holds <= found.lent
    assert failed > 40
    assert unheard > 10
    for one in (worker, other):
        await one.after(LATER_S)
    assert (await standing(worker)).lent == worker.holds + other.holds
    spent += await worker.spend(LIMIT, 1)
    spent += await other.spend(LIMIT, 1)
    assert spent == LIMIT
    assert worker.admission.overdrawn == other.admission.overdrawn == 0
