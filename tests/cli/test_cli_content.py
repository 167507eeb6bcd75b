"""``weighbridge content``: what was kept, from the database when no gateway runs."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from rig.ledger import record

from gateway.cli.exits import Exit
from storage.address import parse
from storage.contents.keep import keep
from storage.contents.model import Absence, Content, Piece
from storage.control import control_of
from storage.privacy.erased import Erased

from .conftest import Weighbridge, put_records

CALL = record(1)


@pytest.fixture
def _kept() -> None:
    put_records(CALL, record(2))
    request = Piece("full", 1234, "How heavy\x1b[31m is it?", "d1", True)
    content = Content("acme", CALL.id, 1, None, None, None, request, Piece("none", 9, absent=Absence.OMITTED))

    async def put() -> None:
        db = control_of(parse(None, Path("weighbridge-data")))
        await keep(db, [content], Erased())
        await db.close()

    asyncio.run(put())


@pytest.mark.usefixtures("_kept")
def test_what_was_kept_is_shown(weighbridge: Weighbridge) -> None:
    for id_ in (CALL.id, CALL.id[-8:]):
        result = weighbridge("content", id_)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines() == [
            "Request  full, 1,234 bytes, cut",
            "  digest d1",
            "How heavy\ufffd[31m is it?",
            "",
            "Answer  none, 9 bytes",
            "  not kept: the settings, the key or a header of the app say so",
            "",
        ]
    assert json.loads(weighbridge("content", CALL.id, "--json").stdout)["request"]["bytes"] == 1234
    with closing(sqlite3.connect("weighbridge-data/weighbridge.db")) as db:
        lines = db.execute("SELECT action, subject FROM audit_log").fetchall()
    assert lines == [("content.read", CALL.id)] * 3


@pytest.mark.usefixtures("_kept")
def test_explain_points_to_it(weighbridge: Weighbridge) -> None:
    end = CALL.id[-8:]
    assert (
        f"Prompt and answer are kept (full): weighbridge content {end}" in weighbridge("explain", end).stdout
    )
    assert "are kept" not in weighbridge("explain", record(2).id).stdout


@pytest.mark.usefixtures("_kept")
def test_what_was_not_kept_is_said(weighbridge: Weighbridge) -> None:
    for id_ in (record(2).id, "ffffffff"):
        result = weighbridge("content", id_)
        assert (result.exit_code, "no content of call" in result.stderr) == (Exit.PROBLEM, True)


def test_where_there_is_nothing_it_says_so(weighbridge: Weighbridge) -> None:
    assert weighbridge("content", CALL.id).exit_code == Exit.UNREACHABLE
