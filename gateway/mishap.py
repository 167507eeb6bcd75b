"""A defect of ours in the course of a call ends that call at once: it leaves its one record, and the app is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVarTuple

from gateway.call import Call
from gateway.errors import Code
from gateway.gear import Gear
from telemetry.outcome import Outcome

Args = TypeVarTuple("Args")


class Stumbling(Protocol):
    """A call under way (:class:`gateway.exchange.Exchange`, :class:`gateway.realtime.Tunnel`)."""

    gear: Gear
    over: bool

    @property
    def call(self) -> Call: ...

    def stop(self, outcome: Outcome, status: int, code: Code, message: str) -> None:
        """Record its end; our error if the app has seen nothing yet, else a visible cut."""

    def cut(self, outcome: Outcome) -> None:
        """Record its end, if it is not on record yet, and cut the app off."""


def stumbled(one: Stumbling, error: Exception) -> None:
    """``error`` is a defect in the course of ``one``: count it, and end that call."""
    one.gear.defect(error)
    if not one.over:
        message = f"The gateway failed on this call. Weighbridge call {one.call.id}."
        try:
            one.stop(Outcome.GATEWAY_ERROR, 500, Code.GATEWAY_ERROR, message)
            return
        except Exception as another:  # in the words for the app, perhaps
            one.gear.defect(another)
    one.cut(Outcome.GATEWAY_ERROR)


async def attended(one: Stumbling, work: Callable[[*Args], Awaitable[None]], *args: *Args) -> None:
    """What a task does for ``one``, which has nobody else to hear of a defect in it."""
    try:
        await work(*args)
    except Exception as error:  # must not leave the call waiting for its deadline
        stumbled(one, error)
