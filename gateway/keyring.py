"""Gateway keys and tokens in memory: every check is a look-up, and no call asks the database.

The last good state is kept on disk, so that a gateway that starts without its database knows its keys.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path
from typing import Final

import msgspec

from storage.budgets.leases import KEY_LIMIT
from storage.budgets.model import Budget, Mode, Unit, Window
from storage.keys.model import Key, KeyRow, TokenRow, digest

FILE: Final = "keys.snapshot"


class KnownKey(msgspec.Struct, frozen=True):
    """A key by one of its secrets, good until then (milliseconds since 1970, UTC; ``None``: for ever), and its limits
    as budgets."""

    key: Key
    digest: str
    """Of the secret."""
    until_ms: int | None
    limits: tuple[Budget, ...]

    def is_good(self, now_ms: int) -> bool:
        return self.until_ms is None or now_ms < self.until_ms


class Snapshot(msgspec.Struct, frozen=True):
    """What is kept on disk: digests, no secrets; and the budgets, which must hold from the first call on."""

    version: int
    keys: list[KeyRow]
    tokens: list[TokenRow]
    budgets: list[Budget] = []


class KeyRing:
    """All keys. Replaced as a whole when one changes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._keys: dict[str, KnownKey] = {}
        self._ended: dict[str, tuple[str, Key]] = {}
        """Digest of a secret -> why it is not good, if it is not, and whose it was."""
        self._tokens: dict[str, TokenRow] = {}
        self._ends: list[int] = []
        """When secrets end, in that order: with their key, or with the grace of one that was replaced."""
        self.limits: dict[str, Budget] = {}
        """Of all keys that are good, by the ids of the limits."""
        self.version = -1
        """Of the state in memory; -1: nothing is known yet."""

    @property
    def is_known(self) -> bool:
        return self.version >= 0

    def find(self, secret: bytes, now_ms: int) -> KnownKey | None:
        """The key of this secret, if it is good."""
        known = self._keys.get(digest(secret))
        return known if known is not None and known.is_good(now_ms) else None

    def why_not(self, secret: bytes) -> tuple[str, Key | None]:
        """What is wrong with a secret that :meth:`find` does not know, for its holder's eyes, and whose it was."""
        found = digest(secret)
        if found in self._ended:
            return self._ended[found]
        expired = self._keys.get(found)
        return ("is not known", None) if expired is None else ("has expired", expired.key)

    def still_good(self, began: KnownKey, now_ms: int) -> bool:
        """Is the secret with which a call began good now?"""
        known = self._keys.get(began.digest)
        return known is not None and known.is_good(now_ms)

    def has_expired(self, after_ms: int, until_ms: int) -> bool:
        """Has a secret come to its end after the one moment and not after the other?"""
        return bisect_right(self._ends, after_ms) < bisect_right(self._ends, until_ms)

    def token(self, secret: str, now_ms: int) -> TokenRow | None:
        """The token of this secret, if it is good."""
        row = self._tokens.get(digest(secret))
        if row is None or row.revoked_ms is not None:
            return None
        expires = row.token.expires_ms
        return row if expires is None or now_ms < expires else None

    def take(self, snapshot: Snapshot) -> None:
        """The state of the database, or of the disk."""
        keys: dict[str, KnownKey] = {}
        ended: dict[str, tuple[str, Key]] = {}
        for row in snapshot.keys:
            limits = limits_of(row.key)
            if row.revoked_ms is not None:
                secrets = [one for one in (row.digest, row.previous_digest) if one is not None]
                ended.update(dict.fromkeys(secrets, ("was revoked", row.key)))
                continue
            keys[row.digest] = KnownKey(row.key, row.digest, row.key.expires_ms, limits)
            if row.previous_digest is not None:
                until = [at for at in (row.key.expires_ms, row.previous_until_ms) if at is not None]
                old = row.previous_digest
                keys[old] = KnownKey(row.key, old, min(until, default=0), limits)
                ended[row.previous_digest] = ("was replaced by another", row.key)
        self._keys, self._ended = keys, ended
        self._ends = sorted(known.until_ms for known in keys.values() if known.until_ms is not None)
        self.limits = {limit.id: limit for known in keys.values() for limit in known.limits}
        self._tokens = {row.digest: row for row in snapshot.tokens}
        self.version = snapshot.version

    def load(self) -> Snapshot | None:
        """Take the last good state from the disk, if there is one that can be read."""
        try:
            found = msgspec.msgpack.decode(self._path.read_bytes(), type=Snapshot)
        except (OSError, msgspec.MsgspecError):
            return None
        self.take(found)
        return found

    def save(self, snapshot: Snapshot) -> None:
        """Keep it (0600), whole or not at all. Blocks; raises ``OSError``."""
        part = self._path.with_name(f"{FILE}.{os.getpid()}")
        part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.msgpack.encode(snapshot))
        os.replace(part, self._path)


def limits_of(key: Key) -> tuple[Budget, ...]:
    """A key's own limits, as budgets that no row of a call counts on."""
    said = (
        (key.calls_per_minute, Unit.CALLS, Window.MINUTE),
        (key.tokens_per_minute, Unit.TOKENS, Window.MINUTE),
        (key.concurrent, Unit.SLOTS, Window.TOTAL),
    )
    return tuple(
        Budget(
            id=f"{KEY_LIMIT}{key.id}:{unit}",
            name=f"{key.name}: {unit}",
            limit=limit,
            unit=unit,
            window=window,
            mode=Mode.HARD,
        )
        for limit, unit, window in said
        if limit is not None
    )
