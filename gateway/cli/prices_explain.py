"""``weighbridge prices explain``: what a call would cost, line by line, without making it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from gateway.api.explanation import line_out
from gateway.api.models import ExplanationOut
from gateway.api.views import cost_out, counts_of
from gateway.cli.explain import show_lines, show_total
from gateway.cli.moments import EXAMPLES, WHEN
from gateway.cli.options import config_option, fail, fail_with, settings_from
from gateway.cli.screen import console
from gateway.prices import book_of
from gateway.settings import SettingsError
from pricing.book import PriceBook, PriceQuery
from pricing.usage import Usage

_NANO: Final = 1_000_000_000
_COUNT: Final = click.IntRange(0)


@click.command()
@click.argument("model")
@click.option("--provider", metavar="X", help="Who sells it; needed where several do.")
@click.option("--input", "read", type=_COUNT, default=0, help="Input tokens, cached ones included.")
@click.option("--output", "made", type=_COUNT, default=0, help="Output tokens, reasoning included.")
@click.option("--cache-read", type=_COUNT, help="Of the input: read from the cache.")
@click.option("--cache-write", type=_COUNT, help="Of the input: written to the cache.")
@click.option("--cache-write-1h", type=_COUNT, help="Of the input: written to the cache for an hour.")
@click.option("--reasoning", type=_COUNT, help="Of the output: reasoning.")
@click.option("--tier", metavar="X", help="Service tier, such as flex or priority.")
@click.option("--batch", is_flag=True, help="At the batch price.")
@click.option("--at", type=WHEN, help=f"At that moment: {EXAMPLES}.")
@config_option
def explain(
    model: str,
    provider: str | None,
    read: int,
    made: int,
    cache_read: int | None,
    cache_write: int | None,
    cache_write_1h: int | None,
    reasoning: int | None,
    tier: str | None,
    batch: bool,
    at: datetime | None,
    config: Path | None,
) -> None:
    """Explain what a call of MODEL with these counts would cost: units, rates, total."""
    settings = settings_from(config)
    try:
        book = book_of(settings)
    except SettingsError as error:
        fail_with(error)
    usage = Usage(read, made, cache_read, cache_write, cache_write_1h, reasoning)
    moment = time.time_ns() if at is None else int(at.timestamp()) * _NANO
    seller = provider or _only_seller(book, model)
    query = PriceQuery(seller, model, None, usage, moment, service_tier=tier, batch=batch)
    found = book.explain(query)
    since = found.rates_since
    cost = cost_out(found.cost)
    out = ExplanationOut(
        id="",
        provider=seller,
        model=model,
        recorded=cost,
        counts=counts_of(usage),
        lines=[line_out(line, found.scale) for line in found.lines],
        explained=cost,
        rates_since=None if since is None else f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d}",
        rates_source=found.rates_source,
        notes=list(found.notes),
    )
    screen = console()
    screen.print(f"{seller} · {model}", style="bold")
    if out.lines:
        show_lines(out, screen)
    show_total(out, screen)


def _only_seller(book: PriceBook, model: str) -> str:
    sellers = [name for name in book.matcher.providers if _sells(book, name, model)]
    if len(sellers) != 1:
        known = f"{len(sellers)} providers sell {model}" if sellers else f"no price is known for {model}"
        hint = (
            f"Name one with --provider: {', '.join(sellers[:8])}"
            if sellers
            else "'weighbridge prices show' tells names that are alike"
        )
        fail(known, hint)
    return sellers[0]


def _sells(book: PriceBook, provider: str, model: str) -> bool:
    found = book.find(provider, model)
    return found.override is not None or found.listed is not None
