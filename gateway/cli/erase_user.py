"""Erase a person: nothing kept names them any more, and no sum changes."""

from __future__ import annotations

import asyncio
import getpass
import sys
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from gateway.api.users import MOST_DAYS, PrivacyDeps, erased_out
from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail, settings_from
from gateway.cli.reading import must_fit
from gateway.cli.screen import console
from gateway.cli.trouble import needs_database, no_database
from gateway.settings import Settings
from storage.address import parse
from storage.export.files import EXPORTS
from storage.privacy.database import Person
from storage.privacy.erase import DAYS, Report, erase
from storage.store import StoreUnavailable

_PLACES: Final = {
    "calls": "calls",
    "contents": "prompts and answers, deleted",
    "judged_calls": "calls with feedback",
    "feedback": "feedback",
    "outcomes": "outcomes",
    "events": "events, deleted",
    "dead_letters": "dead letters",
    "sums": "sums by user and day",
    "accounts": "accounts of budgets, deleted",
    "alerts": "alerts, deleted",
    "damaged_files": "damaged stretches of spools",
    "exports": "files in {exports}, deleted",
}


@click.command("erase-user")
@click.argument("user")
@config_option
@click.option("--tenant", metavar="X", help="Only in this tenant; else in all of them.")
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    default=DAYS,
    show_default=True,
    help="How long what is still told of the person becomes nobody's.",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
def erase_user(user: str, config: Path | None, tenant: str | None, days: int, yes: bool) -> None:
    """Erase USER (the id that apps use; hashed ones are found by it too). It can't be undone.

    Works on the database of the settings while gateways run: what is still on its way becomes nobody's as it is
    written. Costs, counts and all other sums stay. Can be done again when it was stopped.
    """
    settings = settings_from(config)
    address = parse(settings.storage.url, settings.storage.data_dir)
    needs_database(settings)
    _ask(user, tenant, yes)
    deps = PrivacyDeps(address, settings.storage.data_dir, lambda: settings.attribution.salt)
    try:
        report = asyncio.run(_erase(deps, settings, deps.person(user, tenant), days))
    except StoreUnavailable as error:
        no_database(settings, error)
    except OSError as error:
        fail(f"the database is clean, but a file can't be changed: {error}", "Mend that and do it again")
    _show(report, settings.storage.data_dir / EXPORTS)


def _ask(user: str, tenant: str | None, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        fail("erasing a person can't be undone, and nobody is there to be asked", "Give --yes", Exit.USAGE)
    where = "every tenant" if tenant is None else f"tenant {tenant}"
    click.confirm(f"Erase {user} in {where}? This can't be undone", abort=True, err=True)


async def _erase(deps: PrivacyDeps, settings: Settings, person: Person, days: int) -> Report:
    await must_fit(settings)
    with console().status("") as status:
        return await erase(
            deps.address,
            settings.storage.data_dir,
            person,
            f"cli:{getpass.getuser()}",
            days=days,
            told=lambda place: status.update(f"cleaning {place}"),
        )


def _show(report: Report, exports: Path) -> None:
    out = erased_out(report)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    table.add_column()
    for field, words in _PLACES.items():
        count = getattr(out, field)
        if count:
            table.add_row(f"{count:,}", words.format(exports=exports))
    screen = console()
    screen.print(table if table.row_count else "Nothing is kept of this person.")
    for one in out.left:
        click.echo(f"left  {one} names the person: change or delete it", err=True)
    if out.copies_may_stay:
        click.echo("left  copies may stay in unused parts of the database's file and in its log", err=True)
        click.echo("      'weighbridge db rewrite' takes them out; choose a quiet hour for it", err=True)


COMMAND: Final = erase_user
