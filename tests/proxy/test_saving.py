"""What a routed call would have cost on the model its app would have used."""

from __future__ import annotations

import msgspec
import pytest
from rig.bodies import openai_chat
from rig.client import call
from rig.core import Core, LaneKind
from rig.script import reply
from rig.upstream import ScriptedUpstream
from rig.weighing import call_to, weigh

from gateway.wire.contract import Reading
from pricing.book import PriceBook, PriceQuery
from pricing.usage import Part, Usage
from storage.store import pending_row
from telemetry.record import Route

CHAT = "/openai/v1/chat/completions"
BASELINE = "x-weighbridge-route-baseline-model"


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("gpt-4o", ("openai", "gpt-4o")),
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        ("anthropic/claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        ("no-such-model", None),
        ("", None),
    ],
)
async def test_the_baseline_is_priced_with_the_same_usage(
    upstream: ScriptedUpstream, lane: LaneKind, name: str, like: tuple[str, str] | None
) -> None:
    upstream.default = reply(json=openai_chat("gpt-4o-mini"))
    async with Core(upstream.base, lane) as core:
        await call(core.port, "POST", CHAT, [(BASELINE, name)], b'{"model":"gpt-4o-mini"}')
        record = await core.record()
    assert record.cost.total is not None
    if like is None:
        assert record.baseline_nano is None
        return
    usage = record.usage
    listed = PriceBook.load().price(PriceQuery(*like, None, usage, record.timing.started_ns))
    assert listed.total is not None
    assert record.baseline_nano == listed.total > record.cost.total
    assert pending_row(record).baseline_nano == listed.total


async def test_a_call_without_a_known_cost_saves_nothing_known(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    upstream.default = reply(json=openai_chat("no-such-model"))
    async with Core(upstream.base, lane) as core:
        await call(core.port, "POST", CHAT, [(BASELINE, "gpt-4o")], b'{"model":"no-such-model"}')
        assert (await core.record()).baseline_nano is None


def test_usage_that_its_parts_pay_for_is_no_gift_of_the_baseline_model() -> None:
    book = PriceBook.load()
    called = msgspec.structs.replace(call_to(), route=Route(baseline_model="gpt-4o"))
    whole = Usage(100, 10, billed_input=0, billed_output=0)
    shares = (Part("gpt-4o-mini", Usage(100, 10), None, True),)
    record = weigh(book, called, Reading(whole, model="system", also=shares))
    assert record.baseline_nano == 100 * 2_500 + 10 * 10_000
