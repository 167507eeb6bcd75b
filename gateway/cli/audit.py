"""See who changed keys, tokens and budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from gateway.api.values import moment_text
from gateway.cli import wording
from gateway.cli.control_database import work
from gateway.cli.options import config_option, settings_from
from gateway.cli.plain_table import Column, print_table
from gateway.cli.screen import console
from storage import audit as log
from storage.audit import AuditLine

COLUMNS: Final = (
    Column("TIME"),
    Column("WHO", rank=1),
    Column("ACTION"),
    Column("NAME"),
    Column("WHAT", wraps=24),
    Column("ID", rank=2, style="dim"),
)
_MOMENTS: Final = ("expires_ms",)
_MONEY: Final = ("limit", "ceiling_nano_per_mtok")


@click.command()
@click.option(
    "--limit", "-n", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most lines."
)
@click.option("--subject", metavar="ID", help="Only what was done to this key, token or budget.")
@click.option("--actor", metavar="X", help="Only what was done by this one.")
@click.option("--action", metavar="X", help="Only this: key.revoke; key for all that was done to keys.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@config_option
def audit(
    limit: int, subject: str | None, actor: str | None, action: str | None, as_json: bool, config: Path | None
) -> None:
    """Show the latest changes of keys, tokens and budgets, newest first."""
    lines = work(
        settings_from(config),
        lambda db: log.lines(db, limit=limit, subject=subject, actor=actor, action=action),
    )
    if as_json:
        for line in lines:
            click.echo(line_json(line))
        return
    screen = console()
    if lines:
        print_table(screen, COLUMNS, [_row(line) for line in lines])
    else:
        screen.print("Nothing was changed." if not (subject or actor or action) else "No such change.")


def _row(line: AuditLine) -> list[str]:
    detail = json.loads(line.detail)
    when = datetime.fromtimestamp(line.at_ms / 1000, UTC).astimezone()
    return [
        f"{when:%Y-%m-%d %H:%M:%S}",
        line.actor,
        line.action,
        str(detail.get("name", "")),
        what(detail),
        line.subject,
    ]


def what(detail: Mapping[str, Any]) -> str:
    """``limit $500.00 -> $600.00, team – -> search``."""
    if "grace_ms" in detail:
        return f"the old secret is good for {detail['grace_ms'] // 60_000:,} min more"
    usd = detail.get("unit", "usd") == "usd"
    return ", ".join(
        f"{field.removesuffix('_ms').removesuffix('_ppm')} {_text(field, change['before'], usd)} -> "
        f"{_text(field, change['after'], usd)}"
        for field, change in detail.get("changes", {}).items()
    )


def _text(field: str, value: Any, usd: bool) -> str:
    if value is None or value == [] or value == "":
        return wording.NOTHING
    if field in _MOMENTS:
        return moment_text(value) or ""
    if field in _MONEY and usd:
        return wording.money(value)
    if isinstance(value, list):
        return " ".join("=".join(map(str, one)) if isinstance(one, list) else str(one) for one in value)
    return str(value)


def line_json(line: AuditLine) -> str:
    """As the API has it."""
    return json.dumps(
        {
            "id": line.id,
            "at": moment_text(line.at_ms),
            "actor": line.actor,
            "action": line.action,
            "subject": line.subject,
            "detail": json.loads(line.detail),
        }
    )


COMMAND: Final = audit
