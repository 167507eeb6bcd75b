"""A process that keeps a ledger and can be killed: ``python -m rig.ledger_child FOLDER URL MODE``.

Prints the id of each call after ``closed`` returned, so that what was promised is known outside. Modes: ``run``
opens and closes calls until killed, ``hold`` opens three calls, closes one, and waits, ``finish`` closes 50 and stops.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from rig.ledger import opening, record, started

from storage.ledger import Ledger


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


async def run(ledger: Ledger, base: int) -> None:
    for number in range(base, base + 1_000_000):
        final = record(number)
        ledger.opened(opening(final))
        ledger.closed(final)
        say(final.id)
        if number % 20 == 0:
            await asyncio.sleep(0)


async def hold(ledger: Ledger, base: int) -> None:
    finals = [record(base + offset) for offset in range(3)]
    for final in finals:
        ledger.opened(opening(final))
    ledger.closed(finals[0])
    say("holding")
    await asyncio.sleep(600)


async def main(folder: str, url: str, mode: str, base: int) -> None:
    ledger = await started(Path(folder), url=url)
    say("started")
    if mode == "run":
        await run(ledger, base)
    elif mode == "hold":
        await hold(ledger, base)
    else:
        for number in range(base, base + 50):
            ledger.opened(opening(record(number)))
            ledger.closed(record(number))
        await ledger.stop(20)
        say(f"recorded {ledger.stats().recorded}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
