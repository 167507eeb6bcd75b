"""``GET /api/integrity``: is every accepted call accounted for?"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.deps import ApiDeps, CallReader
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from storage.stats import LedgerStats
from storage.store import Honesty, RollupAudit, StoreUnavailable
from storage.vitals import Spool, added_up, budgets_added_up, contents_added_up, read

LOOKED_BACK: Final = timedelta(days=30)


class WorkerOut(BaseModel):
    """One worker of this machine, since its start."""

    name: str
    alive: bool
    """False: it died, and its spool waits to be taken over."""
    pid: int | None = None
    told_at: str | None = None
    figures: dict[str, int | float | bool | list[str]] = {}
    balance: int | None = None
    """Accepted calls that are nowhere: always 0."""


class IntegrityOut(BaseModel):
    """accepted = recorded + in flight + in the spool + dead letters + lost, over all workers of this machine."""

    balanced: bool
    accepted: int
    recorded: int
    in_flight: int
    spooled: int
    dead_letters: int
    lost: int
    duplicates: int
    replayed: int
    interrupted: int
    damaged: int
    spool_bytes: int
    oldest_age_seconds: float
    degraded: bool
    reasons: list[str] = []
    workers: list[WorkerOut] = []
    calls_holding: int = Field(description="Calls under way that hold a part of a budget.")
    calls_denied: int = Field(description="Calls refused because a budget or a limit of a key was used up.")
    calls_overdrawn: int = Field(description="Calls let through because the database could not be asked.")
    contents_kept: int = Field(description="Calls whose captured prompt and answer were written.")
    contents_dropped: int = Field(
        description="Calls whose captured content is lost: no room, or no time at the end."
    )
    contents_failed: int = Field(description="Calls of whose content nothing could be made.")
    database_trouble: str | None = Field(
        description="Why the database does not answer: what follows is null then, and what is above holds all the same."
    )
    calls: int | None = Field(description="Calls of the last 30 days, of all machines.")
    calls_estimated: int | None
    calls_unpriced: int | None
    calls_partial: int | None
    dead_letters_kept: int | None = Field(
        description="Records no row could be made of, kept in the database."
    )
    rollups_day: date | None = Field(
        description="The day (UTC) the nightly audit compared last: rows = rollups."
    )
    rollups_differences: int | None = Field(
        description="Figures of that day that differed: anything but 0 is a defect."
    )


class Integrity:
    """Handlers over the figures in the data folder and the store."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/integrity",
                self.show,
                "Is every accepted call accounted for?",
                IntegrityOut,
                errors=(401, 403),
                admin=True,
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """The figures of all workers and of the database."""
        return json_response(await integrity_of(self._deps.spool, self._deps.store))


class Kept(msgspec.Struct, frozen=True):
    """What the database says, as far as it answers."""

    honesty: Honesty | None = None
    audit: RollupAudit | None = None
    trouble: str | None = None


async def _kept_in(store: CallReader) -> Kept:
    """What is wrong with the database is part of the account: that of the workers is wanted most of all then."""
    try:
        return Kept(await store.honesty(datetime.now(UTC) - LOOKED_BACK), await store.rollup_audit())
    except StoreUnavailable as error:
        return Kept(trouble=str(error))


async def integrity_of(spool: Path, store: CallReader) -> IntegrityOut:
    """Adds up what the workers under ``spool`` say of themselves. Reads a small file for each."""
    kept = await _kept_in(store)
    honesty, audit = kept.honesty, kept.audit
    spools = read(spool)
    total, budgets, contents = added_up(spools), budgets_added_up(spools), contents_added_up(spools)
    workers = [worker_out(one) for one in spools]
    return IntegrityOut(
        balanced=all(not worker.balance for worker in workers) and total.lost == 0,
        accepted=total.accepted,
        recorded=total.recorded,
        in_flight=total.in_flight,
        spooled=total.spooled,
        dead_letters=total.dead_letters,
        lost=total.lost,
        duplicates=total.duplicates,
        replayed=total.replayed,
        interrupted=total.interrupted,
        damaged=total.damaged,
        spool_bytes=total.spool_bytes,
        oldest_age_seconds=round(total.oldest_age_s, 3),
        degraded=total.degraded,
        reasons=list(total.reasons),
        workers=workers,
        calls_holding=budgets.holding,
        calls_denied=budgets.denied,
        calls_overdrawn=budgets.overdrawn,
        contents_kept=contents.kept,
        contents_dropped=contents.dropped,
        contents_failed=contents.failed,
        database_trouble=kept.trouble,
        calls=None if honesty is None else honesty.calls,
        calls_estimated=None if honesty is None else honesty.estimated,
        calls_unpriced=None if honesty is None else honesty.unpriced,
        calls_partial=None if honesty is None else honesty.partial,
        dead_letters_kept=None if honesty is None else honesty.dead_letters,
        rollups_day=None if audit is None else audit.day,
        rollups_differences=None if audit is None else audit.differences,
    )


def worker_out(spool: Spool) -> WorkerOut:
    """One worker as the API shows it."""
    vitals = spool.vitals
    if vitals is None:
        return WorkerOut(name=spool.name, alive=spool.alive)
    return WorkerOut(
        name=spool.name,
        alive=spool.alive,
        pid=vitals.pid,
        told_at=f"{datetime.fromtimestamp(vitals.at_ns / 1e9, UTC):%Y-%m-%dT%H:%M:%SZ}",
        figures=_figures(vitals.stats),
        balance=vitals.stats.balance if spool.alive else None,
    )


def _figures(stats: LedgerStats) -> dict[str, int | float | bool | list[str]]:
    found: dict[str, int | float | bool | list[str]] = msgspec.to_builtins(stats)
    return found
