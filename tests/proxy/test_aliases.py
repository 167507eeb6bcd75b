"""A request in the words of each other gateway: attributed alike, and nothing of it goes upstream."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from rig.client import call
from rig.core import Core, LaneKind
from rig.upstream import ScriptedUpstream

from gateway.aliases import FAMILIES, families, said
from gateway.app import attribution_rules
from gateway.attribution import Rules, who
from gateway.settings import SettingsError, load
from gateway.wire.contract import AskFields

CHAT = "/openai/v1/chat/completions"
PEERS = {
    "helicone": [
        ("Helicone-Auth", "Bearer sk-helicone-x"), ("Helicone-User-Id", "ada"), ("Helicone-Session-Id", "s-1"),
        ("Helicone-Session-Name", "support"), ("Helicone-Property-Conversation", "c7"), ("Helicone-Prompt-Id", "greet"),
    ],
    "litellm": [
        ("x-litellm-api-key", "sk-1234"), ("x-litellm-end-user-id", "ada"), ("x-litellm-tags", "env:prod,beta"),
        ("x-litellm-spend-logs-metadata", '{"session_id":"s-1","ticket":12}'),
    ],
    "portkey": [
        ("x-portkey-api-key", "pk"), ("x-portkey-metadata", '{"_user":"ada","session":"s-1","tier":"gold","deep":{}}'),
        ("x-portkey-trace-id", "t1"),
    ],
    "cloudflare": [("cf-aig-authorization", "Bearer cf"), ("cf-aig-metadata", '{"user_id":"ada","session_id":"s-1","paid":true}')],
    "bifrost": [("x-bf-vk", "sk-bf"), ("x-bf-session-id", "s-1"), ("x-bf-dim-region", "eu"), ("x-bf-customer-id", "acme")],
}  # fmt: skip
TAGS = {
    "helicone": {"session_name": "support", "conversation": "c7"},
    "litellm": {"env": "prod", "beta": "", "ticket": "12"},
    "portkey": {"tier": "gold"},
    "cloudflare": {"paid": "true"},
    "bifrost": {"region": "eu", "customer": "acme"},
}


@pytest.mark.parametrize("peer", list(PEERS))
async def test_each_peers_words(upstream: ScriptedUpstream, lane: LaneKind, peer: str) -> None:
    async with Core(upstream.base, lane) as core:
        headers = [("Authorization", "Bearer sk-app"), *PEERS[peer]]
        await call(core.port, "POST", CHAT, headers, json={"model": "gpt-4o"})
        found = (await core.record()).who
        assert found.session == "s-1"
        assert found.user == (None if peer == "bifrost" else "ada")
        assert {name.lower(): value for name, value in found.tags} == TAGS[peer]
        assert dict(found.sources)["session"] == "alias"
        raw = upstream.requests[0].head.raw.lower()
        assert FAMILIES[peer] not in raw
        assert b"sk-app" in raw
        for _, value in PEERS[peer]:
            assert value.lower().encode() not in raw


async def test_coding_agents_are_read_and_their_headers_pass(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    headers = [
        ("x-claude-code-session-id", "cc-1"), ("x-claude-code-agent-id", "sub"), ("X-Title", "My App"),
        ("x-claude-code-parent-agent-id", "main"),
    ]  # fmt: skip
    async with Core(upstream.base, lane) as core:
        await call(core.port, "POST", "/anthropic/v1/messages", headers, json={"model": "claude-sonnet-4-5"})
        found = (await core.record()).who
        assert (found.session, found.agent, found.parent_agent, found.app) == (
            "cc-1",
            "sub",
            "main",
            "My App",
        )
        assert b"x-claude-code-session-id: cc-1" in upstream.requests[0].head.raw


async def test_our_own_words_go_first_then_aliases_baggage_and_body(
    core: Core, upstream: ScriptedUpstream
) -> None:
    headers = [
        ("Helicone-User-Id", "alias"),
        ("baggage", "user.id=bag,session.id=s%201;p=1,secret=x"),
        ("x-weighbridge-user", "own"),
    ]
    body = {"model": "gpt-4o", "user": "body"}
    for _ in range(3):
        await call(core.port, "POST", CHAT, headers, json=body)
        headers.pop(-1) if len(headers) == 3 else headers.pop(0)
    first, second, third = [record.who for record in core.records]
    assert (first.user, second.user, third.user) == ("own", "alias", "bag")
    assert (third.session, dict(third.sources)) == ("s 1", {"user": "baggage", "session": "baggage"})
    assert all(("secret", "x") not in record.who.tags for record in core.records)
    assert b"baggage" not in upstream.requests[0].head.raw.lower()


def test_a_family_that_is_switched_off_is_not_read() -> None:
    labels = {b"helicone-user-id": b"ada", b"x-litellm-end-user-id": b"bob"}
    assert list(said(labels, families(("litellm",)))) == [("user", "bob")]


def test_user_ids_can_be_kept_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    salted = Rules(salt=SecretStr("pepper"))
    one, other = (who({}, AskFields(user=name), salted).user for name in ("ada", "bob"))
    assert one is not None
    assert one != other
    assert "ada" not in one
    assert one == who({b"x-weighbridge-user": b"ada"}, AskFields(), salted).user
    settings = load(None, {"attribution": {"hash_users_salt_env": "WB_SALT"}})
    monkeypatch.delenv("WB_SALT", raising=False)
    with pytest.raises(SettingsError, match="hash_users_salt_env"):
        attribution_rules(settings)
    monkeypatch.setenv("WB_SALT", "pepper")
    assert who({}, AskFields(user="ada"), attribution_rules(settings)).user == one


@given(
    st.dictionaries(
        st.sampled_from(
            [b"x-portkey-metadata", b"cf-aig-metadata", b"x-litellm-tags", b"helicone-property-"]
        ),
        st.binary(max_size=200),
    )
)
def test_nothing_a_header_holds_upsets_it(labels: dict[bytes, bytes]) -> None:
    found = who(labels, AskFields())
    assert json.dumps(found.tags)
