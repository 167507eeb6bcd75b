"""Text no database takes, times no clock shows and JSON that never ends: always an answer, never a failure of ours."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rig.gateway import gateway
from yarl import URL

from gateway.api.events import MOST_DEPTH

ODD = "a%00b"
NEVER = ("0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59")
CALL = "0199c2a0-0000-7000-8000-000000000000"
Session = aiohttp.ClientSession


@pytest.fixture
async def session(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Session]:
    """On PostgreSQL, which takes less than SQLite does; nobody waits for the records of calls that never come."""
    monkeypatch.setattr("gateway.api.known_calls.PAUSES", ())
    quality = {"store_traits": True, "store_comments": True}
    async with (
        gateway(tmp_path, "http://127.0.0.1:9", storage={"url": postgres}, quality=quality) as running,
        Session(running.url) as opened,
    ):
        yield opened


def asked(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Methods and paths, odd values in every place that takes text."""
    for path, operations in document["paths"].items():
        for method in {"get", "delete"} & set(operations):
            operation = operations[method]
            if "text/event-stream" in operation["responses"].get("200", {}).get("content", {}):
                continue
            if "{" in path:
                yield method, re.sub(r"{\w+}", ODD, path)
            known = re.sub(r"{\w+}", CALL, path)
            for name in (one["name"] for one in operation["parameters"] if one["in"] == "query"):
                more = "&period=custom" if "analytics" in path else ""
                values = [f"{time}{more}" for time in NEVER] if name in ("since", "until") else [ODD]
                yield from ((method, f"{known}?{name}={value}") for value in values)


async def test_odd_text_in_every_parameter(session: Session) -> None:
    document = await (await session.get("/api/openapi.json")).json()
    tried = sorted(set(asked(document)))
    assert len(tried) > 200
    failed = []
    for method, path in tried:
        async with session.request(method, URL(path, encoded=True)) as answer:
            if answer.status >= 500:
                failed.append((method, path, answer.status, (await answer.text())[:200]))
    assert failed == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/analytics/export", {"filters": {"team": "\0"}}),
        ("/api/analytics/export", {"filters": {"since": "0001-01-01T00:00:00+23:59"}}),
        ("/api/analytics/export", {"filters": {"until": "9999-12-31T23:59:59-23:59"}}),
        ("/api/feedback", {"response_id": "\0", "rating": 1, "user": "\0", "label": "\0"}),
        ("/api/feedback", {"call_id": CALL, "score": "1e-999999999", "comment": "\0"}),
        ("/api/outcomes", {"response_id": "\0", "outcome": "converted", "value": "1e-999999999"}),
        ("/api/events", {"type": "track", "userId": "\0", "event": "\0", "properties": {"\0": "\0"}}),
        ("/api/events", {"type": "identify", "userId": "a", "traits": {"x": 10**400}}),
        ("/api/events", {"type": "track", "userId": "a", "event": "e", "timestamp": "0001-01-01T00:00:00+23:59"}),
    ],
)  # fmt: skip
async def test_odd_values_in_bodies(session: Session, path: str, body: dict[str, Any]) -> None:
    async with session.post(path, json=body) as answer:
        assert answer.status < 500, await answer.text()


async def test_an_event_within_an_event_without_end_spoils_no_batch(session: Session) -> None:
    def event(depth: int) -> str:
        told = {"type": "track", "messageId": f"of {depth}", "userId": "ada", "event": "e", "properties": "@"}
        return json.dumps(told).replace('"@"', '{"a":' * depth + "1" + "}" * depth)

    deep = (MOST_DEPTH, 300, 490, 700, 900)
    events = ",".join(map(event, [1, *deep, MOST_DEPTH - 1]))
    async with session.post("/api/events", data=f'{{"batch":[{events}]}}') as answer:
        said = await answer.json()
    assert answer.status == 200
    assert said["accepted"] == 2
    assert [one["message_id"] for one in said["rejected"]] == [f"of {depth}" for depth in deep]
    assert {one["code"] for one in said["rejected"]} == {"invalid_body"}


async def test_an_address_that_is_too_long_is_refused_as_the_document_says(session: Session) -> None:
    document = await (await session.get("/api/openapi.json")).json()
    told = [one for path in document["paths"].values() for one in path.values()]
    assert [one for one in told if "431" not in one["responses"]] == []
    many = "&".join(["team=" + "x" * 250] * 300)
    async with session.get(URL(f"/api/calls?{many}", encoded=True)) as answer:
        assert answer.status in (400, 431), "which of them depends on the pieces it comes in"
        assert (await answer.json())["error"]["code"] == "weighbridge_bad_request"
