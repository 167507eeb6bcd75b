"""``weighbridge check --integrity``: is every accepted call accounted for?"""

from __future__ import annotations

import asyncio

import click

from gateway.api.integrity import IntegrityOut, integrity_of
from gateway.cli.exits import Exit
from gateway.cli.trouble import needs_database, no_database
from gateway.settings import Settings
from storage.ledger import SPOOL_FOLDER
from storage.store import Store


def show_integrity(settings: Settings) -> None:
    """Prints the account of all workers and of the database; ends with 1 where something is wrong."""
    needs_database(settings)
    found = asyncio.run(_integrity(settings))
    alive = [worker for worker in found.workers if worker.alive]
    dead = len(found.workers) - len(alive)
    click.secho(f"{len(alive)} worker{'s' * (len(alive) != 1)} running", bold=True)
    parts = {
        "recorded": found.recorded,
        "in flight": found.in_flight,
        "in the spool": found.spooled,
        "dead letters": found.dead_letters,
        "lost": found.lost,
    }
    click.echo(f"  accepted since their start: {found.accepted:,}")
    click.echo("  = " + " + ".join(f"{count:,} {name}" for name, count in parts.items()))
    if found.spooled:
        click.echo(f"  the oldest in the spool waits for {found.oldest_age_seconds:.1f} s")
    click.echo(
        f"  {found.replayed:,} taken over from dead workers ({found.interrupted:,} interrupted),"
        f" {found.duplicates:,} duplicates ignored"
    )
    if found.calls_holding or found.calls_denied or found.calls_overdrawn:
        click.echo(
            f"  {found.calls_holding:,} calls hold a part of a budget, {found.calls_denied:,} were refused by one,"
            f" {found.calls_overdrawn:,} passed because it could not be asked"
        )
    if dead:
        click.echo(f"  {dead} spool{'s' * (dead != 1)} of dead workers to be taken over by the next start")
    _show_database(found)
    wrong = problems(found)
    for problem in wrong:
        click.echo(f"{click.style('wrong', fg='red', bold=True)}  {problem}")
    if found.database_trouble is not None:
        no_database(settings, found.database_trouble)
    if wrong:
        raise SystemExit(Exit.PROBLEM)
    click.echo(f"{click.style('ok', fg='green', bold=True)}  every accepted call is accounted for")


def _show_database(found: IntegrityOut) -> None:
    if found.calls is None:
        return
    click.secho("database, last 30 days", bold=True)
    click.echo(f"  {found.calls:,} calls: {_share(found.calls_estimated or 0, found.calls)} estimated")
    click.echo(f"  {found.calls_unpriced or 0:,} unpriced, {found.calls_partial or 0:,} with a lower bound")
    if found.rollups_day is not None:
        click.echo(f"  rows = rollups on {found.rollups_day}: {found.rollups_differences:,} differences")


def problems(found: IntegrityOut) -> list[str]:
    """What must not be, in words."""
    wrong = [
        f"worker {worker.pid}: {worker.balance} accepted calls are nowhere"
        for worker in found.workers
        if worker.balance
    ]
    if found.lost:
        wrong.append(f"{found.lost:,} records were lost: neither disk nor memory could hold them")
    if found.damaged:
        wrong.append(f"{found.damaged:,} unreadable stretches of the spool, kept in its folder 'damaged'")
    if found.dead_letters_kept:
        wrong.append(
            f"{found.dead_letters_kept:,} records the database took no row of: see 'weighbridge db letters'"
        )
    if found.rollups_differences:
        wrong.append(
            f"{found.rollups_differences:,} sums of {found.rollups_day} are not what its calls add up to:"
            " see 'weighbridge rollups verify'"
        )
    return wrong + list(found.reasons)


async def _integrity(settings: Settings) -> IntegrityOut:
    storage = settings.storage
    store = await Store.open(storage.url, data_dir=storage.data_dir)
    try:
        return await integrity_of(storage.data_dir / SPOOL_FOLDER, store)
    finally:
        await store.close()


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part * 100 // whole} %)" if whole else "0"
