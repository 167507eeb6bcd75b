"""A process that delivers and can be killed: ``python -m rig.alert_child URL FOLDER RECEIVER``.

It sends what is due to the receiver, prints ``sent``, and then waits for its death before it notes anything.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path

from alerts.office import Office, hook

from storage.alerts.outbox import Outbox, Taken
from telemetry.alerts.channels.contract import Reply


class DyingOutbox(Outbox):
    """Never gets to note anything."""

    async def note(
        self, taken: Taken, reply: Reply, began: datetime, duration_us: int, chance: float, target: str
    ) -> bool:
        os.write(1, f"sent {taken.parcel.id} {reply.fate}\n".encode())
        await asyncio.sleep(600)
        return False


async def main(url: str, folder: str, receiver: str) -> None:
    office = Office(url, Path(folder), [], [hook(receiver)])
    worker = office.workers[0]
    worker.outbox = DyingOutbox(worker.database)
    await worker.deliver()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
