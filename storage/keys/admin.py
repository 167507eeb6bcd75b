"""Making, rotating and revoking keys and tokens; each change is written to the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from storage import audit
from storage.address import Engine
from storage.budgets.admin import bump
from storage.control.contract import ControlDatabase, Row
from storage.keys.model import KEY_PREFIX, TOKEN_PREFIX, Key, KeyRow, Token, TokenRow, digest, new_secret

_KEYS: Final = (
    "SELECT definition, digest, previous_digest, previous_until_ms, created_ms, revoked_ms FROM gateway_keys"
)
_TOKENS: Final = "SELECT definition, digest, created_ms, revoked_ms FROM api_tokens"
Place = tuple[int, str]
"""Where a list goes on: when the last one was made (milliseconds), and its id."""


class _Named(msgspec.Struct):
    """What keys and tokens have in common."""

    name: str


_named = msgspec.json.Decoder(_Named)
_key = msgspec.json.Decoder(Key)
_token = msgspec.json.Decoder(Token)


async def create_key(db: ControlDatabase, key: Key, actor: str, now_ms: int) -> str:
    """Add a key; returns its secret, which is not kept and never shown again."""
    secret = new_secret(KEY_PREFIX)
    async with db.transaction() as tx:
        insert = "INSERT INTO gateway_keys (id, digest, definition, created_ms) VALUES (?, ?, ?, ?)"
        await tx.run(insert, key.id, digest(secret), _text(key), now_ms)
        await bump(tx, "keys")
        await audit.write(tx, actor, "key.create", key.id, msgspec.to_builtins(key))
    return secret


async def change_key(
    db: ControlDatabase, key_id: str, edit: Callable[[Key], Key], actor: str
) -> KeyRow | None:
    """Replace what a key says by what ``edit`` makes of it, with nobody else in between.

    ``None``: there is no such key, or it is revoked. Raises whatever ``edit`` raises.
    """
    async with db.transaction() as tx:
        lock = " FOR UPDATE" if tx.engine is Engine.POSTGRESQL else ""
        rows = await tx.fetch(f"{_KEYS} WHERE id = ? AND revoked_ms IS NULL{lock}", key_id)
        if not rows:
            return None
        before = _key_row(rows[0])
        after = edit(before.key)
        if after != before.key:
            await tx.run("UPDATE gateway_keys SET definition = ? WHERE id = ?", _text(after), key_id)
            await bump(tx, "keys")
            detail = {"name": after.name, "changes": audit.changes(before.key, after)}
            await audit.write(tx, actor, "key.update", key_id, detail)
        return msgspec.structs.replace(before, key=after)


async def rotate_key(db: ControlDatabase, key_id: str, actor: str, now_ms: int, grace_ms: int) -> str | None:
    """A new secret for a key; the old one is good for ``grace_ms`` more. ``None``: there is no such key."""
    secret = new_secret(KEY_PREFIX)
    until_ms = now_ms + grace_ms if grace_ms else 0  # at once, also where a clock is behind
    async with db.transaction() as tx:
        change = (
            "UPDATE gateway_keys SET previous_digest = digest, previous_until_ms = ?, digest = ?"
            " WHERE id = ? AND revoked_ms IS NULL RETURNING definition"
        )
        done = await tx.fetch(change, until_ms, digest(secret), key_id)
        if not done:
            return None
        await bump(tx, "keys")
        detail = {"name": _key.decode(done[0][0]).name, "grace_ms": grace_ms}
        await audit.write(tx, actor, "key.rotate", key_id, detail)
    return secret


async def revoke_key(db: ControlDatabase, key_id: str, actor: str, now_ms: int) -> bool:
    """End a key; whether there was one to end."""
    return await _revoke(db, "gateway_keys", "key.revoke", key_id, actor, now_ms)


async def create_token(db: ControlDatabase, token: Token, actor: str, now_ms: int) -> str:
    """Add a token that may read; returns its secret, which is never shown again."""
    secret = new_secret(TOKEN_PREFIX)
    async with db.transaction() as tx:
        insert = "INSERT INTO api_tokens (id, digest, definition, created_ms) VALUES (?, ?, ?, ?)"
        await tx.run(insert, token.id, digest(secret), _text(token), now_ms)
        await bump(tx, "keys")
        await audit.write(tx, actor, "token.create", token.id, msgspec.to_builtins(token))
    return secret


async def revoke_token(db: ControlDatabase, token_id: str, actor: str, now_ms: int) -> bool:
    """End a token; whether there was one to end."""
    return await _revoke(db, "api_tokens", "token.revoke", token_id, actor, now_ms)


async def keys(db: ControlDatabase) -> list[KeyRow]:
    """All of them, revoked ones too, the newest first."""
    return [_key_row(row) for row in await db.fetch(f"{_KEYS} ORDER BY created_ms DESC, id")]


async def key_page(db: ControlDatabase, after: Place | None, limit: int) -> list[KeyRow]:
    """The same, at most ``limit`` of those behind ``after``."""
    behind, values = _behind(after)
    query = f"{_KEYS}{behind} ORDER BY created_ms DESC, id LIMIT ?"
    return [_key_row(row) for row in await db.fetch(query, *values, limit)]


async def key_of(db: ControlDatabase, key_id: str) -> KeyRow | None:
    rows = await db.fetch(f"{_KEYS} WHERE id = ?", key_id)
    return _key_row(rows[0]) if rows else None


async def tokens(db: ControlDatabase) -> list[TokenRow]:
    """All of them, revoked ones too, the newest first."""
    return [_token_row(row) for row in await db.fetch(f"{_TOKENS} ORDER BY created_ms DESC, id")]


async def token_page(db: ControlDatabase, after: Place | None, limit: int) -> list[TokenRow]:
    """The same, at most ``limit`` of those behind ``after``."""
    behind, values = _behind(after)
    query = f"{_TOKENS}{behind} ORDER BY created_ms DESC, id LIMIT ?"
    return [_token_row(row) for row in await db.fetch(query, *values, limit)]


async def token_of(db: ControlDatabase, token_id: str) -> TokenRow | None:
    rows = await db.fetch(f"{_TOKENS} WHERE id = ?", token_id)
    return _token_row(rows[0]) if rows else None


async def _revoke(
    db: ControlDatabase, table: str, action: str, subject: str, actor: str, now_ms: int
) -> bool:
    async with db.transaction() as tx:
        change = f"UPDATE {table} SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL RETURNING definition"
        done = await tx.fetch(change, now_ms, subject)
        if done:
            await bump(tx, "keys")
            await audit.write(tx, actor, action, subject, {"name": _named.decode(done[0][0]).name})
        return bool(done)


def _behind(after: Place | None) -> tuple[str, list[Any]]:
    if after is None:
        return "", []
    created_ms, last = after
    return " WHERE created_ms < ? OR (created_ms = ? AND id > ?)", [created_ms, created_ms, last]


def _key_row(row: Row) -> KeyRow:
    return KeyRow(_key.decode(row[0]), *row[1:])


def _token_row(row: Row) -> TokenRow:
    return TokenRow(_token.decode(row[0]), *row[1:])


def _text(definition: Any) -> str:
    return msgspec.json.encode(definition).decode()
