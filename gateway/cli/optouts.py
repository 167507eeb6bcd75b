"""Take down who opted out: nothing is kept of them from then on."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import click

from gateway.api.optouts import optouts_out
from gateway.api.users import person_of
from gateway.cli.control_database import actor, now_ms, work
from gateway.cli.options import config_option, fail, passed_on, settings_from
from gateway.cli.plain_table import Column, print_table
from gateway.cli.screen import console
from gateway.cli.section import Section
from storage.control import ControlDatabase
from storage.privacy.optout import OptOut, opt_in, opt_out, opted_out

COLUMNS: Final = (Column("DIGEST"), Column("TENANT"), Column("SINCE"))


@click.group(cls=Section, invoke_without_command=True)
@config_option
@click.pass_context
def optouts(ctx: click.Context, config: Path | None) -> None:
    """Take down who opted out, or in again; without a command, list them by keyed digest.

    From then on their calls are nobody's as they are written, no prompt and no answer of theirs is kept, and no event.
    What is kept already stays: 'weighbridge erase-user' takes it away. Works while gateways run.
    """
    passed_on(ctx, config, listing)


@optouts.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def listing(config: Path | None = None, as_json: bool = False) -> None:
    """List them, newest first. The digest can't be turned back into an id."""
    found = optouts_out(work(settings_from(config), opted_out)).items
    if as_json:
        for one in found:
            click.echo(one.model_dump_json())
    elif found:
        rows = [
            (
                one.digest,
                one.tenant or "every",
                f"{datetime.fromisoformat(one.since).astimezone():%Y-%m-%d %H:%M:%S}",
            )
            for one in found
        ]
        print_table(console(), COLUMNS, rows)
    else:
        click.echo("Nobody has opted out.")


@optouts.command()
@click.argument("user")
@click.option("--tenant", metavar="X", help="Only in this tenant; else in every one.")
@config_option
def add(user: str, tenant: str | None, config: Path | None) -> None:
    """From now on keep nothing of USER (the id that apps use)."""
    settings = settings_from(config)
    person = person_of(user, tenant, settings.attribution.salt)

    async def leave(db: ControlDatabase) -> tuple[list[OptOut], bool]:
        return await opt_out(db, person, actor(), now_ms())

    (one, *_), new = work(settings, leave, makes=True)
    click.echo(f"{'Opted out' if new else 'Had opted out already'}: {one.digest}")
    if new:
        click.echo("What is kept already stays: 'weighbridge erase-user' takes it away", err=True)


@optouts.command()
@click.argument("user")
@click.option("--tenant", metavar="X", help="What was said for this tenant; else for every one.")
@config_option
def remove(user: str, tenant: str | None, config: Path | None) -> None:
    """Keep what comes of USER from now on."""
    settings = settings_from(config)
    person = person_of(user, tenant, settings.attribution.salt)
    if not work(settings, lambda db: opt_in(db, person, actor())):
        fail("this person has not opted out", "--tenant must be as it was said then")
    click.echo("Opted in again.")


COMMAND: Final = optouts
