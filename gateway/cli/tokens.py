"""Make and revoke tokens that may read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from gateway.api.fit import Unfit, fit
from gateway.api.key_models import TokenIn, TokenMadeOut, token_out
from gateway.api.values import moment_text
from gateway.cli.control_database import actor, known_of, now_ms, refuse, work
from gateway.cli.exits import Exit
from gateway.cli.key_table import find_token, print_tokens
from gateway.cli.options import config_option, fail, passed_on, settings_from
from gateway.cli.screen import console
from gateway.cli.section import Section
from storage.control import ControlDatabase
from storage.keys import admin
from storage.keys.model import TokenRow, new_token_id

OPTIONS: Final = {"name": "NAME", "expires_at": "--expires"}
"""Field -> how it is typed, where that is not its name."""


@click.group(cls=Section, invoke_without_command=True)
@config_option
@click.pass_context
def tokens(ctx: click.Context, config: Path | None) -> None:
    """Make and revoke tokens that may read the API within a scope; without a command, list them.

    Works on the database of the settings, also while no gateway runs. A running gateway takes a change over within
    about a second.
    """
    passed_on(ctx, config, listing)


@tokens.command("list")
@config_option
@click.option("--all", "everything", is_flag=True, help="Revoked ones too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def listing(config: Path | None, everything: bool, as_json: bool) -> None:
    """List tokens, newest first."""
    rows = work(settings_from(config), admin.tokens)
    now = now_ms()
    shown = [token_out(row, now) for row in rows if everything or row.revoked_ms is None]
    if as_json:
        for token in shown:
            click.echo(token.model_dump_json())
        return
    print_tokens(console(), shown, hidden=len(rows) - len(shown))


@tokens.command()
@click.argument("name")
@click.option("--tenant", metavar="X", help="It sees this tenant only.")
@click.option("--team", metavar="X", help="It sees this team only.")
@click.option("--user", metavar="X", help="It sees this user only.")
@click.option("--all", "everything", is_flag=True, help="It sees everything; instead of the three.")
@click.option("--content", is_flag=True, help="It may also read prompts and answers that were kept.")
@click.option(
    "--expires", "expires_at", metavar="WHEN", help="When it ends: 90d, 2027-01-01, 2027-01-01T12:00:00Z."
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON, the secret included.")
def create(
    name: str,
    tenant: str | None,
    team: str | None,
    user: str | None,
    everything: bool,
    content: bool,
    expires_at: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Make a token called NAME.

    Its secret is printed once, on stdout; it is not kept and cannot be shown again.
    """
    settings = settings_from(config)
    if everything == bool(tenant or team or user):
        fail("say what the token sees", "Name --tenant, --team or --user, or give --all alone", Exit.USAGE)
    said = {
        "name": name,
        "tenant": tenant,
        "team": team,
        "user": user,
        "everything": everything,
        "content": content,
    }
    try:
        token = fit(TokenIn, {**said, "expires_at": expires_at}, known_of(settings)).to_token(new_token_id())
    except Unfit as error:
        refuse(error, OPTIONS)

    async def make(db: ControlDatabase) -> tuple[TokenRow, str]:
        made_ms = now_ms()
        return TokenRow(token, "", made_ms, None), await admin.create_token(db, token, actor(), made_ms)

    row, secret = work(settings, make, makes=True)
    if as_json:
        click.echo(TokenMadeOut(token=token_out(row, now_ms()), secret=secret).model_dump_json())
        return
    click.echo(f"Token {name!r} ({token.id}) is made. Its secret, shown only now:", err=True)
    click.echo(secret)
    click.echo("Send it to the API in the header\n  Authorization: Bearer SECRET", err=True)


@tokens.command()
@click.argument("token")
@config_option
def revoke(token: str, config: Path | None) -> None:
    """End TOKEN (its name or id) for ever."""

    async def end(db: ControlDatabase) -> tuple[TokenRow, bool]:
        row = await find_token(db, token)
        return row, await admin.revoke_token(db, row.token.id, actor(), now_ms())

    row, ended = work(settings_from(config), end)
    since = "" if ended else f" already, since {moment_text(row.revoked_ms)}"
    click.echo(f"Token {row.token.name!r} ({row.token.id}) is revoked{since}.")


COMMAND: Final = tokens
