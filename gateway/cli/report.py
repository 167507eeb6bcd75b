"""Report a week or a month: spend, changes, quality, forecast, advice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.markdown import Markdown

from gateway.cli.alerts_post import post_from, post_now
from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail, settings_from
from gateway.cli.reading import address_of, reading
from gateway.cli.screen import console
from gateway.reporting.make import made
from gateway.settings import Settings
from storage.insights.report import Wanted
from telemetry.insights.report import html, markdown
from telemetry.insights.report.contents import Report
from telemetry.insights.report.notice import notice_of
from telemetry.insights.report.page import page
from telemetry.insights.report.schedule import Span, whole

FORMATS: Final = {"md": markdown.rendered, "html": html.rendered}
_SUFFIXES: Final = {".md": "md", ".markdown": "md", ".html": "html", ".htm": "html"}
_COLUMNS: Final = {"tenant": "tenant_id", "team": "team", "project": "project"}


@click.command()
@click.option("--weekly", "span", flag_value=Span.WEEKLY.value, help="The last whole week, Monday to Sunday.")
@click.option("--monthly", "span", flag_value=Span.MONTHLY.value, help="The last whole month.")
@click.option(
    "--at",
    metavar="DAY",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The one before that day instead; today by default.",
)
@click.option("--tz", metavar="ZONE", help="Time zone of days (IANA name); else reports.tz of the settings.")
@click.option("--tenant", metavar="X", help="Only this tenant.")
@click.option("--team", metavar="X", help="Only this team.")
@click.option("--project", metavar="X", help="Only this project.")
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), help="Else what FILE ends in, or Markdown."
)
@click.option(
    "--output",
    "-o",
    "out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write into FILE, else to stdout.",
    metavar="FILE",
)
@click.option(
    "--send", "channel", metavar="CHANNEL", help="Send it there instead, from this machine and at once."
)
@config_option
def report(
    span: str | None,
    at: datetime | None,
    tz: str | None,
    form: str | None,
    out: Path | None,
    channel: str | None,
    config: Path | None,
    **scope: str | None,
) -> None:
    """Report the last whole week or month, compared with the one before it."""
    if span is None:
        raise click.UsageError("Say --weekly or --monthly.")
    settings = settings_from(config)
    post = None if channel is None else post_from(config, channel)
    if post is not None and not post.carries_notices:
        fail(
            f"{post.name} ({post.channel.name}) opens incidents and shows no reports",
            "Name another channel",
            Exit.USAGE,
        )
    zone = _zone(tz or settings.reports.tz)
    day = datetime.now(zone).date() if at is None else at.date()
    since, until = whole(Span(span), day)
    columns = {_COLUMNS[name]: value for name, value in scope.items() if value is not None}
    wanted = Wanted(
        span=Span(span), since=since, until=until, zone=zone.key, scope=columns, users=post is None
    )
    found = asyncio.run(_report(settings, wanted))
    if not found.now.calls and not found.before.calls:
        hint = "'weighbridge calls' shows what there is; --at DAY reports the time before that day"
        fail(f"no calls from {since} to {until - timedelta(days=1)} and in the time before", hint)
    if post is not None:
        post_now(post, post.body(notice_of(found, datetime.now(UTC))))
    else:
        _show(found, form or (_SUFFIXES.get(out.suffix.lower(), "md") if out else "md"), out)


async def _report(settings: Settings, wanted: Wanted) -> Report:
    async with reading(settings) as engine:
        return await made(engine, address_of(settings), wanted)


def _show(found: Report, form: str, out: Path | None) -> None:
    text = FORMATS[form](page(found))
    if out is not None:
        _write(out, text)
    elif form == "md" and console().is_terminal:
        console().print(Markdown(text))
    else:
        click.echo(text, nl=False)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fail(
            f"{name[:60]!r} is not a time zone this machine knows",
            'Give an IANA name, such as "Europe/Zurich" or "UTC"',
            Exit.USAGE,
        )


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}", "Name another file with --output")
    click.echo(f"Written to {out}", err=True)


COMMAND: Final = report
