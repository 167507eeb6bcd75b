"""Gateway keys and read tokens on the screen, and how one is found by what people call it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from gateway.api.key_models import KeyOut, TokenOut
from gateway.cli import wording
from gateway.cli.options import fail
from gateway.cli.plain_table import Column, print_table
from gateway.settings.problem import did_you_mean
from storage.control import ControlDatabase
from storage.keys import admin
from storage.keys.model import KeyRow, TokenRow

_BOUND = ("tenant", "team", "user", "project", "environment")
_STATES = {"active": "green", "expired": "yellow", "revoked": "red"}
KEY_COLUMNS = (
    Column("NAME"),
    Column("ID", style="dim"),
    Column("STATE"),
    Column("FOR", rank=1, wraps=20),
    Column("LIMITS", rank=2),
    Column("EXPIRES", rank=4),
    Column("CREATED", rank=5, style="dim"),
)
TOKEN_COLUMNS = (
    Column("NAME"),
    Column("ID", style="dim"),
    Column("STATE"),
    Column("SEES"),
    Column("EXPIRES", rank=1),
    Column("CREATED", rank=2, style="dim"),
)


async def find(db: ControlDatabase, named: str) -> KeyRow:
    """The key of that id or name; ends the process where there is none, or more than one."""
    rows = await admin.keys(db)
    found = [row for row in rows if row.key.id == named] or [
        row for row in rows if row.key.name == named and row.revoked_ms is None
    ]
    _one("key", named, [row.key.id for row in found], [row.key.name for row in rows])
    return found[0]


async def find_token(db: ControlDatabase, named: str) -> TokenRow:
    """The same for a token."""
    rows = await admin.tokens(db)
    found = [row for row in rows if row.token.id == named] or [
        row for row in rows if row.token.name == named and row.revoked_ms is None
    ]
    _one("token", named, [row.token.id for row in found], [row.token.name for row in rows])
    return found[0]


def _one(what: str, named: str, ids: Sequence[str], names: Sequence[str]) -> None:
    if len(ids) > 1:
        fail(f"{len(ids)} {what}s are called {named!r}", f"Name one by its id: {', '.join(ids)}")
    if not ids:
        hint = did_you_mean(named, names)
        fail(f"there is no {what} {named!r}", f"{hint}'weighbridge {what}s list --all' lists them all")


def print_keys(screen: Console, keys: Sequence[KeyOut], hidden: int) -> None:
    """A line for each."""
    rows = [
        (
            key.name,
            key.id,
            state(key.state),
            bound(key),
            limits(key),
            day(key.expires_at),
            day(key.created_at),
        )
        for key in keys
    ]
    if rows:
        print_table(screen, KEY_COLUMNS, rows)
    elif not hidden:
        screen.print("No keys yet. Make one with 'weighbridge keys create NAME'.")
    _print_hidden(screen, hidden)


def print_tokens(screen: Console, tokens: Sequence[TokenOut], hidden: int) -> None:
    """A line for each."""
    rows = [
        (
            token.name,
            token.id,
            state(token.state),
            sees(token),
            day(token.expires_at),
            day(token.created_at),
        )
        for token in tokens
    ]
    if rows:
        print_table(screen, TOKEN_COLUMNS, rows)
    elif not hidden:
        screen.print("No tokens yet. Make one with 'weighbridge tokens create NAME --team X'.")
    _print_hidden(screen, hidden)


def _print_hidden(screen: Console, hidden: int) -> None:
    if hidden:
        screen.print(f"{hidden} revoked: shown with --all", style="dim")


def print_key(screen: Console, key: KeyOut) -> None:
    """All it says."""
    screen.print(Text.assemble((key.name, "bold"), "  ", state(key.state)))
    lines = {
        "id": key.id,
        "for": bound(key),
        "tags": ", ".join(f"{name}={value}" for name, value in key.tags.items()),
        "providers": ", ".join(key.providers) or "all",
        "models": ", ".join(key.models) or "all",
        "requires": ", ".join(key.required),
        "limits": limits(key),
        "trusts prices": "yes" if key.trusts_prices else "",
        "content kept": key.capture or "",
        "traced": "by the app" if key.traced else "",
        "created": key.created_at,
        "expires": key.expires_at or "never",
        "revoked": key.revoked_at or "",
        "replaced secret": f"good until {key.replaced_secret_until}" if key.replaced_secret_until else "",
    }
    for name, value in lines.items():
        if value and value != wording.NOTHING:
            screen.print(Text.assemble((f"  {name + ':':<17}", "dim"), value))


def state(text: str) -> Text:
    return Text(text, _STATES[text])


def bound(one: KeyOut | TokenOut) -> str:
    """``tenant acme, team search``."""
    said = [(name, getattr(one, name, None)) for name in _BOUND]
    return ", ".join(f"{name} {value}" for name, value in said if value) or wording.NOTHING


def sees(token: TokenOut) -> str:
    """``tenant acme, with content``."""
    said = bound(token) if bound(token) != wording.NOTHING else "everything"
    return f"{said}, with content" if token.content else said


def limits(key: KeyOut) -> str:
    """``60 calls/min, 4 at once``."""
    said = (
        (key.calls_per_minute, "calls/min"),
        (key.tokens_per_minute, "tokens/min"),
        (key.concurrent, "at once"),
    )
    return ", ".join(f"{number:,} {what}" for number, what in said if number) or wording.NOTHING


def day(moment: str | None) -> str:
    """The day of a time of the API."""
    return wording.NOTHING if moment is None else moment[:10]
