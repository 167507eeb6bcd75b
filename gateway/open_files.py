"""The system's limit of open files: raised as far as it lets us, and turned into a number of connections."""

from __future__ import annotations

import resource
from typing import Final

SPARE: Final = 512
"""Open files for everything that is not a call."""


def raise_limit(connections: int) -> None:
    """Ask for enough files that so many connections can all be in a call: each holds one on both sides."""
    wanted = 2 * connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def connections_that_fit(connections: int) -> int:
    """As many of ``connections`` as the files last for while half of them are in a call.

    Beyond it a connection is better refused with a reason than left in the dark by a failing ``accept``.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    return min(connections, max(16, (soft - SPARE) * 2 // 3))
