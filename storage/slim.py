"""Making waiting segments smaller when the spool nears its limit: detail goes, identity, counts and money stay."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from storage.frames import Frame, Gap, Kind, pack, scan
from storage.segment import segment_path
from telemetry.record import CallRecord, decode, encode

PART = ".part"


def slim_record(record: CallRecord) -> CallRecord:
    """The record without what only explains it: raw usage, tags, sources, trace state."""
    trace = record.trace
    return msgspec.structs.replace(
        record,
        usage_raw=None,
        who=msgspec.structs.replace(record.who, tags=(), sources=()),
        trace=None if trace is None else msgspec.structs.replace(trace, state=None),
    )


def slim_segment(folder: Path, number: int, is_open: Callable[[bytes], bool]) -> int:
    """Rewrite one finished segment; returns the bytes it has now. Raises ``OSError``, and then nothing changed.

    *Opened* frames are kept where ``is_open`` says so of their payload. Damaged stretches stay as they are.
    """
    path = segment_path(folder, number)
    data = path.read_bytes()
    slimmed = b"".join(_slimmed(item, data, is_open) for item in scan(data))
    part = path.with_suffix(PART)
    fd = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(slimmed)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
        os.rename(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return len(slimmed)


def _slimmed(item: Frame | Gap, data: bytes, is_open: Callable[[bytes], bool]) -> bytes:
    if isinstance(item, Frame) and item.kind == Kind.OPENED and not is_open(item.payload):
        return b""
    if isinstance(item, Frame) and item.kind == Kind.CLOSED:
        try:
            return pack(Kind.CLOSED, encode(slim_record(decode(item.payload))))
        except msgspec.MsgspecError:
            pass
    return data[item.start : item.end]
