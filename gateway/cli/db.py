"""Look after the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import click

from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail, settings_from
from gateway.settings import Settings
from storage.address import Address, Engine, parse
from storage.schema import HEAD, Fit
from storage.store import Store, StoreUnavailable

_FITS: Final = {
    Fit.CURRENT: "the schema is current",
    Fit.BEHIND: "the schema is behind this version",
    Fit.TOO_NEW: "the schema is newer than this version",
}
_CURES: Final = {
    Fit.BEHIND: "Run 'weighbridge db migrate'; with storage.migrate = \"auto\" a start does it",
    Fit.TOO_NEW: "Start the version of weighbridge that made it, or a newer one",
}


@click.group()
def db() -> None:
    """Look after the database of the settings."""


@db.command()
@config_option
def migrate(config: Path | None) -> None:
    """Bring the schema up to date. Safe to run twice, and from several machines at once."""
    settings = settings_from(config)
    settings.storage.data_dir.mkdir(parents=True, exist_ok=True)

    async def run() -> Fit:
        async with _store(settings) as store:
            await store.migrate()
            return await store.schema_fit()

    fit = _answer(run())
    click.echo(f"{_name(settings)}: {_FITS[fit]} ({HEAD})")


@db.command()
@config_option
def check(config: Path | None) -> None:
    """Tell whether the database answers and its schema fits. Ends with 1 if it does not fit."""
    settings = settings_from(config)
    address = _address(settings)
    if address.engine is Engine.SQLITE and not Path(address.dsn).exists():
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

    fit = _answer(run())
    if fit is not Fit.CURRENT:
        fail(f"{_name(settings)}: {_FITS[fit]}", _CURES[fit])
    click.echo(f"{click.style('ok', fg='green', bold=True)}  {_name(settings)}: {_FITS[fit]} ({HEAD})")


def _answer(work: Coroutine[object, object, Fit]) -> Fit:
    try:
        return asyncio.run(work)
    except StoreUnavailable as error:
        fail(str(error), "Is it up, and is storage.url right?", Exit.UNREACHABLE)


def _address(settings: Settings) -> Address:
    return parse(settings.storage.url, settings.storage.data_dir)


def _name(settings: Settings) -> str:
    """The database without its password."""
    address = _address(settings)
    return address.dsn if address.engine is Engine.SQLITE else "PostgreSQL"


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    store = await Store.open(settings.storage.url, data_dir=settings.storage.data_dir)
    try:
        yield store
    finally:
        await store.close()


COMMAND: Final = db
