"""Making, rotating and revoking keys and tokens; each change is written to the audit log."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from storage import audit
from storage.budgets.admin import bump
from storage.control.contract import ControlDatabase, Row
from storage.keys.model import KEY_PREFIX, TOKEN_PREFIX, Key, KeyRow, Token, TokenRow, digest, new_secret

_KEYS: Final = (
    "SELECT definition, digest, previous_digest, previous_until_ms, created_ms, revoked_ms FROM gateway_keys"
)
_TOKENS: Final = "SELECT definition, digest, created_ms, revoked_ms FROM api_tokens"
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


async def update_key(db: ControlDatabase, key: Key, actor: str) -> bool:
    """Replace what the key ``key.id`` says; whether there is one that is not revoked."""
    async with db.transaction() as tx:
        change = "UPDATE gateway_keys SET definition = ? WHERE id = ? AND revoked_ms IS NULL"
        done = await tx.run(change, _text(key), key.id)
        if done:
            await bump(tx, "keys")
            await audit.write(tx, actor, "key.update", key.id, msgspec.to_builtins(key))
        return bool(done)


async def rotate_key(db: ControlDatabase, key_id: str, actor: str, now_ms: int, grace_ms: int) -> str | None:
    """A new secret for a key; the old one is good for ``grace_ms`` more. ``None``: there is no such key."""
    secret = new_secret(KEY_PREFIX)
    async with db.transaction() as tx:
        change = (
            "UPDATE gateway_keys SET previous_digest = digest, previous_until_ms = ?, digest = ?"
            " WHERE id = ? AND revoked_ms IS NULL"
        )
        if not await tx.run(change, now_ms + grace_ms, digest(secret), key_id):
            return None
        await bump(tx, "keys")
        await audit.write(tx, actor, "key.rotate", key_id, {"grace_ms": grace_ms})
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


async def key_of(db: ControlDatabase, key_id: str) -> KeyRow | None:
    rows = await db.fetch(f"{_KEYS} WHERE id = ?", key_id)
    return _key_row(rows[0]) if rows else None


async def tokens(db: ControlDatabase) -> list[TokenRow]:
    """All of them, revoked ones too, the newest first."""
    rows = await db.fetch(f"{_TOKENS} ORDER BY created_ms DESC, id")
    return [TokenRow(_token.decode(row[0]), *row[1:]) for row in rows]


async def _revoke(
    db: ControlDatabase, table: str, action: str, subject: str, actor: str, now_ms: int
) -> bool:
    async with db.transaction() as tx:
        change = f"UPDATE {table} SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL"
        done = await tx.run(change, now_ms, subject)
        if done:
            await bump(tx, "keys")
            await audit.write(tx, actor, action, subject)
        return bool(done)


def _key_row(row: Row) -> KeyRow:
    return KeyRow(_key.decode(row[0]), *row[1:])


def _text(definition: Any) -> str:
    return msgspec.json.encode(definition).decode()
