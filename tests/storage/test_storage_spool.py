"""The spool on a bad day: full, damaged, cut off, and somebody else's."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig.ledger import FlakyTarget, call_id, opening, record, started

from pricing.usage import Usage
from storage.claim import adopt
from storage.frames import Kind, pack
from storage.ledger import Ledger, SpoolFull, WhenFull
from storage.quarantine import Quarantine
from storage.replay import Replay
from storage.spool import Spool
from telemetry.record import CallRecord

NAME = "dead"


def dead_spool(root: Path, calls: int, *, segment_bytes: int = 2000) -> Path:
    """The spool of a process that closed ``calls`` calls and died with one more open. Returns its folder."""
    spool = Spool(
        root, segment_bytes=segment_bytes, max_bytes=2**40, reserve_bytes=0, when_full=WhenFull.REFUSE
    )
    for number in range(calls):
        spool.opened(opening(record(number)))
        spool.closed(record(number))
    spool.opened(opening(record(calls)))
    folder = root / NAME
    shutil.copytree(spool.folder, folder)
    spool.close()
    for claim in adopt(root):
        claim.release(remove=claim.name != NAME)
    return folder


def replayed(root: Path, rows: int = 7) -> tuple[list[CallRecord], Quarantine]:
    """What a start makes of the spools under ``root``; ends with them gone."""
    quarantine = Quarantine(root)
    found: list[CallRecord] = []
    for claim in adopt(root):
        replay = Replay(claim, quarantine)
        while (batch := replay.take(rows, 2**20)) is not None:
            found += batch.records
            replay.done(batch)
        replay.finish()
    return found, quarantine


def test_a_replay_gives_every_closed_call_once_and_the_open_one_as_it_was_opened(tmp_path: Path) -> None:
    dead_spool(tmp_path, 30)
    found, quarantine = replayed(tmp_path)
    assert found == [record(number) for number in range(30)] + [opening(record(30))]
    assert (quarantine.torn, quarantine.broken) == (0, 0)
    assert not any(tmp_path.iterdir())


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=500, max_bytes=2**40, reserve_bytes=4096, when_full=WhenFull.REFUSE)
    for number in range(5):
        spool.closed(record(number))
    spool.acknowledge((1, 10))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    spool.close()


def test_a_segment_cut_at_any_byte_loses_only_what_was_not_whole(tmp_path: Path) -> None:
    folder = dead_spool(tmp_path / "origin", 3, segment_bytes=10**6)
    whole = (folder / "00000001.seg").read_bytes().rstrip(b"\0") + bytes(40)
    for cut in range(0, len(whole) + 1, 7):
        root = tmp_path / f"cut{cut}"
        (root / NAME).mkdir(parents=True)
        (root / NAME / "00000001.seg").write_bytes(whole[:cut])
        found, quarantine = replayed(root)
        expected = {number: record(number) for number in range(3)}
        assert [one.id for one in found] == sorted({one.id for one in found})
        for one in found:
            number = int(one.id[-9:], 16)
            assert one in (expected.get(number), opening(record(number)))
        assert quarantine.broken == 0
        assert not (root / "damaged").exists(), "a torn tail is a write that never was"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_anywhere_costs_what_it_hits_and_is_kept_aside(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("damage")
    folder = dead_spool(root, 12)
    names = sorted(path.name for path in folder.glob("*.seg"))
    path = folder / draw.draw(st.sampled_from(names))
    data = bytearray(path.read_bytes())
    at = draw.draw(st.integers(0, len(data.rstrip(b"\0")) - 1))
    hurt = draw.draw(st.binary(min_size=1, max_size=40))
    before = bytes(data)
    data[at : at + len(hurt)] = hurt[: len(data) - at]
    path.write_bytes(data)
    found, quarantine = replayed(root)
    truth = {call_id(number): record(number) for number in range(12)}
    by_id = {one.id: one for one in found}
    assert len(by_id) == len(found), "no call twice"
    for key, one in by_id.items():
        assert one in (truth.get(key), opening(record(int(key[-9:], 16)))), "no wrong number, ever"
    wrong = [key for key in truth if by_id.get(key) != truth[key]]
    assert len(wrong) <= 1, "40 bytes touch at most one final frame"
    if bytes(data) == before:
        assert (quarantine.torn, quarantine.broken) == (0, 0)
    else:
        assert quarantine.torn + quarantine.broken >= 1
    assert len(list(root.glob("damaged/*.bad"))) == quarantine.broken
    shutil.rmtree(root)


def test_a_record_of_a_future_version_is_kept_aside_and_stops_nothing(tmp_path: Path) -> None:
    folder = dead_spool(tmp_path, 2, segment_bytes=10**6)
    segment = folder / "00000001.seg"
    foreign = [pack(Kind.CLOSED, msgspec.msgpack.encode(["id", "an outcome of tomorrow"])), pack(77, b"?")]
    segment.write_bytes(b"".join(foreign) + segment.read_bytes())
    found, quarantine = replayed(tmp_path)
    assert len(found) == 3
    assert quarantine.broken == 2
    assert len(list(tmp_path.glob("damaged/*.bad"))) == 2


def test_a_replay_interrupted_by_another_death_goes_on_where_it_was(tmp_path: Path) -> None:
    dead_spool(tmp_path, 30)
    claims = adopt(tmp_path)
    replay = Replay(claims[0], Quarantine(tmp_path))
    first = replay.take(10, 2**20)
    second = replay.take(10, 2**20)
    assert first is not None
    assert second is not None
    replay.done(first)
    replay.abandon()
    found, _ = replayed(tmp_path)
    assert found == [record(number) for number in range(10, 30)] + [opening(record(30))]


def test_a_call_opened_twice_does_not_hide_older_open_calls_from_being_carried(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=2000, max_bytes=2**40, reserve_bytes=0, when_full=WhenFull.REFUSE)
    for number in (1, 2):
        spool.opened(opening(record(number)))
    last = None
    for number in range(10, 30):
        _, last = spool.closed(record(number))
        if number == 20:
            assert not spool.opened(opening(record(1))), "it was open already"
    assert last is not None
    spool.acknowledge(last.end)
    while not spool.carry():
        pass
    assert spool.release() > 3
    spool.close()
    found, _ = replayed(tmp_path)
    assert {one.id for one in found} >= {call_id(1), call_id(2)}


def test_what_was_carried_is_on_the_disk_before_the_old_segment_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, segment_bytes=2000, max_bytes=2**40, reserve_bytes=0, when_full=WhenFull.REFUSE)
    spool.opened(opening(record(1)))
    for number in range(10, 20):
        _, last = spool.closed(record(number))
        assert last is not None
        spool.acknowledge(last.end)
    spool.carry()
    events: list[str] = []
    sync, remove = os.fdatasync, Path.unlink
    monkeypatch.setattr("storage.segment.os.fdatasync", lambda fd: (events.append("sync"), sync(fd)))
    monkeypatch.setattr(
        Path, "unlink", lambda self, **options: (events.append("unlink"), remove(self, **options))
    )
    assert spool.release() > 1
    monkeypatch.undo()
    assert events.index("sync") < events.index("unlink")
    assert "sync" not in events[events.index("unlink") :]
    spool.close()


def test_a_living_process_is_not_robbed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=10**6, max_bytes=2**40, reserve_bytes=0, when_full=WhenFull.REFUSE)
    spool.closed(record(1))
    assert adopt(tmp_path) == []
    spool.close()
    assert [claim.folder for claim in adopt(tmp_path)] == [spool.folder]


def test_a_damaged_acknowledgement_costs_a_replay_and_nothing_else(tmp_path: Path) -> None:
    folder = dead_spool(tmp_path, 5)
    (folder / "ack").write_bytes(b"\x01" * 20)
    found, _ = replayed(tmp_path)
    assert len(found) == 6


@contextmanager
def full_disk(ledger: Ledger) -> Iterator[None]:
    """Every write to the open segment meets a real ENOSPC."""
    segment = ledger._spool._current
    room, real = segment.room, os.posix_fallocate

    def no_room(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    segment.room, os.posix_fallocate = segment.size, no_room
    try:
        yield
    finally:
        segment.room, os.posix_fallocate = room, real


async def test_a_full_disk_refuses_new_calls_and_keeps_those_under_way(tmp_path: Path) -> None:
    target = FlakyTarget()
    ledger = await started(tmp_path, target)
    under_way = [record(number) for number in range(5)]
    for one in under_way:
        ledger.opened(opening(one))
    with full_disk(ledger):
        with pytest.raises(SpoolFull):
            ledger.opened(opening(record(50)))
        for one in under_way:
            assert ledger.closed(one) is None
        with pytest.raises(SpoolFull):
            ledger.opened(opening(record(51)))
        stats = ledger.stats()
        assert (stats.accepted, stats.refused, stats.balance) == (5, 2, 0)
        assert "spool: disk full or failing" in stats.reasons
        assert ledger._writer._idle_s() == ledger._config.pace.survey_interval_s, "it looks for room often"
    assert await ledger.drained(10)
    assert target.rows == {one.id: one for one in under_way}, "memory held them"
    async with asyncio.timeout(10):
        while ledger.stats().degraded:
            await asyncio.sleep(0.01)
    assert ledger._writer._idle_s() > ledger._config.pace.survey_interval_s
    ledger.opened(opening(record(52)))
    ledger.closed(record(52))
    assert await ledger.drained(10)
    stats = ledger.stats()
    assert (stats.accepted, stats.recorded, stats.lost, stats.balance) == (6, 6, 0, 0)
    await ledger.stop(5)


async def test_the_reserve_makes_room_for_the_last_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(tmp_path, target)
    spool = ledger._spool
    reserve = spool.folder / "reserve"
    ledger.opened(opening(record(1)))
    real = os.posix_fallocate

    def fallocate(fd: int, offset: int, length: int) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd, offset, length)

    spool._current.room = spool._current.size + 10
    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    monkeypatch.setattr(
        "storage.spool.Spool._keep_reserve", lambda _: (_ for _ in ()).throw(OSError(28, "full"))
    )
    ledger.closed(record(1))
    monkeypatch.undo()
    await ledger.stop(0.05)
    found, quarantine = replayed(tmp_path / "spool")
    assert found == [record(1)], "on the disk, in the room the reserve made"
    assert (quarantine.torn, quarantine.broken) == (0, 0)


async def test_neither_disk_nor_database_for_long_counts_what_is_lost(tmp_path: Path) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(tmp_path, target, memory_rows=3)
    for number in range(5):
        ledger.opened(opening(record(number)))
    with full_disk(ledger):
        for number in range(5):
            ledger.closed(record(number))
    stats = ledger.stats()
    assert (stats.lost, stats.spooled, stats.balance) == (2, 3, 0)
    assert "spool: records lost" in stats.reasons
    target.down = False
    assert await ledger.drained(10)
    assert ledger.stats().balance == 0
    await ledger.stop(5)


async def test_a_spool_at_its_limit_refuses_calls_but_closes_those_under_way(tmp_path: Path) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(tmp_path, target, spool_max_bytes=60_000)
    opened: list[CallRecord] = []
    for number in itertools.count():
        if ledger.stats().reasons[1:] == ("spool: size limit reached",):
            break
        opened.append(record(number))
        ledger.opened(opening(opened[-1]))
    with pytest.raises(SpoolFull):
        ledger.opened(opening(record(1000)))
    assert 10 < len(opened) < 60
    for one in opened:
        ledger.closed(one)
    assert ledger.stats().spool_bytes <= 60_000
    target.down = False
    assert await ledger.drained(10)
    assert len(target.rows) == len(opened)
    await ledger.stop(5)


def wordy(number: int) -> CallRecord:
    return record(number, usage_raw=b'{"x":"' + b"y" * 600 + b'"}', usage=Usage(input=number))


def test_slim_segments_keep_every_call_and_every_number(tmp_path: Path) -> None:
    spool = Spool(
        tmp_path,
        segment_bytes=8000,
        max_bytes=100_000,
        reserve_bytes=0,
        when_full=WhenFull.DROP_OLDEST_PAYLOAD,
    )
    number = 0
    while not spool.is_full:
        spool.opened(opening(wordy(number)))
        if number != 1:
            spool.closed(wordy(number))
        number += 1
    before = spool.used_bytes
    while spool.slim(0, spool.newest):
        pass
    assert spool.used_bytes <= 87_500 < before, "no more than is needed"
    finished = [path for path in spool.folder.glob("*.seg") if int(path.stem) != spool.newest]
    assert spool.used_bytes == sum(path.stat().st_size for path in finished) + spool._current.size
    assert not spool.is_full
    spool.close()
    found, quarantine = replayed(tmp_path)
    assert (quarantine.torn, quarantine.broken) == (0, 0)
    by_id = {one.id: one for one in found}
    assert len(found) == len(by_id) == number
    assert by_id[call_id(1)] == opening(wordy(1)), "the open call keeps everything"
    for at in {*range(number)} - {1}:
        kept, full = by_id[call_id(at)], wordy(at)
        assert (kept.usage, kept.cost, kept.outcome, kept.who.team) == (
            full.usage,
            full.cost,
            full.outcome,
            "search",
        )
    assert by_id[call_id(0)].usage_raw is None
    assert by_id[call_id(number - 1)] == wordy(number - 1)


async def test_a_scarce_spool_gives_up_detail_and_takes_calls_again(tmp_path: Path) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(
        tmp_path,
        target,
        spool_max_bytes=100_000,
        segment_bytes=8000,
        memory_rows=4,
        when_full=WhenFull.DROP_OLDEST_PAYLOAD,
    )
    count = 0
    async with asyncio.timeout(20):
        while ledger.stats().slimmed < 5 or count < 80:
            try:
                ledger.opened(opening(wordy(count)))
            except SpoolFull:
                await asyncio.sleep(0.005)
                continue
            ledger.closed(wordy(count))
            count += 1
    target.down = False
    assert await ledger.drained(10)
    stats = ledger.stats()
    assert (stats.recorded, stats.lost, stats.damaged, stats.balance) == (count, 0, 0, 0)
    assert list(target.rows) == [call_id(number) for number in range(count)]
    await ledger.stop(5)
    assert not any((tmp_path / "spool").iterdir())


async def test_a_record_damaged_on_the_spool_while_it_waits_is_counted_not_invented(tmp_path: Path) -> None:
    target = FlakyTarget()
    target.down = True
    ledger = await started(tmp_path, target, memory_rows=2, segment_bytes=10**6)
    for number in range(20):
        ledger.closed(record(number))
    segment = next((tmp_path / "spool").glob("*/00000001.seg"))
    at = ledger._spool.tail.end[1] // 2
    with segment.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0xFF]))
    target.down = False
    assert await ledger.drained(10)
    stats = ledger.stats()
    assert (len(target.rows), stats.recorded, stats.lost, stats.damaged, stats.balance) == (19, 19, 1, 1, 0)
    await ledger.stop(5)
