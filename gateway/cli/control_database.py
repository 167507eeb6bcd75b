"""Keys, tokens and budgets straight from the database of the settings, whether or not a gateway runs."""

from __future__ import annotations

import asyncio
import getpass
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, NoReturn, TypeVar

from gateway.api.fit import Known, Unfit
from gateway.cli.exits import Exit
from gateway.cli.options import fail, fail_with, show_problem
from gateway.cli.trouble import has_database, no_database
from gateway.providers.table import ProviderTable
from gateway.settings import Problem, Settings, SettingsError
from storage.address import Address, Engine, parse
from storage.control import ControlDatabase, ControlUnavailable, control_of
from storage.schema import VERSION_QUERY, Fit, Migrate, fit

T = TypeVar("T")
TIMEOUT_S: Final = 300.0
"""A budget that is made counts what was spent so far: that may be many rows."""
_HAS_VERSION: Final = {
    Engine.SQLITE: "SELECT name FROM sqlite_master WHERE name = 'alembic_version'",
    Engine.POSTGRESQL: "SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL",
}


def work(settings: Settings, job: Callable[[ControlDatabase], Awaitable[T]], *, makes: bool = False) -> T:
    """Do something in the database; what cannot be done is told on stderr and ends the process.

    ``makes``: something is added, so a database that is not there yet, or is behind, is brought up to date first
    (unless ``storage.migrate`` leaves that to ``weighbridge db migrate``).
    """
    address = parse(settings.storage.url, settings.storage.data_dir)
    if not makes and not has_database(settings):
        fail(
            f"there is no database in {settings.storage.data_dir}",
            "'weighbridge serve' makes it, and so does the first key or budget; or name its settings with --config",
            Exit.UNREACHABLE,
        )
    try:
        return asyncio.run(_work(settings, address, job, makes))
    except ControlUnavailable as error:
        no_database(settings, error)


async def _work(
    settings: Settings, address: Address, job: Callable[[ControlDatabase], Awaitable[T]], makes: bool
) -> T:
    db = control_of(address, TIMEOUT_S)
    try:
        found = await _fit(db)
        if found is Fit.TOO_NEW:
            fail(
                "the schema is newer than this version",
                "Use the version of weighbridge that made it, or a newer one",
            )
        if found is Fit.BEHIND:
            if not makes or settings.storage.migrate is Migrate.MANUAL:
                fail("the schema is behind this version", "Run 'weighbridge db migrate'")
            await db.close()
            await _migrate(settings)
            db = control_of(address, TIMEOUT_S)
        return await job(db)
    finally:
        await db.close()


async def _fit(db: ControlDatabase) -> Fit:
    if not await db.fetch(_HAS_VERSION[db.engine]):
        return Fit.BEHIND
    rows = await db.fetch(VERSION_QUERY)
    return fit(rows[0][0] if rows else None)


async def _migrate(settings: Settings) -> None:
    from storage.store import Store, StoreUnavailable

    store = await Store.open(settings.storage.url, data_dir=settings.storage.data_dir)
    try:
        await store.migrate()
    except StoreUnavailable as error:
        raise ControlUnavailable(str(error)) from error
    finally:
        await store.close()


def known_of(settings: Settings) -> Known:
    """What checks of input look up."""
    try:
        providers = ProviderTable.build(settings).destinations
    except SettingsError as error:
        fail_with(error)
    return Known(now_ms(), tuple(providers), settings.attribution.salt)


def refuse(error: Unfit, options: Mapping[str, str]) -> NoReturn:
    """Shows what is wrong with what was typed, and ends with exit code 2. ``options``: field -> how it is typed."""
    for fault in error.faults:
        field, _, rest = fault.place.partition(".")
        place = options.get(field, f"--{field.replace('_', '-')}")
        show_problem(
            Problem(f"{place}{f' ({rest})' if rest and not rest.isdigit() else ''}", fault.what, fault.how)
        )
    raise SystemExit(Exit.USAGE)


def actor() -> str:
    """Who is at the keyboard, for the log of changes."""
    with suppress(OSError, KeyError, ImportError):
        return f"cli:{getpass.getuser()}"
    return "cli"


def now_ms() -> int:
    return time.time_ns() // 1_000_000
