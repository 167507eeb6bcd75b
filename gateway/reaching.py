"""The way to a provider: a new connection, or why there is none."""

from __future__ import annotations

from gateway.call import Call, Progress
from gateway.errors import reason_of
from gateway.gear import Gear
from gateway.upstream import Connection


async def reached(gear: Gear, call: Call, progress: Progress, timeout: float) -> Connection | str:
    """A new connection within ``timeout`` seconds, or what is to be said of the provider, fit for an app's eyes.

    The time it takes is not our overhead.
    """
    since = gear.clock()
    try:
        return await gear.pool.connect(call.target.origin, timeout)
    except (OSError, TimeoutError) as error:
        return f"could not be reached ({reason_of(error)})"
    finally:
        progress.waited += gear.clock() - since
