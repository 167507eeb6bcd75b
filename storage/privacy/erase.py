"""Erasing a person: nothing that is kept names them any more, and no sum changes.

First it is written down that they are erased, so that nothing new comes (:mod:`storage.privacy.erased`); then every
place is cleaned, in short transactions. Stopped anywhere it can be done again, and goes on where it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from storage import audit
from storage.address import Address
from storage.control import ControlDatabase, ControlUnavailable, control_of
from storage.privacy.calls import clean_calls, clean_letters
from storage.privacy.database import Person, PrivateDatabase
from storage.privacy.erased import NAME, keep_out, locked
from storage.privacy.files import delete_exports, mask_damaged
from storage.privacy.governed import delete_accounts, delete_alerts, named_after
from storage.privacy.said import (
    anonymous_ids,
    clean_feedback,
    clean_judged,
    clean_outcomes,
    delete_contents,
    delete_events,
)
from storage.privacy.sums import clean_sums
from storage.store import StoreUnavailable

ACTION: Final = "user.erase"
DAYS: Final = 30
"""How long what is still told of the person becomes nobody's."""
_DAY_MS: Final = 86_400_000


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of the person, by place; all of it is gone or nobody's."""

    calls: int = 0
    contents: int = 0
    """Prompts and answers: rows of one call each."""
    judged_calls: int = 0
    feedback: int = 0
    outcomes: int = 0
    events: int = 0
    dead_letters: int = 0
    sums: int = 0
    """Rows of the sums by user and day."""
    accounts: int = 0
    """Accounts and leases of budgets."""
    alerts: int = 0
    damaged_files: int = 0
    exports: int = 0
    """Files in the folder of exports: all of them."""

    @property
    def rows(self) -> int:
        """All but the exports, which are deleted unread."""
        found: tuple[int, ...] = msgspec.structs.astuple(self)
        return sum(found) - self.exports


class Report(msgspec.Struct, frozen=True):
    """The end of it."""

    done: Done
    left: list[str]
    """What operators named after the person: theirs to change."""
    copies_may_stay: bool = False
    """In unused parts of SQLite's file or in its log: it is large, there was no room, or somebody held it."""


Told = Callable[[str], None]
"""Hears of the place that is being cleaned."""


async def erase(
    address: Address,
    data_dir: Path,
    person: Person,
    actor: str,
    *,
    days: int = DAYS,
    told: Told = lambda place: None,
    clock: Callable[[], float] = time.time,
) -> Report:
    """Erase. Raises :class:`storage.store.StoreUnavailable`, and ``OSError`` for files that can't be changed."""
    control, db = control_of(address, 60.0), PrivateDatabase(address)
    try:
        told("what is on its way")
        now_ms = int(clock() * 1000)
        until_ms = now_ms + days * _DAY_MS
        async with control.transaction() as tx:
            await locked(tx)
            await keep_out(tx, person.spellings, person.tenant, now_ms, until_ms)
        # Nothing comes any more that could tell of further names.
        before = await anonymous_ids(db, person)
        if before:
            async with control.transaction() as tx:
                await locked(tx)
                await keep_out(tx, before, person.tenant, now_ms, until_ms)
        done = await _clean(db, control, data_dir, person, told, datetime.fromtimestamp(clock(), UTC))
        async with control.transaction() as tx:
            await audit.write(tx, actor, ACTION, NAME, msgspec.structs.asdict(done))
        is_anew = await db.let_go()
        return Report(done, await named_after(control, person), not is_anew)
    except ControlUnavailable as error:
        raise StoreUnavailable(str(error)) from error
    finally:
        await db.close()
        await control.close()


async def _clean(
    db: PrivateDatabase, control: ControlDatabase, data_dir: Path, person: Person, told: Told, now: datetime
) -> Done:
    told("prompts and answers")
    contents = await delete_contents(db, person)
    told("calls")
    calls = await clean_calls(db, person)
    told("feedback, outcomes, events")
    judged, feedback = await clean_judged(db, person), await clean_feedback(db, person)
    outcomes, events = await clean_outcomes(db, person), await delete_events(db, person)
    letters = await clean_letters(db, person)
    told("sums by user")
    sums = await clean_sums(db, person, calls.sessions, now)
    told("budgets and alerts")
    accounts, alerts = await delete_accounts(control, person), await delete_alerts(db, person)
    told("files")
    damaged = await asyncio.to_thread(mask_damaged, data_dir, person)
    exports = await asyncio.to_thread(delete_exports, data_dir)
    return Done(
        calls=calls.calls,
        contents=contents,
        judged_calls=judged,
        feedback=feedback,
        outcomes=outcomes,
        events=events,
        dead_letters=letters,
        sums=sums,
        accounts=accounts,
        alerts=alerts,
        damaged_files=damaged,
        exports=exports,
    )
