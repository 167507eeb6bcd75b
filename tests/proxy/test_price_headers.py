"""What apps say their calls cost: believed only where the settings say so, and never passed on."""

from __future__ import annotations

import pytest
from rig.bodies import openai_chat
from rig.client import call
from rig.core import Core, LaneKind
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.price_headers import PriceSaid, price_said
from gateway.proxy import Limits
from pricing.cost import CostSource, CostStatus

CHAT = "/openai/v1/chat/completions"
TRUSTING = Limits(16 << 20, 1 << 30, 16384, True)
DOUBTING = Limits(16 << 20, 1 << 30, 16384)
RATES = ("cf-aig-custom-cost", '{"per_token_in":0.000001,"per_token_out":0.000002}')


@pytest.mark.parametrize(
    ("header", "total"),
    [
        (RATES, 120 * 1_000 + 30 * 2_000),
        (("cf-aig-custom-cost", '{"total_cost":0.5}'), 500_000_000),
        (("Helicone-Model-Override", "gpt-4o-mini"), None),
    ],
)
async def test_it_is_believed_where_the_settings_say_so(
    upstream: ScriptedUpstream, lane: LaneKind, header: tuple[str, str], total: int | None
) -> None:
    upstream.default = reply(json=openai_chat())
    totals = []
    for limits in (TRUSTING, DOUBTING):
        async with Core(upstream.base, lane, limits=limits) as core:
            await call(core.port, "POST", CHAT, [header], b'{"model":"gpt-4o"}')
            record = await core.record()
            assert record.cost.status is CostStatus.PRICED
            totals.append((record.cost.total, record.cost.source))
    believed, listed = totals
    assert listed[1] is CostSource.CATALOGUE
    assert believed[0] != listed[0]
    if total is not None:
        assert believed == (total, CostSource.OVERRIDE)
    for seen in upstream.requests:
        assert header[0].lower().encode() not in seen.head.raw.lower()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"total_cost":-1}',
        b'{"total_cost":NaN}',
        b'{"total_cost":"1"}',
        b'{"per_token_in":1}',
        b'{"total_cost":1e-10}',
        b'{"total_cost":1e99}',
        b'{"total_cost":1e1000000000000000000}',
        b'{"total_cost":1e-999999999999999999}',
        b'{"total_cost":true}',
        b"[" * 900,
    ],
)
def test_what_is_no_amount_says_nothing(raw: bytes) -> None:
    assert price_said({b"cf-aig-custom-cost": raw}) is None


def test_amounts_are_exact() -> None:
    said = price_said(
        {b"cf-aig-custom-cost": b'{"per_token_in":1.5e-7,"per_token_out":0,"total_cost":0.000000001}'}
    )
    assert said == PriceSaid(None, 150_000_000_000, 0, 1)
