"""``GET /metrics``: how the ledger of this machine is doing, in Prometheus' text format.

Calls, tokens and money are told by OpenTelemetry metrics; here is what an operator is woken up for.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gateway.api.deps import ApiDeps
from gateway.api.guard import METRICS
from gateway.api.routes import Endpoint
from storage.stats import LedgerStats
from storage.store import RollupAudit, StoreUnavailable
from storage.vitals import (
    Spool,
    added_up,
    budgets_added_up,
    contents_added_up,
    jobs_added_up,
    read,
    refusals_added_up,
)

_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_COUNTERS: Final = {
    "accepted": "Calls accepted since the workers started.",
    "recorded": "Of those, in the database.",
    "dead_letters": "Records the database takes no row of.",
    "lost": "Records that neither disk nor memory could hold.",
    "duplicates": "Records that were in the database already.",
    "replayed": "Records taken over from dead workers.",
    "interrupted": "Of those, calls that had died in mid-flight.",
    "refused": "Calls turned away because they could not be recorded.",
    "damaged": "Unreadable stretches of the spool.",
    "write_failures": "Appends the disk refused.",
    "sync_failures": "Syncs the disk refused or did not finish in time.",
    "outages": "Times the database failed.",
}
_BUDGETS: Final = {
    "denied": ("counter", "Calls refused because a budget or a limit of a key was used up."),
    "overdrawn": ("counter", "Calls let through because the database could not be asked for a budget."),
    "unanswered": ("counter", "Rounds of borrowing that the database did not answer."),
    "holding": ("gauge", "Calls under way that hold a part of a budget."),
}
_CONTENTS: Final = {
    "kept": ("counter", "Calls whose captured prompt and answer were written."),
    "dropped": ("counter", "Calls whose captured content is lost: no room, or no time at the end."),
    "failed": ("counter", "Calls of whose content nothing could be made."),
    "waiting": ("gauge", "Calls whose captured content is on its way to the database."),
}
_JOBS: Final = {
    "runs": "Jobs of the leader that were begun.",
    "failures": "Of those, the ones that failed.",
    "overdue": "Of these, the ones that were ended because they took too long.",
}
_GAUGES: Final = {
    "in_flight": "Calls under way.",
    "spooled": "Records on the way to the database.",
    "spool_bytes": "Bytes of the spool.",
    "oldest_age_s": "Age of the oldest record that is not in the database, in seconds.",
    "degraded": "1 while records wait for the database or the disk.",
}


class Metrics:
    """Handlers over the figures in the data folder."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                METRICS,
                self.show,
                "The ledger's figures for Prometheus",
                None,
                errors=(401, 403),
                admin=True,
                media=("text/plain",),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """All workers of this machine together."""
        try:
            audit = await self._deps.store.rollup_audit()
        except StoreUnavailable:
            audit = None  # the ledger's figures matter most while the database is away
        body = exposition(read(self._deps.spool), audit).encode()
        return web.Response(body=body, headers={"Content-Type": _TYPE})


def exposition(spools: list[Spool], audit: RollupAudit | None = None) -> str:
    """The figures as Prometheus reads them."""
    total = added_up(spools)
    alive = [spool for spool in spools if spool.alive]
    lines: list[str] = []
    for name, text in _COUNTERS.items():
        lines += _metric(f"weighbridge_ledger_{name}_total", "counter", text, getattr(total, name))
    for name, text in _GAUGES.items():
        name_out = "oldest_age_seconds" if name == "oldest_age_s" else name
        lines += _metric(f"weighbridge_ledger_{name_out}", "gauge", text, _number(total, name))
    budgets = budgets_added_up(spools)
    for name, (kind, text) in _BUDGETS.items():
        full = f"weighbridge_budget_calls_{name}" if name != "unanswered" else "weighbridge_budget_unanswered"
        lines += _metric(full + ("_total" if kind == "counter" else ""), kind, text, getattr(budgets, name))
    contents = contents_added_up(spools)
    for name, (kind, text) in _CONTENTS.items():
        full = f"weighbridge_contents_{name}" + ("_total" if kind == "counter" else "")
        lines += _metric(full, kind, text, getattr(contents, name))
    jobs = jobs_added_up(spools)
    for name, text in _JOBS.items():
        lines += _metric(f"weighbridge_jobs_{name}_total", "counter", text, getattr(jobs, name))
    lines += _refusals(refusals_added_up(spools))
    difference = sum(spool.vitals.stats.balance for spool in alive if spool.vitals is not None)
    text = "Accepted calls that are nowhere: anything but 0 is a defect."
    lines += _metric("weighbridge_integrity_difference", "gauge", text, difference)
    if audit is not None:
        text = (
            "Sums of the last audited day that are not what its calls add up to: anything but 0 is a defect."
        )
        lines += _metric("weighbridge_rollups_difference", "gauge", text, audit.differences)
    lines += _metric("weighbridge_workers", "gauge", "Running workers of this machine.", len(alive))
    waiting = len(spools) - len(alive)
    lines += _metric(
        "weighbridge_orphaned_spools", "gauge", "Spools of dead workers to be taken over.", waiting
    )
    return "\n".join(lines) + "\n"


def _refusals(by_code: dict[str, int]) -> list[str]:
    name = "weighbridge_refusals_total"
    text = "Requests the gateway answered itself instead of a provider, by the code of the answer."
    head = [f"# HELP {name} {text}", f"# TYPE {name} counter"]
    return head + [f'{name}{{code="{code}"}} {count}' for code, count in by_code.items()]


def _number(total: LedgerStats, name: str) -> float:
    return float(getattr(total, name))


def _metric(name: str, kind: str, text: str, value: float) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value:.15g}"]
