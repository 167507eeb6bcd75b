"""Calls that begin or end in the same turn are put on the spool together: nothing tells that from one by one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig.ledger import FlakyTarget, call_id, opening, record, started

from gateway.sinks import Sinks
from storage.durability import Durability
from storage.feed import Feed
from storage.frames import Frame, Kind, pack, pack_all, scan
from storage.ledger import Ledger, SpoolFull, WhenFull
from storage.quarantine import Quarantine
from storage.reading import ClosedFrame, closed_frames
from storage.spool import Spool
from storage.writer import Writer
from telemetry.record import CallRecord

NUL = {"model": "half a pair \ud800"}
SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=12)
"""How many calls come together, turn by turn."""


@given(st.sampled_from(Kind), st.lists(st.binary(max_size=300), max_size=20))
def test_frames_packed_together_are_those_packed_alone(kind: Kind, payloads: list[bytes]) -> None:
    assert pack_all(kind, payloads) == b"".join(pack(kind, payload) for payload in payloads)


def turns_of(sizes: list[int]) -> list[list[CallRecord]]:
    """Records in turns; now and then one that has to be mended on the way."""
    turns, number = list[list[CallRecord]](), 0
    for size in sizes:
        turns.append([record(number + at, what=NUL if at % 7 == 6 else {}) for at in range(size)])
        number += size
    return turns


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, rows=st.integers(1, 20), memory=st.integers(1, 30), outage=st.booleans())
def test_every_record_is_written_once_whatever_memory_and_segments_hold(
    sizes: list[int], rows: int, memory: int, outage: bool
) -> None:
    async def run(folder: Path) -> None:
        target = FlakyTarget()
        target.down = outage
        ledger = await started(folder, target, memory_rows=memory, segment_bytes=4000)
        for turn in turns_of(sizes):
            if len(turn) > 1:
                assert ledger.opened_together([opening(one) for one in turn]) in (None, [None] * len(turn))
                assert ledger.closed_together(turn) in (None, [None] * len(turn))
            else:
                ledger.opened(opening(turn[0]))
                ledger.closed(turn[0])
            await asyncio.sleep(0)
        target.down = False
        assert await ledger.drained(20)
        stats = ledger.stats()
        calls = sum(sizes)
        assert [*target.rows] == [call_id(number) for number in range(calls)]
        assert (stats.accepted, stats.recorded, stats.duplicates, stats.lost) == (calls, calls, 0, 0)
        assert (stats.in_flight, stats.spooled, stats.balance) == (0, 0, 0)
        await ledger.stop(5)

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


def spools(folder: Path) -> Spool:
    return Spool(folder, segment_bytes=2000, max_bytes=2**40, reserve_bytes=0, when_full=WhenFull.REFUSE)


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES)
def test_the_spool_holds_the_same_frames_as_one_by_one(sizes: list[int]) -> None:
    """Also how far it goes, who is open, and that what does not fit is left to be put down one by one."""
    with TemporaryDirectory() as folder:
        together, alone = spools(Path(folder) / "a"), spools(Path(folder) / "b")
        for turn in turns_of(sizes):
            for one in turn:
                alone.opened(opening(one))
            if not together.opened_together([opening(one) for one in turn]):
                for one in turn:
                    together.opened(opening(one))
            assert together.in_flight == alone.in_flight == len(turn)
            for one in turn:
                alone.closed(one)
            opened, slot = together.closed_together(turn)
            if slot is None:
                assert opened == 0
                for one in turn:
                    together.closed(one)
            else:
                assert opened == len(turn)
                assert slot is together.tail
            assert (together.tail.number, together.in_flight) == (alone.tail.number, 0)
        assert frames_of(together) == frames_of(alone)
        together.close()
        alone.close()


def test_what_a_segment_has_no_room_for_is_left_to_be_put_down_one_by_one(tmp_path: Path) -> None:
    spool = spools(tmp_path)
    many = [record(number) for number in range(400)]
    assert not spool.opened_together([opening(one) for one in many])
    assert spool.in_flight == 0
    for one in many:
        spool.opened(opening(one))
    before = frames_of(spool)
    assert spool.closed_together(many) == (0, None)
    assert (spool.in_flight, frames_of(spool)) == (len(many), before)
    spool.close()


def frames_of(spool: Spool) -> list[tuple[int, bytes]]:
    """Kind and payload of all that was appended, but for the notes at the beginning of segments."""
    found = []
    for number in sorted(spool._segments):
        segment = spool._segments[number]
        for frame in scan(segment.path.read_bytes()[: segment.size]):
            assert isinstance(frame, Frame), frame
            found.append((frame.kind, frame.payload))
    return [one for one in found if one[0] != Kind.NOTE]


async def test_calls_beyond_the_limit_are_refused_and_those_before_it_are_not(tmp_path: Path) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(tmp_path, target, spool_max_bytes=20_000)
    calls = [record(number) for number in range(40)]
    told = ledger.opened_together([opening(one) for one in calls])
    assert told is not None
    taken = [one for one, full in zip(calls, told, strict=True) if full is None]
    assert 0 < len(taken) < len(calls)
    assert told == [None] * len(taken) + [full for full in told if isinstance(full, SpoolFull)]
    stats = ledger.stats()
    assert (stats.accepted, stats.refused) == (len(taken), len(calls) - len(taken))
    ledger.closed_together(taken)
    target.down = False
    assert await ledger.drained(10)
    assert [*target.rows] == [one.id for one in taken]
    await ledger.stop(5)


@pytest.mark.parametrize("durability", Durability)
async def test_all_wait_for_the_same_sync(tmp_path: Path, durability: Durability) -> None:
    ledger: Ledger = await started(tmp_path, FlakyTarget(), durability=durability)
    calls = [record(number) for number in range(5)]
    ledger.opened_together([opening(one) for one in calls])
    waiters = ledger.closed_together(calls)
    if durability is Durability.STRICT:
        assert waiters is not None
        assert len({*waiters}) == 1
        assert waiters[0] is not None
        await asyncio.wait_for(waiters[0], 10)
    else:
        assert waiters is None
    await ledger.stop(5)


def test_records_read_back_in_part_are_not_taken_again_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer looks between spool and memory, and the disk fails it after some of them."""
    spool, calls = spools(tmp_path), [record(number) for number in range(5)]
    feed = Feed(spool, Quarantine(tmp_path), memory_rows=100)
    _, slot = spool.closed_together(calls)
    assert slot is not None

    def breaking(*place: Any) -> Iterator[ClosedFrame]:
        yield from itertools.islice(closed_frames(*place), 2)
        raise OSError

    monkeypatch.setattr("storage.feed.closed_frames", breaking)
    first = feed.take(10, 2**20)
    feed.put(calls, slot)
    rest = feed.take(10, 2**20)
    assert first is not None
    assert rest is not None
    assert first.records + rest.records == calls
    assert (rest.last, rest.end, feed.backlog) == (5, slot.end, 0)
    assert feed.take(10, 2**20) is None
    assert [feed.pending(one.id) for one in calls] == [None, None, *calls[2:]], (
        "the others are on the spool alone"
    )
    feed.done()
    assert [feed.pending(one.id) for one in calls] == [None] * 5
    spool.close()


def test_a_record_is_found_until_the_database_has_it(tmp_path: Path) -> None:
    """Waiting, in the writer's hand, and where the spool could not take it."""
    spool, calls = spools(tmp_path), [record(number) for number in range(7)]
    feed = Feed(spool, Quarantine(tmp_path), memory_rows=100)
    together = calls[:2], calls[2:5]
    for some in together:
        feed.put(some, spool.closed_together(some)[1])
    feed.put(calls[5:], None)

    def found() -> list[CallRecord]:
        return [one for one in calls if feed.pending(one.id) is one]

    assert found() == calls
    for taken in (calls[5:6], calls[6:], *together):
        before = found()
        batch = feed.take(1, 2**20)
        assert batch is not None
        assert batch.records == taken
        assert found() == before
        feed.done()
        assert found() == [one for one in before if one not in taken]
    assert found() == []
    spool.close()


async def test_what_breaks_for_all_is_done_one_by_one_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is on the spool, and behind it: then nothing is put there again."""
    target, defects = FlakyTarget(), list[BaseException]()
    ledger = await started(tmp_path, target)
    sinks = Sinks(ledger, (), defects.append)
    calls = iter([record(number) for number in range(40)])

    def through(count: int) -> None:
        turn = list(itertools.islice(calls, count))
        kept = sinks.opened_together([opening(one) for one in turn])
        assert kept in (None, [None] * count)
        assert sinks.closed_together(turn) in (None, [None] * count)

    for names in (("encode_all",), ("Spool.opened_together", "Spool.closed_together")):
        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(f"storage.spool.{name}", broken)
            through(1)
            through(3)
    assert [str(one) for one in defects] == ["a defect"] * 8, (
        "twice for each turn: when it began and when it ended"
    )
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "nudge", broken)
        through(1)
        through(3)
    assert len(defects) == 10
    through(2)
    assert await ledger.drained(10)
    stats = ledger.stats()
    assert [*target.rows] == [call_id(number) for number in range(14)]
    assert (stats.accepted, stats.recorded, stats.duplicates, stats.in_flight) == (14, 14, 0, 0)
    await ledger.stop(5)


def broken(*_: Any, **__: Any) -> None:
    raise ValueError("a defect")
