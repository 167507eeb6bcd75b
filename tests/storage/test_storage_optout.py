"""Who opted out is nobody from then on: in calls, contents, feedback, events, and on accounts of budgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rig.house import ADA, UP, House, call, event
from rig.ledger import STARTED_MS

from storage import audit
from storage.budgets import leases
from storage.budgets.leases import Ask, Grant, Told
from storage.budgets.model import Account, Budget, Span, account_of, subject_of
from storage.control import ControlDatabase, control_of
from storage.privacy.database import Person
from storage.privacy.optout import opt_in, opt_out, opted_out
from storage.quality.facts import facts_of
from storage.quality.keep import Rating
from storage.store import pending_row

PERSON = Person((ADA,))


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    opened = House(database, tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def db(house: House) -> AsyncIterator[ControlDatabase]:
    opened = control_of(house.address)
    yield opened
    await opened.close()


async def users(house: House) -> list[tuple[str | None, int]]:
    rows = await house.rows("SELECT user_id, count(*) FROM model_requests GROUP BY 1 ORDER BY 1")
    return sorted((tuple(row) for row in rows), key=str)


async def test_what_comes_is_nobodys_and_what_is_there_stays(house: House, db: ControlDatabase) -> None:
    await house.keep(call(1))
    await house.contents(call(1))
    found, new = await opt_out(db, PERSON, "admin", 1)
    assert new
    await house.keep(call(2), call(3, "bob"))
    await house.contents(call(2), call(3, "bob"))
    assert await house.events.keep([event("a", ADA), event("b", "bob")]) == 2
    facts = facts_of(pending_row(call(3, "bob")))
    await house.quality.rate(facts, Rating(UP, ADA, comment=f"I am {ADA}"))
    assert await users(house) == [("ada@lovelace.example", 1), ("bob", 1), (None, 1)]
    assert [row[0] for row in await house.rows("SELECT user_id FROM events")] == ["bob"]
    rows = await house.rows("SELECT user_id FROM call_contents ORDER BY 1")
    assert [row[0] for row in rows] == [ADA, "bob"]
    assert [tuple(row) for row in await house.rows("SELECT user_id, comment FROM feedback")] == [(None, None)]
    assert found[0].digest in str(await house.everything())


async def test_it_has_no_end_until_it_is_taken_back(house: House, db: ControlDatabase) -> None:
    found, _ = await opt_out(db, PERSON, "admin", 1)
    await house.erase("somebody else", days=1)  # clears what is over
    await house.erase("another", clock=lambda: time.time() + 3_650 * 86_400)
    assert await opted_out(db) == found
    await house.keep(call(1))
    assert await opt_in(db, PERSON, "admin")
    assert not await opt_in(db, PERSON, "admin")
    await house.keep(call(2))
    assert await users(house) == [("ada@lovelace.example", 1), (None, 1)]
    assert await opted_out(db) == []


async def test_once_and_for_each_tenant_by_itself(house: House, db: ControlDatabase) -> None:
    one, new = await opt_out(db, PERSON, "admin", 1)
    again, newer = await opt_out(db, PERSON, "admin", 2)
    assert (new, newer, again) == (True, False, one)
    tenant = Person((ADA,), "acme")
    _, new = await opt_out(db, tenant, "admin", 3)
    assert new
    assert [found.tenant for found in await opted_out(db)] == ["acme", None]
    assert await opt_in(db, PERSON, "admin")
    assert [found.tenant for found in await opted_out(db)] == ["acme"]
    await house.keep(call(1), call(2, who={"tenant": "globex"}))
    rows = await house.rows("SELECT tenant_id, user_id FROM model_requests ORDER BY 1")
    assert [tuple(row) for row in rows] == [("acme", None), ("globex", ADA)]


async def test_the_list_and_the_log_name_nobody(house: House, db: ControlDatabase) -> None:
    await opt_out(db, Person((ADA, "u_hashed")), "admin", 1)
    await opt_in(db, Person((ADA, "u_hashed")), "root")
    lines = await audit.lines(db, action="user")
    assert [(line.actor, line.action) for line in lines] == [
        ("root", "user.opt_in"),
        ("admin", "user.opt_out"),
    ]
    assert await house.where_is("lovelace") == set()
    assert await house.where_is("u_hashed") == set()


async def test_a_call_that_is_written_meanwhile_is_before_or_after(house: House, db: ControlDatabase) -> None:
    """Every row that came after is nobody's, whoever wrote it."""
    ledgers = [await house.ledger() for _ in range(2)]
    for number in range(200):
        ledgers[number % 2].closed(call(number))
        if number == 100:
            await opt_out(db, PERSON, "admin", 1)
        await asyncio.sleep(0.001)
    for ledger in ledgers:
        assert await ledger.drained(20)
        await ledger.stop(5)
    before = dict(await users(house)).get(ADA, 0)
    assert before <= 101
    await house.keep(*[call(number) for number in range(200, 210)])
    assert dict(await users(house)) == {k: v for k, v in {ADA: before, None: 210 - before}.items() if v}


def account(user: str) -> Account:
    budget = Budget(id="each", name="each", limit=100, scope=(("tenant", "*"), ("user", "*")))
    begin = STARTED_MS // 1000
    return account_of(budget, subject_of(["acme", user]), Span("month:x", begin, begin + 86_400))


async def test_no_account_of_a_budget_names_them(house: House, db: ControlDatabase) -> None:
    long = "x" * 300
    await opt_out(db, Person((ADA, long)), "admin", 1)
    hers, longs, bobs = account(ADA), account(long), account("bob")
    asks = [Ask(one, 60) for one in (hers, bobs, longs)]
    got = await leases.grant(db, "worker", asks, STARTED_MS, 1)
    assert got == [Grant(60, 0, 0), Grant(60, 0, 60), Grant(60, 0, 0)], "her calls pass as ever"
    assert (await leases.grant(db, "worker", asks[:1], STARTED_MS, 1))[0].amount == 60
    await leases.tell(db, "worker", [Told(hers, 1, 1), Told(bobs, 2, 2)], STARTED_MS, 2)
    await leases.tell(db, "worker", [Told(hers, returned=1), Told(bobs, returned=2)], STARTED_MS, 3)
    for table in ("budget_accounts", "budget_leases"):
        rows = await db.fetch(f"SELECT subject FROM {table} WHERE budget_id <> ''")
        assert [row[0] for row in rows] == [bobs.subject]
