"""Who a call is for, from headers and body; none of it goes upstream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.bodies import openai_chat
from rig.client import call
from rig.core import Core, LaneKind
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.attribution import parts_per_million, who
from gateway.settings.choices import IncomingTrace
from gateway.wire.contract import AskFields

CHAT = "/openai/v1/chat/completions"


async def test_headers_say_who_and_the_body_fills_in(core: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(reply(json=openai_chat()))
    headers = [
        ("X-Weighbridge-Team", "search"), ("x-weighbridge-feature", "rerank"), ("x-weighbridge-tags", "tier=gold, beta"),
        ("x-weighbridge-parent-agent", "planner"), ("x-weighbridge-prompt-version", "7"),
    ]  # fmt: skip
    await call(core.port, "POST", CHAT, headers, json={"model": "gpt-4o", "user": "u-9"})
    who = (await core.record()).who
    assert (who.team, who.feature, who.user, who.parent_agent, who.prompt_version) == (
        "search",
        "rerank",
        "u-9",
        "planner",
        "7",
    )
    assert dict(who.tags) == {"tier": "gold", "beta": ""}
    assert dict(who.sources)["team"] == "header"
    assert dict(who.sources)["user"] == "body"


async def test_a_header_beats_the_body(core: Core, upstream: ScriptedUpstream) -> None:
    await call(core.port, "POST", CHAT, [("x-weighbridge-user", "header-user")], json={"user": "body-user"})
    who = (await core.record()).who
    assert (who.user, dict(who.sources)["user"]) == ("header-user", "header")


async def test_the_apps_router_decision_is_recorded(core: Core, upstream: ScriptedUpstream) -> None:
    headers = [
        ("x-weighbridge-route-policy", "cost"), ("x-weighbridge-route-reason", "short prompt"), ("x-weighbridge-route-confidence", "0.875"),
        ("x-weighbridge-route-baseline-model", "gpt-4o"), ("x-weighbridge-experiment", "e1"), ("x-weighbridge-variant", "b"),
    ]  # fmt: skip
    await call(core.port, "POST", CHAT, headers, json={"model": "gpt-4o-mini"})
    route = (await core.record()).route
    assert (route.policy, route.reason, route.confidence_ppm, route.baseline_model) == (
        "cost",
        "short prompt",
        875_000,
        "gpt-4o",
    )
    assert (route.experiment, route.variant) == ("e1", "b")
    assert b"route" not in upstream.requests[0].head.raw.lower()


@given(st.integers(0, 1_000_000))
def test_confidence_is_exact(ppm: int) -> None:
    text = f"{ppm // 1_000_000}.{ppm % 1_000_000:06d}"
    assert parts_per_million(text.encode()) == ppm


@pytest.mark.parametrize("text", [b"", b".", b"1.1", b"-0.5", b"nan", b"1e-3", b"0,5", b"2"])
def test_confidence_that_is_no_share_is_left_out(text: bytes) -> None:
    assert parts_per_million(text) is None


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("incoming", list(IncomingTrace))
async def test_an_incoming_trace_is_joined_linked_or_ignored(
    upstream: ScriptedUpstream, lane: LaneKind, incoming: IncomingTrace
) -> None:
    async with Core(upstream.base, lane, traces=True, incoming=incoming) as core:
        await call(core.port, "POST", CHAT, [("traceparent", PARENT)], json={})
        trace = (await core.record()).trace
    assert trace is not None
    joined = trace.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert joined == (incoming is IncomingTrace.PARENT)
    assert (trace.parent_span_id == 0xB7AD6B7169203331) == joined
    assert (trace.link_span_id == 0xB7AD6B7169203331) == (incoming is IncomingTrace.LINK)
    assert trace.server_span_id != trace.client_span_id
    assert b"traceparent" not in upstream.requests[0].head.raw


async def test_a_configured_key_is_used_only_where_the_app_brings_none(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    async with Core(upstream.base, lane, keys={"openai": (b"Authorization", b"Bearer sk-ours")}) as core:
        await call(core.port, "POST", CHAT, json={})
        await call(core.port, "POST", CHAT, [("Authorization", "Bearer sk-app")], json={})
    assert b"Authorization: Bearer sk-ours" in upstream.requests[0].head.raw
    assert b"Bearer sk-app" in upstream.requests[1].head.raw
    assert b"sk-ours" not in upstream.requests[1].head.raw


def test_addresses_in_tags_are_kept_as_their_network() -> None:
    labels = {b"x-weighbridge-tags": b"ip=203.0.113.7, v=1.2.3, six=2001:db8:1:2::3"}
    tags = who(labels, AskFields(tags=(("from", "203.0.113.7"), ("to", "at 203.0.113.7")))).tags
    assert dict(tags) == {
        "ip": "203.0.113.0", "v": "1.2.3", "six": "2001:db8:1::", "from": "203.0.113.0", "to": "at 203.0.113.7",
    }  # fmt: skip
