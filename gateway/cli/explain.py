"""Show how the cost of a call came about."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gateway.api.models import CallOut, CostLineOut, ExplanationOut
from gateway.cli import wording
from gateway.cli.choose_source import open_source
from gateway.cli.find_call import RECENT, find_call
from gateway.cli.options import config_option, fail, settings_from, url_option
from gateway.cli.screen import console
from gateway.cli.source import CallSource, SourceError
from pricing.cost import CostSource

_PER: Final = {1_000_000: "per million", 1_000: "per thousand", 1: "per hour"}


@click.command()
@click.argument("call_id", metavar="[ID]", required=False)
@config_option
@url_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def explain(call_id: str | None, config: Path | None, url: str | None, as_json: bool) -> None:
    """Show how the cost of a call came about: what the provider reported, units, rates, total.

    ID is a whole call id or its end (the last 8 characters, as 'weighbridge calls' shows them). Without one:
    the latest call.
    """
    settings = settings_from(config)

    async def run() -> tuple[CallOut, ExplanationOut] | None:
        async with open_source(settings, url) as source:
            return await _find(source, call_id)

    try:
        found = asyncio.run(run())
    except SourceError as error:
        fail(str(error), error.hint, error.code)
    if found is None and not call_id:
        fail("there are no calls yet", "Point an app at the gateway; 'weighbridge calls' tells how")
    if found is None:
        fail(
            f"there is no call {call_id}",
            f"An id's end is looked for among the latest {RECENT} calls; 'weighbridge calls' lists them",
        )
    call, explanation = found
    if as_json:
        click.echo(json.dumps({"call": call.model_dump(), "cost": explanation.model_dump()}))
    else:
        _show(call, explanation, console())


async def _find(source: CallSource, call_id: str | None) -> tuple[CallOut, ExplanationOut] | None:
    call = await find_call(source, call_id)
    if call is None:
        return None
    cost = await source.cost(call.id)
    return None if cost is None else (call, cost)


def _show(call: CallOut, explanation: ExplanationOut, screen: Console) -> None:
    _show_call(call, screen)
    _show_usage(explanation, screen)
    if explanation.lines:
        show_lines(explanation, screen)
    show_total(explanation, screen)
    if explanation.content is not None:
        kept = f"Prompt and answer are kept ({explanation.content}): weighbridge content {call.id[-8:]}"
        screen.print(kept, style="dim")


def _show_call(call: CallOut, screen: Console) -> None:
    screen.print(Text(call.id, "bold"), Text(call.outcome, "green" if call.outcome == "completed" else "red"))
    asked = call.what.model
    model = wording.model(call) + (f" (asked for {asked})" if asked and asked != wording.model(call) else "")
    when = datetime.fromisoformat(call.started_at).astimezone()
    parts = [
        call.what.provider,
        model,
        f"{when:%Y-%m-%d %H:%M:%S %Z}",
        wording.duration(call.timing.duration_us),
    ]
    if call.who.team:
        parts.append(f"team {call.who.team}")
    screen.print("  " + " · ".join(parts))
    if trouble := wording.trouble(call):
        screen.print(Text(f"  {trouble}", "red"))


def _show_usage(explanation: ExplanationOut, screen: Console) -> None:
    screen.print()
    screen.print("Reported by the provider", style="bold")
    _indented(explanation.reported or "no usage", screen)
    counts = "  ".join(f"{name} {count:,}" for name, count in explanation.counts.items())
    if counts:
        screen.print("In the normal form", style="bold")
        _indented(counts, screen)


def _indented(text: str, screen: Console) -> None:
    """Wrapped on a terminal, one line in a pipe."""
    if screen.is_terminal:
        screen.print(Padding(Text(text), (0, 0, 0, 2), expand=False))
    else:
        screen.print(f"  {text}", soft_wrap=True)


def show_lines(explanation: ExplanationOut, screen: Console) -> None:
    """Units times rates, as a table."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("  Unit")
    table.add_column("Quantity", justify="right")
    table.add_column("Rate")
    table.add_column("Amount", justify="right")
    table.add_column("")
    for line in explanation.lines:
        table.add_row(
            f"  {line.unit}", f"{line.quantity:,}", rate_text(line), f"${line.amount_usd}", line.note or ""
        )
    screen.print()
    screen.print(table)


def rate_text(line: CostLineOut) -> str:
    """``$2.5 per million``."""
    return "no rate" if line.rate is None else f"${line.rate} {_PER[line.per]}"


def show_total(explanation: ExplanationOut, screen: Console) -> None:
    """The cost, where it comes from, and what has to be said of it."""
    cost = explanation.recorded
    usd = cost.total.usd
    screen.print()
    total = "unknown" if usd is None else f"${usd}"
    source = "" if cost.source == CostSource.NONE else f", from: {cost.source}"
    screen.print(Text.assemble(("Cost ", "bold"), (total, "bold"), f"  {cost.status}{source}"))
    again = cost.repriced
    if again is not None:
        later = "unknown" if again.total.usd is None else f"${again.total.usd}"
        rule = f": {again.rule}" if again.rule else ""
        screen.print(f"Repriced {later}  {again.status}, by {again.snapshot}{rule}")
    details = {
        "rule": cost.rule,
        "rates since": explanation.rates_since,
        "rates from": explanation.rates_source,
        "price book": cost.snapshot,
    }
    for name, value in details.items():
        if value:
            screen.print(f"  {name + ':':<12} {value}", style="dim")
    for note in explanation.notes:
        screen.print(f"  {note}", style="yellow")


COMMAND: Final = explain
