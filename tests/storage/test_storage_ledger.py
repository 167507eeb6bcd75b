"""One call, one row: through outages, poison, restarts and full memory, and the figures add up throughout."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig.ledger import FlakyTarget, opening, record, started

from pricing.usage import Usage
from storage.durability import Syncer
from storage.ledger import Durability, Ledger
from storage.store import Store
from storage.writer import Pace
from telemetry.outcome import Outcome
from telemetry.record import CallRecord


def call(ledger: Ledger, number: int) -> CallRecord:
    final = record(number)
    ledger.opened(opening(final))
    ledger.closed(final)
    return final


async def test_a_call_is_counted_from_opening_to_row(tmp_path: Path) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(tmp_path, target)
    final = record(1)
    ledger.opened(opening(final))
    stats = ledger.stats()
    assert (stats.accepted, stats.in_flight, stats.spooled, stats.recorded) == (1, 1, 0, 0)
    ledger.closed(final)
    stats = ledger.stats()
    assert (stats.accepted, stats.in_flight, stats.spooled, stats.recorded) == (1, 0, 1, 0)
    assert ledger.pending(final.id) == final
    assert stats.degraded
    assert stats.oldest_age_s > 0
    target.down = False
    assert await ledger.drained(10)
    stats = ledger.stats()
    assert (stats.accepted, stats.in_flight, stats.spooled, stats.recorded) == (1, 0, 0, 1)
    assert (stats.degraded, stats.reasons, stats.oldest_age_s) == (False, (), 0.0)
    assert ledger.pending(final.id) is None
    assert target.rows == {final.id: final}
    await ledger.stop(5)


async def test_what_comes_while_a_batch_is_written_waits_for_its_companions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = FlakyTarget()
    writing, go_on, write = threading.Event(), threading.Event(), target.write

    def slowly(records: Sequence[CallRecord]) -> int:
        writing.set()
        assert go_on.wait(10)
        return write(records)

    monkeypatch.setattr(target, "write", slowly)
    ledger = await started(tmp_path, target, pace=Pace(batch_rows=5, batch_interval_s=3600))
    for number in range(5):
        call(ledger, number)
    assert await asyncio.to_thread(writing.wait, 10)
    for number in range(5, 8):
        call(ledger, number)
    go_on.set()
    async with asyncio.timeout(10):
        while ledger.stats().recorded < 5:
            await asyncio.sleep(0.005)
    for number in range(8, 10):
        call(ledger, number)
    assert await ledger.drained(10)
    assert target.writes == [5, 5]
    await ledger.stop(5)


async def test_a_refusal_that_was_never_opened_is_a_call_too(tmp_path: Path) -> None:
    target = FlakyTarget()
    ledger = await started(tmp_path, target)
    refused = record(1, outcome=Outcome.REFUSED)
    ledger.closed(refused)
    assert await ledger.drained(10)
    assert (ledger.stats().accepted, ledger.stats().recorded, ledger.stats().balance) == (1, 1, 0)
    await ledger.stop(5)


async def test_memory_is_bounded_while_the_database_is_away_and_all_rows_come_in_order(
    tmp_path: Path,
) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(tmp_path, target, memory_rows=50)
    made = [call(ledger, number) for number in range(2000)]
    held = sum(ledger.pending(one.id) is not None for one in made)
    assert held <= 50
    assert ledger.stats().spooled == 2000
    target.down = False
    made += [call(ledger, number) for number in range(2000, 2100)]
    assert await ledger.drained(20)
    assert list(target.rows) == [one.id for one in made]
    assert list(target.rows.values()) == made
    stats = ledger.stats()
    assert (stats.recorded, stats.duplicates, stats.lost, stats.balance) == (2100, 0, 0, 0)
    await ledger.stop(5)
    assert not any((tmp_path / "spool").iterdir())


async def test_rows_keep_coming_while_calls_go_on_around_a_full_memory(tmp_path: Path) -> None:
    target = FlakyTarget()
    target.slow_s = 0.001
    ledger = await started(tmp_path, target, memory_rows=7)
    made = []
    for number in range(1500):
        made.append(call(ledger, number))
        if number % 10 == 0:
            await asyncio.sleep(0)
    assert await ledger.drained(20)
    assert list(target.rows) == [one.id for one in made]
    assert (ledger.stats().duplicates, ledger.stats().balance) == (0, 0)
    await ledger.stop(5)


async def test_an_answer_that_got_lost_makes_no_second_row(tmp_path: Path) -> None:
    target = FlakyTarget()
    ledger = await started(tmp_path, target)
    target.lose_answer = True
    made = [call(ledger, number) for number in range(30)]
    assert await ledger.drained(10)
    stats = ledger.stats()
    assert list(target.rows.values()) == made
    assert (stats.recorded, stats.balance) == (30, 0)
    assert stats.duplicates > 0
    assert stats.outages == 1
    await ledger.stop(5)


async def test_a_row_the_database_refuses_is_found_and_kept_aside_and_the_rest_go_on(tmp_path: Path) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(tmp_path, target)
    made = [call(ledger, number) for number in range(300)]
    target.poison = {made[17].id, made[18].id, made[299].id}
    target.down = False
    assert await ledger.drained(10)
    assert set(target.letters_by_id) == target.poison
    assert set(target.rows) == {one.id for one in made} - target.poison
    stats = ledger.stats()
    assert (stats.recorded, stats.dead_letters, stats.duplicates, stats.balance) == (297, 3, 0, 0)
    await ledger.stop(5)
    assert not any((tmp_path / "spool").iterdir()), "a dead letter is safe in the database: the spool may go"


async def test_what_could_not_be_written_by_the_stop_is_written_after_the_next_start(tmp_path: Path) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(tmp_path, target)
    made = [call(ledger, number) for number in range(40)]
    unfinished = record(99)
    ledger.opened(opening(unfinished))
    await ledger.stop(0.05)
    assert not target.rows
    target.down = False
    again = await started(tmp_path, target)
    assert await again.drained(10)
    stats = again.stats()
    assert (stats.replayed, stats.interrupted, stats.accepted, stats.balance) == (41, 1, 0, 0)
    assert target.rows == {one.id: one for one in made} | {unfinished.id: opening(unfinished)}
    await again.stop(5)


async def test_what_was_acknowledged_is_not_replayed_and_what_was_not_is(tmp_path: Path) -> None:
    target = FlakyTarget()
    ledger = await started(tmp_path, target)
    early = [call(ledger, number) for number in range(20)]
    assert await ledger.drained(10)
    target.down = True
    late = [call(ledger, number) for number in range(20, 30)]
    await ledger.stop(0.05)
    after = FlakyTarget()
    again = await started(tmp_path, after)
    assert await again.drained(10)
    assert list(after.rows.values()) == late
    assert list(target.rows.values()) == early
    await again.stop(5)


async def test_a_long_call_does_not_hold_on_to_old_segments(tmp_path: Path) -> None:
    target = FlakyTarget()
    ledger = await started(tmp_path, target, segment_bytes=4096)
    long = record(1)
    ledger.opened(opening(long))
    for number in range(2, 200):
        call(ledger, number)
        await asyncio.sleep(0)
    assert await ledger.drained(10)
    folder = next(path for path in (tmp_path / "spool").iterdir() if path.is_dir())
    async with asyncio.timeout(10):
        while len(list(folder.glob("*.seg"))) > 3:
            await asyncio.sleep(0.01)
    await ledger.stop(0.5)
    again = await started(tmp_path, target)
    assert await again.drained(10)
    assert target.rows[long.id] == opening(long), "carried from segment to segment"
    assert (again.stats().replayed, again.stats().interrupted) == (1, 1)
    await again.stop(5)


async def test_strict_waits_for_the_disk_and_many_calls_share_one_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await started(tmp_path, FlakyTarget(), durability=Durability.STRICT)
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    syncs = 0

    def sync(_spool: object) -> None:
        nonlocal syncs
        syncs += 1
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)

    monkeypatch.setattr("storage.spool.Spool.sync", sync)
    waiting = [ledger.closed(record(number)) for number in range(20)]
    done, _ = await asyncio.wait([one for one in waiting if one is not None], timeout=0.05)
    assert (len(waiting), len(done)) == (20, 0), "nothing is promised before the disk has it"
    gate.set()
    await asyncio.wait_for(asyncio.gather(*[one for one in waiting if one is not None]), 10)
    assert syncs <= 2
    monkeypatch.undo()
    await ledger.stop(5)


async def test_a_disk_that_refuses_to_sync_holds_no_call_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(_spool: object) -> None:
        raise OSError(5, "Input/output error")

    ledger = await started(tmp_path, FlakyTarget(), durability=Durability.STRICT)
    monkeypatch.setattr("storage.spool.Spool.sync", sync)
    future = ledger.closed(record(1))
    assert future is not None
    await asyncio.wait_for(future, 10)
    stats = ledger.stats()
    assert stats.sync_failures >= 1
    assert stats.reasons == ("spool: the disk refuses to sync",)
    monkeypatch.undo()
    await ledger.stop(5)


async def test_a_disk_that_hangs_holds_no_answer_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.ledger.Syncer", partial(Syncer, patience_s=0.05))
    ledger = await started(tmp_path, FlakyTarget(), durability=Durability.STRICT)
    released = threading.Event()
    monkeypatch.setattr(ledger._spool, "sync", released.wait)
    ledger.opened(opening(record(1)))
    waiters = [ledger.closed(record(1)), ledger.closed(record(2))]
    async with asyncio.timeout(10):
        for waiter in waiters:
            assert waiter is not None
            await waiter
    assert "spool: the disk refuses to sync" in ledger.stats().reasons
    released.set()
    monkeypatch.undo()
    await ledger.stop(5)


async def test_without_strict_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    ledger = await started(tmp_path, FlakyTarget(), durability=Durability.GROUP)
    assert ledger.closed(record(1)) is None
    await ledger.stop(5)


async def test_of_two_records_of_one_call_the_first_counts(tmp_path: Path, database: str) -> None:
    ledger = await started(tmp_path, url=database)
    ledger.closed(record(1))
    assert await ledger.drained(10)
    for number, tokens in ((1, 7), (2, 8), (2, 9), (3, 10)):
        ledger.closed(record(number, usage=Usage(input=tokens)))
    assert await ledger.drained(10)
    assert (ledger.stats().recorded, ledger.stats().duplicates, ledger.stats().balance) == (5, 2, 0)
    await ledger.stop(5)
    store = await Store.open(database, data_dir=tmp_path)
    page = await store.list_calls()
    await store.close()
    assert [item.input_tokens for item in page.items] == [10, 8, 1001]


STEPS = st.lists(
    st.sampled_from(["open", "close", "close", "again", "down", "up", "poison", "restart", "wait", "burst"]),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_any_history_ends_with_one_row_for_each_call(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    asyncio.run(history(tmp_path_factory.mktemp("history"), steps))


async def history(folder: Path, steps: list[str]) -> None:
    target = FlakyTarget()
    ledger = await started(folder, target, memory_rows=5, segment_bytes=3000)
    open_now: list[CallRecord] = []
    closed: dict[str, CallRecord] = {}
    died: dict[str, CallRecord] = {}
    number = 0
    for step in [*steps, "up"]:
        if step in ("open", "burst"):
            for _ in range(1 if step == "open" else 20):
                number += 1
                open_now.append(record(number))
                ledger.opened(opening(open_now[-1]))
        if step == "burst":
            for final in open_now:
                ledger.closed(final)
                closed[final.id] = final
            open_now.clear()
        elif step == "close" and open_now:
            final = open_now.pop(0)
            ledger.closed(final)
            closed[final.id] = final
        elif step == "again" and closed:
            ledger.closed(next(iter(closed.values())))
        elif step in ("down", "up"):
            target.down = step == "down"
        elif step == "poison" and open_now:
            target.poison.add(open_now[0].id)
        elif step == "wait":
            await asyncio.sleep(0.02)
        elif step == "restart":
            await ledger.stop(0.02)
            died |= {one.id: opening(one) for one in open_now}
            open_now.clear()
            ledger = await started(folder, target, memory_rows=5, segment_bytes=3000)
        assert ledger.stats().balance == 0
        assert ledger.stats().in_flight == len(open_now)
    for final in open_now:
        ledger.closed(final)
        closed[final.id] = final
    assert await ledger.drained(20)
    stats = ledger.stats()
    await ledger.stop(5)
    assert (stats.balance, stats.spooled, stats.lost, stats.damaged, stats.torn) == (0, 0, 0, 0, 0)
    expected = closed | died
    assert target.rows == {key: one for key, one in expected.items() if key not in target.poison}
    assert {key: letter.record for key, letter in target.letters_by_id.items()} == {
        key: one for key, one in expected.items() if key in target.poison
    }
    assert not any((folder / "spool").iterdir())


def test_taking_calls_needs_no_sqlalchemy_and_no_network_driver() -> None:
    code = (
        "import sys, storage.ledger, storage.writer;"
        "print(sorted({'sqlalchemy', 'sqlmodel', 'alembic', 'asyncpg', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.strip() == "[]"
