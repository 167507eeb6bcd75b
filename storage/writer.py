"""The writer: one thread that takes records to the database, whatever state the database is in."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from storage.backoff import Backoff
from storage.claim import adopt
from storage.complaint import Complaint
from storage.feed import Batch, Feed
from storage.mend import mend
from storage.quarantine import Quarantine
from storage.replay import Replay
from storage.spool import Spool
from storage.targets.contract import DeadLetter, Outage, RowRefused, SchemaUnfit, Target
from telemetry.record import CallRecord

_LONGEST_TEXT = 300
"""Characters of one text that always fit, also into PostgreSQL's indexes (2,704 bytes an entry)."""

log = logging.getLogger("weighbridge.storage")


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How the writer batches and how often it looks around; seconds, rows, bytes."""

    batch_rows: int = 2_000
    batch_bytes: int = 2 * 1024 * 1024
    batch_interval_s: float = 0.25
    adopt_interval_s: float = 10.0
    survey_interval_s: float = 1.0
    retry_first_s: float = 0.1
    retry_longest_s: float = 5.0


class Progress(msgspec.Struct, frozen=True):
    """What has been done so far; replaced as a whole, so that any thread reads figures that belong together."""

    recorded: int = 0
    dead_letters: int = 0
    unreadable: int = 0
    through: int = 0
    """Number of the last closed frame dealt with."""
    loose: int = 0
    """Records dealt with that were never on the spool."""
    duplicates: int = 0
    replayed: int = 0
    interrupted: int = 0
    replay_dead_letters: int = 0
    batches: int = 0


class _Work:
    """A batch on its way: what is still to be written, in pieces that get smaller around a refused row."""

    def __init__(self, batch: Batch, replay: Replay | None) -> None:
        self.batch = batch
        self.replay = replay
        self.pieces: list[list[CallRecord]] = [batch.records] if batch.records else []
        self.letters: list[DeadLetter] = []
        self.inserted = 0


class Writer:
    """Owns the thread, the database connection and the spools of dead processes."""

    def __init__(
        self,
        root: Path,
        spool: Spool,
        feed: Feed,
        quarantine: Quarantine,
        target: Target,
        pace: Pace,
        ask_carry: Callable[[], None],
        interrupted: Callable[[CallRecord], CallRecord] | None = None,
        written: Callable[[Sequence[CallRecord]], None] | None = None,
    ) -> None:
        self._root = root
        self._spool = spool
        self._feed = feed
        self._quarantine = quarantine
        self._target = target
        self._pace = pace
        self._ask_carry = ask_carry
        self._interrupted = interrupted
        self._written = written
        self._backoff = Backoff(pace.retry_first_s, pace.retry_longest_s)
        self._complaint = Complaint(
            log,
            "the ledger cannot write to the database (calls go on, records wait)",
            "the ledger writes to the database again",
        )
        self._replays: list[Replay] = []
        self._work: _Work | None = None
        self._connected = False
        self._wanted = 0
        self._wake = threading.Event()
        self._stop_at: float | None = None
        self._adopt_at = self._survey_at = 0.0
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self.progress = Progress()
        self.trouble: str | None = None
        """Why the database does not take rows now."""
        self.outages = 0
        self.unfit: SchemaUnfit | None = None
        self.judged = threading.Event()
        """Set once the database was reached, or was found not to be there."""

    # -- event loop --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def nudge(self) -> None:
        """There is a record. Costs next to nothing unless the writer waits for exactly this one."""
        wanted = self._wanted
        if wanted and (wanted == 1 or self._feed.backlog >= wanted):
            self._wanted = 0
            self._wake.set()

    def ask_stop(self, timeout_s: float) -> None:
        """Write what is waiting, for at most ``timeout_s`` seconds, then end."""
        self._stop_at = time.monotonic() + timeout_s
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; whether it ended. Not for the event loop."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_connected(self) -> bool:
        """Whether the database takes rows now."""
        return self._connected

    @property
    def replaying(self) -> int:
        """Spools of dead processes still being read."""
        return len(self._replays)

    @property
    def is_idle(self) -> bool:
        """Whether everything there is has been written."""
        return not (self._work or self._replays or self._feed.backlog)

    @property
    def oldest(self) -> CallRecord | None:
        """The record that waits longest, as far as it is in memory."""
        work = self._work
        if work is not None and work.replay is None and work.batch.records:
            return work.batch.records[0]
        return self._feed.oldest

    # -- writer thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_over():
            try:
                self._look_around()
                if not self._connected:
                    self._connect()
                self._write_some()
                if not self._replays:
                    self._await_work()
            except (Outage, SchemaUnfit) as error:
                self._suffer(str(error))
            except Exception as error:
                log.exception("the ledger's writer stumbled")
                self._suffer(f"defect: {type(error).__name__}")
        for replay in self._replays:
            replay.abandon()
        self._target.close()

    def _is_over(self) -> bool:
        stop_at = self._stop_at
        if stop_at is None:
            return False
        return time.monotonic() >= stop_at or not (self._work or self._feed.backlog)

    def _connect(self) -> None:
        try:
            self._target.connect()
        except SchemaUnfit as error:
            self.unfit = error
            raise
        self.unfit = None
        self._connected = True
        self.judged.set()
        # A file that is locked or full can be opened too: while something waits, it is well once that is written.
        if self._work is None:
            self._well()

    def _well(self) -> None:
        self._complaint.well()
        self.trouble = None
        self._backoff.reset()
        self.judged.set()

    def _suffer(self, reason: str) -> None:
        """Say so, let go of the connection, wait."""
        self._complaint.suffer(reason)
        self.trouble = reason
        self.outages += 1
        self._connected = False
        self._target.close()
        self.judged.set()
        self._pause(self._backoff.next_s())

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._is_over():
            stop_at = self._stop_at
            if stop_at is not None:
                left = min(left, stop_at - time.monotonic(), 0.05)
            self._wake.wait(max(left, 0.0))
            self._wake.clear()

    def _look_around(self) -> None:
        now = time.monotonic()
        if self._stop_at is not None:
            return
        if now >= self._adopt_at:
            self._adopt_at = now + self._pace.adopt_interval_s
            self._replays += [Replay(claim, self._quarantine) for claim in adopt(self._root)]
        if now >= self._survey_at:
            self._survey_at = now + self._pace.survey_interval_s
            with contextlib.suppress(OSError):
                self._spool.survey()
                newest = self._spool.newest  # read first: places held from now on are not before it
                while self._spool.slim(self._feed.settled_beyond, newest):
                    pass
        self._tidy()

    def _tidy(self) -> None:
        if self._spool.carry_wanted:
            self._ask_carry()
        with contextlib.suppress(OSError):
            self._spool.release()

    def _write_some(self) -> None:
        """Write one batch of live records and one of each dead process's."""
        if self._work is not None:
            self._finish(self._work)
            return
        rows, size = self._pace.batch_rows, self._pace.batch_bytes
        batch = self._feed.take(rows, size)
        if batch is not None:
            self._finish(_Work(batch, None))
        if self._stop_at is not None or not self._replays:
            return
        replay = self._replays[0]
        try:
            left_over = replay.take(rows, size)
        except OSError as error:
            log.warning("a left-over spool cannot be read now: %s", error.strerror)
            self._replays.remove(replay)
            replay.abandon()
            return
        if left_over is not None:
            self._finish(_Work(self._completed(left_over), replay))
        else:
            self._replays.remove(replay)
            replay.finish()

    def _completed(self, batch: Batch) -> Batch:
        """Records of calls that died in mid-flight, with what can be said of them."""
        complete = self._interrupted
        if complete is None or not batch.interrupted:
            return batch
        try:
            records = [complete(record) for record in batch.records]
        except Exception:  # the rows matter more than what can be guessed for them
            log.exception("interrupted calls stay without an estimate")
            return batch
        return msgspec.structs.replace(batch, records=records)

    def _finish(self, work: _Work) -> None:
        """Write what is left of ``work``; on an outage it stays, to be gone on with."""
        self._work = work
        while work.pieces:
            self._write_piece(work, work.pieces[-1])
        if work.letters:
            self._target.bury(work.letters)
        self._count(work)
        self._work = None
        self._well()
        batch = work.batch
        if self._written is not None:
            self._written(batch.records)
        with contextlib.suppress(OSError):  # an acknowledgement that is not kept costs a replay, nothing else
            if work.replay is not None:
                work.replay.done(batch)
            else:
                self._feed.done()
                if batch.end is not None:
                    self._spool.acknowledge(batch.end)
                    self._tidy()

    def _write_piece(self, work: _Work, piece: list[CallRecord]) -> None:
        try:
            work.inserted += self._target.write(piece)
            work.pieces.pop()
        except RowRefused as refused:
            if len(piece) > 1:
                middle = len(piece) // 2
                work.pieces[-1:] = [piece[middle:], piece[:middle]]
                return
            mended = mend(piece[0], _LONGEST_TEXT)
            if mended != piece[0]:
                work.pieces[-1] = [mended]
                return
            work.pieces.pop()
            work.letters.append(DeadLetter(piece[0], str(refused)))

    def _count(self, work: _Work) -> None:
        batch, dead, before = work.batch, len(work.letters), self.progress
        written = len(batch.records) - dead
        common = {
            "duplicates": before.duplicates + written - work.inserted,
            "batches": before.batches + 1,
        }
        if work.replay is not None:
            changes = common | {
                "replayed": before.replayed + work.inserted,
                "interrupted": before.interrupted + (work.inserted if batch.interrupted else 0),
                "replay_dead_letters": before.replay_dead_letters + dead,
            }
        else:
            changes = common | {
                "recorded": before.recorded + written,
                "dead_letters": before.dead_letters + dead,
                "unreadable": before.unreadable + batch.unreadable,
                "through": batch.last or before.through,
                "loose": before.loose + (0 if batch.last else written + dead),
            }
        self.progress = msgspec.structs.replace(before, **changes)

    def _await_work(self) -> None:
        """Wait for a record, then a little longer for its companions: each transaction writes the same pages of indexes and
        sums again, however few rows it brings."""
        pace = self._pace
        if not self._feed.backlog:
            self._wait(1, self._idle_s())
        if 0 < self._feed.backlog < pace.batch_rows and self._stop_at is None:
            self._wait(pace.batch_rows, pace.batch_interval_s)

    def _idle_s(self) -> float:
        """How long nothing is looked at while there is nothing to write. While calls are refused for lack of room, as
        short as may be: nobody else sees that there is room again."""
        pace, spool = self._pace, self._spool
        if spool.is_failing or spool.is_full:
            return pace.survey_interval_s
        return min(pace.adopt_interval_s, pace.survey_interval_s * 10)

    def _wait(self, wanted: int, timeout_s: float) -> None:
        self._wake.clear()
        self._wanted = wanted
        if self._feed.backlog < wanted and self._stop_at is None:
            self._wake.wait(timeout_s)
        self._wanted = 0
