"""The client against the whole gateway: what is told becomes rows, once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rig.bodies import openai_chat
from rig.client import call
from rig.gateway import gateway
from rig.script import reply
from rig.upstream import ScriptedUpstream

from weighbridge.client import AsyncClient, Stats

CHAT = "/openai/v1/chat/completions"
USAGE = {"input": 1000, "output": 200}


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "weighbridge.db")) as db:
        return db.execute(query).fetchall()


async def test_calls_events_and_what_is_said_of_them(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, gateway(tmp_path, upstream.base) as running:
        upstream.default = reply(json=openai_chat("gpt-4o-mini"))
        answer = await call(running.port, "POST", CHAT, [], b'{"model":"gpt-4o-mini"}')
        call_id = answer.header("x-weighbridge-request-id")
        at = datetime.now(UTC)
        for _ in range(2):  # the same again, as after a lost answer
            async with AsyncClient(running.url) as client:
                client.track("opened", "ada", message_id="e1", timestamp=at)
                client.feedback(call_id=call_id, rating=1, user="ada")
                client.outcome("resolved", call_id=call_id)
                client.track_ai_request("openai", "gpt-4o", USAGE, user="ada", message_id="a1", timestamp=at)
                client.feedback(call_id="nonsense", rating=1)
                assert await client.flush()
                told = client.stats
        assert told == Stats(duplicates=4, rejected=1)
        stats = running.ledger.stats()
        assert await running.ledger.drained(20)
    assert stats.lost == 0
    found = rows(tmp_path, "SELECT wire, request_model, cost_status, user_id FROM model_requests ORDER BY 2")
    assert found == [
        ("event", "gpt-4o", "priced", "ada"),
        ("openai_chat", "gpt-4o-mini", "priced", None),
    ]
    assert rows(tmp_path, "SELECT message_id, user_id FROM events") == [("e1", "ada")]
    assert rows(tmp_path, "SELECT model, user_good, resolved FROM quality_daily") == [("gpt-4o-mini", 1, 1)]
