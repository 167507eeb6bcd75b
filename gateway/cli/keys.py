"""Make, change, rotate and revoke gateway keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from gateway.api.fit import Unfit, fit
from gateway.api.key_models import KeyIn, KeyMadeOut, KeyOut, RotateIn, key_out, said_of
from gateway.api.values import moment_text
from gateway.cli.control_database import actor, known_of, now_ms, refuse, work
from gateway.cli.key_table import find, print_key, print_keys
from gateway.cli.options import config_option, fail, passed_on, settings_from
from gateway.cli.screen import console
from gateway.cli.section import Section
from gateway.settings import Settings
from storage.control import ControlDatabase
from storage.keys import admin
from storage.keys.model import Key, KeyRow, new_key_id

F = TypeVar("F", bound=Callable[..., object])
OPTIONS: Final = {
    "name": "NAME",
    "tags": "--tag",
    "providers": "--provider",
    "models": "--model",
    "required": "--require",
    "expires_at": "--expires",
}
"""Field -> how it is typed, where that is not its name."""
LISTS: Final = ("tags", "providers", "models", "required")
ONE_OF: Final = (
    ("--tenant", "Its calls are this tenant's."),
    ("--team", "Its calls are this team's."),
    ("--user", "Its calls are this user's."),
    ("--project", "Its calls are for this project."),
    ("--environment", "Its calls are from this environment."),
    ("--capture", "Keep at most this of its prompts and answers: none, hash, redacted, full."),
)
MANY: Final = (
    ("--tag", "NAME=VALUE", "A tag its calls have; repeatable."),
    ("--provider", "X", "A provider it may call; repeatable. None: all."),
    ("--model", "X", "A model it may use, * stands for anything; repeatable. None: all."),
    ("--require", "ATTRIBUTE", "An attribute every request has to name; repeatable."),
)
NUMBERS: Final = (
    ("--calls-per-minute", "Most calls in a minute."),
    ("--tokens-per-minute", "Most tokens in a minute."),
    ("--concurrent", "Most calls at the same time."),
)
SWITCHES: Final = (
    ("--trusts-prices/--no-trusts-prices", "Believe what the app says its calls cost."),
    ("--traced/--no-traced", "The app exports spans of its calls itself: export none of ours."),
)
EXPIRES: Final = "When it ends: 90d, 2027-01-01, 2027-01-01T12:00:00Z."
CLEARABLE: Final = tuple(
    option.removeprefix("--") for option, *_ in (*ONE_OF, *MANY, *NUMBERS, ("--expires", EXPIRES))
)
"""What ``--unset`` takes away."""


def _said(function: F) -> F:
    """The options that say what a key is."""
    fields = {option: field for field, option in OPTIONS.items()}
    options = [
        *(click.option(option, metavar="X", help=text) for option, text in ONE_OF),
        *(
            click.option(option, fields[option], metavar=metavar, multiple=True, help=text)
            for option, metavar, text in MANY
        ),
        *(click.option(option, type=int, metavar="N", help=text) for option, text in NUMBERS),
        click.option("--expires", fields["--expires"], metavar="WHEN", help=EXPIRES),
        *(click.option(option, default=None, help=text) for option, text in SWITCHES),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.group(cls=Section, invoke_without_command=True)
@config_option
@click.pass_context
def keys(ctx: click.Context, config: Path | None) -> None:
    """Make, change, rotate and revoke gateway keys; without a command, list them.

    Works on the database of the settings, also while no gateway runs. A running gateway takes a change over within
    about a second.
    """
    passed_on(ctx, config, listing)


@keys.command("list")
@config_option
@click.option("--all", "everything", is_flag=True, help="Revoked ones too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def listing(config: Path | None = None, everything: bool = False, as_json: bool = False) -> None:
    """List keys, newest first."""
    rows = work(settings_from(config), admin.keys)
    now = now_ms()
    shown = [key_out(row, now) for row in rows if everything or row.revoked_ms is None]
    if as_json:
        for key in shown:
            click.echo(key.model_dump_json())
        return
    print_keys(console(), shown, hidden=len(rows) - len(shown))


@keys.command()
@click.argument("key")
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(key: str, config: Path | None, as_json: bool) -> None:
    """Show what KEY (its name or id) says."""
    found = _shown(work(settings_from(config), lambda db: find(db, key)))
    if as_json:
        click.echo(found.model_dump_json())
    else:
        print_key(console(), found)


@keys.command()
@click.argument("name")
@_said
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON, the secret included.")
def create(name: str, config: Path | None, as_json: bool, **said: Any) -> None:
    """Make a key called NAME. Its secret is printed once, on stdout; it is not kept and cannot be shown again."""
    settings = settings_from(config)
    key = _fit(settings, {"name": name, **_given(said)}).to_key(new_key_id())

    async def make(db: ControlDatabase) -> tuple[KeyRow, str]:
        made_ms = now_ms()
        secret = await admin.create_key(db, key, actor(), made_ms)
        return KeyRow(key, "", None, None, made_ms, None), secret

    row, secret = work(settings, make, makes=True)
    _print_secret(_shown(row), secret, as_json, f"Key {name!r} ({key.id}) is made.")


@keys.command()
@click.argument("key")
@click.option("--name", metavar="X", help="Another name.")
@_said
@click.option(
    "--unset", type=click.Choice(CLEARABLE), multiple=True, help="What it shall say no longer; repeatable."
)
@config_option
def update(key: str, config: Path | None, name: str | None, unset: tuple[str, ...], **said: Any) -> None:
    """Change what KEY (its name or id) says; what is not named stays. Lists are replaced as a whole."""
    settings = settings_from(config)
    given = _given({"name": name, **said}) | {_field(one): _nothing(_field(one)) for one in unset}
    if not given:
        fail("nothing is to change", "'weighbridge keys update --help' lists what can be")

    async def change(db: ControlDatabase) -> KeyRow:
        before = await find(db, key)

        def edit(current: Key) -> Key:
            return _fit(settings, {**said_of(current), **given}, *current.providers).to_key(current.id)

        row = await admin.change_key(db, before.key.id, edit, actor())
        if row is None:
            fail(f"the key {before.key.name!r} is revoked, and that is for ever", "Make another one")
        return row

    print_key(console(), _shown(work(settings, change)))


@keys.command()
@click.argument("key")
@click.option(
    "--grace",
    default="24h",
    show_default=True,
    metavar="SPAN",
    help="How long the old secret is good as well: 30m, 24h, 7d, 0.",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON, the secret included.")
def rotate(key: str, grace: str, config: Path | None, as_json: bool) -> None:
    """Give KEY (its name or id) another secret. It is printed once, on stdout.

    The secret of before is good for the grace; one that was replaced earlier ends at once. With a secret end the
    streams and WebSockets that run with it.
    """
    settings = settings_from(config)
    try:
        grace_ms = fit(RotateIn, {"grace": grace}, known_of(settings)).grace
    except Unfit as error:
        refuse(error, OPTIONS)

    async def turn(db: ControlDatabase) -> tuple[KeyRow, str]:
        row = await find(db, key)
        secret = await admin.rotate_key(db, row.key.id, actor(), now_ms(), grace_ms)
        after = await admin.key_of(db, row.key.id)
        if secret is None or after is None:
            fail(f"the key {row.key.name!r} is revoked, and that is for ever", "Make another one")
        return after, secret

    row, secret = work(settings, turn)
    shown = _shown(row)
    until = shown.replaced_secret_until
    old = f"The old one is good until {until}." if until else "The old one is not good any more."
    _print_secret(shown, secret, as_json, f"Key {shown.name!r} ({shown.id}) has another secret. {old}")


@keys.command()
@click.argument("key")
@config_option
def revoke(key: str, config: Path | None) -> None:
    """End KEY (its name or id) for ever. Its running streams are cut within about a second, and billed."""
    settings = settings_from(config)

    async def end(db: ControlDatabase) -> tuple[KeyRow, bool]:
        row = await find(db, key)
        return row, await admin.revoke_key(db, row.key.id, actor(), now_ms())

    row, ended = work(settings, end)
    since = "" if ended else f" already, since {moment_text(row.revoked_ms)}"
    click.echo(f"Key {row.key.name!r} ({row.key.id}) is revoked{since}.")


def _shown(row: KeyRow) -> KeyOut:
    return key_out(row, now_ms())


def _print_secret(key: KeyOut, secret: str, as_json: bool, what: str) -> None:
    """The secret alone on stdout, so that it can be piped; the words on stderr."""
    if as_json:
        click.echo(KeyMadeOut(key=key, secret=secret).model_dump_json())
        return
    click.echo(f"{what} Its secret, shown only now:", err=True)
    click.echo(secret)
    click.echo(
        "Apps send it as the API key of their SDK, or beside the provider's key in the header\n"
        "  x-weighbridge-key: SECRET",
        err=True,
    )


def _given(said: dict[str, Any]) -> dict[str, Any]:
    """What was typed."""
    given = {name: value for name, value in said.items() if value is not None and value != ()}
    if "tags" in given:
        pairs = [tag.partition("=") for tag in given["tags"]]
        given["tags"] = {name: value for name, _, value in pairs}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _field(option: str) -> str:
    typed = {how.removeprefix("--"): field for field, how in OPTIONS.items()}
    return typed.get(option, option.replace("-", "_"))


def _nothing(field: str) -> Any:
    return ({} if field == "tags" else []) if field in LISTS else None


def _fit(settings: Settings, given: dict[str, Any], *providers: str) -> KeyIn:
    try:
        return fit(KeyIn, given, known_of(settings).also(providers))
    except Unfit as error:
        refuse(error, OPTIONS)


COMMAND: Final = keys
