"""The spool: where every record of this process lies until the database has it.

Appends run on the event loop and are copies into mapped files: what was written survives the death of the process.
Syncing, reading back and deleting run on other threads. Segments are deleted strictly in order, and calls still open in
the oldest one are first written again to the newest, so that a replay that sees a call opened also sees it closed
if it ever was.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import time
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path

import msgspec

from storage.claim import Claim, new_claim
from storage.frames import HEADER_SIZE, Kind
from storage.mend import encode_all, encode_anyhow
from storage.reading import call_id_of
from storage.segment import AckFile, Position, Segment, sync_folder
from storage.slim import slim_segment
from telemetry.record import SPOOL_FORMAT, CallRecord

_CLOSING_BYTES = 2048
"""Room kept under the size cap for the final frame of each call in flight, in bytes."""
_CARRY_AT_ONCE = 500
# Bound once: reading a member off its class costs as much as a function call.
_OPENED, _CLOSED = Kind.OPENED, Kind.CLOSED
_SLACK_BYTES = 64 * 1024
"""Room of a segment beyond the size at which the next one is begun: the last frame must fit, whatever its size."""


class WhenFull(enum.StrEnum):
    """What to do when a call can no longer be put on the spool."""

    REFUSE = "refuse"
    """No accounting, no call: ``opened`` raises :class:`SpoolFull`."""
    DROP_OLDEST_PAYLOAD = "drop_oldest_payload"
    """Waiting records give up everything but identity, counts and money; refuse only when that is not enough."""


class SpoolFull(Exception):  # noqa: N818
    """The call cannot be accounted for and must not be made."""


class Slot(msgspec.Struct, frozen=True, gc=False):
    """Where final records lie that were put down together, the last of them as the ``number``-th closed frame of this spool:
    the ``size`` bytes before ``end``."""

    number: int
    end: Position
    size: int

    @property
    def start(self) -> Position:
        return self.end[0], self.end[1] - self.size


class Spool:
    """The spool of this process. Methods run on the event loop unless they say otherwise."""

    def __init__(
        self,
        root: Path,
        *,
        segment_bytes: int,
        max_bytes: int,
        reserve_bytes: int,
        when_full: WhenFull,
    ) -> None:
        self._root = root
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._when_full = when_full
        self._claim: Claim = new_claim(root)
        self._segments: dict[int, Segment] = {}
        self._open: dict[str, tuple[int, bytes]] = {}
        self._sealed = 0
        """Bytes appended to segments before the one at hand."""
        self._removed = 0
        self._used_by_others = 0
        self._folder_dirty = False
        self._reserve_spent = False
        self._carried = 0
        self._slimmed = 0
        self._ack = AckFile(self.folder)
        self.acked: Position = (0, 0)
        self.refused = 0
        """Calls turned away because they could not be spooled."""
        self.slimmed = 0
        """Segments whose records gave up their detail."""
        self.write_failures = 0
        self.rotation_failures = 0
        self._keep_reserve()
        self._current = self._new_segment(1)
        self.tail = Slot(0, (1, self._current.size), self._current.size)
        """The last of them."""

    @property
    def folder(self) -> Path:
        """Where the segments of this process lie."""
        return self._claim.folder

    @property
    def in_flight(self) -> int:
        """Calls opened and not yet closed."""
        return len(self._open)

    @property
    def used_bytes(self) -> int:
        """Bytes of all spools under the same root, as far as known."""
        return self._sealed + self._current.size - self._removed + self._used_by_others

    @property
    def is_full(self) -> bool:
        """Whether the size cap leaves no room for another call."""
        return self._lacks_room(1)

    def _lacks_room(self, calls: int) -> bool:
        return self._max_bytes - self.used_bytes < (len(self._open) + calls) * _CLOSING_BYTES

    @property
    def is_failing(self) -> bool:
        """Whether the last append did not fit on the disk."""
        return self._reserve_spent

    def is_open(self, call_id: str) -> bool:
        """Whether the call was opened and not closed yet."""
        return call_id in self._open

    # -- appending ---------------------------------------------------------------------------------------

    def opened(self, record: CallRecord) -> bool:
        """Put an *opened* frame down; False if the call was open already. Raises :class:`SpoolFull`."""
        if self.is_full:
            self.refused += 1
            raise SpoolFull("the spool has reached its size limit (storage.spool_max_bytes)")
        if self._reserve_spent:
            self.refused += 1
            raise SpoolFull("the disk of the spool is full")
        payload = encode_anyhow(record)
        try:
            segment = self._append(_OPENED, payload)
        except OSError as error:
            self.refused += 1
            raise SpoolFull(f"the spool cannot be written: {error.strerror}") from error
        known = self._open.pop(record.id, None) is not None
        self._open[record.id] = (segment.number, payload)
        return not known

    def closed(self, record: CallRecord) -> tuple[bool, Slot | None]:
        """Put the final frame down.

        Returns whether the call was open, and where the frame lies: ``None`` when the disk took it in no way.
        Never raises; uses the reserve if it has to.
        """
        payload = encode_anyhow(record)
        was_open = self._open.pop(record.id, None) is not None
        try:
            segment = self._append(_CLOSED, payload)
        except OSError:
            if not self._spend_reserve():
                return was_open, None
            try:
                segment = self._append(_CLOSED, payload)
            except OSError:
                return was_open, None
        size = HEADER_SIZE + len(payload)
        self.tail = slot = Slot(self.tail.number + 1, (segment.number, segment.size), size)
        return was_open, slot

    def opened_together(self, records: Sequence[CallRecord]) -> bool:
        """Put the *opened* frames of calls down that were not open before; False if that is not to be done at once, but one
        by one."""
        if self._lacks_room(len(records)) or self._reserve_spent:
            return False
        payloads = encode_all(records)
        segment = self._current
        if segment.size >= self._segment_bytes or not segment.append(_OPENED, payloads):
            return False
        ids = [record.id for record in records]
        self._open.update(zip(ids, zip(repeat(segment.number), payloads), strict=False))
        return True

    def closed_together(self, records: Sequence[CallRecord]) -> tuple[int, Slot | None]:
        """Put final frames down, one behind the other.

        Returns how many of the calls were open, and where the frames lie: ``None`` if nothing was done, because it is to be
        done one by one.
        """
        payloads = encode_all(records)
        segment = self._current
        start = segment.size
        if start >= self._segment_bytes or not segment.append(_CLOSED, payloads):
            return 0, None
        ids = [record.id for record in records]
        unknown = [*map(self._open.pop, ids, repeat(None))].count(None)
        count, end = len(records), segment.size
        self.tail = slot = Slot(self.tail.number + count, (segment.number, end), end - start)
        return count - unknown, slot

    def _append(self, kind: int, payload: bytes) -> Segment:
        segment = self._current
        if segment.size >= self._segment_bytes or not segment.append(kind, (payload,)):
            segment = self._rotate(HEADER_SIZE + len(payload))
            if not segment.append(kind, (payload,)):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return segment

    def _rotate(self, size: int) -> Segment:
        """Go on in a new segment; in the old one as long as there is none to be had and ``size`` bytes fit."""
        current = self._current
        try:
            self._current = self._new_segment(current.number + 1)
        except OSError:
            self.rotation_failures += 1
            if current.size + size > current.room:
                self.write_failures += 1
                raise
        else:
            self._sealed += current.size
            current.finish()
        return self._current

    def _new_segment(self, number: int) -> Segment:
        """While the reserve is spent the disk is full: what it held has to do."""
        wanted = min(self._segment_bytes, self._reserve_bytes) if self._reserve_spent else self._segment_bytes
        segment = Segment(self.folder, number, wanted + _SLACK_BYTES)
        note = {"format": SPOOL_FORMAT, "pid": os.getpid(), "created_ns": time.time_ns()}
        segment.append(Kind.NOTE, (msgspec.msgpack.encode(note),))
        self._segments[number] = segment
        self._folder_dirty = True
        return segment

    # -- the reserve: room on the disk for calls already admitted ------------------------------------------

    @property
    def _reserve_path(self) -> Path:
        return self.folder / "reserve"

    def _spend_reserve(self) -> bool:
        if self._reserve_spent:
            return False
        self._reserve_spent = True
        self._reserve_path.unlink(missing_ok=True)
        return True

    def _keep_reserve(self) -> None:
        fd = os.open(self._reserve_path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            if self._reserve_bytes:
                os.posix_fallocate(fd, 0, self._reserve_bytes)
        except OSError:
            self._reserve_path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        self._reserve_spent = False

    def turn(self) -> None:
        """Go on in a new segment now, so that the one at hand goes once its records are in the database."""
        if self._current.size and self.tail.end[0] == self._current.number:
            with contextlib.suppress(OSError):
                self._rotate(0)

    # -- for other threads -----------------------------------------------------------------------------------

    def sync(self) -> None:
        """Put everything appended so far onto the disk itself. Raises ``OSError``. Any thread."""
        if self._folder_dirty:
            self._folder_dirty = False
            sync_folder(self.folder)
        for segment in list(self._segments.values()):
            segment.sync()

    def acknowledge(self, position: Position) -> None:
        """Everything before ``position`` is in the database. Writer thread; raises ``OSError``."""
        self.acked = position
        self._ack.write(position)

    @property
    def carry_wanted(self) -> int:
        """The newest segment that only open calls still hold on to; 0 if there is none. Any thread."""
        newest = self.acked[0] - 1
        return newest if newest > self._carried and newest in self._segments else 0

    def release(self) -> int:
        """Delete segments nobody needs any more; returns how many. Writer thread; raises ``OSError``."""
        removed = 0
        through = min(self._carried, self.acked[0] - 1)
        for number in list(self._segments):
            if number > through:
                break
            if not removed:
                self.sync()
            segment = self._segments.pop(number)
            segment.remove()
            self._removed += segment.size
            removed += 1
        return removed

    @property
    def newest(self) -> int:
        """Number of the segment being written."""
        return self._current.number

    def slim(self, beyond: int, before: int) -> int:
        """With ``drop_oldest_payload`` and little room left, shrink the oldest segment between two numbers.

        Nobody may hold places within such segments. Returns the bytes gained. Writer thread; raises ``OSError``.
        """
        scarce = self.used_bytes > self._max_bytes - self._max_bytes // 8
        if self._when_full is not WhenFull.DROP_OLDEST_PAYLOAD or not (scarce or self._reserve_spent):
            return 0
        for number, segment in list(self._segments.items()):
            if not max(beyond, self._slimmed) < number < before:
                continue
            size = slim_segment(self.folder, number, lambda payload: call_id_of(payload) in self._open)
            gained = segment.size - size
            segment.size = size
            self._removed += gained
            self._slimmed = number
            self.slimmed += 1
            return gained
        return 0

    def survey(self) -> None:
        """Look at the disk: what other spools take, and whether the reserve can be had again. Writer thread."""
        self._used_by_others = _bytes_below(self._root, self._claim.name)
        if self._reserve_spent:
            try:
                self._keep_reserve()
            except OSError:
                return

    # -- keeping old segments short-lived ----------------------------------------------------------------------

    def carry(self) -> bool:
        """Write calls open in finished segments again to the newest; False if there is more to do."""
        through = self.carry_wanted
        if not through:
            return True
        batch = list(_first(self._open, through, _CARRY_AT_ONCE))
        try:
            for call_id, payload in batch:
                segment = self._append(_OPENED, payload)
                del self._open[call_id]
                self._open[call_id] = (segment.number, payload)
        except OSError:
            return True
        if len(batch) == _CARRY_AT_ONCE:
            return False
        self._carried = max(self._carried, through)
        return True

    def close(self) -> None:
        """Give the spool up. What the database does not have yet stays for the next start."""
        finished = not self._open and self.acked >= self.tail.end
        for segment in self._segments.values():
            segment.close()
        self._ack.close()
        self._reserve_path.unlink(missing_ok=True)
        self._claim.release(remove=finished or (self.tail.number == 0 and not self._open))


def _first(calls: dict[str, tuple[int, bytes]], through: int, limit: int) -> Iterator[tuple[str, bytes]]:
    """Calls opened in segments up to ``through``; the mapping is in order of writing, so they come first."""
    for call_id, (number, payload) in calls.items():
        if number > through or limit <= 0:
            return
        limit -= 1
        yield call_id, payload


def _bytes_below(root: Path, own: str) -> int:
    total = 0
    for folder in root.iterdir():
        if folder.name != own and folder.is_dir():
            total += sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
    return total
