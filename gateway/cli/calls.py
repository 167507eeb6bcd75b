"""Show calls: model, tokens, time, cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from gateway.api.models import CallOut
from gateway.cli import wording
from gateway.cli.call_table import CallTable
from gateway.cli.choose_source import open_source, server_url
from gateway.cli.moments import EXAMPLES, WHEN_TEXT
from gateway.cli.options import config_option, fail, settings_from, url_option
from gateway.cli.screen import console
from gateway.cli.source import CallSource, SourceError
from gateway.settings import Settings
from telemetry.outcome import Outcome

POLL_SECONDS: Final = 1.0
FOLLOW_PAGE: Final = 200
REMEMBERED: Final = 5000

_FILTERS: Final = ("provider", "model", "tenant", "team", "user", "project", "feature", "session")


class _Text(click.ParamType[str]):
    """Text to compare with: nothing would silently be no filter."""

    name = "x"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return (
            str(value)
            if value
            else self.fail("it is empty; leave the option out for all of them.", param, ctx)
        )


def filter_options(function: Any) -> Any:
    """``--since``, ``--until`` and the rest, handed over under the names of ``GET /api/calls``."""
    function = click.option("--failed", is_flag=True, help="Only calls that did not complete.")(function)
    function = click.option("--unpriced", is_flag=True, help="Only calls whose cost is not known.")(function)
    status = click.IntRange(100, 599)
    function = click.option("--status", type=status, metavar="N", help="Only this HTTP status.")(function)
    outcomes = click.Choice([outcome.value for outcome in Outcome])
    function = click.option(
        "--outcome", type=outcomes, metavar="X", help="Only this outcome: completed, timeout..."
    )(function)
    for name in reversed(_FILTERS):
        function = click.option(f"--{name}", type=_Text(), help=f"Only this {name}.")(function)
    function = click.option("--until", type=WHEN_TEXT, help="Started before.")(function)
    return click.option("--since", type=WHEN_TEXT, help=f"Started since: {EXAMPLES}.")(function)


@click.command()
@config_option
@url_option
@click.option("--follow", "-f", is_flag=True, help="Go on showing calls as they end.")
@click.option(
    "--limit", "-n", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most calls."
)
@filter_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def calls(
    config: Path | None, url: str | None, follow: bool, limit: int, as_json: bool, **filters: Any
) -> None:
    """Show the latest calls, oldest first.

    Asks the running gateway, or reads its database when none runs.
    """
    settings = settings_from(config)
    query = {name: str(value).lower() if value is True else value for name, value in filters.items() if value}
    try:
        asyncio.run(_show(settings, url, query, limit, follow, as_json))
    except SourceError as error:
        fail(str(error), error.hint, error.code)
    except KeyboardInterrupt:
        click.echo()


async def _show(
    settings: Settings, url: str | None, query: Mapping[str, str], limit: int, follow: bool, as_json: bool
) -> None:
    screen = console()
    async with open_source(settings, url) as source:
        if follow:
            await _follow(source, query, limit, screen, as_json)
            return
        page = await source.calls({**query, "limit": str(limit)})
    found = page.items[::-1]
    if as_json:
        _print_json(found)
    elif found:
        _print_table(found, screen, more=page.next_cursor is not None)
    else:
        _print_nothing(url or server_url(settings), query, screen)


def _print_json(found: list[CallOut]) -> None:
    for call in found:
        click.echo(call.model_dump_json())


def _print_table(found: list[CallOut], screen: Console, *, more: bool) -> None:
    table = CallTable(screen.width, datetime.now().astimezone(), found)
    for line in table.lines(found):
        screen.print(line)
    notes = [wording.totals(found)]
    if any(call.cost.status == "estimated" for call in found):
        notes.append("~ estimated")
    if any(call.cost.status == "partial" for call in found):
        notes.append("≥ at least")
    if more:
        notes.append("older ones with --limit or --until")
    screen.print()
    screen.print(" · ".join(notes), style="dim")


def _print_nothing(base: str, query: Mapping[str, str], screen: Console) -> None:
    if query:
        screen.print("No call matches.")
        return
    base = base.rstrip("/")
    screen.print("No calls yet. Point an app at the gateway, for instance:")
    screen.print(f"  export OPENAI_BASE_URL={base}/openai/v1")
    screen.print(f"  export ANTHROPIC_BASE_URL={base}/anthropic")


async def _follow(
    source: CallSource, query: Mapping[str, str], limit: int, screen: Console, as_json: bool
) -> None:
    """Prints the latest calls, then every call once, in the order in which they are recorded."""
    table = CallTable(screen.width, datetime.now().astimezone())
    if not as_json:
        screen.print(table.heading())
    wanted = {
        **query,
        "limit": str(FOLLOW_PAGE + 1),
        "order": "recorded",
    }  # one more tells that there are more
    known = (await source.calls(wanted)).items[::-1]
    fresh = (await source.calls({**query, "limit": str(limit)})).items[::-1]
    seen = dict.fromkeys(call.id for call in (*fresh, *known))
    while True:
        for call in fresh:
            if as_json:
                _print_json([call])
            else:
                screen.print(table.line(call))
        for old in list(seen)[: max(0, len(seen) - REMEMBERED)]:
            del seen[old]
        await asyncio.sleep(POLL_SECONDS)
        came = [call for call in (await source.calls(wanted)).items[::-1] if call.id not in seen]
        fresh = came[-FOLLOW_PAGE:]
        if len(came) > FOLLOW_PAGE:
            click.echo(f"... more than {FOLLOW_PAGE} calls at once: some are not shown", err=True)
        seen.update(dict.fromkeys(call.id for call in came))


COMMAND: Final = calls
