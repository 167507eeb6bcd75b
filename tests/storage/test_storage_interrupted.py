"""Calls that died with their process become rows with what can be said of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from rig.ledger import FlakyTarget, config, opening, record

from gateway.interrupted import Interrupted
from pricing.book import PriceBook
from pricing.cost import CostStatus
from storage.ledger import Ledger
from storage.spool import Spool, WhenFull
from telemetry.record import CallRecord, UsageSource


def died_with(root: Path, *records: CallRecord) -> None:
    """The spool of a process that was killed while these calls were open."""
    spool = Spool(root, segment_bytes=10**5, max_bytes=2**40, reserve_bytes=0, when_full=WhenFull.REFUSE)
    for one in records:
        spool.opened(opening(one))
    for segment in spool._segments.values():
        segment.close()
    spool._claim.release(remove=False)


def test_the_input_is_guessed_and_said_to_be() -> None:
    complete = Interrupted(PriceBook.load, lambda name: name)
    guessed = complete(opening(record(1)))
    assert guessed.usage_source is UsageSource.ESTIMATED
    assert guessed.usage is not None
    assert (guessed.usage.input, guessed.usage.output) == (1024 // 4, 0)
    assert guessed.cost.status is CostStatus.ESTIMATED
    assert guessed.cost.total == 256 * 150


@pytest.mark.parametrize(
    "what", [{"operation": "moderation"}, {"operation": None}, {"method": "GET"}, {"model": None}]
)
def test_what_is_not_about_text_stays_as_it_is(what: dict[str, object]) -> None:
    complete = Interrupted(PriceBook.load, lambda name: name)
    one = opening(record(1, what=what))
    assert complete(one) == one


async def test_a_restart_completes_them(tmp_path: Path) -> None:
    died_with(tmp_path / "spool", record(1), record(2))
    target = FlakyTarget()

    def complete(one: CallRecord) -> CallRecord:
        return msgspec.structs.replace(one, usage_source=UsageSource.ESTIMATED)

    ledger = Ledger(config(tmp_path), target=target, interrupted=complete)
    await ledger.start()
    assert await ledger.drained(10)
    assert {one.usage_source for one in target.rows.values()} == {UsageSource.ESTIMATED}
    assert ledger.stats().interrupted == 2
    await ledger.stop(5)


async def test_a_guess_that_fails_costs_no_row(tmp_path: Path) -> None:
    died_with(tmp_path / "spool", record(1))
    target = FlakyTarget()

    def broken(one: CallRecord) -> CallRecord:
        raise RuntimeError("no prices")

    ledger = Ledger(config(tmp_path), target=target, interrupted=broken)
    await ledger.start()
    assert await ledger.drained(10)
    assert list(target.rows.values()) == [opening(record(1))]
    await ledger.stop(5)
