"""Try forecasts and alarms on generated spend and on your own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from gateway.cli.options import config_option, settings_from
from gateway.cli.reading import reading
from gateway.cli.screen import console
from gateway.cli.trouble import has_database
from gateway.settings import Settings
from storage.insights.series import by_day
from storage.rollups.read import Reader
from telemetry.insights.anomaly import WEEKLY
from telemetry.insights.backtest import (
    HORIZON,
    LEAST_HISTORY,
    Alarms,
    Errors,
    ppm,
    try_anomalies,
    try_forecasts,
)
from telemetry.insights.generated import SHAPES, daily

GENERATED_DAYS: Final = 180
ALARM_DAYS: Final = 90
OWN_DAYS: Final = 400
PLANTED: Final = 6
FACTOR_PPM: Final = 3_000_000
_LEGEND: Final = (
    "OFF: mean error, of the mean spend, of single days and of sums.",
    "/NAIVE, /WEEK: that error by the one of the two simple forecasts; below 1 is better.",
    "BOUNDS: sums that were within the bounds, which should hold 80 %.",
    "ALARMS: days that stand out. SPIKES: days that do when three times as much is spent.",
)


class Trial(msgspec.Struct, frozen=True):
    """What came of trying one kind of spend."""

    name: str
    errors: Errors = Errors()
    alarms: Alarms = Alarms()

    def __add__(self, other: Trial) -> Trial:
        return Trial(self.name, self.errors + other.errors, self.alarms + other.alarms)


@click.command()
@click.option(
    "--horizon",
    type=click.IntRange(1, 120),
    default=HORIZON,
    show_default=True,
    help="Days that are told ahead.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="Series of each generated kind.",
)
@click.option("--generated", "only_generated", is_flag=True, help="Leave the own history out.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, nano-USD.")
@config_option
def backtest(horizon: int, seeds: int, only_generated: bool, as_json: bool, config: Path | None) -> None:
    """Show how far forecasts would have been off, and how often alarms would have been false.

    A forecast is made from every fifth day on, of what was known then, and held against what came. Beside it stand
    two that need no statistics: every day like the last one (naive), and the last week again and again.
    """
    settings = settings_from(config)
    own = None if only_generated or not has_database(settings) else asyncio.run(_history(settings))
    screen = console()
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("generated spend", total=len(SHAPES) * seeds)
        trials = []
        for shape in SHAPES:
            trial = Trial(shape.name)
            for seed in range(seeds):
                trial += _tried(daily(shape, GENERATED_DAYS, seed), 0, horizon, seed)
                progress.advance(task)
            trials.append(trial)
    mine = None if own is None else _tried(*own, horizon, 0)
    if as_json:
        click.echo(json.dumps(_as_json(trials, mine, own)))
        return
    screen.print(
        Text.assemble(("Generated spend", "bold"), f" · {GENERATED_DAYS} days, {seeds} of each kind\n")
    )
    screen.print(_table(trials, horizon))
    screen.print()
    for line in _own_lines(own, mine, settings, horizon):
        screen.print(line)
    for line in _LEGEND:
        screen.print(line, style="dim")


async def _history(settings: Settings) -> tuple[list[int], int]:
    """Whole UTC days from the first spend on, and the first one's weekday."""
    today = datetime.now(UTC).date()
    since = today - timedelta(days=OWN_DAYS)
    async with reading(settings) as engine:
        days = (await by_day(Reader(engine), since, today))["cost_nano"]
    first = next((place for place, spent in enumerate(days) if spent), len(days))
    return days[first:], (since + timedelta(days=first)).weekday()


def _tried(days: Sequence[int], weekday: int, horizon: int, seed: int) -> Trial:
    errors = try_forecasts(days, weekday, horizon)
    return Trial("", errors, try_anomalies(days[-ALARM_DAYS:], WEEKLY, FACTOR_PPM, PLANTED, seed))


def _own_lines(
    own: tuple[list[int], int] | None, mine: Trial | None, settings: Settings, horizon: int
) -> Iterator[Any]:
    if own is None or mine is None:
        yield f"No records of your own in {settings.storage.data_dir} were tried.\n"
        return
    days = len(own[0])
    whole = f" · {days} whole day{'' if days == 1 else 's'} in {settings.storage.data_dir}\n"
    yield Text.assemble(("Your spend", "bold"), whole)
    if mine.errors.forecasts:
        yield _table([mine], horizon)
    else:
        wanted = LEAST_HISTORY + horizon
        yield f"Too short to try forecasts of {horizon} days: that takes {wanted} days (or a shorter --horizon)."
    yield ""


def _table(trials: Sequence[Trial], horizon: int) -> Table:
    several = len(trials) > 1
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_footer=several)
    every = Trial("all")
    for trial in trials:
        every += trial
    titles = ("", "DAY OFF", "/NAIVE", "/WEEK", f"{horizon} DAYS OFF", "/NAIVE", "/WEEK", "BOUNDS", "ALARMS")
    footers = _cells(every)
    for title, footer in zip((*titles, "SPIKES"), footers, strict=True):
        table.add_column(title, footer=footer, footer_style="bold", justify="right" if title else "left")
    for trial in trials:
        table.add_row(*_cells(trial))
    return table


def _cells(trial: Trial) -> tuple[str, ...]:
    errors, alarms = trial.errors, trial.alarms
    return (
        trial.name,
        _percent(ppm(errors.days, errors.spent)),
        _ratio(errors.days, errors.days_naive),
        _ratio(errors.days, errors.days_weekly),
        _percent(ppm(errors.totals, errors.spent)),
        _ratio(errors.totals, errors.totals_naive),
        _ratio(errors.totals, errors.totals_weekly),
        _percent(ppm(errors.inside, errors.forecasts), 0),
        _percent(ppm(alarms.alarms, alarms.values), 2),
        _percent(ppm(alarms.found, alarms.planted), 0),
    )


def _percent(found: int | None, decimals: int = 1) -> str:
    return "–" if found is None else f"{found / 10_000:.{decimals}f} %"


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "–"


def _as_json(
    trials: Sequence[Trial], mine: Trial | None, own: tuple[list[int], int] | None
) -> dict[str, Any]:
    return {
        "generated": msgspec.to_builtins(trials),
        "own": None if mine is None or own is None else {"days": len(own[0]), **msgspec.to_builtins(mine)},
    }


COMMAND: Final = backtest
