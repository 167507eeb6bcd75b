"""What a worker believes to hold and what the database lent it are the same, whatever happens in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rig.lending import NOW, Worker, call_of, hard

from gateway.admission import Decided
from gateway.keyring import KeyRing, KnownKey, Snapshot
from gateway.leasing import IDLE_S, RETRY_S
from storage.budgets import admin, leases
from storage.budgets.leases import LEASE_S, Standing
from storage.budgets.model import EVERY, Budget, Mode, Unit, Window, account_of
from storage.budgets.subjects import Wanted
from storage.budgets.windows import span_of
from storage.keys.model import Key, KeyRow, digest
from telemetry.record import Who

MANY = 1_000_000
SECRET = "wbk_" + "s" * 43


@pytest.fixture
async def worker(database: str) -> AsyncIterator[Worker]:
    opened = await Worker(database).open()
    yield opened
    await opened.close()


async def standing(worker: Worker, budget: Budget) -> Standing:
    account = account_of(budget, "", span_of(budget.window, budget.timezone, 1, NOW))
    found = await leases.standings(worker.db, [account], worker.now_ms())
    return found.get(account.key, Standing())


async def made(worker: Worker, budget: Budget) -> Budget:
    await admin.create(worker.db, budget, "test", NOW)
    await worker.look()
    return budget


async def changed(worker: Worker, before: Budget, **changes: Any) -> Budget:
    after = msgspec.structs.replace(before, **changes)
    await admin.update(worker.db, after, "test", NOW)
    await worker.look()
    return after


async def test_a_limit_that_is_lowered_holds_for_what_was_lent_before(worker: Worker) -> None:
    budget = await made(worker, hard(MANY))
    running = call_of()
    assert await worker.admit(running) is None
    assert worker.holds > 10_000
    budget = await changed(worker, budget, limit=1_000)
    assert await worker.spend(50, 100) == 8  # beside the one under way, which holds its 132
    await worker.end(running, 100)
    assert await worker.spend(50, 100) == 0
    found = await standing(worker, budget)
    assert found.spent == 900
    assert (await changed(worker, budget, limit=2_000)).limit == 2_000
    assert await worker.spend(50, 100) == 10


async def test_a_limit_in_another_unit_is_not_paid_with_what_was_lent_before(worker: Worker) -> None:
    budget = await made(worker, hard(1000 * 10**9, unit=Unit.USD))
    running = call_of()
    assert await worker.admit(running) is None
    budget = await changed(worker, budget, unit=Unit.TOKENS, limit=1_000)
    assert await worker.spend(50, 100) == 9
    await worker.end(running, 50)
    found = await standing(worker, budget)
    assert (found.spent, found.lent) == (950, worker.holds)


@pytest.mark.parametrize("changes", [{"mode": Mode.WATCH}, {"scope": (("team", "ads"),)}])
async def test_what_calls_under_way_held_does_not_stay_lent(worker: Worker, changes: dict[str, Any]) -> None:
    """Out of force and into it again while a call is under way: all there is can be spent, and no more."""
    before = await made(worker, hard(1_000, scope=(("team", "search"),)))
    running = call_of()
    assert await worker.admit(running) is None
    between = await changed(worker, before, **changes)
    await worker.after(1)
    assert await worker.admit(call_of("search")) is None
    await worker.end(running, 100)
    await worker.after(1)
    assert (await standing(worker, between)).lent == 0
    await changed(worker, between, mode=Mode.HARD, scope=before.scope)
    assert await worker.spend(50, 100) == 8
    found = await standing(worker, before)
    assert (found.spent, found.lent) == (900, worker.holds)


async def test_a_call_that_waits_is_decided_by_the_budget_as_it_is_then(worker: Worker) -> None:
    budget = await made(worker, hard(100))
    waiting = worker.admission.admit(call := call_of(), None).waiting
    assert waiting is not None
    decided = asyncio.ensure_future(waiting())
    await asyncio.sleep(0)
    await changed(worker, budget, mode=Mode.SOFT)
    await worker.after(0.5)
    assert (await decided).refusal is None
    await worker.end(call, 100)
    assert worker.admission.holding == 0


async def test_other_limits_of_a_key_hold_at_once(worker: Worker, tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)

    def known(concurrent: int) -> KnownKey:
        key = Key(id="key_1", name="search", concurrent=concurrent)
        ring.take(Snapshot(1, [KeyRow(key, digest(SECRET), None, None, 0, None)], []))
        worker.admission.adopt_limits(ring.limits)
        found = ring.find(SECRET.encode(), 0)
        assert found is not None
        return found

    two, running = known(2), [call_of() for _ in range(5)]
    answers = [await worker.admit(call, two) for call in running]
    assert [answer is None for answer in answers] == [True, True, False, False, False]
    three = known(3)
    assert await worker.admit(running[2], three) is None
    assert await worker.admit(running[3], three) is not None
    one = known(1)
    for ended in running[:2]:
        await worker.end(ended, 1)
        assert await worker.admit(running[3], one) is not None
    await worker.end(running[2], 1)
    assert await worker.admit(running[3], one) is None
    assert await worker.admit(running[4], one) is not None


@pytest.mark.parametrize("written_first", [True, False])
async def test_what_was_taken_without_the_database_counts_once(worker: Worker, written_first: bool) -> None:
    """Calls that took more than was lent: their spend is not lent to this worker once more."""
    budget = await made(worker, hard(MANY, window=Window.TOTAL))
    worker.db.away = True
    records = []
    for _ in range(3):
        call = call_of()
        assert await worker.admit(call) is None
        records.append(await worker.end(call, 100_000, written=written_first))
    assert worker.admission.overdrawn == 3
    worker.db.away = False
    worker.seconds += 60
    if not written_first:
        last = call_of()
        assert await worker.admit(last) is None
        await worker.end(last, 100)
        for record in records:
            await worker.write(record)
    last = call_of()
    assert await worker.admit(last) is None
    await worker.end(last, 100)
    await worker.after(IDLE_S + 1)
    found = await standing(worker, budget)
    assert found.spent == 300_100 if written_first else 300_200
    assert found.lent == max(worker.holds, 0) == 0


async def test_an_answer_longer_than_was_assumed_counts_once(worker: Worker) -> None:
    budget = await made(worker, hard(10_000))
    call = call_of()
    assert await worker.admit(call) is None
    await worker.end(call, 5_000)
    assert await worker.spend(100, 100) == 49
    found = await standing(worker, budget)
    assert found.spent + found.lent <= 10_000
    assert found.lent == worker.holds


async def test_a_lease_that_is_gone_is_not_drawn_on(worker: Worker, database: str) -> None:
    """Another machine's clock is far ahead, or this worker was cut off for long: its leases are given to others."""
    await made(worker, hard(1_000_000))
    call = call_of()
    assert await worker.admit(call) is None
    await worker.end(call, 100)
    assert worker.holds > 10_000
    await leases.release(worker.db, [], worker.now_ms() + LEASE_S * 1000 + 1)
    other = await Worker(database, "other").open()
    taken = call_of(max_tokens=999_000)
    assert await other.admit(taken) is None
    assert other.holds >= 999_000
    await worker.after(3)
    assert await worker.spend(20, 100) == 8
    await other.close()


async def test_what_was_given_back_unheard_is_not_drawn_on(worker: Worker) -> None:
    budget = await made(worker, hard(MANY))
    call = call_of()
    assert await worker.admit(call) is None
    await worker.end(call, 100)
    worker.db.loses_answers = True
    await worker.after(IDLE_S + 1)
    assert worker.leasing.failures == 1
    worker.db.away = False
    await worker.after(RETRY_S + 1)
    assert worker.holds == (await standing(worker, budget)).lent


async def test_leases_of_nothing_are_forgotten(worker: Worker) -> None:
    """Accounts come and go with their windows; what is renewed again and again is only what is held."""
    budget = await made(worker, hard(10_000, window=Window.HOUR))
    call = call_of()
    assert await worker.admit(call) is None
    record = await worker.end(call, 100, written=False)
    await worker.after(IDLE_S + 1)
    await worker.write(record)
    await worker.after(IDLE_S + 1)
    assert (await standing(worker, budget)).spent == 100
    assert await leases.own(worker.db, worker.name) == {}


async def test_long_values_have_accounts_of_their_own(worker: Worker) -> None:
    """As many bytes as an app may say: PostgreSQL's indexes take them, and they are counted and found again."""
    names = (
        "agent",
        "app",
        "environment",
        "feature",
        "key",
        "project",
        "session",
        "tag:a",
        "team",
        "tenant",
        "user",
    )
    budget = await made(worker, hard(1_000, scope=tuple((name, EVERY) for name in names)))
    chance = random.Random(3)

    def text() -> str:
        return "".join(chr(chance.randrange(0x10000, 0x10FFFF)) for _ in range(256))

    start = text()
    for number in range(2):
        said = {
            name: text()
            for name in ("agent", "app", "environment", "feature", "project", "tenant", "team", "user")
        }
        session = start[:-1] + str(number)  # alike but for the last letter
        who = Who(session=session, key_id=text(), tags=(("a", text()),), **said)
        call = msgspec.structs.replace(call_of(), who=who)
        assert await worker.admit(call) is None
        assert worker.admission.overdrawn == 0
        await worker.end(call, 100)
        wanted = Wanted((("session", session),))
        for _ in range(2):
            (found,) = await admin.held(worker.db, budget, NOW, wanted)
            assert (found.standing.spent, found.standing.calls) == (100, 1)
            await admin.rebuild(worker.db, budget, NOW)
    assert await admin.count_held(worker.db, budget, NOW) == 2


async def test_what_one_worker_holds_is_not_refused_to_another(worker: Worker, database: str) -> None:
    """One was lent much when much was left, and goes on with small calls: it does not keep the rest for itself."""
    await made(worker, hard(1_000_000))
    other = await Worker(database, "other").open()
    assert await other.spend(1, 100) == 1
    assert other.holds > 40_000
    large = call_of(max_tokens=940_000)
    assert await worker.admit(large) is None
    await worker.end(large, 940_000)
    for _ in range(4):
        assert await other.spend(1, 100) == 1
        await other.after(1)
    late = call_of(max_tokens=50_000)
    assert await worker.admit(late) is None
    assert worker.admission.overdrawn == 0
    await other.close()


async def test_a_worker_keeps_and_takes_no_part_that_none_of_its_calls_can_use(
    worker: Worker, database: str
) -> None:
    """What is left of an account is never so little that a call is refused for what another worker holds for none."""
    other = await Worker(database, "other").open()
    budget = await made(worker, hard(53 * 132 + 104))
    await other.look()

    def ask(of: Worker, tokens: int) -> asyncio.Future[Decided]:
        waiting = of.admission.admit(call_of(max_tokens=tokens - 32), None).waiting
        assert waiting is not None
        return asyncio.ensure_future(waiting())

    async def round_of(of: Worker) -> None:
        await asyncio.sleep(0)  # what is asked is heard
        await of.after(0)

    for _ in range(2):  # the first round looks at the account, and gives back
        first = ask(worker, 132)
        await round_of(worker)
        assert (await first).refusal is None
    assert (await ask(worker, 132)).refusal is None
    assert worker.holds == 3 * 132 + 84
    large = ask(other, 50 * 132)
    await round_of(other)
    assert (await large).refusal is None
    late, lacking = ask(worker, 132), ask(other, 132)
    await round_of(other)
    assert other.holds == 50 * 132
    await round_of(worker)
    assert worker.holds == 3 * 132
    assert (await standing(worker, budget)).lent == 53 * 132
    small = ask(other, 104)
    await round_of(other)
    assert (await small).refusal is None
    for one in (late, lacking):
        one.cancel()
    await other.close()
