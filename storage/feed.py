"""From the event loop to the writer: a bounded queue in memory over the spool that is not bounded.

The loop puts every record; what goes past the bound it does not put, because it is on the spool anyway. The writer
takes records in the order they were closed: from memory while the numbers follow each other, from the spool where
there is a hole. Neither side ever waits for the other and no lock is shared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec

from storage.quarantine import Quarantine
from storage.reading import ClosedFrame, closed_frames
from storage.segment import Position
from storage.spool import Slot, Spool
from telemetry.record import CallRecord


class Batch(msgspec.Struct, frozen=True):
    """Records to be written together."""

    records: list[CallRecord]
    end: Position | None
    """The place in the spool behind the last; ``None`` if they are not the next ones there."""
    last: int = 0
    """Number of the last closed frame covered; 0 as above."""
    unreadable: int = 0
    """Closed frames covered that could not be read back."""
    interrupted: bool = False
    """These calls died in mid-flight: the records are their *opened* frames."""


class _Waiting(msgspec.Struct, frozen=True, gc=False):
    records: Sequence[CallRecord]
    slot: Slot

    @property
    def first(self) -> int:
        """Number of the first of them."""
        return self.slot.number - len(self.records) + 1


class Feed:
    """Records of this process on their way to the database."""

    def __init__(self, spool: Spool, quarantine: Quarantine, *, memory_rows: int) -> None:
        self._spool = spool
        self._quarantine = quarantine
        self._memory_rows = memory_rows
        self._queue: deque[_Waiting] = deque()
        self._put = 0
        """Records that were ever in the queue; only the loop changes it."""
        self._taken = 0
        """Those of them that are there no more; only the writer changes it."""
        self._loose: deque[CallRecord] = deque()
        self._in_hand: list[CallRecord] = []
        """Those the writer took last, until the database has them; only the writer changes it."""
        self._next = 1
        self._cursor: Position = (0, 0)
        self._hole: Iterator[ClosedFrame] | None = None
        self._hole_end: Slot | None = None
        self.lost = 0
        """Records that neither the spool nor memory could take."""
        self.loose_put = 0
        """Records that only memory could take."""

    # -- event loop --------------------------------------------------------------------------------------

    def put(self, records: Sequence[CallRecord], slot: Slot | None) -> None:
        """Hand over closed records; ``slot`` is ``None`` when the spool could not take them."""
        count = len(records)
        waiting = len(self._loose) if slot is None else self._put - self._taken
        if waiting + count > self._memory_rows:
            self.lost += count if slot is None else 0
            return
        if slot is None:
            self.loose_put += count
            self._loose.extend(records)
        else:
            self._put += count
            self._queue.append(_Waiting(records, slot))

    def pending(self, call_id: str) -> CallRecord | None:
        """A closed record that is in memory and not yet in the database."""
        # The queue first: what leaves it is in hand before that.
        waiting = chain.from_iterable([one.records for one in self._queue.copy()])
        for record in chain(waiting, self._loose.copy(), self._in_hand):
            if record.id == call_id:
                return record
        return None

    @property
    def oldest(self) -> CallRecord | None:
        """The record in memory that waits longest."""
        try:
            return self._queue[0].records[0]
        except IndexError:
            return None

    @property
    def backlog(self) -> int:
        """Records the writer has not taken, in memory or on the spool."""
        return self._spool.tail.number - self._next + 1 + len(self._loose)

    @property
    def settled_beyond(self) -> int:
        """Segments with greater numbers (but for the newest) are on the spool alone: no place in them is held here."""
        held = [self._cursor[0]]
        if self._hole_end is not None:
            held.append(self._hole_end.end[0])
        if self._queue:
            held.append(self._queue[-1].slot.end[0])
        return max(held)

    # -- writer thread -----------------------------------------------------------------------------------

    def take(self, rows: int, size: int) -> Batch | None:
        """The next records in order, about ``rows`` of them (what came together stays together) and ``size`` bytes; ``None`` if
        there are none."""
        if self._loose:
            loose = self._in_hand = []
            for _ in range(min(rows, len(self._loose))):
                loose.append(self._loose[0])
                self._loose.popleft()
            return Batch(loose, None)
        if self._hole is None:
            batch = self._take_memory(rows, size)
            if batch is not None:
                return batch
            if not self._open_hole():
                return None
        return self._take_hole(rows, size)

    def done(self) -> None:
        """The database has the batch that was taken last."""
        self._in_hand = []

    def _take_memory(self, rows: int, size: int) -> Batch | None:
        queue, number, last = self._queue, self._next, None
        records: list[CallRecord] = []
        while queue and len(records) < rows and size > 0:
            waiting = queue[0]
            slot, count = waiting.slot, len(waiting.records)
            behind = number - waiting.first  # so many of them were read back already
            if behind < 0 or (records and len(records) + count > rows):
                break
            if behind < count:
                records += waiting.records[behind:]
                self._in_hand = records
            queue.popleft()
            self._taken += count
            if behind >= count:
                continue
            number = slot.number + 1
            size -= slot.size
            last = slot
        if last is None:
            return None
        self._next, self._cursor = number, last.end
        return Batch(records, last.end, last.number)

    def _open_hole(self) -> bool:
        """Look for records that are on the spool but not next in memory."""
        if self._queue:
            waiting = self._queue[0]
            number, until = waiting.first - 1, waiting.slot.start
        else:
            tail = self._spool.tail
            number, until = tail.number, tail.end
        if number < self._next:
            return False
        self._hole = closed_frames(self._spool.folder, self._cursor, until, self._quarantine)
        self._hole_end = Slot(number, until, 0)
        return True

    def _take_hole(self, rows: int, size: int) -> Batch | None:
        records: list[CallRecord] = []
        end = self._cursor
        assert self._hole is not None
        assert self._hole_end is not None
        try:
            for found in self._hole:
                records.append(found.record)
                size -= found.end[1] - found.start[1]
                end = found.end
                if len(records) >= rows or size <= 0:
                    return self._part_of_hole(records, end)
        except OSError:
            self._hole = None
            if not records:
                raise
            return self._part_of_hole(records, end)
        last = self._hole_end
        unreadable = last.number - self._next + 1 - len(records)
        self._next = last.number + 1
        self._cursor = last.end
        self._hole = self._hole_end = None
        return Batch(records, last.end, last.number, unreadable)

    def _part_of_hole(self, records: list[CallRecord], end: Position) -> Batch:
        self._next += len(records)
        self._cursor = end
        return Batch(records, end, self._next - 1)
