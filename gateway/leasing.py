"""Borrows for this worker and gives back: rounds of the database, each for everything that is asked by then.

Calls wait for a round only near a limit. Where the database does not answer they are told so at once.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from gateway.admission import Admission
from gateway.purse import Purse
from storage.budgets import leases
from storage.budgets.leases import Ask, Standing, Told
from storage.budgets.model import Account
from storage.control import ControlDatabase, ControlUnavailable, NoTables

PATIENCE_S: Final = 5.0
"""The longest a call waits for a round; then the database counts as down. A refused connection is told at once."""
RETRY_S: Final = 1.0
"""How long it is not asked again after a failure; twice as long after each that follows, up to ``RETRY_LONGEST_S``."""
RETRY_LONGEST_S: Final = 30.0
TICK_S: Final = 0.5
IDLE_S: Final = 5.0
"""An account that no call draws on gets back what was lent."""
KEY_IDLE_S: Final = 0.5
"""The same for tokens per minute of a key: what a call did not need is soon needed by the next."""
LOOK_S: Final = 2.0
"""How often accounts in use are looked at."""
FIRST_LOOK_S: Final = 0.1
"""How often those are that nobody has looked at."""
RENEW_S: Final = 60.0
SWEEP_S: Final = 5.0
FORGET_S: Final = 300.0
"""An account that no call draws on and of which nothing is held is not kept in memory."""
UNTOLD_S: Final = 3_600.0
"""So long the database may be away before what it was to be told of such an account is forgotten: leases end sooner,
and the number of a report is kept for longer."""
KEY_UNTOLD_S: Final = 60.0
"""The same for a limit of a key whose minute is over: what was used of it is of no interest any more."""
LATELY_S: Final = 30.0
MOST_LOOKED_AT: Final = 500
"""Accounts looked at at once: those that were drawn on last."""

_logger = logging.getLogger("gateway.leasing")


class Report(msgspec.Struct, frozen=True):
    """What limits of keys have used, what was refused and what is given back, on its way to the database."""

    number: int
    at_s: int
    """UTC since 1970."""
    told: list[Told]


class Leasing:
    """:class:`gateway.admission.Lender`. One per worker; everything on the event loop."""

    def __init__(
        self,
        db: ControlDatabase,
        owner: str,
        admission: Admission,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        dead: Callable[[Sequence[str]], list[str]],
    ) -> None:
        """``dead`` picks, of all who hold anything, those that are known to be dead."""
        self._db = db
        self._owner = owner
        self._admission = admission
        self._clock = clock
        self._now_ms = now_ms
        self._dead = dead
        self._wake = asyncio.Event()
        self._answer: asyncio.Future[bool] | None = None
        self._down_until = 0.0
        self._retry_s = RETRY_S
        self._numbers = itertools.count(now_ms() * 1_000)  # none that an earlier process of this name had
        self._unheard: tuple[Sequence[Account], int] | None = None
        """The loan whose answer was lost, and on what."""
        self._report: Report | None = None
        """The one that was not heard of yet. What it tells is told by no other."""
        self._look_at = self._first_look_at = self._renew_at = self._sweep_at = self._forget_at = 0.0
        self._swept_s = 0
        """From when on minutes of keys have to be looked for that can be forgotten; UTC since 1970."""
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._untold: set[Purse] = set()
        """Those that may have something to be told or given back."""
        self._unseen: set[Purse] = set()
        """Those that nobody has looked at yet."""
        self.failures = 0
        """Rounds the database did not answer."""

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, timeout_s: float) -> None:
        """Give everything back that is not in use; the rest goes with its rows."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout_s)
            self._task.cancel()

    def wake(self) -> None:
        self._wake.set()

    async def ask(self, purses: Sequence[Purse]) -> bool:
        """Wait for the round that serves what these purses ask; false: the database does not answer."""
        if self._clock() < self._down_until:
            return False
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        self._admission.touched.update(purses)
        self._wake.set()
        try:
            return await asyncio.wait_for(asyncio.shield(self._answer), PATIENCE_S)
        except TimeoutError:
            self._is_down()
            return False

    # ---- rounds

    async def _run(self) -> None:
        while not self._stopping:
            try:
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.round()
            except Exception:  # without this loop no limit would hold any more
                _logger.exception("a round of the budgets failed")
                self.failures += 1
        await self._return_all()

    async def round(self) -> None:
        """Do what there is to do; nothing is raised, what could not be done stays to be done."""
        answer, self._answer = self._answer, None
        done = False
        self._forget()
        try:
            if answer is None and self._clock() < self._down_until:
                return
            touched, self._admission.touched = self._admission.touched, set()
            self._untold |= touched
            self._unseen |= {purse for purse in touched if purse.tells and not purse.known}
            await self._undo()
            await self._send()
            await self._retire()
            await self._borrow(touched)
            done, self._retry_s = True, RETRY_S
            if answer is not None:
                answer.set_result(True)
            await self._tell(self._untold)
            self._untold = {
                purse for purse in self._untold if purse.owing or purse.denied or _is_tight(purse)
            }
            await self._keep_up()
        except NoTables:  # they are being made; the watch tells of it where that takes too long
            self._down_until = self._clock() + RETRY_S
        except ControlUnavailable as error:
            if not self.failures:
                _logger.warning("budgets are kept from memory, the database does not answer: %s", error)
            self.failures += 1
            self._is_down()
        finally:
            if answer is not None and not answer.done():
                answer.set_result(done)

    def _is_down(self) -> None:
        now = self._clock()
        if now >= self._down_until:
            self._down_until = now + self._retry_s
            self._retry_s = min(self._retry_s * 2, RETRY_LONGEST_S)

    async def _retire(self) -> None:
        """Let go of what was lent on budgets as they were, before anything is lent on them as they are."""
        admission = self._admission
        if admission.voided:
            voided = set(admission.voided)
            await leases.forfeit(self._db, self._owner, voided)
            admission.voided -= voided
        if admission.retired:
            await self._tell(admission.retired)
            admission.retired = {purse for purse in admission.retired if purse.held or purse.owing}

    async def _borrow(self, touched: set[Purse]) -> None:
        wanting = [
            purse
            for purse in touched
            if purse.enforced and not purse.retired and (purse.waiting or purse.is_low)
        ]
        if not wanting:
            return
        asks = [Ask(purse.account, purse.asked, purse.least) for purse in wanting]
        loan = next(self._numbers)
        self._unheard = ([ask.account for ask in asks], loan)
        grants = await leases.grant(self._db, self._owner, asks, self._now_ms(), loan)
        self._unheard = None
        for purse, got in zip(wanting, grants, strict=True):
            purse.take(got)

    async def _undo(self) -> None:
        """What was lent and not heard of would stay lent, and nobody could draw on it."""
        if self._unheard is not None:
            await leases.undo(self._db, self._owner, *self._unheard)
            self._unheard = None

    async def _tell(self, purses: Collection[Purse], *, at_the_end: bool = False) -> None:
        """Tell what limits of keys have used and what was refused, and give back what is not needed.

        What is given back is nothing that calls may draw on from here on, whatever becomes of the answer: by then it may
        be lent to others. The report before must have been heard of.
        """
        now, told = self._clock(), []
        for purse in purses:
            returned = purse.give_back() if at_the_end or _is_spare(purse, now) else 0
            if returned or purse.owing or purse.denied:
                told.append(Told(purse.account, purse.owing, purse.denied, returned))
                purse.owing = purse.denied = 0
        if told:
            self._report = Report(next(self._numbers), self._now_ms() // 1000, told)
            await self._send()

    async def _send(self) -> None:
        """As it is and under its number until the database answers: it may have been heard already."""
        if self._report is not None:
            report = self._report
            await leases.tell(self._db, self._owner, report.told, self._now_ms(), report.number)
            self._report = None

    async def _keep_up(self) -> None:
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            await self._look(now)
        if self._unseen and now >= self._first_look_at:
            self._first_look_at = now + FIRST_LOOK_S
            unseen = [purse for purse in self._unseen if not (purse.known or purse.retired)]
            await self._look_at_these(unseen[:MOST_LOOKED_AT])
            self._unseen = set(unseen[MOST_LOOKED_AT:])
        if now >= self._renew_at:
            self._renew_at = now + RENEW_S
            await leases.renew(self._db, self._owner, self._now_ms())
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_S
            holders = await leases.owners(self._db)
            dead = self._dead(holders)
            self._swept_s = await leases.release(self._db, dead, self._now_ms(), self._swept_s)

    async def _look(self, now: float) -> None:
        purses = self._admission.purses
        lately = [purse for purse in purses.values() if now - purse.touched_at <= LATELY_S]
        lately.sort(key=lambda purse: -purse.touched_at)
        await self._miss_what_is_lost()
        await self._look_at_these(lately[:MOST_LOOKED_AT])
        await self._tell(purses.values())

    async def _look_at_these(self, purses: Sequence[Purse]) -> None:
        accounts = [purse.account for purse in purses]
        found = await leases.standings(self._db, accounts, self._now_ms())
        for purse in purses:
            purse.look(found.get(purse.account.key, Standing()))

    def _forget(self) -> None:
        """Keep no account in memory that is of no use any more, whether or not the database answers."""
        now = self._clock()
        if now < self._forget_at:
            return
        self._forget_at = now + LOOK_S
        purses, now_s = self._admission.purses, self._now_ms() // 1000
        gone = [purse for purse in purses.values() if _is_of_no_use(purse, now, now_s)]
        for purse in gone:
            del purses[purse.account.key]
        self._untold.difference_update(gone)
        self._unseen.difference_update(gone)
        self._admission.touched.difference_update(gone)
        if self._report is not None and now_s - self._report.at_s > UNTOLD_S:
            self._end({one.account.key for one in self._report.told if one.returned})
            self._report = None

    def _end(self, keys: set[tuple[str, str, str]]) -> None:
        """Hold nothing of these accounts: how much was returned will never be known.

        Their leases expired long ago, but where no other worker has swept them this one would renew them.
        """
        admission = self._admission
        admission.voided |= keys
        for purse in (*admission.purses.values(), *admission.retired):
            if purse.account.key in keys:
                purse.granted = purse.used

    async def _miss_what_is_lost(self) -> None:
        """Nothing more is drawn on leases that are gone: expired while this worker was cut off.

        A lease is never less than what is not used up, as a call is settled here before its row takes from the lease.
        """
        if not any(purse.enforced for purse in self._admission.purses.values()):
            return
        held = await leases.own(self._db, self._owner)
        for key, purse in self._admission.purses.items():
            if purse.enforced:
                purse.granted -= max(purse.granted - purse.used - held.get(key, 0), 0)

    async def _return_all(self) -> None:
        try:
            await self._undo()
            await self._send()
            await self._tell(self._admission.purses.values(), at_the_end=True)
        except ControlUnavailable as error:
            _logger.warning("what was lent is given back by time: %s", error)


def _is_tight(purse: Purse) -> bool:
    """Does it hold something of an account of which not much is left?"""
    return purse.enforced and (purse.available > 0 or purse.held > 0) and not purse.is_wide(purse.latest)


def _is_of_no_use(purse: Purse, now: float, now_s: int) -> bool:
    """Can it be forgotten? ``now_s``: since 1970, UTC."""
    idle, over = now - purse.touched_at, purse.account.end_s <= now_s
    if purse.held or purse.waiting or not (over or idle > FORGET_S):
        return False
    if not (purse.available > 0 or purse.owing or purse.denied):
        return True
    return idle > (KEY_UNTOLD_S if purse.is_of_key and over else UNTOLD_S)


def _is_spare(purse: Purse, now: float) -> bool:
    """Is what it holds beyond the calls under way of more use to others?"""
    if purse.available <= 0 or not purse.enforced:
        return False
    if purse.retired:
        return True
    if purse.waiting and not purse.least:
        return False
    idle = now - purse.touched_at
    if idle > IDLE_S or (purse.is_of_key and purse.counts and idle > KEY_IDLE_S):
        return True
    if purse.is_of_key and purse.counts:
        return False
    return purse.available > purse.left or not purse.is_wide(purse.latest)
