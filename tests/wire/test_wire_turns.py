"""Turns over one connection cost what each of them costs by itself, whatever their models, tiers and sizes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from rig.weighing import call_to, weigh

from gateway.wire.contract import AskFields, Exchanged, Reading
from gateway.wire.openai_responses_socket import WIRE
from gateway.wire.turns import MOST_OTHERS
from pricing.book import PriceBook, PriceQuery
from pricing.cost import Cost, CostStatus
from pricing.usage import Usage

BOOK = PriceBook.load()
SOCKET = call_to(b"/openai/v1/responses", method="GET")


class Turn(NamedTuple):
    model: str
    tier: str | None
    asked: int
    made: int
    cached: int | None = None


@st.composite
def turn(draw: st.DrawFn) -> Turn:
    asked = draw(st.integers(0, 400_000))
    # Two cached tokens cost whole nano-dollars in every tier: sums are rounded once, turns one by one.
    cached = draw(st.none() | st.integers(0, asked // 2).map(lambda pairs: 2 * pairs))
    return Turn(
        draw(st.sampled_from(("gpt-5.4", "gpt-5", "gpt-5-mini"))),
        draw(st.sampled_from((None, "auto", "default", "flex", "priority"))),
        asked,
        draw(st.integers(0, 5_000)),
        cached,
    )


TURNS = st.lists(turn(), min_size=1, max_size=12)


def read(turns: list[Turn], **more: Any) -> Reading:
    reader = WIRE.reader(
        Exchanged("GET", "/v1/responses", "", AskFields(stream=True), 101, (), provider="openai")
    )
    for model, tier, asked, made, cached in turns:
        usage = {
            "input_tokens": asked,
            "output_tokens": made,
            "total_tokens": asked + made,
            "input_tokens_details": None if cached is None else {"cached_tokens": cached},
        }
        response = {
            "id": "r",
            "model": model,
            "status": "completed",
            "service_tier": tier,
            "usage": usage,
            **more,
        }
        reader.event(b"", json.dumps({"type": "response.completed", "response": response}).encode())
    return reader.reading()


def alone(turn: Turn) -> Cost:
    usage = Usage(turn.asked, turn.made, turn.cached)
    return BOOK.price(PriceQuery("openai", turn.model, None, usage, SOCKET.started_ns, turn.tier))


@given(TURNS)
def test_a_connection_costs_what_its_turns_cost(turns: list[Turn]) -> None:
    reading = read(turns)
    cost = weigh(BOOK, SOCKET, reading).cost
    each = [alone(turn) for turn in turns]
    assert cost.total == sum(one.total or 0 for one in each)
    worst = (
        CostStatus.ESTIMATED if any(one.status is CostStatus.ESTIMATED for one in each) else CostStatus.PRICED
    )
    assert cost.status is worst
    assert sum(
        (cost.input or 0, cost.output or 0, cost.cache_read or 0, cost.cache_write or 0, cost.other or 0)
    ) == (cost.total)


@given(TURNS)
def test_the_tokens_of_its_own_model_are_those_of_its_turns(turns: list[Turn]) -> None:
    reading = read(turns)
    assert reading.usage is not None
    own = [turn for turn in turns if turn.model == reading.model]
    assert reading.usage.input == sum(turn.asked for turn in own)
    assert reading.usage.output == sum(turn.made for turn in own)
    assert (reading.usage.cache_read or 0) == sum(turn.cached or 0 for turn in own)
    within = [part for part in reading.also if part.within]
    if within:
        assert sum(part.usage.input or 0 for part in within) == reading.usage.input
        assert sum(part.usage.cache_read or 0 for part in within) == (reading.usage.cache_read or 0)
    others = {turn.model for turn in turns} - {reading.model}
    assert {part.model for part in reading.also if not part.within} == others


def test_searches_are_paid_for_once() -> None:
    found = [{"type": "web_search_call", "action": {"type": "search"}}]
    turns = [Turn("gpt-5", "default", 100, 10), Turn("gpt-5", "priority", 100, 10)]
    plain, searching = (
        weigh(BOOK, SOCKET, read(turns)).cost,
        weigh(BOOK, SOCKET, read(turns, output=found)).cost,
    )
    assert plain.total is not None
    assert (searching.status, searching.total) == (CostStatus.PRICED, plain.total + 2 * 10_000_000)


def test_more_models_than_are_kept_apart_make_a_lower_bound() -> None:
    known = [Turn("gpt-5", None, 100, 10), *[Turn("gpt-5-mini", None, 7, 7)] * 3]
    many = [Turn(f"gpt-5-mini-{number}", None, 1, 1) for number in range(1, MOST_OTHERS)]
    assert not read([*known, *many]).fees_unseen
    late = Turn("gpt-5-mini", None, 9, 9)
    record = weigh(BOOK, SOCKET, read([*known, *many, Turn("gpt-5.4", None, 1_000_000, 1), late]))
    assert (record.cost.status, record.fees_unseen) == (CostStatus.PARTIAL, True)
    assert len(record.also) == MOST_OTHERS
    assert record.cost.total == sum(alone(turn).total or 0 for turn in [*known, late])
