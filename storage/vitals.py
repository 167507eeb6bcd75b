"""What every worker of this machine says of its ledger, in a small file of its spool folder.

So that any of them, and the command line, can show the figures of all: a worker's figures go with its folder, and
what it left behind is counted by whoever takes the folder over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import Counter
from pathlib import Path

import msgspec

from storage.claim import LOCK_SUFFIX
from storage.stats import BudgetStats, ContentStats, JobStats, LedgerStats

NAME = "vitals.json"


class Vitals(msgspec.Struct, frozen=True):
    """One worker at one moment."""

    pid: int
    at_ns: int
    """UTC, nanoseconds since 1970."""
    stats: LedgerStats
    budgets: BudgetStats = BudgetStats()
    contents: ContentStats = ContentStats()
    jobs: JobStats = JobStats()
    refusals: dict[str, int] = {}
    """Requests answered by the gateway itself, by the code of the answer."""


class Spool(msgspec.Struct, frozen=True):
    """A spool folder and what its process said last."""

    name: str
    alive: bool
    """Its process holds its lock; otherwise it waits to be taken over."""
    vitals: Vitals | None


def write(folder: Path, vitals: Vitals) -> None:
    """Replaces the worker's figures. Raises ``OSError``. Not for the event loop."""
    part = folder / f".{NAME}"
    fd = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(vitals))
    finally:
        os.close(fd)
    os.replace(part, folder / NAME)


def read(root: Path) -> list[Spool]:
    """Every spool under ``root``, in the order they were begun."""
    found = []
    with contextlib.suppress(OSError):
        for lock in sorted(root.glob(f"*{LOCK_SUFFIX}")):
            name = lock.name.removesuffix(LOCK_SUFFIX)
            if not name.startswith("."):
                found.append(Spool(name, _is_held(lock), _vitals(root / name / NAME)))
    return found


def added_up(spools: list[Spool]) -> LedgerStats:
    """The figures of all living workers together; the age is that of the oldest."""
    alive = [spool.vitals.stats for spool in spools if spool.alive and spool.vitals is not None]
    sums = {}
    for field in msgspec.structs.fields(LedgerStats):
        if field.type is int:
            sums[field.name] = sum(getattr(one, field.name) for one in alive)
    return LedgerStats(
        **sums,
        oldest_age_s=max((one.oldest_age_s for one in alive), default=0.0),
        degraded=any(one.degraded for one in alive),
        reasons=tuple(dict.fromkeys(reason for one in alive for reason in one.reasons)),
    )


def budgets_added_up(spools: list[Spool]) -> BudgetStats:
    """What the admission of all living workers has done."""
    names = BudgetStats.__struct_fields__
    return BudgetStats(**{name: sum(getattr(one.budgets, name) for one in _living(spools)) for name in names})


def contents_added_up(spools: list[Spool]) -> ContentStats:
    """What all living workers have done with contents."""
    names = ContentStats.__struct_fields__
    return ContentStats(
        **{name: sum(getattr(one.contents, name) for one in _living(spools)) for name in names}
    )


def jobs_added_up(spools: list[Spool]) -> JobStats:
    """What all living workers have done as leaders."""
    told = [one.jobs for one in _living(spools)]
    return JobStats(
        any(one.leads for one in told),
        sum(one.runs for one in told),
        sum(one.failures for one in told),
        sum(one.overdue for one in told),
    )


def refusals_added_up(spools: list[Spool]) -> dict[str, int]:
    """Requests that all living workers answered themselves, by code."""
    found: Counter[str] = Counter()
    for one in _living(spools):
        found.update(one.refusals)
    return dict(sorted(found.items()))


def _living(spools: list[Spool]) -> list[Vitals]:
    return [spool.vitals for spool in spools if spool.alive and spool.vitals is not None]


def _is_held(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _vitals(path: Path) -> Vitals | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Vitals)
    except (OSError, msgspec.MsgspecError):
        return None
