"""Look after the database."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import click
from rich.progress import Progress

from gateway.cli.db_reader import reader
from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail, settings_from
from gateway.cli.screen import console
from gateway.cli.section import Section
from gateway.cli.trouble import has_database, needs_database, no_database
from gateway.settings import Settings
from storage.address import Address, Engine, parse
from storage.budgets.companion import BudgetCompanion
from storage.deadletters import retry
from storage.schema import HEAD, Fit, Migrate
from storage.sqlite_file import REWRITE_TIMEOUT_S, copy_database, damage_of, write_anew
from storage.store import Store, StoreUnavailable
from storage.tables import DeadLetterRow
from storage.targets import open_target
from storage.targets.contract import Outage, SchemaUnfit
from storage.trouble import trouble_of

T = TypeVar("T")
_FITS: Final = {
    Fit.CURRENT: "the schema is current",
    Fit.BEHIND: "the schema is behind this version",
    Fit.TOO_NEW: "the schema is newer than this version",
}
_CURES: Final = {
    Fit.BEHIND: "Run 'weighbridge db migrate'; with storage.migrate = \"auto\" a start does it",
    Fit.TOO_NEW: "Start the version of weighbridge that made it, or a newer one",
}


@click.group(cls=Section)
def db() -> None:
    """Look after the database of the settings."""


db.add_command(reader)


@db.command()
@config_option
def migrate(config: Path | None) -> None:
    """Bring the schema up to date. Safe to run twice, and from several machines at once."""
    settings = settings_from(config)
    settings.storage.data_dir.mkdir(parents=True, exist_ok=True)

    async def run() -> Fit:
        async with _store(settings) as store:
            if has_database(settings) and await store.schema_fit() is Fit.TOO_NEW:
                return Fit.TOO_NEW
            await store.migrate()
            return await store.schema_fit()

    fit = _run(settings, run())
    if fit is not Fit.CURRENT:
        fail(f"{_name(settings)}: {_FITS[fit]}", _CURES[fit])
    click.echo(f"{_name(settings)}: {_FITS[fit]} ({HEAD})")


@db.command()
@config_option
def check(config: Path | None) -> None:
    """Tell whether the database answers and its schema fits. Ends with 1 if it does not fit."""
    settings = settings_from(config)
    address = _address(settings)
    if not has_database(settings):
        fail(
            f"{_name(settings)} does not exist yet",
            "'weighbridge serve' makes it, or 'weighbridge db migrate'",
        )

    async def run() -> Fit:
        async with _store(settings) as store:
            fit = await store.schema_fit()
            if fit is Fit.CURRENT:
                await store.list_calls(limit=1)
            return fit

    if address.engine is Engine.SQLITE:
        path = Path(address.dsn)
        try:
            damage = damage_of(path)
        except sqlite3.Error as error:
            hint = f"{path} has to be readable and its folder writable: do it as the user the gateway runs as"
            fail(f"the database cannot be read: {trouble_of(error)}", hint, Exit.UNREACHABLE)
        if damage:
            fail(
                f"{path} is damaged: {damage}", "Stop the gateway; restore a backup beside what can be saved"
            )

    fit = _run(settings, run())
    if fit is not Fit.CURRENT:
        fail(f"{_name(settings)}: {_FITS[fit]}", _CURES[fit])
    click.echo(f"{click.style('ok', fg='green', bold=True)}  {_name(settings)}: {_FITS[fit]} ({HEAD})")


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
def backup(file: Path, config: Path | None) -> None:
    """Copy the SQLite database to FILE while it is in use. For PostgreSQL use pg_dump."""
    address = _sqlite_file(
        settings_from(config), "PostgreSQL has tools of its own: pg_dump, or your provider's snapshots"
    )
    if file.exists():
        fail(f"{file} exists already", "Name a file that does not exist yet")
    screen = console()
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("pages")

        def copied(left: int, pages: int) -> None:
            progress.update(task, total=pages, completed=pages - left)

        try:
            copy_database(address, file, copied)
        except (sqlite3.Error, OSError) as error:
            fail(
                f"the copy failed: {trouble_of(error)}",
                f"Is {address} sound ('weighbridge db check'), and is there room in {file.parent}?",
            )
    click.echo(f"{file}: {file.stat().st_size:,} bytes, checked")


@db.command()
@config_option
def rewrite(config: Path | None) -> None:
    """Write the SQLite file anew: smaller, and without copies of what was erased or forgotten.

    Gateways go on: calls pass, and their records wait in the spool; what asks the database (budgets, keys that change)
    waits or goes without, as while it is away. Takes some seconds per GiB, and needs room for the file twice.
    """
    path = _sqlite_file(settings_from(config), "PostgreSQL does it by itself; to have it now: VACUUM FULL")
    before, since = path.stat().st_size, time.monotonic()
    screen = console()
    try:
        with screen.status(f"writing {before:,} bytes anew"):
            write_anew(path, REWRITE_TIMEOUT_S)
    except (sqlite3.Error, OSError) as error:
        hint = f"Is there room for it twice, in {path.parent} and for temporary files? Does somebody hold it?"
        fail(f"copies may still be there: {trouble_of(error)}", hint)
    click.echo(
        f"{path}: {before:,} bytes before, {path.stat().st_size:,} now; {time.monotonic() - since:.1f} s"
    )


@db.command()
@click.option(
    "--limit", "-n", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most records."
)
@config_option
def letters(limit: int, config: Path | None) -> None:
    """List records the database took no row of, newest first."""

    settings = settings_from(config)
    needs_database(settings)

    async def run() -> list[DeadLetterRow]:
        async with _store(settings) as store:
            return await store.dead_letters(limit)

    found = _run(settings, run())
    for letter in found:
        click.echo(f"{letter.id}  {letter.buried_at:%Y-%m-%d %H:%M:%S}  {letter.reason}")
    if not found:
        click.echo("None: every record became a row.")


@db.command("retry-letters")
@config_option
def retry_letters(config: Path | None) -> None:
    """Try again to make rows of them, after what was wrong was mended."""
    settings = settings_from(config)
    needs_database(settings)
    target = open_target(
        _address(settings),
        migrate=Migrate.MANUAL,
        timeout_s=30.0,
        power_safe=True,
        companions=(BudgetCompanion(),),
    )
    try:
        target.connect()
        found = retry(target)
    except Outage as error:
        no_database(settings, f"the database cannot be used: {trouble_of(error)}")
    except SchemaUnfit as error:
        no_database(settings, error)
    finally:
        target.close()
    click.echo(f"{found.written} became rows, {found.refused} are still refused.")
    if found.refused:
        raise SystemExit(Exit.PROBLEM)


def _sqlite_file(settings: Settings, otherwise: str) -> Path:
    address = _address(settings)
    if address.engine is not Engine.SQLITE:
        fail("the database is PostgreSQL", otherwise)
    path = Path(address.dsn)
    if not has_database(settings):
        fail(f"{path} does not exist yet", "'weighbridge serve' makes it, or 'weighbridge db migrate'")
    return path


def _run(settings: Settings, work: Coroutine[object, object, T]) -> T:
    try:
        return asyncio.run(work)
    except StoreUnavailable as error:
        no_database(settings, error)


def _address(settings: Settings) -> Address:
    return parse(settings.storage.url, settings.storage.data_dir)


def _name(settings: Settings) -> str:
    """The database without its password."""
    address = _address(settings)
    return f"{'' if address.engine is Engine.SQLITE else 'PostgreSQL at '}{address.place}"


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    store = await Store.open(settings.storage.url, data_dir=settings.storage.data_dir)
    try:
        yield store
    finally:
        await store.close()


COMMAND: Final = db
