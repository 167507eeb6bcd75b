"""Show what models cost; refresh the price book; price history again."""

from __future__ import annotations

import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import click

from gateway.api.explanation import plain
from gateway.cli.moments import EXAMPLES, WHEN
from gateway.cli.options import config_option, fail, fail_with, settings_from
from gateway.cli.plain_table import Column, print_table
from gateway.cli.prices_explain import explain
from gateway.cli.prices_history import reprice, unpriced
from gateway.cli.prices_snapshot import check, refresh
from gateway.cli.screen import console
from gateway.cli.section import Section
from gateway.prices import book_of
from gateway.settings import SettingsError
from pricing.bill import Tariff
from pricing.book import PriceBook
from pricing.suggest import suggest
from pricing.units import ATTO_PER_USD, UNITS, table_size

COMMON: Final = ("input", "output", "cache_read", "cache_write")
"""Units with a column of their own."""
COLUMNS: Final = (
    Column("PROVIDER"),
    *(Column(unit.replace("_", " ").upper(), right=True) for unit in COMMON),
    Column("OTHER", wraps=20),
    Column("RULE", rank=1, style="dim"),
)
_PER: Final = {1_000_000: "M", 1_000: "k", 1: "h"}


@click.group(cls=Section)
def prices() -> None:
    """Show what models cost, in USD, and look after the price book."""


for _command in (explain, refresh, check, reprice, unpriced):
    prices.add_command(_command)


@prices.command()
@click.argument("model")
@click.option("--provider", metavar="X", help="Only this provider's price.")
@click.option("--at", type=WHEN, help=f"Prices of then: {EXAMPLES}.")
@config_option
def show(model: str, provider: str | None, at: datetime | None, config: Path | None) -> None:
    """Show the rates of MODEL at every provider that sells it, per million tokens."""
    book = _book(config)
    moment = int(time.time() if at is None else at.timestamp())
    providers = [provider] if provider else list(book.matcher.providers)
    found = [
        (name, tariff) for name in providers if (tariff := _tariff(book, name, model, moment)) is not None
    ]
    if not found:
        alike = [known for name in providers for known in suggest(book.matcher, name, model, 2)]
        hint = ", ".join(dict.fromkeys(alike[:6])) or "give prices of your own under [[pricing.price]]"
        fail(f"no price is known for {model}", f"Alike: {hint}" if alike else hint.capitalize())
    screen = console()
    rows = [
        (name, *(_rate(tariff, unit) or "–" for unit in COMMON), _others(tariff), tariff.rule)
        for name, tariff in found
    ]
    print_table(screen, COLUMNS, rows)
    screen.print()
    screen.print(f"USD per million tokens · {book.snapshot}", style="dim")


@prices.command()
@config_option
def providers(config: Path | None) -> None:
    """List the providers of the price book (for price_as)."""
    for name in sorted(_book(config).matcher.providers):
        click.echo(name)


def _book(config: Path | None) -> PriceBook:
    try:
        settings = settings_from(config)
        return book_of(settings)
    except SettingsError as error:
        fail_with(error)


def _tariff(book: PriceBook, provider: str, model: str, at: int) -> Tariff | None:
    found = book.find(provider, model)
    for plan in (found.override, found.listed):
        tariff = plan.tariff(at, (), 0) if plan is not None else None
        if tariff is not None:
            return tariff
    return None


def _rate(tariff: Tariff, unit: str) -> str | None:
    rate = getattr(tariff, unit)
    return None if rate is None else plain(Decimal(rate * table_size(unit)) / ATTO_PER_USD)


def _others(tariff: Tariff) -> str:
    """``reasoning 3/M  web_search 10/k``."""
    shown = ((unit, _rate(tariff, unit)) for unit in UNITS if unit not in COMMON)
    return "  ".join(f"{unit} {rate}/{_PER[table_size(unit)]}" for unit, rate in shown if rate is not None)


COMMAND: Final = prices
