"""One report about everything, idle keys included."""

from __future__ import annotations

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.address import Address
from storage.control import control_of
from storage.insights.living import living_keys
from storage.insights.report import Reporter, Wanted
from telemetry.insights.report.contents import Report


async def made(engine: AsyncEngine, address: Address, wanted: Wanted) -> Report:
    """``engine`` reads, ``address`` is the same database's. With a scope nothing is said of keys.

    Raises SQLAlchemy's errors, ``OSError``, :class:`storage.store.StoreUnavailable` and
    :class:`storage.control.ControlUnavailable`.
    """
    if not wanted.scope:
        control = control_of(address)
        try:
            keys = await living_keys(control, int(wanted.moment(wanted.until).timestamp() * 1000))
        finally:
            await control.close()
        wanted = msgspec.structs.replace(wanted, keys=keys)
    return await Reporter(engine).report(wanted)
