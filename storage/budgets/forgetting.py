"""Accounts of windows that ended long ago go; there may be one for each user and hour."""

from __future__ import annotations

from typing import Final

from storage.control.contract import ControlDatabase

SHORT_S: Final = 3_600
"""Windows up to this long are kept for :data:`SHORT_DAYS`, longer ones for :data:`LONG_DAYS`."""
SHORT_DAYS: Final = 31
LONG_DAYS: Final = 400
_DAY_S: Final = 86_400
_SLICE: Final = 2_000
"""Accounts deleted in one transaction: batches of rows wait no longer than that takes."""


async def forget_accounts(db: ControlDatabase, now_s: int) -> int:
    """Delete what is too old; returns how many. Raises ``ControlUnavailable``."""
    gone = 0
    for days, which in ((LONG_DAYS, ""), (SHORT_DAYS, f" AND end_s - start_s <= {SHORT_S}")):
        query = f"SELECT budget_id, subject, window_key FROM budget_accounts WHERE end_s < ?{which} LIMIT {_SLICE}"
        while old := await db.fetch(query, now_s - days * _DAY_S):
            async with db.transaction() as tx:
                for budget_id, subject, window_key in old:
                    gone += await tx.run(
                        "DELETE FROM budget_accounts WHERE budget_id = ? AND subject = ? AND window_key = ?",
                        budget_id,
                        subject,
                        window_key,
                    )
    return gone
