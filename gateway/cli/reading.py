"""The database of the settings, for commands that only read sums; trouble with it ends the command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.cli.exits import Exit
from gateway.cli.options import fail
from gateway.settings import Settings
from storage.address import Address, Engine, parse
from storage.control import ControlUnavailable
from storage.engine import reading_engine
from storage.store import StoreUnavailable

STATEMENT_S = 300.0
"""Commands may take longer than answers."""


def has_records(settings: Settings) -> bool:
    """Whether there is a database to look into (a server is asked, a file looked for)."""
    address = address_of(settings)
    return address.engine is not Engine.SQLITE or Path(address.dsn).exists()


def address_of(settings: Settings) -> Address:
    return parse(settings.storage.url, settings.storage.data_dir)


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Ends the command with exit code 1 if there is nothing to read, with 3 if the database does not answer."""
    if not has_records(settings):
        hint = "Start a gateway with 'weighbridge serve' (or 'weighbridge demo'), or name its settings with --config"
        fail(f"there are no records in {settings.storage.data_dir}", hint)
    engine = reading_engine(address_of(settings), timeout_s=STATEMENT_S)
    try:
        yield engine
    except (SQLAlchemyError, StoreUnavailable, ControlUnavailable, OSError, TimeoutError) as error:
        name = type(getattr(error, "orig", None) or error).__name__
        fail(
            f"the database cannot be read: {name}",
            "Is it up, and is storage.url right? 'weighbridge db check' tells more",
            Exit.UNREACHABLE,
        )
    finally:
        await engine.dispose()
