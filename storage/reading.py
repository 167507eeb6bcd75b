"""Reading segments back: frames of a folder in order, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from storage.frames import Damage, Frame, Gap, Kind, scan
from storage.quarantine import Quarantine
from storage.segment import Position, segment_numbers, segment_path
from telemetry.record import CallRecord, decode

CHUNK = 1024 * 1024


class _Named(msgspec.Struct, frozen=True, array_like=True):
    """The first field of a stored record; the rest is skipped unread."""

    id: str


_name = msgspec.msgpack.Decoder(_Named).decode


def call_id_of(payload: bytes) -> str | None:
    """The id of the record within a frame, at a fifth of the cost of reading it all; ``None`` if there is none."""
    try:
        return _name(payload).id
    except msgspec.MsgspecError:
        return None


class Located(msgspec.Struct, frozen=True, gc=False):
    """A frame and the number of its segment."""

    segment: int
    frame: Frame


class ClosedFrame(msgspec.Struct, frozen=True, gc=False):
    """A final record and the bytes [start, end) it came from."""

    record: CallRecord
    start: Position
    end: Position


def frames(
    folder: Path, start: Position, until: Position | None, quarantine: Quarantine, *, chunk: int = CHUNK
) -> Iterator[Located]:
    """Sound frames from ``start`` to ``until`` (or the end); damage goes to ``quarantine``. Raises ``OSError``."""
    for number in segment_numbers(folder):
        if number < start[0]:
            continue
        if until is not None and number > until[0]:
            return
        offset = start[1] if number == start[0] else 0
        limit = until[1] if until is not None and number == until[0] else None
        for item in _file_items(segment_path(folder, number), offset, limit, chunk):
            if isinstance(item, Gap):
                quarantine.keep(item.damage, folder.name, number, item.start, item.data)
            elif item.kind not in (Kind.OPENED, Kind.CLOSED, Kind.NOTE):
                quarantine.keep(Damage.BROKEN, folder.name, number, item.start, item.payload)
            else:
                yield Located(number, item)


def closed_frames(
    folder: Path, start: Position, until: Position | None, quarantine: Quarantine
) -> Iterator[ClosedFrame]:
    """Final records from ``start`` to ``until``; those that cannot be decoded go to ``quarantine``."""
    for located in frames(folder, start, until, quarantine):
        frame = located.frame
        if frame.kind != Kind.CLOSED:
            continue
        record = readable(located, folder.name, quarantine)
        if record is not None:
            number = located.segment
            yield ClosedFrame(record, (number, frame.start), (number, frame.end))


def readable(located: Located, spool: str, quarantine: Quarantine) -> CallRecord | None:
    """The record within a frame, or ``None`` once ``quarantine`` has it."""
    frame = located.frame
    try:
        return decode(frame.payload)
    except msgspec.MsgspecError:
        quarantine.keep(Damage.BROKEN, spool, located.segment, frame.start, frame.payload)
        return None


def _file_items(path: Path, offset: int, limit: int | None, chunk: int) -> Iterator[Frame | Gap]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        end = size if limit is None else min(size, limit)
        data, base = b"", offset
        while base + len(data) < end:
            more = os.pread(fd, min(chunk, end - base - len(data)), base + len(data))
            if not more:
                end = base + len(data)
            data += more
            seen = 0
            for item in scan(data, base, final=base + len(data) >= end):
                yield item
                seen = item.end - base
            chunk = chunk if seen else chunk * 2
            data, base = data[seen:], base + seen
    finally:
        os.close(fd)
