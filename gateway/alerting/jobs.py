"""The leader's jobs for alerts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.alerting.plan import AlertPlan
from gateway.jobs import Job
from storage.address import Address

if TYPE_CHECKING:
    from gateway.alerting.run import AlertRun

EVALUATE_S: Final = 15.0
DELIVER_S: Final = 5.0
TIDY_S: Final = 3_600.0


def alert_jobs(
    plan: Callable[[], AlertPlan],
    address: Address,
    spool: Path,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Job]:
    """Evaluate, deliver, tidy up, but not at once: a start has enough to do. ``plan``: the settings as they are now."""
    made: list[AlertRun] = []
    begun: set[str] = set()

    def run() -> AlertRun:
        if not made:
            from gateway.alerting.run import AlertRun

            made.append(AlertRun(plan, address, spool, now))
        return made[0]

    def job(name: str, interval_s: float, what: Callable[[AlertRun], Awaitable[str | None]]) -> Job:
        async def work() -> str | None:
            if name not in begun:
                begun.add(name)
                return None
            return await what(run())

        return Job(name, interval_s, work)

    return [
        job("alerts", EVALUATE_S, lambda one: one.evaluate()),
        job("alert-deliveries", DELIVER_S, lambda one: one.deliver()),
        job("alert-tidying", TIDY_S, lambda one: one.tidy()),
    ]
