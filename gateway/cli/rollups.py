"""Hold the sums behind reports against the calls, or make them again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.cli.moments import WHEN
from gateway.cli.options import config_option, fail, settings_from
from gateway.cli.screen import console
from gateway.cli.section import Section
from gateway.cli.trouble import needs_database, no_database
from gateway.settings import Settings
from storage.address import Address, parse
from storage.rollups.held import day_of
from storage.rollups.rebuild import Rebuilt, rebuild
from storage.rollups.transactions import Stale, changing_engine
from storage.rollups.verify import FOREVER, Difference, Verified, verify
from storage.schema import Fit
from storage.store import Store, StoreUnavailable, unavailable

T = TypeVar("T")
Told = Callable[[date, int], None]
_SHOWN: Final = 20
"""Figures listed of one day; a day of which everything is missing has some hundred."""


@click.group(cls=Section)
def rollups() -> None:
    """Hold the sums behind reports against the calls, or make them again.

    Sums by hour, day and user are written in the same transaction as the calls. Days are those of UTC.
    """


@rollups.command("verify")
@click.option("--since", type=WHEN, help="Only days from this one on (UTC).")
@click.option("--until", type=WHEN, help="Only days before this one (UTC).")
@config_option
def verify_command(since: datetime | None, until: datetime | None, config: Path | None) -> None:
    """Compare every sum with what the calls add up to. Ends with 1 if anything differs.

    Calls may arrive meanwhile. Days of which calls were deleted (retention.calls_days) are left out.
    """

    async def run(engine: AsyncEngine, told: Told) -> Verified:
        return await verify(engine, _day(since, 0), _day(until, FOREVER), told)

    found = _with_engine(settings_from(config), "comparing", run)
    if not found.days:
        click.echo("There is nothing to compare: no day has calls or sums.")
        return
    what = f"{found.calls:,} calls of {_days(found.days)}"
    if not found.differences:
        click.echo(f"{click.style('ok', fg='green', bold=True)}  {what}: rows = rollups, every figure")
        return
    _show(found.differences)
    count = len(found.differences)
    fail(
        f"{what}: {count:,} figure{'s' * (count != 1)} {'differ' if count != 1 else 'differs'}",
        f"'weighbridge rollups rebuild --since {found.differences[0].day}' makes them again from the calls",
    )


@rollups.command("rebuild")
@click.option("--since", type=WHEN, help="Only days from this one on (UTC).")
@config_option
def rebuild_command(since: datetime | None, config: Path | None) -> None:
    """Make the sums again from the calls, a day at a time. Safe while calls arrive, and to run twice.

    Days of which calls were deleted (retention.calls_days) keep the sums they have.
    """

    async def run(engine: AsyncEngine, told: Told) -> Rebuilt:
        return await rebuild(engine, _day(since, 0), told=told)

    done = _with_engine(settings_from(config), "rebuilding", run)
    click.echo(f"Made again: {_days(done.days)} with {done.calls:,} calls.")


def _with_engine(
    settings: Settings, doing: str, work: Callable[[AsyncEngine, Told], Coroutine[object, object, T]]
) -> T:
    address = parse(settings.storage.url, settings.storage.data_dir)
    needs_database(settings)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    screen = console()
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task(doing)
        calls = 0

        def told(day: date, of_day: int) -> None:
            nonlocal calls
            calls += of_day
            progress.update(task, description=f"{doing}: {day} done, {calls:,} calls")

        try:
            return asyncio.run(_opened(address, lambda engine: work(engine, told)))
        except StoreUnavailable as error:
            no_database(settings, error)
        except Stale:
            fail(
                "somebody else keeps changing the rollups",
                "Is another rebuild running? Try again when it has ended",
            )


async def _opened(address: Address, work: Callable[[AsyncEngine], Coroutine[object, object, T]]) -> T:
    engine = changing_engine(address, timeout_s=600.0)
    try:
        if await Store(address, engine).schema_fit() is not Fit.CURRENT:
            raise StoreUnavailable("the database's schema is not that of this version")
        return await work(engine)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise unavailable(error) from error
    finally:
        await engine.dispose()


def _show(differences: tuple[Difference, ...]) -> None:
    screen = console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("DAY", "TABLE", "FIGURE", "CALLS SAY", "SUMS SAY", "DIFFERENCE", "GROUPS"):
        table.add_column(title, justify="left" if title in ("DAY", "TABLE", "FIGURE") else "right")
    for day, of_day in groupby(differences, key=lambda one: one.day):
        every = list(of_day)
        for one in every[:_SHOWN]:
            numbers = (one.rows, one.rollups, one.rollups - one.rows, one.groups)
            table.add_row(str(day), one.table, one.measure, *[f"{number:,}" for number in numbers])
        if len(every) > _SHOWN:
            table.add_row(str(day), "", f"and {len(every) - _SHOWN:,} more")
    screen.print(table)


def _day(moment: datetime | None, otherwise: int) -> int:
    return otherwise if moment is None else day_of(moment)


def _days(count: int) -> str:
    return f"{count:,} day{'s' * (count != 1)}"


COMMAND: Final = rollups
