"""Captured contents over HTTP: shown to admins and to tokens with the right, each look in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.api.app import ControlDeps
from gateway.api.viewer import Viewer
from gateway.ids import call_id
from pricing.book import PriceBook
from storage.contents.keep import keep
from storage.contents.model import Absence, Content, Piece
from storage.privacy.erased import Erased
from storage.store import Store

from .conftest import NOON, Connect, make_call
from .control import ADMIN_TOKEN, ask, control_at

ID, OTHER = call_id(NOON), call_id(NOON + 1_000_000)
READERS = {
    "wbt_with": Viewer("with", tenant="acme", team="search", content=True),
    "wbt_without": Viewer("without", tenant="acme"),
    "wbt_of-another": Viewer("another", tenant="rival", content=True),
    "wbt_of-another-user": Viewer("user", tenant="acme", user="bob", content=True),
}


@pytest.fixture
async def control(tmp_path: Path, store: Store) -> AsyncIterator[ControlDeps]:
    opened = control_at(tmp_path)
    answer = Piece("full", 70, absent=Absence.VECTORS)
    one = Content("acme", ID, 1, "search", "ada", "s", Piece("redacted", 80, "[EMAIL]", "d1", True), answer)
    await keep(opened.db, [one], Erased())
    yield opened
    await opened.close()


@pytest.fixture
async def client(connect: Connect, control: ControlDeps) -> Any:
    async def reader(secret: str) -> Viewer | None:
        return READERS.get(secret)

    return await connect(control=control, admin_token=ADMIN_TOKEN, tokens=reader)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_what_was_kept_is_shown_and_that_is_written_down(client: Any) -> None:
    found = await ask(client, "GET", f"/api/calls/{ID.upper()}/content")
    assert found == {
        "id": ID,
        "request": {"mode": "redacted", "bytes": 80, "text": "[EMAIL]", "digest": "d1", "cut": True, "absent": None},
        "answer": {"mode": "full", "bytes": 70, "text": None, "digest": None, "cut": False, "absent": "vectors"},
    }  # fmt: skip
    again = await client.get(f"/api/calls/{ID}/content", headers=bearer("wbt_with"))
    assert (again.status, again.headers["Cache-Control"]) == (200, "no-store")
    log = (await ask(client, "GET", "/api/audit?action=content.read"))["items"]
    assert [(line["actor"], line["subject"]) for line in log] == [("with", ID), ("admin", ID)]


async def test_a_token_needs_the_right_and_sees_its_own(client: Any) -> None:
    for secret, status, code in (
        ("wbt_without", 403, "content_closed"),
        ("wbt_of-another", 404, "content_not_found"),
        ("wbt_of-another-user", 404, "content_not_found"),
    ):
        answer = await ask(client, "GET", f"/api/calls/{ID}/content", status=status, headers=bearer(secret))
        assert answer["error"]["code"] == code
    for bad, status in ((OTHER, 404), ("nothing", 400)):
        await ask(client, "GET", f"/api/calls/{bad}/content", status=status)
    assert (await ask(client, "GET", "/api/audit"))["items"] == []


async def test_the_explanation_points_to_it(client: Any, keep: Any, book: PriceBook) -> None:
    calls = [msgspec.structs.replace(make_call(book), id=id_) for id_ in (ID, OTHER)]
    await keep(*calls)
    told = [(await ask(client, "GET", f"/api/calls/{id_}/cost"))["content"] for id_ in (ID, OTHER)]
    assert told == ["redacted", None]


async def test_a_right_to_content_is_given_with_the_token(client: Any) -> None:
    made = await ask(client, "POST", "/api/tokens", {"name": "n", "tenant": "acme", "content": True}, 201)
    assert made["token"]["content"] is True
    plain = await ask(client, "POST", "/api/tokens", {"name": "n", "tenant": "acme"}, 201)
    assert plain["token"]["content"] is False
    key = await ask(client, "POST", "/api/keys", {"name": "k", "capture": "hash"}, 201)
    assert key["key"]["capture"] == "hash"
    wrong = await ask(client, "POST", "/api/keys", {"name": "k", "capture": "all"}, 400)
    assert "redacted" in str(wrong)
