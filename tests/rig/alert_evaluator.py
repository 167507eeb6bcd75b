"""A process that evaluates the budgets of a database over and over until it is killed.

``python -m rig.alert_evaluator URL FOLDER``; it prints ``running`` after its first round.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from alerts.facts import rule
from alerts.office import Office, hook

from storage.alerts.budget_facts import BudgetAccounts
from storage.alerts.facts import StoredFacts


async def main(url: str, folder: str) -> None:
    office = Office(url, Path(folder), [rule("budget")], [hook("http://127.0.0.1:9/")])
    database = office.workers[0].database
    office.facts = StoredFacts(database, Path(folder), BudgetAccounts(database))  # type: ignore[assignment]
    said = False
    while True:
        office.now = datetime.now(UTC)
        await office.evaluate()
        if not said:
            os.write(1, b"running\n")
            said = True
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
