"""Calls that come to the same point in one turn of the event loop go on side by side, one stage after the other.

The code and data of all stages of a call are more than the caches next to a processor core hold. A call that goes through
alone fetches all of it anew; twenty that take each stage together fetch it once. Under load that saves 18 % of the CPU of
a call; one that is alone waits for the end of the turn, some microseconds (``docs/decisions/turns.md``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from itertools import repeat
from typing import Final

from telemetry.record import CallRecord

Reply = asyncio.Future[None] | Exception | None
"""What becomes of a record: an exception is raised where the record was given, all else is given back there."""
Steps = Generator[CallRecord | None, asyncio.Future[None] | None, None]
"""What is left to do for one call; each ``yield`` ends a stage. A record that it gives is put down with those of the others
before the next stage."""
Write = Callable[[list[CallRecord]], Sequence[Reply] | None]
"""Puts records down; what becomes of each, or ``None`` if there is nothing to tell of any."""
_OVER: Final = {bool}
"""What a stage gives where it was the last."""


class Turns:
    """One for each point at which calls meet. On the event loop only."""

    __slots__ = ("_defect", "_loop", "_waiting", "_write")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, defect: Callable[[BaseException], None], write: Write
    ) -> None:
        self._loop = loop
        self._defect = defect
        self._write = write
        self._waiting: dict[Steps, Callable[[], None]] = {}

    def join(self, steps: Steps, broken: Callable[[], None]) -> None:
        """Take ``steps`` at the end of this turn; ``broken`` is called if a defect ends them early."""
        if not self._waiting:
            self._loop.call_soon(self._run)
        self._waiting[steps] = broken

    def through(self, steps: Steps) -> None:
        """Take all stages of one call at once. Raises what they raise."""
        given = _resumed(steps, None)
        while not isinstance(given, bool):
            replies = None if given is None else self._put_down([given])
            given = _resumed(steps, None if replies is None else replies[0])

    def _run(self) -> None:
        broken, self._waiting = self._waiting, {}
        going = list(broken)
        replies: Sequence[Reply] | None = None
        while going:
            given = self._stage(going, replies, broken)
            kinds = {*map(type, given)}  # nearly always the same of all
            if kinds == _OVER:
                return
            if bool in kinds:
                going, given = _left(going, given)
                kinds.discard(bool)
            if CallRecord not in kinds:
                replies = None
            elif len(kinds) == 1:
                replies = self._put_down(given)  # type: ignore[arg-type]  # all of them are
            else:
                replies = self._written(given)

    def _stage(
        self, going: list[Steps], replies: Sequence[Reply] | None, broken: dict[Steps, Callable[[], None]]
    ) -> list[CallRecord | bool | None]:
        """Take one stage of each of ``going``: what it gives, or true where that was the last."""
        given: list[CallRecord | bool | None] = []
        if replies is None:
            taken = map(next, going, repeat(True))
        else:
            taken = map(_resumed, going, replies)
        while len(given) < len(going):
            try:
                given.extend(taken)  # as far as it comes
            except Exception as error:  # noqa: BLE001 (one call's defect must not end the others')
                self._defect(error)
                self._loop.call_soon(broken[going[len(given)]])  # may stumble too, and by itself
                given.append(True)
        return given

    def _written(self, given: list[CallRecord | bool | None]) -> Sequence[Reply] | None:
        """What becomes of the records among ``given``, in the places of these."""
        records = [one for one in given if isinstance(one, CallRecord)]
        told = self._put_down(records)
        if told is None:
            return None
        replies = iter(told)
        return [None if one is None else next(replies) for one in given]

    def _put_down(self, records: list[CallRecord]) -> Sequence[Reply] | None:
        try:
            told = self._write(records)
            if told is not None and len(told) != len(records):
                raise ValueError(f"{len(told)} replies for {len(records)} records")
            return told
        except Exception as error:  # noqa: BLE001 (raised in each of the calls, which then end)
            return [error] * len(records)


def _resumed(steps: Steps, reply: Reply) -> CallRecord | bool | None:
    """Take the next stage; true if that was the last."""
    try:
        if isinstance(reply, Exception):
            return steps.throw(reply)
        return steps.send(reply)
    except StopIteration:
        return True


def _left(
    going: list[Steps], given: list[CallRecord | bool | None]
) -> tuple[list[Steps], list[CallRecord | bool | None]]:
    """Those that are not over, and what they gave."""
    left = [(steps, one) for steps, one in zip(going, given, strict=True) if one is not True]
    return [steps for steps, _ in left], [one for _, one in left]
