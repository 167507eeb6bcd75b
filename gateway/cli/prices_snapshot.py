"""``weighbridge prices refresh`` and ``check``: which price book is in force, and putting a newer one in its place."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from gateway.cli.options import config_option, fail, fail_with, settings_from, show_problem
from gateway.prices import INSTALLED, book_of, installed_snapshot
from gateway.providers.table import ProviderTable
from gateway.settings import Settings, SettingsError
from gateway.settings.lint_prices import doubtful_prices
from pricing import catalogue
from pricing.catalogue import CatalogueError
from pricing.rates import Catalogue
from pricing.snapshot import Review, review

OLD_DAYS: Final = 60
"""Prices of this age are worth a look."""
SHOWN: Final = 10


@click.command()
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The new snapshot.",
)
@click.option("--force", is_flag=True, help="Install it although something about it looks wrong.")
@click.option("--dry-run", is_flag=True, help="Only say what it would change.")
@config_option
def refresh(source: Path, force: bool, dry_run: bool, config: Path | None) -> None:
    """Check a new price snapshot and install it. Nothing is fetched: bring the FILE yourself.

    It must keep at least 80 % of the models, and no rate may move more than tenfold. Running gateways take it over
    at the next reload.
    """
    settings = settings_from(config)
    if settings.pricing.snapshot is not None:
        fail("pricing.snapshot names the price book", "Replace that file, or take the setting out first")
    old, new = _load(installed_snapshot(settings.storage.data_dir)), _load(source)
    found = review(old, new)
    _show(found)
    if not found.acceptable and not force:
        fail("the new snapshot was not installed", "If it is right all the same: --force")
    if dry_run:
        return
    target = settings.storage.data_dir / INSTALLED
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(catalogue.encode(new))
    os.replace(part, target)
    click.echo(f"Installed as {target}. Running gateways take it over with 'weighbridge reload'.")


@click.command()
@config_option
def check(config: Path | None) -> None:
    """Say which prices are in force, how old they are, and what is doubtful about your own."""
    settings = settings_from(config)
    try:
        book, table = book_of(settings), ProviderTable.build(settings)
    except SettingsError as error:
        fail_with(error)
    path, whence = _in_force(settings)
    snapshot = _load(path)
    models = sum(len(one.entries) for one in snapshot.providers)
    click.echo(f"{snapshot.snapshot}: {models} models of {len(snapshot.providers)} providers ({whence})")
    click.echo(f"source: {snapshot.source}")
    age = (datetime.now(UTC).date() - datetime.fromisoformat(snapshot.date).date()).days
    old = age > OLD_DAYS
    click.secho(f"prices of {snapshot.date}, {age} days old", fg="yellow" if old else None)
    if old:
        click.echo("A newer release brings newer prices, or 'weighbridge prices refresh --from FILE'.")
    own = len(settings.pricing.price)
    if own or settings.pricing.overrides is not None:
        click.echo(f"your own prices: {own} in the settings" + _file_of(settings))
    for problem in doubtful_prices(settings, table, book, int(time.time())):
        show_problem(problem)


def _file_of(settings: Settings) -> str:
    return f", and {settings.pricing.overrides}" if settings.pricing.overrides is not None else ""


def _in_force(settings: Settings) -> tuple[Path | None, str]:
    if settings.pricing.snapshot is not None:
        return settings.pricing.snapshot, f"pricing.snapshot: {settings.pricing.snapshot}"
    installed = installed_snapshot(settings.storage.data_dir)
    return installed, "built in" if installed is None else f"installed: {installed}"


def _load(path: Path | None) -> Catalogue:
    try:
        return catalogue.load(path)
    except CatalogueError as error:
        fail(str(error), "'make catalogue' compiles one from genai-prices")


def _show(found: Review) -> None:
    click.echo(f"{found.old} -> {found.new}: {found.models_before} -> {found.models_after} models")
    for title, names in (("added", found.added), ("removed", found.removed), ("moved", found.moved)):
        for name in names[:SHOWN]:
            click.echo(f"  {title:<8} {name}")
        if len(names) > SHOWN:
            click.echo(f"  {title:<8} and {len(names) - SHOWN} more")
    for problem in found.problems:
        click.secho(f"  wrong    {problem.message}", fg="red")
