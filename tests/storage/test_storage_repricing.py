"""Stored calls priced again: every one once, in slices, the same in both databases, the recorded cost untouched.

By the same prices a call costs the same again, and what is not known of it stays unknown.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.ledger import STARTED_MS, record, started
from rig.weighing import PROVIDERS, call_to, weigh

from gateway.api.explanation import explanation_of
from gateway.price_headers import MODEL_TOLD, RULES, PriceSaid
from gateway.repricing import price_again
from gateway.wire.contract import AskFields, Reading
from pricing.book import PriceBook
from pricing.cost import UNPRICED, CostStatus
from pricing.usage import Part, Usage
from storage import repricing
from storage.address import parse
from storage.queries.calls import CallFilter
from storage.repricing import Again, History
from storage.store import Store, pending_row
from telemetry.record import CallRecord
from tests.wire.recordings import Recording, all_recordings


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


BOOK = PriceBook.load()
MODELS = st.sampled_from(("gpt-5.4", "gpt-5", "gpt-4o-mini", "nobody-knows-this"))
COUNTS = st.integers(0, 400_000)
USAGES = st.builds(
    lambda asked, made, largest, searches: Usage(asked, made, largest_input=largest, web_searches=searches),
    COUNTS,
    COUNTS,
    st.none() | COUNTS,
    st.none() | st.integers(1, 3),
)
TIERS = st.sampled_from((None, "default", "flex", "priority"))
READINGS = st.builds(
    lambda usage, model, tier, also, fees, estimated: Reading(
        usage, model=model, service_tier=tier, also=tuple(also), fees_unseen=fees, estimated=estimated
    ),
    USAGES,
    MODELS,
    TIERS,
    st.lists(st.builds(Part, MODELS, USAGES, TIERS, st.booleans()), max_size=3),
    st.booleans(),
    st.booleans(),
)
SAID = (
    st.none()
    | st.builds(PriceSaid, st.none() | MODELS, st.just(10**12), st.just(10**12), st.none() | st.just(5))
    | st.builds(PriceSaid, MODELS)
)


@given(READINGS, SAID)
def test_by_the_same_prices_a_call_costs_the_same_again(reading: Reading, said: PriceSaid | None) -> None:
    record = weigh(BOOK, call_to(said=said), reading)
    row = pending_row(record)
    again = price_again(row, BOOK, lambda name: name)
    assert (again.status, again.total, again.rule) == (
        record.cost.status,
        record.cost.total,
        record.cost.rule,
    )
    explained = explanation_of(row, BOOK, lambda name: name)
    assert (explained.explained.status, explained.explained.total.nano_usd) == (
        record.cost.status.value,
        record.cost.total,
    )
    told = (record.cost.rule or "").startswith(RULES)
    assert told is any("app told" in note for note in explained.notes)
    assert told or said is None or said.total is None


@pytest.mark.parametrize("recording", all_recordings(), ids=lambda recording: recording.id)
def test_what_wires_read_costs_the_same_again(recording: Recording) -> None:
    tap = recording.tap()
    tap.feed(recording.body)
    tap.end()
    reading = msgspec.structs.replace(tap.reading(), billable=True)
    maker = recording.wire_name.partition("_")[0]
    name = recording.provider or (
        maker if maker in ("anthropic", "gemini", "mistral", "cohere") else "openai"
    )
    record = weigh(BOOK, call_to(f"/{name}{recording.path}".encode()), reading)
    again = price_again(pending_row(record), BOOK, PROVIDERS.price_as)
    assert (again.status, again.total) == (record.cost.status, record.cost.total)


@pytest.mark.parametrize("fees", [True, None])
def test_a_lower_bound_stays_one_where_fees_were_not_told_or_may_not_have_been(fees: bool | None) -> None:
    record = weigh(BOOK, call_to(), Reading(Usage(100, 10), model="gpt-4o", fees_unseen=True))
    assert record.cost.status is CostStatus.PARTIAL
    row = pending_row(record)
    row.fees_unseen = fees  # ``None``: of a call that was written before it was kept
    again = price_again(row, BOOK, lambda name: name)
    assert (again.status, again.total) == (CostStatus.PARTIAL, record.cost.total)


def test_what_was_partial_for_want_of_a_rate_is_priced_once_there_is_one() -> None:
    called = call_to()
    record = weigh(BOOK, called, Reading(Usage(100, 10), model="gpt-4o", also=(Part("own", Usage(5, 5)),)))
    assert record.cost.status is CostStatus.PARTIAL
    rates = '[[price]]\nprovider = "openai"\nmodels = ["own"]\nrates = { input = 1.0, output = 1.0 }'
    again = price_again(pending_row(record), PriceBook.load(rates), lambda name: name)
    assert (again.status, again.total) == (CostStatus.PRICED, (record.cost.total or 0) + 10 * 1_000)


@pytest.mark.parametrize("rule", [None, f"{MODEL_TOLD}: no price for openai/nobody-knows-this"])
def test_a_call_whose_told_model_nobody_knew_is_priced_once_its_own_is_known(rule: str | None) -> None:
    called = msgspec.structs.replace(call_to(said=PriceSaid("nobody-knows-this")), ask=AskFields("own"))
    record = weigh(BOOK, called, Reading(Usage(100, 10), model="own"))
    assert record.cost.status is CostStatus.UNPRICED
    row = pending_row(record)
    row.price_rule = rule or row.price_rule
    rates = '[[price]]\nprovider = "openai"\nmodels = ["own"]\nrates = { input = 1.0, output = 1.0 }'
    again = price_again(row, PriceBook.load(rates), lambda name: name)
    assert (again.status, again.total) == (CostStatus.PRICED, 110 * 1_000)


def test_a_call_that_had_no_price_gets_no_better_one_than_is_known() -> None:
    record = weigh(BOOK, call_to(), Reading(Usage(100, 10), model="gpt-4o", fees_unseen=True))
    unpriced = pending_row(msgspec.structs.replace(record, cost=UNPRICED))
    assert price_again(unpriced, BOOK, lambda name: name).status is CostStatus.PARTIAL


async def test_what_a_lower_bound_rests_on_is_kept_in_both_databases(tmp_path: Path, database: str) -> None:
    one = msgspec.structs.replace(
        record(1), fees_unseen=True, also=(Part("gpt-5", Usage(9, 9, largest_input=5), "flex", True),)
    )
    await stored(database, tmp_path, [one, record(2)])
    store = await Store.open(database, data_dir=tmp_path)
    row, other = await store.get_call(one.id), await store.get_call(record(2).id)
    assert row is not None
    assert other is not None
    assert (row.fees_unseen, other.fees_unseen) == (True, False)
    assert row.usage_also == [
        {
            "model": "gpt-5",
            "service_tier": "flex",
            "within": True,
            "input": 9,
            "output": 9,
            "largest_input": 5,
        }
    ]
    await store.close()
