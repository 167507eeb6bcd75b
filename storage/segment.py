"""One file of a spool: appended to by the event loop, synced and removed by other threads."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from storage.frames import pack_all

SUFFIX = ".seg"
ACK_NAME = "ack"


Position = tuple[int, int]
"""Segment number and byte offset: a place in a spool. Places compare in the order of writing."""

_ACK = struct.Struct("<QQI")


class Segment:
    """A segment file open for appending. ``size`` counts whole frames only.

    Its room is taken on the disk when it is made, and mapped: an append is a copy in memory that the death of the
    process cannot take back, that cannot run out of disk, and that does not hand the interpreter to another thread
    on the way. What is not written yet reads as zeros.
    """

    __slots__ = ("_fd", "_lock", "_map", "_synced", "number", "path", "room", "size")

    def __init__(self, folder: Path, number: int, room: int) -> None:
        """Takes ``room`` bytes of disk; raises ``OSError`` (and leaves no file) where they are not to be had."""
        self.path = folder / f"{number:08d}{SUFFIX}"
        self.number = number
        self.room = room
        self.size = 0
        self._synced = 0
        """What ``size`` was before the last sync that succeeded."""
        self._lock = threading.Lock()
        self._fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self._fd, 0, room)
            self._map = mmap.mmap(self._fd, room)
        except OSError:
            os.close(self._fd)
            self.path.unlink(missing_ok=True)
            raise

    def append(self, kind: int, payloads: Sequence[bytes]) -> bool:
        """Append the frames of ``payloads``, all of them or none; whether there was room. A process killed within the copy
        may leave some of them whole and others torn."""
        data = pack_all(kind, payloads)
        start = self.size
        end = start + len(data)
        if end > self.room:
            return False
        self._map[start:end] = data
        self.size = end
        return True

    def finish(self) -> None:
        """Nothing more will be appended: give back the room that was not used."""
        if not self._map.closed:
            self._map.close()
            self.room = self.size
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)

    def sync(self) -> None:
        """Put what was appended so far onto the disk itself. Any thread; raises ``OSError``."""
        with self._lock:
            size = self.size
            if self._fd >= 0 and size != self._synced:
                os.fdatasync(self._fd)
                self._synced = size

    def close(self) -> None:
        """Close the file; waits for a running :meth:`sync`. Any thread."""
        with self._lock:
            if self._fd >= 0:
                self.finish()
                os.close(self._fd)
                self._fd = -1

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)


class AckFile:
    """How far a spool has been taken into the database, kept across a crash.

    One record of 20 bytes written in place, checksummed: a damaged or missing one reads as "nothing taken",
    which costs a replay of rows the database ignores, never a row.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ACK_NAME
        self._fd = -1

    def read(self) -> Position:
        """The last place written, or (0, 0)."""
        try:
            data = self._path.read_bytes()
        except OSError:
            return (0, 0)
        if len(data) != _ACK.size:
            return (0, 0)
        number, offset, crc = _ACK.unpack(data)
        return (number, offset) if crc == crc32(data[:16]) else (0, 0)

    def write(self, position: Position) -> None:
        """Remember that every frame before ``position`` is in the database. Raises ``OSError``."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        data = _ACK.pack(*position, 0)[:16]
        os.pwrite(self._fd, data + struct.pack("<I", crc32(data)), 0)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sync_folder(folder: Path) -> None:
    """Make the names within ``folder`` durable. Raises ``OSError``."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def segment_numbers(folder: Path) -> list[int]:
    """Numbers of the segment files within ``folder``, in order of writing."""
    numbers = []
    for name in os.listdir(folder):
        stem, dot, suffix = name.partition(".")
        if dot + suffix == SUFFIX and stem.isdigit():
            numbers.append(int(stem))
    return sorted(numbers)


def segment_path(folder: Path, number: int) -> Path:
    """Path of one segment file."""
    return folder / f"{number:08d}{SUFFIX}"
