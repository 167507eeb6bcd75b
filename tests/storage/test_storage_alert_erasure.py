"""A person who is erased is in no table of alerts any more, and what was judged stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from alerts.facts import NOON, calls, rule
from alerts.office import Office, hook
from sqlalchemy import text

from storage.alerts.erasure import Erased, erase_user

TABLES = ("alerts", "alert_deliveries", "alert_rules", "alert_silences", "alert_tries")


@pytest.fixture
async def office(database: str, tmp_path: Path) -> AsyncIterator[Office]:
    one = Office(
        database, tmp_path, [rule("error_rate", group_by=["tenant", "user"])], [hook("http://127.0.0.1:9/")]
    )
    one.facts.call_facts = [
        calls(50, labels=(("tenant", tenant), ("user", user)))
        for tenant, user in (("acme", "ada-lovelace"), ("other", "ada-lovelace"), ("acme", "bob"))
    ]
    await one.evaluate()
    await one.deliver()
    for user in ("ada-lovelace", "bob"):
        scope = {"kind": "error_rate", "scope": {"user": user}}
        await one.desk.put_rule(f"of-{user[:3]}", scope, True, "ops", NOON)
        await one.desk.silence([("user", user)], NOON + timedelta(days=1), "ops", "test", NOON)
    yield one
    await one.close()


async def everything(office: Office) -> str:
    found = []
    for table in TABLES:
        rows = await office.workers[0].database.rows(text(f"SELECT * FROM {table}"))
        found += [str(tuple(row)) for row in rows]
    return "\n".join(found)


async def test_nothing_of_the_person_is_left(office: Office) -> None:
    assert "ada-lovelace" in await everything(office)
    async with office.workers[0].database.changing() as db:
        assert await erase_user(db, "ada-lovelace") == Erased(2, 2, 1, 1)
    left = await everything(office)
    assert "ada-lovelace" not in left
    assert left.count("bob") >= 4
    found = await office.alerts()
    assert len(found) == 3
    assert sorted(dict(alert.labels)["user"] for alert in found) == ["(erased)", "(erased)", "bob"]
    states = sorted(delivery.state for delivery in await office.deliveries())
    assert states == ["gave_up", "gave_up", "pending"]
    async with office.workers[0].database.changing() as db:
        assert await erase_user(db, "ada-lovelace") == Erased()


async def test_another_tenants_user_of_the_same_name_stays(office: Office) -> None:
    async with office.workers[0].database.changing() as db:
        done = await erase_user(db, "ada-lovelace", "acme")
    assert (done.alerts, done.messages) == (1, 1)
    (alert,) = [one for one in await office.alerts() if one.user_id == "ada-lovelace"]
    assert alert.tenant_id == "other"
