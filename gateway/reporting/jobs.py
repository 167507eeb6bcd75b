"""The leader's job for reports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.jobs import Job
from gateway.reporting.plan import ReportPlan
from storage.address import Address

if TYPE_CHECKING:
    from gateway.reporting.run import ReportRun

LOOK_S: Final = 60.0
LIMIT_S: Final = 1_800.0
"""A report of a large month asks several questions that may take minutes each."""


def report_jobs(
    plan: Callable[[], ReportPlan], address: Address, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[Job]:
    """Sends what is due. ``plan``: the settings as they are now."""
    made: list[ReportRun] = []

    async def send() -> str | None:
        if not plan().dues:
            return None
        if not made:
            from gateway.reporting.run import ReportRun

            made.append(ReportRun(plan, address, now))
        return await made[0].send()

    return [Job("reports", LOOK_S, send, LIMIT_S)]
