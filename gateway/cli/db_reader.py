"""``weighbridge db reader``: database users that see the calls of one tenant, team or user (PostgreSQL)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import click
import msgspec

from gateway.attribution import HASHED, hashed
from gateway.cli import wording
from gateway.cli.control_database import actor, work
from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail, settings_from
from gateway.cli.plain_table import Column, print_table
from gateway.cli.screen import console
from gateway.cli.section import Section
from gateway.settings import Settings
from storage import readers
from storage.address import Engine, parse
from storage.control import ControlDatabase
from storage.readers import Reader, ReaderError

T = TypeVar("T")
COLUMNS = (Column("NAME"), Column("TENANT"), Column("TEAM"), Column("USER"), Column(""))


@click.group(cls=Section)
def reader() -> None:
    """Database users for people's own SQL: they see the calls of one tenant, team or user, and nothing else.

    PostgreSQL only; its row-level security does it. The gateway's database user must own the tables and be allowed to
    make roles.
    """


@reader.command()
@click.argument("name")
@click.option(
    "--tenant",
    metavar="X",
    required=True,
    help="It sees this tenant only; calls that name none are 'default'.",
)
@click.option("--team", metavar="X", help="Of it this team only.")
@click.option("--user", metavar="X", help="Of it this user only.")
@click.option(
    "--password-env",
    metavar="VARIABLE",
    help="Environment variable with its password; without it one is made up and printed once.",
)
@config_option
def create(
    name: str, tenant: str, team: str | None, user: str | None, password_env: str | None, config: Path | None
) -> None:
    """Make the database user NAME."""
    settings = settings_from(config)
    password = readers.new_password() if password_env is None else os.environ.get(password_env, "")
    if not password:
        fail(f"{password_env} is not set in this environment", "Set it to the password", Exit.USAGE)
    salt = settings.attribution.salt
    kept = hashed(user, salt) if user and salt is not None and not HASHED.fullmatch(user) else user
    made = Reader(name, tenant, team, kept)
    advice = _do(settings, lambda db: readers.create(db, made, password, actor()))
    where = urlsplit(parse(settings.storage.url, settings.storage.data_dir).dsn)
    click.echo(f"Reader {name!r} is made; it sees {_scope(made)} of model_requests.", err=True)
    if password_env is None:
        click.echo("Its password, shown only now:", err=True)
        click.echo(password)
    click.echo(
        f"  psql -h {where.hostname or 'HOST'} -p {where.port or 5432} -U {name} {where.path[1:]}", err=True
    )
    for line in advice:
        click.echo(f"{click.style('warning', fg='yellow', bold=True)}  {line}", err=True)


@reader.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def listing(config: Path | None, as_json: bool) -> None:
    """List readers and what they see."""
    rows = _do(settings_from(config), readers.readers)
    if as_json:
        for row in rows:
            click.echo(
                msgspec.json.encode({**msgspec.structs.asdict(row.reader), "exists": row.exists}).decode()
            )
        return
    screen = console()
    if not rows:
        screen.print("No readers yet. Make one with 'weighbridge db reader create NAME --tenant X'.")
        return
    lines = [
        [
            *(text or wording.NOTHING for text in msgspec.structs.astuple(row.reader)),
            "" if row.exists else "has no database user any more",
        ]
        for row in rows
    ]
    print_table(screen, COLUMNS, lines)


@reader.command()
@click.argument("name")
@config_option
def drop(name: str, config: Path | None) -> None:
    """End the reader NAME and its database user."""
    if not _do(settings_from(config), lambda db: readers.drop(db, name, actor())):
        fail(f"there is no reader {name!r}", "'weighbridge db reader list' lists them")
    click.echo(f"Reader {name!r} is no more.")


def _do(settings: Settings, job: Callable[[ControlDatabase], Awaitable[T]]) -> T:
    address = parse(settings.storage.url, settings.storage.data_dir)
    if address.engine is not Engine.POSTGRESQL:
        fail(
            "the database is SQLite, a file without users",
            "Readers need PostgreSQL (storage.url); 'weighbridge tokens create' gives access to the API",
        )
    try:
        return work(settings, job)
    except ReaderError as error:
        fail(str(error), error.hint)


def _scope(one: Reader) -> str:
    said = (("tenant", one.tenant), ("team", one.team), ("user", one.user))
    return ", ".join(f"{name} {value}" for name, value in said if value)
