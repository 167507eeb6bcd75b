"""Who was erased is looked up again when somebody came or went, or a time is over; not with every batch."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.house import call

from storage.address import Address, Engine, parse
from storage.control import ControlDatabase, control_of
from storage.privacy import erased as module
from storage.privacy.erased import FOR_EVER_MS, Erased, Erasure, Look, digest_of, keep_out, locked
from telemetry.record import CallRecord

NOW_MS = 1_800_000_000_000
SALT = b"s" * 16


class House:
    """A database, and one writer with a clock that the test moves."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.control: ControlDatabase = control_of(address)
        self.now_ms = NOW_MS
        self.erased = Erased(clock=lambda: self.now_ms / 1000)

    async def keep_out(self, *names: str, until_ms: int = FOR_EVER_MS) -> None:
        async with self.control.transaction() as tx:
            await locked(tx)
            await keep_out(tx, names, None, NOW_MS, until_ms)

    async def users(self, *records: CallRecord) -> list[str | None]:
        """Whose calls they are, as one batch writes them."""
        return [record.who.user for record in await self.batch(records)]

    async def batch(self, records: Sequence[CallRecord]) -> Sequence[CallRecord]:
        if self.address.engine is Engine.SQLITE:
            file = sqlite3.connect(self.address.dsn)
            file.execute("BEGIN IMMEDIATE")
            found = self.erased.in_sqlite(file, records)
            file.close()
            return found
        db = await asyncpg.connect(self.address.dsn)
        async with db.transaction():
            found = await self.erased.in_postgres(db, records)
        await db.close()
        return found


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    opened = House(parse(database, tmp_path))
    yield opened
    await opened.control.close()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a look was made, and a text digested."""
    found: Counter[str] = Counter()

    def counted(name: str, real: Callable[..., Any]) -> None:
        def counting(*args: Any, **kwargs: Any) -> Any:
            found[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, counting)

    counted("Look", Look)
    counted("digest_of", digest_of)
    return found


async def test_many_batches_are_one_look_and_each_text_is_digested_once(
    house: House, counts: Counter[str]
) -> None:
    await house.keep_out(*[f"gone-{number}" for number in range(50)])
    counts.clear()
    people = ["gone-7", "bob", "eve"]
    for number in range(20):
        batch = [call(number, people[each % 3]) for each in range(9)]
        assert await house.users(*batch) == [None, "bob", "eve"] * 3
    texts = {*people, "session-of-bob", "session-of-eve", "17"}  # of who is gone, no more than the name
    assert counts == {"Look": 1, "digest_of": len(texts)}
    await house.keep_out("eve")
    counts.clear()
    for number in range(5):
        assert await house.users(call(number, "bob"), call(number, "eve")) == ["bob", None]
    assert counts["Look"] == 1


async def test_who_looks_in_a_transaction_looks_once_too(house: House, counts: Counter[str]) -> None:
    async def look() -> Look | None:
        async with house.control.transaction() as tx:
            return await house.erased.look(tx)

    assert await look() is None
    await house.keep_out("ada")
    looks = [await look() for _ in range(5)]
    assert looks[0] is not None
    assert looks[0].is_erased(None, "ada")
    assert counts["Look"] == 1
    assert len({id(one) for one in looks}) == 1


async def test_a_time_that_is_over_is_over_at_its_moment(house: House, counts: Counter[str]) -> None:
    await house.keep_out("ada", until_ms=NOW_MS + 5_000)
    await house.keep_out("eve", until_ms=NOW_MS + 9_000)
    await house.keep_out("bob")
    people = [call(number, name) for number, name in enumerate(("ada", "eve", "bob"))]
    seen = []
    for after_ms in (0, 4_999, 5_000, 8_999, 9_000, 10**12, 4_000, 6_000):
        house.now_ms = NOW_MS + after_ms
        seen.append((after_ms, await house.users(*people), counts["Look"]))
    assert seen == [
        (0, [None, None, None], 1),
        (4_999, [None, None, None], 1),
        (5_000, ["ada", None, None], 2),
        (8_999, ["ada", None, None], 2),
        (9_000, ["ada", "eve", None], 3),
        (10**12, ["ada", "eve", None], 3),
        (4_000, [None, None, None], 4),  # the clock was put back
        (6_000, ["ada", None, None], 5),
    ]


def test_what_a_look_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch, counts: Counter[str]) -> None:
    monkeypatch.setattr(module, "MOST_SEEN", 10)
    look = Look([Erasure(None, SALT, digest_of("7", SALT), FOR_EVER_MS)], NOW_MS / 1000)
    for number in range(1_000):
        assert look.is_erased(None, str(number)) is (number == 7)
        assert len(look._seen) <= 10
    assert not look.is_erased(None, "999")
    assert counts["digest_of"] == 1_000, "the latest are remembered"
    assert look.is_erased(None, "7")
    assert counts["digest_of"] == 1_001


MOMENTS = st.integers(0, 20)
UNTIL = MOMENTS.map(lambda moment: NOW_MS + moment) | st.just(FOR_EVER_MS)


@given(st.lists(UNTIL, max_size=5), MOMENTS, MOMENTS)
def test_a_look_is_good_as_long_as_a_new_one_finds_the_same(untils: list[int], made: int, asked: int) -> None:
    known = [Erasure(None, SALT, digest_of(str(name), SALT), until) for name, until in enumerate(untils)]
    before, after = ((NOW_MS + moment) / 1000 for moment in (made, asked))
    looks = Look(known, before), Look(known, after)
    first, second = ([look.is_erased(None, str(name)) for name in range(5)] for look in looks)
    assert looks[0].is_good(before)
    assert looks[0].is_good(after) == (first == second)
