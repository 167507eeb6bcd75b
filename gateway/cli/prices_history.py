"""``weighbridge prices reprice`` and ``unpriced``: what recorded calls cost by the prices in force now."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.cli.moments import EXAMPLES, WHEN
from gateway.cli.options import config_option, fail, fail_with, settings_from
from gateway.cli.plain_table import Column, print_table
from gateway.cli.screen import console
from gateway.cli.trouble import needs_database, no_database
from gateway.cli.wording import NOTHING, call_count, usd
from gateway.prices import book_of
from gateway.providers.table import ProviderTable
from gateway.repricing import price_again
from gateway.settings import Settings, SettingsError
from pricing.book import PriceBook
from pricing.suggest import suggest
from storage.address import parse
from storage.queries.calls import CallFilter
from storage.repricing import Again, History, Unpriced
from storage.store import StoreUnavailable

T = TypeVar("T")
COLUMNS: Final = (
    Column("PROVIDER"),
    Column("MODEL"),
    Column("CALLS", right=True, rank=2),
    Column("CHANGED", right=True, rank=4),
    Column("UNPRICED", right=True, rank=3),
    Column("RECORDED", right=True),
    Column("NOW", right=True),
    Column("DIFFERENCE", right=True),
)
BESIDE: Final = "'weighbridge costs' shows it as LATER; recorded sums and budgets stay as they are."


class Sums(msgspec.Struct):
    """Calls of one model, before and after."""

    calls: int = 0
    changed: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0
    before: int = 0
    """nano-USD, as far as known."""
    after: int = 0

    def add(self, one: Again) -> None:
        old, new = one.row.cost_nano, one.cost.total
        self.calls += 1
        self.changed += old != new
        self.unpriced_before += old is None
        self.unpriced_after += new is None
        self.before += old or 0
        self.after += new or 0


@click.command()
@click.option("--since", type=WHEN, help=f"Only calls started since: {EXAMPLES}.")
@click.option("--until", type=WHEN, help="Only calls started before.")
@click.option("--model", metavar="X", help="Only this model, asked for or answered with.")
@click.option("--provider", metavar="X", help="Only this provider.")
@click.option("--dry-run", is_flag=True, help="Only show the difference.")
@config_option
def reprice(
    since: datetime | None,
    until: datetime | None,
    model: str | None,
    provider: str | None,
    dry_run: bool,
    config: Path | None,
) -> None:
    """Price recorded calls again by the prices in force now, and show the difference.

    Prices are dated: a call is priced by what held when it was made. The recorded cost is kept; the new one is
    written beside it (repriced_nano, repriced_status, repriced_snapshot, repriced_rule).
    """
    settings = settings_from(config)
    book = _book(settings)
    wanted = CallFilter(since=since, until=until, model=model, provider=provider)
    sums = _run(settings, _reprice(settings, book, wanted, dry_run=dry_run))
    if not sums:
        fail("no such calls", "'weighbridge calls' shows what there is")
    screen = console()
    print_table(screen, COLUMNS, _rows(sums))
    screen.print()
    done = "Nothing was written (--dry-run)." if dry_run else f"Written beside the recorded costs. {BESIDE}"
    screen.print(f"{done} Prices: {book.snapshot}", style="dim")


@click.command()
@click.option("--since", type=WHEN, help=f"Only calls started since: {EXAMPLES}.")
@config_option
def unpriced(since: datetime | None, config: Path | None) -> None:
    """List models whose calls have no known cost, with calls, tokens and names that may have been meant."""
    settings = settings_from(config)
    book = _book(settings)
    found, (calls, nano) = _run(settings, _unpriced(settings, CallFilter(since=since)))
    screen = console()
    if not found:
        screen.print("Every call that should have a cost has one.")
    else:
        _print_unpriced(screen, settings, book, found)
    if calls:
        screen.print(f"Priced only later: {call_count(calls)}, {usd(nano)} together. {BESIDE}", style="dim")


def _print_unpriced(screen: Console, settings: Settings, book: PriceBook, found: Sequence[Unpriced]) -> None:
    price_as = ProviderTable.build(settings).price_as

    def meant(provider: str, name: str) -> tuple[str, ...]:
        """Nothing where the name has a price: what lacks is a rate for something, or the usage."""
        priced = book.find(price_as(provider), name)
        known = not name or priced.listed is not None or priced.override is not None
        return () if known else tuple(suggest(book.matcher, price_as(provider), name, 2))

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("PROVIDER", "MODEL", "CALLS", "INPUT", "OUTPUT"):
        table.add_column(title, justify="left" if title in ("PROVIDER", "MODEL") else "right")
    table.add_column("MEANT?", style="dim")
    for one in found:
        name = one.model or ""
        table.add_row(
            one.provider,
            name or "–",
            f"{one.calls:,}",
            f"{one.input_tokens:,}",
            f"{one.output_tokens:,}",
            ", ".join(meant(one.provider, name)) or "–",
        )
    screen.print(table)
    screen.print()
    screen.print(
        "Give a price under [[pricing.price]] or another name under [pricing.alias.PROVIDER] (docs/prices.md), then"
        " 'weighbridge prices reprice'.",
        style="dim",
    )


async def _reprice(
    settings: Settings, book: PriceBook, wanted: CallFilter, *, dry_run: bool
) -> dict[tuple[str, str], Sums]:
    price_as = ProviderTable.build(settings).price_as
    history = _history(settings)
    sums: dict[tuple[str, str], Sums] = {}
    try:
        screen = console()
        with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
            task = progress.add_task("calls", total=await history.count(wanted))
            async for rows in history.slices(wanted):
                priced = [Again(row, price_again(row, book, price_as)) for row in rows]
                for one in priced:
                    name = one.row.response_model or one.row.request_model or "–"
                    sums.setdefault((one.row.provider, name), Sums()).add(one)
                if not dry_run:
                    await history.write(priced)
                progress.advance(task, len(rows))
    finally:
        await history.close()
    return sums


async def _unpriced(settings: Settings, wanted: CallFilter) -> tuple[list[Unpriced], tuple[int, int]]:
    history = _history(settings)
    try:
        return await history.unpriced(wanted), await history.priced_since(wanted)
    finally:
        await history.close()


def _rows(sums: dict[tuple[str, str], Sums]) -> list[tuple[str, ...]]:
    every = Sums()
    for one in sums.values():
        for field in one.__struct_fields__:
            setattr(every, field, getattr(every, field) + getattr(one, field))
    by_size = sorted(sums.items(), key=lambda item: -abs(item[1].after - item[1].before))
    lines = [*by_size, (("all", ""), every)]
    return [(*names, f"{one.calls:,}", f"{one.changed:,}", *_amounts(one)) for names, one in lines]


def _amounts(one: Sums) -> tuple[str, str, str, str]:
    """Where the cost of no call is known there is no sum, and no difference to it."""
    before, after = one.unpriced_before, one.unpriced_after
    unpriced = f"{before:,} -> {after:,}" if before or after else "0"
    difference = one.after - one.before
    told = "+" * (difference > 0) + usd(difference)
    return (
        unpriced,
        NOTHING if before == one.calls else usd(one.before),
        NOTHING if after == one.calls else usd(one.after),
        NOTHING if after == one.calls else told,
    )


def _book(settings: Settings) -> PriceBook:
    try:
        return book_of(settings)
    except SettingsError as error:
        fail_with(error)


def _history(settings: Settings) -> History:
    needs_database(settings)
    return History(parse(settings.storage.url, settings.storage.data_dir))


def _run(settings: Settings, work: Coroutine[object, object, T]) -> T:
    try:
        return asyncio.run(work)
    except StoreUnavailable as error:
        no_database(settings, error)
