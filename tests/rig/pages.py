"""Calls in a database, and all pages of what a filter finds among them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from rig.ledger import started

from storage.store import CallFilter, Store
from telemetry.record import CallRecord


@contextlib.asynccontextmanager
async def stored(url: str, data_dir: Path, records: Iterable[CallRecord]) -> AsyncIterator[Store]:
    """The store of a database that a ledger has written ``records`` to."""
    ledger = await started(data_dir, url=url)
    for one in records:
        ledger.closed(one)
    assert await ledger.drained(20)
    await ledger.stop(5)
    store = await Store.open(url, data_dir=data_dir)
    yield store
    await store.close()


async def all_pages(store: Store, wanted: CallFilter, limit: int) -> list[str]:
    """The ids of every page, one after the other."""
    found: list[str] = []
    cursor = None
    while True:
        page = await store.list_calls(wanted, cursor, limit)
        assert len(page.items) <= limit
        found += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found
