"""Which changes of the settings a running gateway takes over as it runs, and what the others ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.settings.sections import Settings

NEW_START: Final = ("server.host", "server.port", "server.workers", "storage.data_dir")
"""Where the gateway is found, and how many processes it is: it has to be stopped and started."""
NEW_WORKERS: Final = ("server.uvloop", "storage")
"""Settings, or whole tables of them, with which a worker process is made. Everything else is taken over in place."""


class Waiting(msgspec.Struct, frozen=True):
    """Settings that are not what the process runs with, as ``table.key``."""

    for_workers: tuple[str, ...] = ()
    """Take effect in processes that start from now on."""
    for_start: tuple[str, ...] = ()
    """Take effect when the gateway is stopped and started."""

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.for_start, *self.for_workers)


def waiting(running: Settings, wanted: Settings) -> Waiting:
    """What cannot be taken over in place. ``running``: what the process was started with."""
    return Waiting(
        tuple(name for name in _differing(running, wanted, NEW_WORKERS) if name not in NEW_START),
        tuple(_differing(running, wanted, NEW_START)),
    )


def holding(running: Settings, wanted: Settings, names: tuple[str, ...]) -> Settings:
    """``wanted``, but for these settings, which stay as they run."""
    tables: dict[str, dict[str, object]] = {}
    for name in names:
        table, _, key = name.partition(".")
        tables.setdefault(table, {})[key] = getattr(getattr(running, table), key)
    held = {table: getattr(wanted, table).model_copy(update=keys) for table, keys in tables.items()}
    return wanted.model_copy(update=held)


def _differing(running: Settings, wanted: Settings, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        table, _, key = name.partition(".")
        before, after = getattr(running, table), getattr(wanted, table)
        for one in (key,) if key else type(before).model_fields:
            if getattr(before, one) != getattr(after, one):
                yield f"{table}.{one}"
