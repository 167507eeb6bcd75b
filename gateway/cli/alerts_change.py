"""``weighbridge alerts test``, ``redeliver``, ``silence``, ``silences`` and ``enable``."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.table import Table

from gateway.alerting.trial import trial
from gateway.api.alert_rules import LONGEST_SILENCE, check_matchers
from gateway.api.alerts import AlertsDeps
from gateway.api.problems import ApiError
from gateway.cli.alerts_desk import at_the_desk, clock, short, the_one, who_am_i
from gateway.cli.alerts_post import post_from, post_now
from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail
from gateway.cli.screen import console
from storage.alerts.tables import DeliveryRow
from telemetry.alerts.given import Given, Unfit
from telemetry.alerts.silence import Silence


@click.command()
@click.argument("channel")
@config_option
def test(channel: str, config: Path | None) -> None:
    """Send CHANNEL a message for trying it out, from this machine and at once."""
    post = post_from(config, channel)
    post_now(post, post.body(trial(f"test-{uuid.uuid4().hex}", datetime.now(UTC))))


@click.command()
@click.argument("message")
@config_option
def redeliver(message: str, config: Path | None) -> None:
    """Send MESSAGE once more, under the same id (the beginning of it is enough)."""

    async def again(deps: AlertsDeps) -> DeliveryRow:
        found = await deps.desk.find_deliveries(message)
        row = the_one(found, message, "message", "weighbridge alerts deliveries")
        await deps.outbox.again(row.id, datetime.now(UTC))
        return row

    row = at_the_desk(config, again)
    click.echo(f"{short(row.id)} goes to {row.channel} again as soon as a gateway runs.")


@click.command()
@click.argument("matchers", nargs=-1, metavar="NAME=VALUE...")
@click.option("--for", "lasting", metavar="TIME", default="2h", show_default=True, help="30m, 2h, 1d...")
@click.option("--why", metavar="TEXT", help="For those who wonder; needed for a new one.")
@click.option("--who", metavar="NAME", default=who_am_i, help="Who wants it; else whoever is logged in.")
@click.option("--end", metavar="ID", help="End this silence instead.")
@config_option
def silence(
    matchers: tuple[str, ...], lasting: str, why: str | None, who: str, end: str | None, config: Path | None
) -> None:
    """Keep back alerts that have all these labels: team=search, rule=errors, severity=info, model='gpt-*'.

    What still fires when the silence is over is told then.
    """
    if end is not None:
        if matchers:
            fail("--end takes no matchers", "End a silence, or make one", Exit.USAGE)
        _end(end, config)
        return
    if not matchers or why is None:
        missing = "no NAME=VALUE says what to keep back" if not matchers else "--why is missing"
        fail(missing, "weighbridge alerts silence team=search --for 2h --why 'migration'", Exit.USAGE)
    pairs = [_pair(matcher) for matcher in matchers]
    try:
        seconds = Given({"--for": lasting}).seconds("--for", 0, 60, LONGEST_SILENCE // timedelta(seconds=1))
        check_matchers(dict(pairs))
    except Unfit as unfit:
        fail(f"{unfit.key}: {unfit.what}", unfit.how, Exit.USAGE)
    except ApiError as error:
        fail(error.detail.message.removeprefix("matchers: "), code=Exit.USAGE)
    now = datetime.now(UTC)
    until = now + timedelta(seconds=seconds)
    made = at_the_desk(config, lambda deps: deps.desk.silence(pairs, until, who, why, now))
    click.echo(f"Silence {made.id} keeps back {_told(made)} until {clock(until, now)}.")
    click.echo(f"End it early with 'weighbridge alerts silence --end {made.id}'.")


def _pair(matcher: str) -> tuple[str, str]:
    name, equals, value = matcher.partition("=")
    if not name or not equals or not value:
        fail(f"{matcher} is no NAME=VALUE", "Write it like team=search", Exit.USAGE)
    return name, value


def _end(silence_id: str, config: Path | None) -> None:
    now = datetime.now(UTC)
    if not at_the_desk(config, lambda deps: deps.desk.end_silence(silence_id, now)):
        fail(
            f"there is no silence {silence_id} that holds",
            "'weighbridge alerts silences' shows what there is",
        )
    click.echo(f"Silence {silence_id} is over; what still fires is told.")


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@config_option
def silences(everything: bool, config: Path | None) -> None:
    """List silences."""
    now = datetime.now(UTC)
    found: Sequence[Silence] = at_the_desk(
        config, lambda deps: deps.desk.silences(None if everything else now)
    )
    screen = console()
    if not found:
        screen.print("No silences.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("ID", "KEEPS BACK", "UNTIL", "WHO", "WHY"):
        table.add_column(title)
    for one in found:
        over = " (over)" if one.until <= now else ""
        table.add_row(one.id, _told(one), clock(one.until, now) + over, one.who, one.why)
    screen.print(table)


def _told(one: Silence) -> str:
    return " ".join(f"{name}={value}" for name, value in one.matchers)


@click.command()
@click.argument("channel")
@config_option
def enable(channel: str, config: Path | None) -> None:
    """Send to CHANNEL again, whose receiver had said that it is gone (410)."""

    async def work(deps: AlertsDeps) -> bool:
        if channel not in deps.plan().names:
            fail(f"{channel} is not a channel", deps.plan().meant(channel), Exit.USAGE)
        return await deps.outbox.enable(channel)

    if not at_the_desk(config, work):
        fail(f"{channel} is not disabled", "'weighbridge alerts deliveries' shows what came of its messages")
    click.echo(f"What waited for {channel} is sent as soon as a gateway runs.")
