"""The data of one gateway, filled with something of a person in every place there is, and looked through."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rig.ledger import STARTED_MS, config, record
from sqlalchemy import inspect, text

from pricing.cost import UNPRICED
from storage.address import parse
from storage.alerts.tables import ALERTS, DELIVERIES, TRIES
from storage.budgets import admin
from storage.budgets.companion import BudgetCompanion
from storage.budgets.model import Budget
from storage.contents.keep import keep
from storage.contents.model import Content, Piece
from storage.control import control_of
from storage.engine import reading_engine, writing_engine
from storage.events import Event, EventKind, EventLog
from storage.ledger import Ledger
from storage.privacy.database import Person
from storage.privacy.erase import Report, erase
from storage.privacy.erased import Erased
from storage.quality.facts import facts_of
from storage.quality.keep import Outcome, QualityLog, Rating
from storage.rows import DEFAULT_TENANT
from storage.schema import Migrate
from storage.store import pending_row
from storage.targets import open_target
from storage.targets.contract import DeadLetter
from telemetry.quality import PPM, Opinion, Result, Scale, Source
from telemetry.record import CallRecord

ADA = "ada@lovelace.example"
"""Nothing else looks like it, so that it can be looked for everywhere."""
NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY_MS = 86_400_000
UP = Opinion(Source.USER, Scale.THUMBS, PPM)


class House:
    """One gateway's data: a database, and a folder with spool, exports and damaged stretches."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.address = parse(url, folder)
        self.reading = reading_engine(self.address)
        self.writing = writing_engine(self.address)
        self.quality = QualityLog(self.writing)
        self.events = EventLog(self.writing)

    async def ledger(self) -> Ledger:
        ledger = Ledger(config(self.folder, url=self.url), companions=(BudgetCompanion(),))
        await ledger.start()
        return ledger

    async def keep(self, *records: CallRecord) -> None:
        ledger = await self.ledger()
        for one in records:
            ledger.closed(one)
        assert await ledger.drained(20)
        await ledger.stop(5)

    async def contents(self, *records: CallRecord) -> None:
        """Their prompts and answers, as the keeper writes them."""
        control = control_of(self.address)
        contents = [
            Content(
                one.who.tenant or DEFAULT_TENANT,
                one.id,
                one.timing.started_ns // 1_000_000,
                one.who.team,
                one.who.user,
                one.who.session,
                Piece("full", 9, f"I am {one.who.user}", "d1"),
                Piece("full", 9, f"Hello {one.who.user}", "d2"),
            )
            for one in records
        ]
        await keep(control, contents, Erased())
        await control.close()

    async def erase(self, *ids: str, tenant: str | None = None, **more: Any) -> Report:
        person = Person(ids or (ADA,), tenant)
        return await erase(self.address, self.folder, person, "admin", **more)

    async def rows(self, query: Any) -> list[Any]:
        async with self.reading.connect() as connection:
            return list((await connection.execute(text(query) if isinstance(query, str) else query)).all())

    async def everything(self) -> dict[str, str]:
        """Every table, as text."""
        async with self.reading.connect() as connection:
            names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
            found = {}
            for name in names:
                rows = (await connection.execute(text(f"SELECT * FROM {name}"))).all()
                found[name] = "\n".join(
                    repr([bytes(cell) if isinstance(cell, memoryview) else cell for cell in row])
                    for row in rows
                )
            return found

    async def where_is(self, name: str) -> set[str]:
        """Tables and files that hold this text."""
        found = {table for table, dump in (await self.everything()).items() if name in dump}
        for path in self.folder.rglob("*"):
            if path.is_file() and name.encode() in path.read_bytes() and path.suffix != ".seg":
                found.add(path.name)
        return found

    async def close(self) -> None:
        await self.reading.dispose()
        await self.writing.dispose()


def call(number: int, user: str | None = ADA, **parts: Any) -> CallRecord:
    who = {
        "user": user,
        "session": f"session-of-{user}",
        "sources": (("user", "header"), ("session", "header")),
    }
    return record(number, **{**parts, "who": {**who, **parts.get("who", {})}})


def event(message_id: str, user: str | None, anonymous: str | None = None, tenant: str = "acme") -> Event:
    data = {"mail": user or anonymous}
    return Event(tenant, message_id, EventKind.TRACK, "opened", user, anonymous, None, NOW, NOW, data)


async def _alert(house: House) -> None:
    async with house.writing.begin() as db:
        common = {
            "rule": "r", "kind": "spend", "level": "1", "window_key": "w", "slot": "", "window_start": NOW, "window_end": NOW,
            "state": "resolved", "severity": "info", "reason": "", "summary": f"{ADA} spent", "value": 1, "limit_value": 1,
            "unit": "usd", "fired_at": NOW, "seen_at": NOW, "notified": 0,
        }  # fmt: skip
        await db.execute(
            ALERTS.insert(),
            [
                {**common, "id": "al1", "subject": f"user={ADA}", "user_id": ADA, "labels": [["user", ADA]]},
                {
                    **common,
                    "id": "al2",
                    "subject": "user=bob",
                    "user_id": "bob",
                    "labels": [["user", "bob"]],
                    "summary": "",
                },
            ],
        )
        message = {
            "alert_id": "al1",
            "channel": "c",
            "number": 1,
            "event": "firing",
            "body": ADA,
            "state": "sent",
        }
        times = {"tries": 1, "round": 1, "due_at": NOW, "created_at": NOW}
        await db.execute(DELIVERIES.insert(), [{**message, **times, "id": "d1"}])
        await db.execute(
            TRIES.insert(), [{"delivery_id": "d1", "number": 1, "at": NOW, "duration_us": 1, "fate": "sent"}]
        )


async def fill(house: House) -> list[CallRecord]:
    """Something of the person in every place there is, and of others."""
    control = control_of(house.address)
    each = Budget(id="b1", name="each user", limit=10**12, scope=(("tenant", "*"), ("user", "*")))
    await admin.create(control, each, "admin", int(STARTED_MS / 1000))
    await admin.create(control, Budget(id="b2", name="all", limit=10**12), "admin", int(STARTED_MS / 1000))
    records = [
        call(1),
        call(2, ms=STARTED_MS + DAY_MS, who={"tags": ((f"user:{ADA}", "x"), ("mail", ADA), ("run", "17"))}),
        call(3, "bob"),
        call(4, None, who={"session": ADA, "tags": (("who", ADA), ("run", "1"))}),
        call(5, cost=UNPRICED, usage=None),
        call(6, who={"tenant": "globex"}),
        call(7, "bob"),
    ]
    await house.keep(*records)
    for one in records[:3]:
        facts = facts_of(pending_row(one))
        whose = one.who.user
        await house.quality.rate(facts, Rating(UP, label=f"from {whose}", comment=f"I am {whose}"))
        await house.quality.note(facts, Outcome(Result.RESOLVED))
    await house.quality.rate(facts_of(pending_row(records[2])), Rating(UP, ADA, comment="mine"))
    await house.events.keep(
        [event("a", ADA, "anon-1"), event("b", None, "anon-1"), event("c", "bob", "anon-2"), event("d", ADA)]
    )
    target = open_target(house.address, migrate=Migrate.MANUAL, timeout_s=10, power_safe=False)
    await asyncio.to_thread(bury, target, [DeadLetter(call(8), "odd"), DeadLetter(call(9, "bob"), "odd")])
    await _alert(house)
    await house.contents(records[0], records[2], records[3])
    for name, content in (
        ("spool/damaged/x.bad", b"\xf5\xfa..." + ADA.encode() + b"\0more"),
        ("exports/calls.csv", ADA.encode()),
    ):
        path = house.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    await control.close()
    return records


def bury(target: Any, letters: list[DeadLetter]) -> None:
    target.connect()
    target.bury(letters)
    target.close()
