"""The left-over spool of a dead process, as a source of records for the writer."""

from __future__ import annotations

from collections.abc import Iterator

from storage.claim import Claim
from storage.feed import Batch
from storage.frames import Kind
from storage.quarantine import Quarantine
from storage.reading import Located, call_id_of, frames, readable
from storage.segment import AckFile, Position, segment_numbers, segment_path
from telemetry.record import CallRecord


class Replay:
    """Hands out the final records that the database lacks, then the calls that never ended. Writer thread only."""

    def __init__(self, claim: Claim, quarantine: Quarantine) -> None:
        self._claim = claim
        self._quarantine = quarantine
        self._ack = AckFile(claim.folder)
        self._acked: Position = self._ack.read()
        self._open: dict[str, Located] = {}
        self._items = self._read()

    def _read(self) -> Iterator[Located]:
        if self._claim.folder.is_dir():
            yield from frames(self._claim.folder, (0, 0), None, self._quarantine)

    def take(self, rows: int, size: int) -> Batch | None:
        """The next records, or ``None`` when everything was handed out. Raises ``OSError`` once if unreadable."""
        records: list[CallRecord] = []
        end = self._acked
        for located in self._items:
            frame = located.frame
            record = self._closed(located)
            if record is None:
                continue
            end = (located.segment, frame.end)
            records.append(record)
            size -= len(frame.payload)
            if len(records) >= rows or size <= 0:
                break
        if records:
            return Batch(records, end)
        return self._interrupted(rows)

    def _closed(self, located: Located) -> CallRecord | None:
        """The record of a final frame that is not in the database yet; keeps account of open calls on the way."""
        frame = located.frame
        if frame.kind == Kind.NOTE:
            return None
        call_id = call_id_of(frame.payload)
        if call_id is None:
            readable(located, self._claim.name, self._quarantine)
            return None
        if frame.kind == Kind.OPENED:
            self._open.pop(call_id, None)
            self._open[call_id] = located
            return None
        record = readable(located, self._claim.name, self._quarantine)
        if record is not None:
            self._open.pop(call_id, None)
            if (located.segment, frame.end) <= self._acked:
                return None
        return record

    def _interrupted(self, rows: int) -> Batch | None:
        records: list[CallRecord] = []
        while self._open and len(records) < rows:
            located = self._open.pop(next(iter(self._open)))
            record = readable(located, self._claim.name, self._quarantine)
            if record is not None:
                records.append(record)
        return Batch(records, None, interrupted=True) if records else None

    def done(self, batch: Batch) -> None:
        """The database has the batch: remember it, and delete segments nobody needs any more. Raises ``OSError``."""
        if batch.end is None:
            return
        self._acked = batch.end
        self._ack.write(batch.end)
        oldest_open = next(iter(self._open.values())).segment if self._open else batch.end[0]
        for number in segment_numbers(self._claim.folder):
            if number >= min(oldest_open, batch.end[0]):
                break
            segment_path(self._claim.folder, number).unlink(missing_ok=True)

    def finish(self) -> None:
        """Everything is in the database: the spool goes."""
        self._ack.close()
        self._claim.release(remove=True)

    def abandon(self) -> None:
        """Give up for now; the next process to start takes over where we stopped."""
        self._ack.close()
        self._claim.release(remove=False)
