"""``weighbridge calls --follow``: each call once, as it is recorded, however long it took."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from multidict import MultiDict
from rich.console import Console
from rig.ledger import STARTED_MS, record, started

from gateway.api.models import CallsOut
from gateway.api.query import parse_calls_query
from gateway.api.views import call_out
from gateway.cli import calls
from gateway.cli.source import SourceError
from storage.ledger import Ledger
from storage.store import Store


class Watched:
    """The calls of a store; before each look but the first two something happens."""

    def __init__(self, store: Store, happens: list[Callable[[], Awaitable[None]]]) -> None:
        self._store = store
        self._happens = iter(happens)
        self._looks = 0

    async def calls(self, query: Mapping[str, str]) -> CallsOut:
        if self._looks > 1:
            happens = next(self._happens, None)
            if happens is None:
                raise SourceError("the end")
            await happens()
        self._looks += 1
        parsed, wanted = parse_calls_query(MultiDict(query))
        page = await self._store.list_calls(wanted, parsed.cursor, parsed.limit, parsed.order)
        return CallsOut(items=[call_out(row) for row in page.items], next_cursor=page.next_cursor)


async def followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *happens: Callable[[Ledger], Awaitable[None]]
) -> tuple[list[str], str]:
    """Ids on stdout, and what was said on stderr, with three calls at first."""
    ledger = await started(tmp_path)
    await write(ledger, 1, 2, 3)
    store = await Store.open(None, data_dir=tmp_path)
    source = Watched(store, [lambda one=one: one(ledger) for one in happens])  # type: ignore[misc]
    with pytest.raises(SourceError, match="the end"):
        await calls._follow(source, {}, 20, Console(), as_json=True)  # type: ignore[arg-type]
    await store.close()
    await ledger.stop(5)
    shown, said = capsys.readouterr()
    return [json.loads(line)["id"] for line in shown.splitlines()], said


async def write(ledger: Ledger, *numbers: int) -> None:
    """Calls that began so many seconds after the first."""
    for number in numbers:
        ledger.closed(record(number, ms=STARTED_MS + number * 1_000))
    assert await ledger.drained(20)


def ids(*numbers: int) -> list[str]:
    return [record(number, ms=STARTED_MS + number * 1_000).id for number in numbers]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(calls, "FOLLOW_PAGE", 3)


async def test_a_call_that_began_before_all_others_is_shown_when_it_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, said = await followed(
        tmp_path,
        capsys,
        lambda ledger: write(ledger, 4),
        lambda ledger: write(ledger, 0),
        lambda ledger: write(ledger, 6, 5),
    )
    assert shown == ids(1, 2, 3, 4, 0, 6, 5)
    assert said == ""


async def test_a_page_full_of_calls_is_all_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, said = await followed(
        tmp_path, capsys, lambda ledger: write(ledger, 4, 5, 6), lambda ledger: write(ledger, 7, 8, 9)
    )
    assert shown == ids(*range(1, 10))
    assert said == ""


async def test_what_is_not_shown_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown, said = await followed(tmp_path, capsys, lambda ledger: write(ledger, 4, 5, 6, 7), write)
    assert shown == ids(1, 2, 3, 5, 6, 7)
    assert "more than 3 calls at once: some are not shown" in said
