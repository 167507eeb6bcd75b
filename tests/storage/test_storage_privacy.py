"""Nothing that is kept names a person who was erased, whatever was on its way; no sum changes."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.house import ADA, NOW, UP, House, bury, call, event, fill
from rig.ledger import config
from sqlalchemy import func, select

from storage import audit
from storage.budgets import admin
from storage.budgets.model import Budget
from storage.control import control_of
from storage.ledger import Ledger
from storage.privacy.anonymous import anonymised
from storage.privacy.database import Person, PrivateDatabase
from storage.privacy.erase import DAYS, Done
from storage.privacy.erased import Erased
from storage.privacy.person import told
from storage.quality.facts import facts_of
from storage.quality.keep import Fate, Outcome, Rating
from storage.quality.summary import QualityReader
from storage.rollups.compaction import compact
from storage.rollups.from_calls import tally_between
from storage.rollups.measures import MEASURES, USER_MEASURES
from storage.rollups.tables import HOURS, USERS
from storage.rollups.transactions import changing_engine
from storage.schema import Migrate
from storage.store import pending_row
from storage.targets import open_target
from storage.targets.contract import DeadLetter
from telemetry.quality import Result

SUMS = (
    "count(*), sum(cost_nano), sum(input_tokens), sum(output_tokens), count(cost_nano), count(usage_raw),"
    " sum(duration_us), sum(seq)"
)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    opened = House(database, tmp_path)
    yield opened
    await opened.close()


async def sums(house: House) -> dict[str, Any]:
    """What must not change."""
    quality = (await QualityReader(house.reading).summary({}, []))[0].measures
    months = await house.rows(
        "SELECT budget_id, sum(spent), sum(calls) FROM budget_accounts WHERE budget_id = 'b2' GROUP BY 1"
    )
    users = [func.sum(USERS.c[name]) for name in USER_MEASURES]
    hours = [func.sum(HOURS.c[name]) for name in MEASURES]
    return {
        "calls": [
            tuple(row)
            for row in await house.rows(
                f"SELECT tenant_id, team, {SUMS} FROM model_requests GROUP BY 1, 2 ORDER BY 1"
            )
        ],
        "quality": quality,
        "budgets": [tuple(row) for row in months],
        "users": tuple((await house.rows(select(*users)))[0]),
        "hours": tuple((await house.rows(select(*hours)))[0]),
        "raw": [
            bytes(row[0]) for row in await house.rows("SELECT usage_raw FROM model_requests ORDER BY id")
        ],
    }


async def folded(house: House) -> None:
    engine = changing_engine(house.address)
    await compact(engine, NOW)
    await engine.dispose()


async def rollups_agree(house: House) -> None:
    """The sums by user are still those of the calls, sessions included."""
    engine = changing_engine(house.address)
    async with engine.connect() as connection:
        truth = await tally_between(connection, 0, 4_000_000_000_000)
        keys = (USERS.c.tenant_id, USERS.c.day, USERS.c.team, USERS.c.user_id)
        rows = (
            await connection.execute(
                select(*keys, *[USERS.c[name] for name in USER_MEASURES], USERS.c.sessions)
            )
        ).all()
    await engine.dispose()
    found = {tuple(row[:4]): (list(row[4:-1]), bytes(row[-1])) for row in rows}
    assert found == {key: (one.sums, b"".join(sorted(one.sessions))) for key, one in truth.users.items()}


async def test_nothing_names_the_person_any_more_and_no_sum_has_changed(house: House) -> None:
    await fill(house)
    await folded(house)
    before = await sums(house)
    held = await house.where_is(ADA)
    assert held >= {
        "model_requests", "feedback", "events", "dead_letters", "judged_calls", "outcomes", "rollup_users", "budget_accounts",
        "alerts", "alert_deliveries", "call_contents", "x.bad", "calls.csv",
    }  # fmt: skip
    report = await house.erase()
    assert report.done == Done(
        calls=5, contents=2, judged_calls=2, feedback=3, outcomes=2, events=3, dead_letters=1, sums=3, accounts=2, alerts=1,
        damaged_files=1, exports=1,
    )  # fmt: skip
    assert report.left == []
    assert await house.where_is(ADA) == set()
    assert await sums(house) == before
    await rollups_agree(house)
    again = await house.erase()
    assert again.done == Done()


async def test_what_stays_of_a_call(house: House) -> None:
    records = await fill(house)
    await house.erase()
    rows = {
        str(row.id): row
        for row in await house.rows(
            "SELECT id, user_id, session_id, tags, attribute_sources FROM model_requests"
        )
    }

    def kept(number: int) -> Any:
        row = rows[records[number].id]
        as_json = [json.loads(one) if isinstance(one, str) else one for one in row[3:]]
        return (*row[1:3], *as_json)

    assert kept(0) == (None, None, {"run": "17"}, None)
    assert kept(1) == (None, None, {"run": "17"}, None)
    assert kept(2) == ("bob", "session-of-bob", {"run": "17"}, {"user": "header", "session": "header"})
    assert kept(3) == (None, None, {"run": "1"}, {"user": "header"})
    assert kept(6)[0] == "bob"


async def test_what_others_say_is_theirs(house: House) -> None:
    """A tag, a session or a comment of somebody else that mentions the person is not erased with them."""
    bobs = call(1, "bob", who={"session": f"{ADA}-17", "tags": (("friend", f"of {ADA}"), ("mail", ADA))})
    await house.keep(bobs)
    await house.quality.rate(facts_of(pending_row(bobs)), Rating(UP, comment=f"ask {ADA}"))
    report = await house.erase()
    assert report.done == Done(calls=1)
    [row] = await house.rows("SELECT user_id, session_id, tags FROM model_requests")
    tags = json.loads(row.tags) if isinstance(row.tags, str) else row.tags
    assert (row.user_id, row.session_id, tags) == ("bob", f"{ADA}-17", {"friend": f"of {ADA}"})
    [comment] = await house.rows("SELECT comment FROM feedback")
    assert comment[0] == f"ask {ADA}"


async def test_one_tenant_alone(house: House) -> None:
    await fill(house)
    report = await house.erase(tenant="globex")
    assert report.done.calls == 1
    users = await house.rows(
        f"SELECT tenant_id, count(*) FROM model_requests WHERE user_id = '{ADA}' GROUP BY 1"
    )
    assert [tuple(row) for row in users] == [("acme", 3)]
    assert [row[0] for row in await house.rows("SELECT count(*) FROM events")] == [4]
    await house.keep(call(20), call(21, who={"tenant": "globex"}))
    users = await house.rows(
        f"SELECT tenant_id, count(*) FROM model_requests WHERE user_id = '{ADA}' GROUP BY 1"
    )
    assert [tuple(row) for row in users] == [("acme", 4)]
    await folded(house)
    await rollups_agree(house)


async def test_what_comes_later_is_nobodys(house: House) -> None:
    await house.keep(call(1, "bob"))
    await house.erase(ADA, "u_hashed")
    late = [
        call(2),
        call(3, "u_hashed", who={"tags": (("who", "u_hashed"), ("run", "1"))}),
        call(4, None, who={"session": ADA, "tags": (("who", ADA),)}),
        call(5, "bob"),
    ]
    await house.keep(*late)
    for one in late:
        facts = facts_of(pending_row(one))
        assert (await house.quality.rate(facts, Rating(UP, comment="c", label="l"))).fate is Fate.STORED
        await house.quality.rate(facts, Rating(UP, ADA, comment="c"))
        await house.quality.note(facts, Outcome(Result.ACCEPTED, user=ADA))
    assert await house.events.keep([event("a", ADA), event("b", None, "u_hashed"), event("c", "bob")]) == 3
    await house.contents(*late)
    target = open_target(house.address, migrate=Migrate.MANUAL, timeout_s=10, power_safe=False)
    await asyncio.to_thread(bury, target, [DeadLetter(call(8), "odd")])
    await folded(house)
    assert await house.where_is(ADA) == await house.where_is("u_hashed") == set()
    users = await house.rows("SELECT user_id, count(*) FROM model_requests GROUP BY 1 ORDER BY 2")
    assert {tuple(row) for row in users} == {("bob", 2), (None, 3)}
    assert [row[0] for row in await house.rows("SELECT user_id FROM call_contents")] == ["bob"]
    comments = await house.rows("SELECT user_id, comment FROM feedback WHERE comment IS NOT NULL")
    assert [tuple(row) for row in comments] == [("bob", "c")]
    assert [row[0] for row in await house.rows("SELECT message_id FROM events")] == ["c"]
    await rollups_agree(house)


async def test_under_load(house: House) -> None:
    """Records of the person and of others are closed all the time; none of the person's is left, and none is lost."""
    ledgers = [await house.ledger() for _ in range(2)]
    chance = random.Random(7)
    made = 0
    stop = asyncio.Event()

    async def load() -> None:
        nonlocal made
        while made < 600 or (made < 2_000 and not stop.is_set()):
            for _ in range(chance.randint(1, 30)):
                made += 1
                chance.choice(ledgers).closed(call(made, chance.choice([ADA, "bob", None])))
            await asyncio.sleep(0.002)

    loading = asyncio.create_task(load())
    while made < 300:
        await asyncio.sleep(0.002)
    report = await house.erase()
    stop.set()
    await loading
    for ledger in ledgers:
        assert await ledger.drained(30)
        await ledger.stop(5)
    assert report.done.calls > 0
    assert await house.where_is(ADA) == set()
    assert [row[0] for row in await house.rows("SELECT count(*) FROM model_requests")] == [made]
    await folded(house)
    await rollups_agree(house)


async def test_the_spool_of_a_running_gateway_forgets_too(house: House) -> None:
    """Records that were written long ago lie in the segment at hand until that is full."""
    ledger = await house.ledger()
    for number in range(20):
        ledger.closed(call(number))
    assert await ledger.drained(20)

    def lies_there() -> bool:
        return any(ADA.encode() in path.read_bytes() for path in house.folder.rglob("*.seg"))

    assert lies_there()
    await house.erase()
    number = 100
    while lies_there():
        number += 1
        assert number < 1000
        ledger.closed(call(number, "bob"))
        assert await ledger.drained(20)
        await asyncio.sleep(0.01)
    await ledger.stop(5)
    assert [row[0] for row in await house.rows("SELECT count(*) FROM model_requests")] == [number - 80]


async def test_a_spool_that_waited_for_the_database(house: House) -> None:
    """What a dead worker left behind is written after the erasure."""
    ledger = Ledger(config(house.folder, url="postgresql://nobody@127.0.0.1:1/none"))
    await ledger.start()
    for number in range(5):
        ledger.closed(call(number))
    await ledger.stop(0.1)
    report = await house.erase()
    assert report.done.calls == 0
    after = await house.ledger()
    while [row[0] for row in await house.rows("SELECT count(*) FROM model_requests")] != [5]:
        await asyncio.sleep(0.01)
    await after.stop(5)
    assert await house.where_is(ADA) == set()


async def test_after_some_days_the_id_may_be_used_again(house: House) -> None:
    long_ago = time.time() - (DAYS + 1) * 86_400
    await house.erase(clock=lambda: long_ago)
    await house.keep(call(1))
    assert "model_requests" in await house.where_is(ADA)
    await house.erase("somebody else")
    assert [row[0] for row in await house.rows("SELECT count(*) FROM erasures")] == [1]


async def test_the_log_says_what_was_done_and_not_to_whom(house: House) -> None:
    await fill(house)
    await house.erase()
    control = control_of(house.address)
    [line] = await audit.lines(control, action="user.erase")
    await control.close()
    assert (line.actor, json.loads(line.detail)["calls"]) == ("admin", 5)
    assert "lovelace" not in str(line)
    assert "lovelace" not in (await house.everything())["erasures"]


async def test_what_operators_named_after_the_person_is_told(house: House) -> None:
    control = control_of(house.address)
    await admin.create(
        control, Budget(id="b9", name="hers", limit=1, scope=(("user", ADA),)), "admin", int(time.time())
    )
    await control.close()
    assert (await house.erase()).left == ["budget hers"]


async def test_deleted_bytes_are_overwritten(sqlite: str, tmp_path: Path) -> None:
    house = House(sqlite, tmp_path)
    await house.keep(*[call(number) for number in range(200)])
    await house.events.keep([event(f"m{number}", ADA) for number in range(200)])
    await house.erase()
    await house.close()
    with sqlite3.connect(house.address.dsn) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    assert ADA.encode() not in Path(house.address.dsn).read_bytes()


async def test_the_person_is_told_everything(house: House) -> None:
    await fill(house)
    await folded(house)
    lines = await told_lines(house, Person((ADA,)))
    tables = [line["table"] for line in lines]
    assert {name: tables.count(name) for name in set(tables)} == {
        "model_requests": 5, "feedback": 3, "outcomes": 2, "judged_calls": 2, "events": 3, "rollup_users": 3,
        "budget_accounts": 2, "alerts": 1, "call_contents": 2,
    }  # fmt: skip
    assert all(ADA in str(line) or line.get("anonymous_id") == "anon-1" for line in lines)
    first = lines[0]
    assert (first["user_id"], first["usage_raw"]) == (ADA, '{"prompt_tokens":1000}')
    assert len(await told_lines(house, Person((ADA,), "globex"))) == 3
    await house.erase()
    assert await told_lines(house, Person((ADA,))) == []


async def test_of_others_accounts_no_more_is_read_than_whose_they_are(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be one for each user and hour."""
    await fill(house)
    control = control_of(house.address)
    kind, read = type(control), []
    await control.close()
    fetch = kind.fetch

    async def noted(self: Any, query: str, *values: Any) -> Any:
        rows = await fetch(self, query, *values)
        read.extend(rows if "spent" in query else ())
        return rows

    monkeypatch.setattr(kind, "fetch", noted)
    lines = await told_lines(house, Person((ADA,)))
    assert len(read) == sum(line["table"] == "budget_accounts" for line in lines) > 0


async def told_lines(house: House, person: Person) -> list[dict[str, Any]]:
    db, control = PrivateDatabase(house.address), control_of(house.address)
    lines = b"".join([piece async for piece in told(db, control, person)]).decode().splitlines()
    await db.close()
    await control.close()
    return [json.loads(line) for line in lines]


def test_writers_that_know_of_nobody_change_nothing() -> None:
    erased, records = Erased(), [call(1), call(2)]
    erased._version = 1
    assert erased._spared(records) is records


NAMES = st.sampled_from(["ada", "Ada", "ada2", "ada-2", "x_ada", "bob", "", "ada,bob", "ä", "1"])


@given(st.none() | NAMES, st.none() | NAMES, st.lists(st.tuples(NAMES, NAMES), max_size=4))
def test_a_record_is_without_the_person_or_as_it_was(
    user: str | None, session: str | None, tags: list[tuple[str, str]]
) -> None:
    before = call(1, user, who={"session": session, "tags": tuple(tags)})
    after = anonymised(before, lambda name: name == "ada")
    assert after.who.user != "ada"
    assert after.who.session != "ada"
    assert all(value != "ada" for _, value in after.who.tags)
    assert set(after.who.tags) <= set(tags)
    if "ada" not in (user, session, *(value for _, value in tags)):
        assert after is before
    if user == "ada":
        assert after.who.session is None
        assert not {"ada", "ada-2", "ada,bob"} & {word for pair in after.who.tags for word in pair}
        assert {pair for pair in tags if set(pair) <= {"bob", "1", "ada2", "Ada"}} <= set(after.who.tags)
    changed = msgspec.structs.replace(after, who=before.who)
    assert changed == before, "nothing but the person has changed"
    assert anonymised(after, lambda name: name == "ada") is after
