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
        query = (
            "SELECT budget_id, subject, window_key, end_s FROM budget_accounts"
            f" WHERE end_s >= ? AND end_s < ?{which} ORDER BY end_s LIMIT {_SLICE}"
        )
        since_s = 0
        while old := await db.fetch(query, since_s, now_s - days * _DAY_S):
            since_s = int(old[-1][3])  # what stays is looked at once
            async with db.transaction() as tx:
                for budget_id, subject, window_key, _ in old:
                    gone += await tx.run(
                        "DELETE FROM budget_accounts WHERE budget_id = ? AND subject = ? AND window_key = ?",
                        budget_id,
                        subject,
                        window_key,
                    )
    return gone
