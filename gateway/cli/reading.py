"""The database of the settings, for commands that only read sums; trouble with it ends the command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.cli.trouble import needs_database, no_database
from gateway.settings import Settings
from storage.address import Address, parse
from storage.control import ControlUnavailable
from storage.engine import reading_engine
from storage.schema import Fit
from storage.store import Store, StoreUnavailable
from storage.trouble import trouble_of

STATEMENT_S = 300.0
"""Commands may take longer than answers."""


def address_of(settings: Settings) -> Address:
    return parse(settings.storage.url, settings.storage.data_dir)


async def must_fit(settings: Settings) -> None:
    """For what is done with every table there is: raises :class:`StoreUnavailable` where the schema is another's."""
    store = await Store.open(settings.storage.url, data_dir=settings.storage.data_dir)
    try:
        if await store.schema_fit() is not Fit.CURRENT:
            raise StoreUnavailable("the database's schema is not that of this version")
    finally:
        await store.close()


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Ends the command with exit code 3 if there is no database, or it does not answer."""
    needs_database(settings)
    engine = reading_engine(address_of(settings), timeout_s=STATEMENT_S)
    try:
        yield engine
    except (SQLAlchemyError, StoreUnavailable, ControlUnavailable, OSError, TimeoutError) as error:
        known = isinstance(error, StoreUnavailable | ControlUnavailable)
        no_database(settings, error if known else f"the database cannot be read: {trouble_of(error)}")
    finally:
        await engine.dispose()
