"""Stored calls priced again: every one once, in slices, the same in both databases, the recorded cost untouched."""

from __future__ import annotations

from pathlib import Path

import pytest
from rig.ledger import STARTED_MS, record, started

from gateway.repricing import price_again
from pricing.book import PriceBook
from pricing.cost import UNPRICED
from storage import repricing
from storage.address import parse
from storage.queries.calls import CallFilter
from storage.repricing import Again, History
from storage.store import Store
from telemetry.record import CallRecord


async def stored(url: str, folder: Path, records: list[CallRecord]) -> None:
    ledger = await started(folder, None, url=url)
    for one in records:
        ledger.closed(one)
    assert await ledger.drained(20)
    await ledger.stop(5)


async def test_every_call_is_priced_once_and_the_same_in_both_databases(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repricing, "AT_ONCE", 3)
    odd = {"model": "nobody-knows-this", "provider": "nobody"}
    records = [record(number, ms=STARTED_MS + number * 1000) for number in range(8)]
    records += [record(20, cost=UNPRICED), record(21, what=odd, answer={"model": None}, cost=UNPRICED)]
    await stored(database, tmp_path, records)
    book = PriceBook.load()
    history = History(parse(database, tmp_path))
    assert await history.count(CallFilter()) == 10
    seen = []
    async for rows in history.slices(CallFilter()):
        priced = [Again(row, price_again(row, book, lambda name: name)) for row in rows]
        await history.write(priced)
        seen += [row.id for row in rows]
    assert seen == sorted(one.id for one in records)
    missing = await history.unpriced(CallFilter())
    assert [(one.provider, one.model, one.calls) for one in missing] == [("nobody", "nobody-knows-this", 1)]
    await history.close()
    store = await Store.open(database, data_dir=tmp_path)
    for one in records:
        row = await store.get_call(one.id)
        assert row is not None
        assert row.cost_nano == one.cost.total
        again = price_again(row, book, lambda name: name)
        assert (row.repriced_nano, row.repriced_status) == (again.total, again.status.value)
        assert row.repriced_snapshot == again.snapshot
    await store.close()
