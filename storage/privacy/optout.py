"""People who opted out: kept out like those who were erased, and without an end. What is kept already stays.

Nobody is named: what is kept is a keyed digest of the id.
"""

from __future__ import annotations

from typing import Final

import msgspec

from storage import audit
from storage.control.contract import ControlDatabase, Transaction
from storage.privacy.database import Person
from storage.privacy.erased import FOR_EVER_MS, NAME, changed, digest_of, keep_out, locked

OUT: Final = "user.opt_out"
IN: Final = "user.opt_in"
"""In the log of changes."""


class OptOut(msgspec.Struct, frozen=True):
    """Somebody who opted out."""

    digest: str
    tenant: str | None
    """``None``: in every tenant."""
    since_ms: int
    """Milliseconds since 1970, UTC."""


async def opt_out(db: ControlDatabase, person: Person, actor: str, now_ms: int) -> tuple[list[OptOut], bool]:
    """From now on nothing is kept of the person; whether that is new. Raises ``ControlUnavailable``."""
    async with db.transaction() as tx:
        await locked(tx)
        known = await _of(tx, person)
        if known:
            return known, False
        await keep_out(tx, person.spellings, person.tenant, now_ms, FOR_EVER_MS)
        made = await _of(tx, person)
        await audit.write(tx, actor, OUT, made[0].digest, {"tenant": person.tenant})
        return made, True


async def opt_in(db: ControlDatabase, person: Person, actor: str) -> bool:
    """Keep what comes from now on; whether they had opted out. Raises ``ControlUnavailable``."""
    async with db.transaction() as tx:
        await locked(tx)
        known = await _of(tx, person)
        for one in known:
            where = f"DELETE FROM {NAME} WHERE digest = ? AND until_ms = ?"
            await tx.run(f"{where} AND tenant_id {_IS[one.tenant is None]}", *_values(one))
        if known:
            await changed(tx)
            await audit.write(tx, actor, IN, known[0].digest, {"tenant": person.tenant})
        return bool(known)


async def opted_out(db: ControlDatabase) -> list[OptOut]:
    """All of them, newest first. Raises ``ControlUnavailable``."""
    query = f"SELECT digest, tenant_id, created_ms FROM {NAME} WHERE until_ms = ? ORDER BY created_ms DESC, digest"
    return [OptOut(*row) for row in await db.fetch(query, FOR_EVER_MS)]


_IS: Final = {True: "IS NULL", False: "= ?"}


def _values(one: OptOut) -> list[object]:
    return [one.digest, FOR_EVER_MS, *([] if one.tenant is None else [one.tenant])]


async def _of(tx: Transaction, person: Person) -> list[OptOut]:
    """What is kept of the person's opting out, in this tenant (or in every)."""
    query = f"SELECT digest, tenant_id, created_ms, salt FROM {NAME} WHERE until_ms = ? ORDER BY digest"
    return [
        OptOut(digest, tenant, since_ms)
        for digest, tenant, since_ms, salt in await tx.fetch(query, FOR_EVER_MS)
        if tenant == person.tenant and digest in {digest_of(id_, bytes(salt)) for id_ in person.spellings}
    ]
