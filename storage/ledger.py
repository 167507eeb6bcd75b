"""The ledger: every call leaves exactly one row, whatever happens to the process, the disk or the database.

``opened`` and ``closed`` run on the event loop for every call and cost a few microseconds: encode, checksum, one
copy into a mapped file. Everything else happens on the writer's thread. This module imports neither SQLAlchemy nor a network
driver: the proxy starts without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from storage.address import Address, parse
from storage.durability import Durability, Syncer
from storage.feed import Feed
from storage.quarantine import Quarantine
from storage.schema import Migrate
from storage.spool import Spool, SpoolFull, WhenFull
from storage.stats import BudgetStats, ContentStats, JobStats, LedgerStats
from storage.targets import open_target
from storage.targets.contract import Companion, SchemaTooNew, Target
from storage.vitals import Vitals
from storage.vitals import write as write_vitals
from storage.writer import Pace, Writer
from telemetry.record import CallRecord

__all__ = ["Durability", "Ledger", "LedgerConfig", "LedgerStats", "Migrate", "SpoolFull", "WhenFull"]

SPOOL_FOLDER = "spool"


class LedgerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where records go and what they must survive. Sizes in bytes, times in seconds."""

    data_dir: Path
    url: str | None = None
    """Database; none means a SQLite file in ``data_dir``."""
    durability: Durability = Durability.GROUP
    sync_interval_s: float = 0.05
    segment_bytes: int = 4 * 1024 * 1024
    """Room a worker takes on the disk at once; the segments of dead workers go as their records reach the database."""
    spool_max_bytes: int = 8 * 1024 * 1024 * 1024
    """All spools under ``data_dir`` together."""
    reserve_bytes: int = 4 * 1024 * 1024
    """Disk space held back, so that calls already admitted can be closed on a full disk."""
    when_full: WhenFull = WhenFull.REFUSE
    memory_rows: int = 5000
    """Records kept in memory on their way to the database; more wait on the spool alone."""
    migrate: Migrate = Migrate.AUTO
    operation_timeout_s: float = 10.0
    """Longest one database operation may take before it counts as an outage."""
    start_wait_s: float = 0.5
    """How long a start waits to learn whether the database's schema is too new for us."""
    pace: Pace = Pace()


class Ledger:
    """Takes the record of every call. One per process; all methods on the event loop."""

    def __init__(
        self,
        config: LedgerConfig,
        *,
        target: Target | None = None,
        companions: tuple[Companion, ...] = (),
        interrupted: Callable[[CallRecord], CallRecord] | None = None,
        written: Callable[[Sequence[CallRecord]], None] | None = None,
        budgets: Callable[[], BudgetStats] = BudgetStats,
        contents: Callable[[], ContentStats] = ContentStats,
        jobs: Callable[[], JobStats] = JobStats,
        refusals: Callable[[], dict[str, int]] = dict,
    ) -> None:
        """``target`` replaces the database of ``config.url``; raises ``AddressError`` for a url we do not know.

        ``interrupted`` completes the records of calls that died in mid-flight, ``written`` hears of records that are
        in the database now; both in the writer's thread. ``budgets``, ``contents``, ``jobs`` and ``refusals`` give
        figures to be told with ours.
        """
        self._config = config
        self._address: Address = parse(config.url, config.data_dir)
        self._target = target or open_target(
            self._address,
            migrate=config.migrate,
            timeout_s=config.operation_timeout_s,
            power_safe=config.durability is not Durability.OS,
            companions=companions,
            erased=self._ask_turn,
        )
        self._interrupted = interrupted
        self._written = written
        self._budgets = budgets
        self._contents = contents
        self._jobs = jobs
        self._refusals = refusals
        self._accepted = 0
        self._started = False
        self._telling = False
        self.untold = 0
        """Times the figures could not be written down."""

    async def start(self) -> None:
        """Open the spool, take over those of dead processes, start writing.

        Does not need the database. Raises ``OSError`` if the spool cannot be made, and ``SchemaTooNew`` if the
        database answers at once and belongs to a newer version.
        """
        config = self._config
        root = config.data_dir / SPOOL_FOLDER
        self._loop = asyncio.get_running_loop()
        self._quarantine = Quarantine(root)
        self._spool = Spool(
            root,
            segment_bytes=config.segment_bytes,
            max_bytes=config.spool_max_bytes,
            reserve_bytes=config.reserve_bytes,
            when_full=config.when_full,
        )
        self._feed = Feed(self._spool, self._quarantine, memory_rows=config.memory_rows)
        self._syncer = Syncer(self._spool, config.durability, config.sync_interval_s)
        self._writer = Writer(
            root,
            self._spool,
            self._feed,
            self._quarantine,
            self._target,
            config.pace,
            self._ask_carry,
            self._interrupted,
            self._written,
        )
        self._started = True
        self._writer.start()
        await asyncio.to_thread(self._writer.judged.wait, config.start_wait_s)
        if isinstance(self._writer.unfit, SchemaTooNew):
            unfit = self._writer.unfit
            await self.stop(1.0)
            raise unfit

    @property
    def spool_name(self) -> str:
        """Name of this process's spool folder: unlike that of any other process, ever."""
        return self._spool.folder.name

    def opened(self, record: CallRecord) -> None:
        """A call begins: ``record`` is what has to be written of it if the process dies before it is closed.

        Raises :class:`SpoolFull` if it cannot be accounted for; then it must not be made.
        """
        if self._spool.opened(record):
            self._accepted += 1
        self._syncer.touched()

    def closed(self, record: CallRecord) -> asyncio.Future[None] | None:
        """A call has ended: ``record`` is what is kept of it. Never raises.

        It has survived the death of the process when this returns. With ``durability = "strict"`` the future is
        done once it has also survived a power cut; let the last byte wait for it.
        """
        was_open, slot = self._spool.closed(record)
        if not was_open:
            self._accepted += 1
        self._feed.put((record,), slot)
        self._writer.nudge()
        return self._syncer.closed()

    def opened_together(self, records: Sequence[CallRecord]) -> list[SpoolFull | None] | None:
        """:meth:`opened` for calls that begin in the same turn of the loop and were not open before; what it would have
        raised for each, or ``None`` if it would for none."""
        if self._spool.opened_together(records):
            self._accepted += len(records)
            self._syncer.touched()
            return None
        return [self._unaccounted(record) for record in records]

    def _unaccounted(self, record: CallRecord) -> SpoolFull | None:
        try:
            self.opened(record)
        except SpoolFull as full:
            return full
        return None

    def closed_together(self, records: Sequence[CallRecord]) -> list[asyncio.Future[None] | None] | None:
        """:meth:`closed` for calls that end in the same turn of the loop: what it gives for each, or ``None`` where it gives
        nothing."""
        opened, slot = self._spool.closed_together(records)
        if slot is None:
            return [self.closed(record) for record in records]
        self._accepted += len(records) - opened
        self._feed.put(records, slot)
        self._writer.nudge()
        waiter = self._syncer.closed()
        return None if waiter is None else [waiter] * len(records)

    def is_open(self, call_id: str) -> bool:
        """Whether the call was opened and not closed yet."""
        return self._spool.is_open(call_id)

    def pending(self, call_id: str) -> CallRecord | None:
        """The record of a closed call that the database does not have yet, if it is still in memory."""
        return self._feed.pending(call_id)

    async def drained(self, timeout_s: float) -> bool:
        """Wait until everything closed or left over is in the database; False if time ran out first."""
        until = time.monotonic() + timeout_s
        while not self._writer.is_idle:
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(0.005)
        return True

    async def stop(self, timeout: float) -> None:
        """Write what can be written within ``timeout`` seconds; the rest stays on the spool for the next start."""
        if not self._started:
            return
        self._started = False
        self._writer.ask_stop(timeout)
        ended = await asyncio.to_thread(self._writer.join, timeout + 1.0)
        self._syncer.stop()
        if ended:
            await asyncio.to_thread(self._close_spool)

    def _close_spool(self) -> None:
        if self._config.durability is not Durability.OS:
            try:
                self._spool.sync()
            except OSError:
                self._syncer.failures += 1
        self._spool.close()

    def _ask_carry(self) -> None:
        """From the writer's thread: old segments wait for open calls to be written again."""
        try:
            self._loop.call_soon_threadsafe(self._carry)
        except RuntimeError:  # the loop is closed: the segments stay for the next start
            return

    def _ask_turn(self) -> None:
        """From the writer's thread: somebody was erased, whose records may still lie in the segment at hand."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the segment goes with the next start
            self._loop.call_soon_threadsafe(self._spool.turn)

    def _carry(self) -> None:
        if not self._spool.carry():
            self._loop.call_soon(self._carry)

    def tell(self) -> None:
        """Put this moment's figures where the other workers and the command line find them; costs next to nothing."""
        if self._started and not self._telling:
            self._telling = True
            more = self._budgets(), self._contents(), self._jobs(), dict(self._refusals())
            vitals = Vitals(os.getpid(), time.time_ns(), self.stats(), *more)
            task = self._loop.run_in_executor(None, write_vitals, self._spool.folder, vitals)
            task.add_done_callback(self._told)

    def _told(self, task: asyncio.Future[None]) -> None:
        self._telling = False
        if not task.cancelled() and task.exception() is not None:
            self.untold += 1

    @property
    def has_database(self) -> bool:
        """The database answers, and its tables are there."""
        return self._writer.is_connected

    def stats(self) -> LedgerStats:
        """Figures of this moment."""
        spool, feed, writer = self._spool, self._feed, self._writer
        progress = writer.progress
        reasons = tuple(self._reasons())
        return LedgerStats(
            accepted=self._accepted,
            recorded=progress.recorded,
            in_flight=spool.in_flight,
            spooled=spool.tail.number - progress.through + feed.loose_put - progress.loose,
            dead_letters=progress.dead_letters,
            lost=feed.lost + progress.unreadable,
            duplicates=progress.duplicates,
            replayed=progress.replayed,
            interrupted=progress.interrupted,
            replay_dead_letters=progress.replay_dead_letters,
            replaying=writer.replaying,
            refused=spool.refused,
            torn=self._quarantine.torn,
            damaged=self._quarantine.broken,
            slimmed=spool.slimmed,
            write_failures=spool.write_failures,
            sync_failures=self._syncer.failures,
            outages=writer.outages,
            batches=progress.batches,
            spool_bytes=spool.used_bytes,
            oldest_age_s=self._oldest_age_s(),
            degraded=bool(reasons),
            reasons=reasons,
        )

    def _reasons(self) -> list[str]:
        found = []
        if self._writer.trouble is not None:
            found.append(f"database: {self._writer.trouble}")
        if self._spool.is_full:
            found.append("spool: size limit reached")
        if self._spool.is_failing:
            found.append("spool: disk full or failing")
        if self._syncer.failing:
            found.append("spool: the disk refuses to sync")
        if self._feed.lost:
            found.append("spool: records lost")
        return found

    def _oldest_age_s(self) -> float:
        record = self._writer.oldest
        if record is None:
            return 0.0
        ended_ns = record.timing.started_ns + record.timing.duration_us * 1000
        return max(0.0, (time.time_ns() - ended_ns) / 1e9)
