"""Write all that is kept of a person to a file: JSON Lines."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import click

from gateway.api.users import person_of
from gateway.cli.options import config_option, fail, settings_from
from gateway.cli.reading import must_fit
from gateway.cli.trouble import needs_database, no_database
from gateway.settings import Settings
from storage.address import Address, parse
from storage.control import ControlUnavailable, control_of
from storage.export.files import EXPORTS
from storage.privacy.database import Person, PrivateDatabase
from storage.privacy.person import told
from storage.store import StoreUnavailable

STDOUT: Final = "-"


@click.command("export-user")
@click.argument("user")
@config_option
@click.option("--tenant", metavar="X", help="Only of this tenant; else of all of them.")
@click.option(
    "--output", "-o", metavar="FILE", help="Where to, - for stdout; else a new file in DATA_DIR/exports."
)
def export_user(user: str, config: Path | None, tenant: str | None, output: str | None) -> None:
    """Write all that is kept of USER (the id that apps use) to a file, one row a line, each with its table.

    The file is readable by its owner alone. 'weighbridge erase-user' deletes those in DATA_DIR/exports.
    """
    settings = settings_from(config)
    address = parse(settings.storage.url, settings.storage.data_dir)
    needs_database(settings)
    person = person_of(user, tenant, settings.attribution.salt)
    name = f"user-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.jsonl"
    path = settings.storage.data_dir / EXPORTS / name if output is None else Path(output)
    try:
        if output == STDOUT:
            asyncio.run(_write(settings, address, person, sys.stdout.buffer))
            return
        lines = _to_file(settings, address, person, path)
    except (StoreUnavailable, ControlUnavailable) as error:
        no_database(settings, error)
    except OSError as error:
        fail(f"the file can't be written: {error.strerror or error}", "Name another one with --output")
    if not lines:
        fail("nothing is kept of this person", "The id is as apps send it; hashed ones are found by it too")
    click.echo(f"{lines:,} rows in {path}")


def _to_file(settings: Settings, address: Address, person: Person, path: Path) -> int:
    """Lines written. What is not finished does not stay, nor does an empty file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = 0
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
        try:
            lines = asyncio.run(_write(settings, address, person, file))
            file.flush()
        except (StoreUnavailable, ControlUnavailable, OSError, KeyboardInterrupt):
            lines = 0
            raise
        finally:
            if not lines:
                path.unlink()
    return lines


async def _write(settings: Settings, address: Address, person: Person, file: IO[bytes]) -> int:
    await must_fit(settings)
    db, control = PrivateDatabase(address), control_of(address)
    lines = 0
    try:
        async for piece in told(db, control, person):
            file.write(piece)
            lines += piece.count(b"\n")
    finally:
        await db.close()
        await control.close()
    return lines


COMMAND: Final = export_user
