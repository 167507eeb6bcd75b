"""Databases the writer can write to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storage.address import Address, Engine
from storage.rollups.companion import RollupCompanion
from storage.schema import Migrate
from storage.targets.contract import Companion, Target
from storage.targets.sqlite import SqliteTarget


def open_target(
    address: Address,
    *,
    migrate: Migrate,
    timeout_s: float,
    power_safe: bool,
    companions: Sequence[Companion] = (),
    erased: Callable[[], None] = lambda: None,
) -> Target:
    """The target of an address, not yet connected. Whatever it writes is in the rollups too.

    ``erased`` hears, on the writer's thread, that a person was erased.
    """
    companions = (RollupCompanion(), *companions)
    if address.engine is Engine.SQLITE:
        return SqliteTarget(
            address,
            migrate=migrate,
            timeout_s=timeout_s,
            power_safe=power_safe,
            companions=companions,
            erased=erased,
        )
    from storage.targets.postgres import PostgresTarget

    return PostgresTarget(address, migrate=migrate, timeout_s=timeout_s, companions=companions, erased=erased)
