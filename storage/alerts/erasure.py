"""Taking a person out of alerts: what was judged stays, who it was about goes."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.alerts.tables import ALERTS, DELIVERIES, RULES, SILENCES, DeliveryState

USER: Final = "user"
ERASED: Final = "(erased)"


class Erased(msgspec.Struct, frozen=True):
    """How many rows were changed or deleted."""

    alerts: int = 0
    messages: int = 0
    silences: int = 0
    rules: int = 0


async def erase_user(db: AsyncConnection, user: str, tenant: str | None = None) -> Erased:
    """In the caller's transaction: alerts about the user lose the name, messages about them their body.

    Messages that are still on their way are given up. Silences and stored rules that name the user are deleted; rules
    of the settings are their owner's. With ``tenant`` only alerts of that tenant.
    """
    mine = [ALERTS.c.user_id == user, *([ALERTS.c.tenant_id == tenant] if tenant is not None else [])]
    found = (await db.execute(select(ALERTS.c.id, ALERTS.c.labels, ALERTS.c.rule).where(*mine))).all()
    messages = 0
    for row in found:
        labels = [[name, ERASED if name == USER else value] for name, value in row.labels]
        values: dict[str, Any] = {"labels": labels, "user_id": None, "summary": f"{row.rule}: {ERASED}"}
        await db.execute(update(ALERTS).where(ALERTS.c.id == row.id).values(**values))
        of_it = DELIVERIES.c.alert_id == row.id
        changed = await db.execute(update(DELIVERIES).where(of_it).values(body="{}"))
        messages += changed.rowcount
        pending = DELIVERIES.c.state == DeliveryState.PENDING.value
        given_up = {"state": DeliveryState.GAVE_UP.value, "lease": None, "leased_until": None}
        await db.execute(update(DELIVERIES).where(of_it, pending).values(**given_up))
    return Erased(len(found), messages, await _silences(db, user), await _rules(db, user))


async def _silences(db: AsyncConnection, user: str) -> int:
    rows = (await db.execute(select(SILENCES.c.id, SILENCES.c.matchers))).all()
    named = [row.id for row in rows if [USER, user] in [list(pair) for pair in row.matchers]]
    await db.execute(delete(SILENCES).where(SILENCES.c.id.in_(named)))
    return len(named)


async def _rules(db: AsyncConnection, user: str) -> int:
    rows = (await db.execute(select(RULES.c.name, RULES.c.spec))).all()
    named = [row.name for row in rows if (row.spec.get("scope") or {}).get(USER) == user]
    await db.execute(delete(RULES).where(RULES.c.name.in_(named)))
    return len(named)
