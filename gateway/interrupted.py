"""Calls that died with the gateway: an estimated cost for the records their *opened* frames left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.estimation import BYTES_PER_TOKEN, TEXTUAL
from pricing.book import PriceBook, PriceQuery
from pricing.usage import Usage
from telemetry.record import CallRecord, UsageSource


class Interrupted:
    """Called by the ledger's writer, in its thread: it has a price book of its own, loaded when first needed."""

    def __init__(self, load: Callable[[], PriceBook], price_as: Callable[[str], str]) -> None:
        self._load = load
        self._price_as = price_as
        self._book: PriceBook | None = None

    def __call__(self, record: CallRecord) -> CallRecord:
        """The record with the input guessed from the size of the request; the output is not known: a lower bound.

        Anything but a call about text stays without a cost.
        """
        what = record.what
        if what.operation not in TEXTUAL or what.method != "POST" or not what.model:
            return record
        if self._book is None:
            self._book = self._load()
        usage = Usage(what.request_bytes // BYTES_PER_TOKEN, 0)
        query = PriceQuery(
            self._price_as(what.provider), None, what.model, usage, record.timing.started_ns, estimated=True
        )
        return msgspec.structs.replace(
            record, usage=usage, usage_source=_ESTIMATED, cost=self._book.price(query)
        )


_ESTIMATED: Final = UsageSource.ESTIMATED
