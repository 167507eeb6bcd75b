"""Show what fires; try channels out, silence, send again, make rules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from gateway.api.alert_models import alert_out, delivery_out
from gateway.api.alerts import AlertsDeps
from gateway.cli.alerts_change import enable, redeliver, silence, silences
from gateway.cli.alerts_change import test as try_out
from gateway.cli.alerts_desk import at_the_desk, clock, short, the_one
from gateway.cli.alerts_rules import channels, evaluate, rules
from gateway.cli.options import config_option
from gateway.cli.screen import console
from gateway.cli.section import Section
from storage.alerts.tables import AlertRow, DeliveryRow, DeliveryState, State, TryRow
from telemetry.alerts.message import cut
from telemetry.alerts.verdict import Unit
from telemetry.alerts.words import amount

_COLOURS: Final = {"critical": "red", "warning": "yellow", "info": "blue"}


@click.group(cls=Section)
def alerts() -> None:
    """Look after alerts: what fires, who is told, and what is kept back.

    Works on the database of the settings, whether a gateway runs or not; a running one takes part within seconds.
    """


for _command in (try_out, redeliver, silence, silences, enable, rules, channels, evaluate):
    alerts.add_command(_command)


@alerts.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what is over.")
@click.option("--rule", metavar="NAME", help="Only alerts of this rule.")
@click.option(
    "--limit", "-n", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most alerts."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@config_option
def listing(everything: bool, rule: str | None, limit: int, as_json: bool, config: Path | None) -> None:
    """List the alerts that fire, newest first."""

    async def find(deps: AlertsDeps) -> Sequence[AlertRow]:
        state = None if everything else State.FIRING
        return (await deps.desk.alerts({}, state=state, rule=rule, limit=limit)).items

    found = at_the_desk(config, find)
    if as_json:
        for row in found:
            click.echo(alert_out(row).model_dump_json())
        return
    screen = console()
    if not found:
        screen.print(
            "No alerts yet."
            if everything
            else "Nothing fires. 'weighbridge alerts list --all' shows the past."
        )
        return
    screen.print(_alerts_table(found))


@alerts.command()
@click.argument("alert")
@config_option
def show(alert: str, config: Path | None) -> None:
    """Show one ALERT (the beginning of its id is enough), its messages and every try to send them."""

    async def find(deps: AlertsDeps) -> tuple[AlertRow, Sequence[DeliveryRow], dict[str, list[TryRow]]]:
        row = the_one(await deps.desk.find_alerts(alert), alert, "alert", "weighbridge alerts list --all")
        sent = (await deps.desk.deliveries({}, alert=row.id, limit=1000)).items[::-1]
        return row, sent, await deps.desk.tries([one.id for one in sent])

    row, sent, tries = at_the_desk(config, find)
    screen, unit = console(), Unit(row.unit)
    state = Text(row.state, style=_COLOURS[row.severity] if row.state == State.FIRING else "green")
    screen.print(Text.assemble((row.rule, "bold"), f" ({row.kind})  ", state, f"  {row.severity}  {row.id}"))
    screen.print(f"  {row.summary}")
    screen.print(
        f"  {amount(row.value, unit)}, limit {amount(row.limit_value, unit)}, window {row.window_key}"
    )
    screen.print("  " + ", ".join(_history(row)))
    for name, value in row.labels:
        screen.print(f"  {name} = {cut(value) or '(none)'}")
    screen.print()
    screen.print(_deliveries_table(sent, tries) if sent else "Nobody was told.")


@alerts.command()
@click.option("--channel", metavar="NAME", help="Only messages to this channel.")
@click.option("--state", type=click.Choice([one.value for one in DeliveryState]), help="Only these.")
@click.option(
    "--limit", "-n", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most messages."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@config_option
def deliveries(
    channel: str | None, state: str | None, limit: int, as_json: bool, config: Path | None
) -> None:
    """List messages and what came of them, newest first."""

    async def find(deps: AlertsDeps) -> tuple[Sequence[DeliveryRow], dict[str, list[TryRow]]]:
        found = (await deps.desk.deliveries({}, channel=channel, state=state, limit=limit)).items
        return found, await deps.desk.tries([one.id for one in found])

    found, tries = at_the_desk(config, find)
    if as_json:
        for row in found:
            click.echo(delivery_out(row, tries[row.id]).model_dump_json())
        return
    screen = console()
    screen.print(_deliveries_table(found, tries) if found else "No messages.")


def _alerts_table(found: Sequence[AlertRow]) -> Table:
    table, now = _table("SINCE", "STATE", "RULE", "LEVEL", "WHAT", "ID"), datetime.now(UTC)
    for row in found:
        fires = row.state == State.FIRING
        colour = _COLOURS[row.severity] if fires else "dim"
        kept_back = " (silenced)" if fires and not row.notified else ""
        table.add_row(
            clock(row.fired_at, now),
            Text(row.state + kept_back, style=colour),
            row.rule,
            row.level,
            Text(row.summary),
            Text(short(row.id), style="dim"),
        )
    return table


def _deliveries_table(found: Sequence[DeliveryRow], tries: dict[str, list[TryRow]]) -> Table:
    table = _table("MADE", "CHANNEL", "EVENT", "STATE", "TRIES", "LAST TRY", "NEXT", "ID")
    now = datetime.now(UTC)
    for row in found:
        log = tries[row.id]
        pending = row.state == DeliveryState.PENDING
        style = {"sent": "green", "gave_up": "red"}.get(row.state, "yellow")
        table.add_row(
            clock(row.created_at, now),
            row.channel,
            row.event.replace("_", " "),
            Text(row.state.replace("_", " "), style=style),
            str(row.tries),
            _last(log, now),
            clock(row.due_at, now) if pending else "–",
            Text(short(row.id), style="dim"),
        )
    return table


def _last(log: Sequence[TryRow], now: datetime) -> str:
    """``12:00:05 503``, ``12:00:05 timeout``."""
    if not log:
        return "–"
    last = log[-1]
    said = str(last.status) if last.status is not None else (last.trouble or "ok").replace("_", " ")
    return f"{clock(last.at, now)} {said}"


def _history(row: AlertRow) -> list[str]:
    now = datetime.now(UTC)
    told = [f"fired {clock(row.fired_at, now)}"]
    if row.notified_at is not None:
        told.append(
            f"told {row.notified} time{'s' * (row.notified != 1)}, last {clock(row.notified_at, now)}"
        )
    elif row.silence is not None:
        told.append(f"kept back by silence {row.silence}")
    if row.resolved_at is not None:
        told.append(f"over {clock(row.resolved_at, now)} ({row.reason.replace('_', ' ')})")
    return told


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(
            title, justify="right" if title == "TRIES" else "left", no_wrap=title not in ("WHAT", "LAST TRY")
        )
    return table


COMMAND: Final = alerts
