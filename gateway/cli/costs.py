"""Show what was spent, by team, model, or anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from multidict import MultiDict
from rich.text import Text

from gateway.api.analytics.asking import asked
from gateway.api.analytics.costs import CostsOut, CostsQuery, SpentOut, costs_of
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import ChangeOut, TotalOut
from gateway.api.analytics.period import Period, zone_named
from gateway.api.analytics.query import DEFAULT_GROUPS, MOST_GROUPS, Name
from gateway.api.analytics.repriced import RepricedSumOut
from gateway.api.problems import ApiError
from gateway.api.viewer import LOCAL
from gateway.cli import wording
from gateway.cli.exits import Exit
from gateway.cli.moments import EXAMPLES, WHEN_TEXT
from gateway.cli.options import config_option, fail, settings_from
from gateway.cli.plain_table import Column, print_table
from gateway.cli.reading import reading
from gateway.cli.screen import console
from gateway.cli.wording import call_count
from gateway.settings import Settings
from storage.quality.summary import QualityReader
from storage.queries.analytics.figures import Figures
from telemetry.insights.ahead import Until

MONTH: Final = "month"
PERIODS: Final = (MONTH, *(period.value for period in Period if period is not Period.CUSTOM))
_DOLLAR: Final = 1_000_000_000
_LATER: Final = Column("LATER", right=True)
"""Only where calls were priced again, and otherwise."""
_FIGURES: Final = (
    Column("CALLS", right=True, rank=1),
    Column("INPUT", right=True, rank=3),
    Column("OUTPUT", right=True, rank=3),
    Column("COST", right=True),
    _LATER,
    Column("SHARE", right=True, rank=2),
    Column("CHANGE", right=True, rank=4),
)


def filter_options(function: Any) -> Any:
    """An option for each dimension, handed over under its name; may be given several times."""
    for name in reversed(Name):
        option = f"--{name.value.replace('_', '-')}"
        words = name.value.replace("_", " ")
        function = click.option(option, metavar="X", multiple=True, help=f"Only this {words}.")(function)
    return function


@click.command()
@config_option
@click.option(
    "--period",
    "-p",
    type=click.Choice(PERIODS),
    help="This month so far, the last 24 hours, or so many days, today being the last.  [30d]",
)
@click.option("--since", type=WHEN_TEXT, help=f"From then on: {EXAMPLES}.")
@click.option("--until", type=WHEN_TEXT, help="With --since: before then; else until now.")
@click.option("--tz", metavar="ZONE", default="UTC", show_default=True, help="Time zone of days and months.")
@click.option(
    "--by", "-b", metavar="NAME", multiple=True, help="Cut into groups: team, model, user... Two at most."
)
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(1, MOST_GROUPS),
    default=DEFAULT_GROUPS,
    show_default=True,
    help="Most groups.",
)
@filter_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as GET /api/analytics/costs has it.")
def costs(
    config: Path | None,
    period: str | None,
    since: str | None,
    until: str | None,
    tz: str,
    by: tuple[str, ...],
    limit: int,
    as_json: bool,
    **filters: tuple[str, ...],
) -> None:
    """Show what was spent, in all and by group, against the period before, with a forecast.

    \b
    weighbridge costs --period month --by team
    weighbridge costs --since 2026-10-01 --until 2026-11-01 --by feature,model --team search

    A filter may be given several times: any of the values; '' is what is not set. Reads the sums in the database
    itself; the gateway does not notice.
    """
    settings = settings_from(config)
    given: MultiDict[str] = MultiDict({"tz": tz, "limit": str(limit)})
    for name in (one for text in by for one in text.split(",")):
        given.add("group_by", name)
    for name, values in filters.items():
        for value in values:
            given.add(name, value)
    try:
        given.update(_period(period, since, until, tz))
        found = asyncio.run(_found(settings, given))
    except ApiError as error:
        fail(_in_words(error), code=Exit.USAGE)
    if as_json:
        click.echo(found.model_dump_json())
    else:
        _print(found)


def _period(period: str | None, since: str | None, until: str | None, tz: str) -> dict[str, str]:
    """As the API has it. Raises :class:`ApiError`."""
    given = {"since": since, "until": until}
    if until is not None and since is None and period is None:
        fail("--until needs a beginning", "Give --since as well", Exit.USAGE)
    if period not in (None, MONTH) and (since is not None or until is not None):
        fail(f"--period {period} ends now", "Give either --period, or --since and --until", Exit.USAGE)
    if period == MONTH:
        if since is not None or until is not None:
            fail("--period month knows its beginning and end", "Leave out --since and --until", Exit.USAGE)
        given["since"] = datetime.now(zone_named(tz)).date().replace(day=1).isoformat()
    else:
        given["period"] = period
    return {name: value for name, value in given.items() if value is not None}


def _in_words(error: ApiError) -> str:
    """What is wrong, with the option in place of the parameter."""
    message, param = error.detail.message, error.detail.param
    option = "--by" if param == "group_by" else f"--{(param or '').replace('_', '-')}"
    if param is None:
        return message
    return message.replace(f"{param}=", f"{option} ", 1).replace(f"{param}: ", f"{option}: ", 1)


async def _found(settings: Settings, given: MultiDict[str]) -> CostsOut:
    async with reading(settings) as engine:
        deps = AnalyticsDeps(Figures(engine), QualityReader(engine))
        return await costs_of(await asked(given, LOCAL, deps, CostsQuery))


def _print(found: CostsOut) -> None:
    screen = console()
    when = f"{_when(found.period.since)} to {_when(found.period.until)}"
    screen.print(Text.assemble((when, "bold"), f" · {found.period.tz}\n"))
    if not found.total.calls:
        screen.print("No calls.")
        return
    small = (found.total.cost.nano_usd or 0) < _DOLLAR
    cells = partial(
        _cells, money=wording.usd if small else wording.money, later=found.total.repriced is not None
    )
    names = [Column(name.replace("_", " ").upper()) for name in found.group_by]
    rows = []
    for one in found.groups:
        keys = [one.key[name] or wording.NOTHING for name in found.group_by]
        rows.append([*keys, *cells(one, one.share_ppm, one.change)])
    if found.other is not None:
        rest = f"{found.other.groups} more" if found.other.groups > 1 else "1 more"
        rows.append([rest, *[""] * (len(names) - 1), *cells(found.other, found.other.share_ppm, None)])
    keys = ["all", *[""] * (len(names) - 1)] if names else []
    rows.append([*keys, *cells(found.total, None, found.change)])
    figures = [one for one in _FIGURES if one is not _LATER or found.total.repriced is not None]
    shown = print_table(screen, [*names, *figures], rows)
    screen.print()
    for line in _notes(found, changes="CHANGE" in shown):
        screen.print(line, style="dim")


def _cells(
    of: SpentOut,
    share_ppm: int | None,
    change: ChangeOut | None,
    *,
    money: Callable[[int], str],
    later: bool,
) -> list[str]:
    mark = "~" if of.estimated_calls or of.partial_calls else ""
    return [
        wording.count(of.calls),
        wording.count(of.tokens.input),
        wording.count(of.tokens.output),
        wording.NOTHING if of.calls == of.unpriced_calls else mark + money(of.cost.nano_usd or 0),
        *([_later(of.repriced)] if later else []),
        "" if share_ppm is None else _share(share_ppm),
        "" if change is None else _percent(change.cost_ppm),
    ]


def _later(of: RepricedSumOut | None) -> str:
    """``+$12.30``: what later prices add to the cost; empty where they change nothing."""
    if of is None:
        return ""
    delta = of.delta.nano_usd or 0
    mark = "~" if of.estimated_calls or of.partial_calls else ""
    return f"{mark}{'' if delta < 0 else '+'}{wording.money(delta)}"


def _share(ppm: int) -> str:
    """``12 %``; what is there but less than half a percent is not 0."""
    return "< 1 %" if 0 < ppm < 5000 else f"{(ppm + 5000) // 10_000} %"


def _percent(ppm: int | None) -> str:
    """``+12 %``; a dash where there was nothing before."""
    return wording.NOTHING if ppm is None else f"{round(ppm / 10_000):+d} %"


def _notes(found: CostsOut, *, changes: bool) -> Iterator[str]:
    total: TotalOut = found.total
    if total.estimated_calls:
        yield f"~ {wording.money(total.estimated_cost.nano_usd or 0)} of it estimated ({call_count(total.estimated_calls)})"
    if total.partial_calls:
        yield f"~ {wording.money(total.partial_cost.nano_usd or 0)} of it a lower bound ({call_count(total.partial_calls)})"
    if total.unpriced_calls:
        yield f"Not in it: {_unpriced(total.unpriced_calls, found.total.repriced)}"
    yield from _later_notes(found)
    saved = found.total.savings
    if saved.compared_calls:
        yield f"Routing saved {wording.money(saved.saved.nano_usd or 0)} over {call_count(saved.compared_calls)}"
    if changes and found.change is not None:
        yield "CHANGE: against the period before, as long"
    if found.forecast is not None:
        month = next(one for one in found.forecast.outlooks if one.until is Until.MONTH)
        low, likely, high = (
            wording.money(one.nano_usd or 0) for one in (month.low, month.expected, month.high)
        )
        share = found.forecast.confidence_ppm // 10_000
        yield f"By {month.last_day} this month will have cost {likely} ({low} to {high} in {share} % of cases)"


def _unpriced(number: int, later: RepricedSumOut | None) -> str:
    known = 0 if later is None else later.unpriced_calls
    if not known:
        return f"{call_count(number)} whose cost is not known ('weighbridge prices unpriced')"
    others = " (for the others: 'weighbridge prices unpriced')" if known < number else ""
    has = f"{known:,} {'has' if known == 1 else 'have'} one by later prices"
    return f"{call_count(number)} recorded without a known cost, of which {has}{others}"


def _later_notes(found: CostsOut) -> Iterator[str]:
    of = found.total.repriced
    if of is None:
        if found.repriced_missing is not None:
            yield f"By later prices: {found.repriced_missing}"
        return
    what = f"what later prices add to the cost of {call_count(of.calls)}"
    yield f"LATER: {what} ('weighbridge prices reprice'); budgets go on without it"
    if of.estimated_calls:
        yield f"~ LATER: an estimate of {call_count(of.estimated_calls)}"
    if of.partial_calls:
        yield f"~ LATER: a lower bound of {call_count(of.partial_calls)}"
    if of.since is not None:
        yield f"LATER: only of calls since {_when(of.since)}; earlier ones are deleted"


def _when(told: str) -> str:
    """``2026-11-01``, or with the time of day where it is not midnight."""
    moment = datetime.fromisoformat(told)
    return f"{moment:%Y-%m-%d}" if moment.time().isoformat() == "00:00:00" else f"{moment:%Y-%m-%d %H:%M}"


COMMAND: Final = costs
