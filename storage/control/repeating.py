"""A transaction that stood in another's way is undone by the database: then it is done again, at once."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

from storage.control.contract import Collision

TRIES: Final = 5
P = ParamSpec("P")
T = TypeVar("T")


def repeated(change: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """For functions that are one transaction and whose arguments can be gone through twice.

    Raises :class:`storage.control.contract.Collision` where even the last try was undone.
    """

    @functools.wraps(change)
    async def tried(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(TRIES - 1):
            try:
                return await change(*args, **kwargs)
            except Collision:
                continue
        return await change(*args, **kwargs)

    return tried
