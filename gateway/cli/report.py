"""Report a week or a month: spend, changes, quality, forecast, advice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.markdown import Markdown

from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail, settings_from
from gateway.cli.reading import address_of, reading
from gateway.cli.screen import console
from gateway.settings import Settings
from storage.control import ControlUnavailable, control_of
from storage.insights.living import living_keys
from storage.insights.report import Reporter, Wanted
from telemetry.insights.report import html, markdown
from telemetry.insights.report.contents import Report
from telemetry.insights.report.page import page
from telemetry.insights.report.schedule import Span, whole

FORMATS: Final = {"md": markdown.rendered, "html": html.rendered}
_SUFFIXES: Final = {".md": "md", ".markdown": "md", ".html": "html", ".htm": "html"}


@click.command()
@click.option("--weekly", "span", flag_value=Span.WEEKLY.value, help="The last whole week, Monday to Sunday.")
@click.option("--monthly", "span", flag_value=Span.MONTHLY.value, help="The last whole month.")
@click.option(
    "--at", type=click.DateTime(["%Y-%m-%d"]), help="The one before that day instead; today by default."
)
@click.option("--tz", metavar="ZONE", default="UTC", show_default=True, help="Time zone of days (IANA name).")
@click.option("--tenant", metavar="X", help="Only this tenant.")
@click.option("--team", metavar="X", help="Only this team.")
@click.option("--project", metavar="X", help="Only this project.")
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), help="Else what FILE ends in, or Markdown."
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write into FILE.", metavar="FILE"
)
@config_option
def report(
    span: str | None,
    at: datetime | None,
    tz: str,
    tenant: str | None,
    team: str | None,
    project: str | None,
    form: str | None,
    out: Path | None,
    config: Path | None,
) -> None:
    """Report the last whole week or month, compared with the one before it."""
    if span is None:
        raise click.UsageError("Say --weekly or --monthly.")
    settings = settings_from(config)
    zone = _zone(tz)
    day = datetime.now(zone).date() if at is None else at.date()
    scope = {"tenant_id": tenant, "team": team, "project": project}
    wanted = {name: value for name, value in scope.items() if value is not None}
    found = asyncio.run(_report(settings, Span(span), day, tz, wanted))
    if not found.now.calls and not found.before.calls:
        hint = "'weighbridge calls' shows what there is; --at DAY reports the time before that day"
        last = found.until - timedelta(days=1)
        fail(f"no calls from {found.since} to {last} and in the time before", hint)
    form = form or (_SUFFIXES.get(out.suffix.lower(), "md") if out else "md")
    text = FORMATS[form](page(found))
    if out is not None:
        _write(out, text)
    elif form == "md" and console().is_terminal:
        console().print(Markdown(text))
    else:
        click.echo(text, nl=False)


async def _report(settings: Settings, span: Span, day: date, zone: str, scope: Mapping[str, str]) -> Report:
    since, until = whole(span, day)
    async with reading(settings) as engine:
        keys = None if scope else await _keys(settings)
        wanted = Wanted(span=span, since=since, until=until, zone=zone, scope=scope, keys=keys)
        return await Reporter(engine).report(wanted)


async def _keys(settings: Settings) -> Mapping[str, str] | None:
    control = control_of(address_of(settings))
    try:
        return await living_keys(control, int(time.time() * 1000))
    except ControlUnavailable:
        return None
    finally:
        await control.close()


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
        fail(f"{out} cannot be written: {error.strerror}", "Name another file with --out")
    click.echo(f"Written to {out}", err=True)


COMMAND: Final = report
