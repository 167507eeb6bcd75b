"""Gateway keys: who may call what, whose key goes to the provider, and what of it all is recorded."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rig.bodies import OPENAI_USAGE, openai_chat, openai_events
from rig.client import RawClient, call
from rig.core import Core, LaneKind
from rig.script import reply, sse
from rig.upstream import ScriptedUpstream

from gateway.call import Call
from gateway.governance import Governance
from gateway.identity import without_key
from gateway.keyring import KeyRing, Snapshot
from gateway.settings.choices import AuthMode
from pricing.book import PriceBook
from pricing.cost import CostStatus
from storage.address import parse
from storage.control import control_of
from storage.keys.admin import create_key
from storage.keys.model import Key, KeyRow, Token, TokenRow, digest, new_secret
from telemetry.outcome import Outcome

CHAT = "/openai/v1/chat/completions"
CLAUDE = "/anthropic/v1/messages"
GEMINI = "/gemini/v1beta/models/gemini-2.0-flash:generateContent"
SECRET = new_secret("wbk_")
BODY: dict[str, Any] = {"model": "gpt-4o", "messages": []}
CONFIGURED = {
    "openai": (b"Authorization", b"Bearer sk-configured"),
    "anthropic": (b"x-api-key", b"sk-ant-configured"),
    "gemini": (b"x-goog-api-key", b"g-configured"),
}
KEY = Key(
    id="key_1",
    name="search",
    tenant="acme",
    team="search",
    environment="prod",
    tags=(("tier", "gold"),),
)


def ring_of(folder: Path, *keys: Key, revoked: bool = False, **changes: Any) -> KeyRing:
    ring = KeyRing(folder)
    rows = [KeyRow(key, digest(SECRET), None, None, 0, 1 if revoked else None) for key in keys]
    rows = [msgspec.structs.replace(row, **changes) for row in rows]
    ring.take(Snapshot(1, rows, []))
    return ring


PLACES = {
    "bearer": (CHAT, ("Authorization", f"Bearer {SECRET}")),
    "x-api-key": (CLAUDE, ("x-api-key", SECRET)),
    "goog": (GEMINI, ("x-goog-api-key", SECRET)),
    "api-key": (CHAT, ("api-key", SECRET)),
    "own": (CHAT, ("x-weighbridge-key", SECRET)),
    "helicone": (CHAT, ("Helicone-Auth", f"Bearer {SECRET}")),
    "portkey": (CHAT, ("x-portkey-api-key", SECRET)),
    "litellm": (CHAT, ("x-litellm-api-key", f"Bearer {SECRET}")),
    "bifrost": (CHAT, ("x-bf-vk", SECRET)),
    "query": (f"{GEMINI}?key={SECRET}&alt=sse", ("X-Other", "1")),
}


@pytest.mark.parametrize("mode", AuthMode)
@pytest.mark.parametrize("place", PLACES)
async def test_wherever_the_key_stands_it_is_known_and_stays_here(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind, mode: AuthMode, place: str
) -> None:
    path, header = PLACES[place]
    upstream.default = reply(json=openai_chat())
    async with Core(upstream.base, lane, mode=mode, ring=ring_of(tmp_path, KEY), keys=CONFIGURED) as core:
        answer = await call(core.port, "POST", path, [header], json=BODY)
        assert answer.status == 200
        record = await core.record()
        assert (record.who.key_id, record.who.team, record.who.tenant) == ("key_1", "search", "acme")
        assert record.who.tags == (("tier", "gold"),)
        assert ("team", "key") in record.who.sources
    (seen,) = upstream.requests
    assert SECRET.encode() not in seen.head.raw
    assert b"wbk_" not in seen.head.raw + seen.body
    assert b"-configured" in seen.head.raw
    if place == "query":
        assert seen.target.endswith("?alt=sse")


async def test_two_headers_leave_the_providers_token_where_it_is(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind
) -> None:
    upstream.default = reply(json=openai_chat())
    lines = [("Authorization", "Bearer oauth-of-the-app"), ("x-weighbridge-key", SECRET)]
    sent = {}
    for mode in AuthMode:
        upstream.requests.clear()
        async with Core(upstream.base, lane, mode=mode, ring=ring_of(tmp_path, KEY), keys=CONFIGURED) as core:
            assert (await call(core.port, "POST", CHAT, lines, json=BODY)).status == 200
        sent[mode] = upstream.requests[0].head.get("authorization")
    assert sent[AuthMode.BOTH] == sent[AuthMode.PASSTHROUGH] == "Bearer oauth-of-the-app"
    assert sent[AuthMode.KEYS] == "Bearer sk-configured"


OTHER = new_secret("wbk_")
LEAKS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "two-places": (CHAT, [("Authorization", f"Bearer {SECRET}"), ("x-api-key", SECRET)]),
    "own-and-sdk": (CHAT, [("x-weighbridge-key", SECRET), ("Authorization", f"Bearer {SECRET}")]),
    "second-line": (CHAT, [("Authorization", f"Bearer {SECRET}"), ("AUTHORIZATION", f"Bearer {OTHER}")]),
    "behind-the-providers": (
        CHAT,
        [("Authorization", "Bearer sk-app"), ("authorization", f"Bearer {SECRET}")],
    ),
    "cookie": (CHAT, [("x-weighbridge-key", SECRET), ("Cookie", f"a=b; key={SECRET}")]),
    "forwarded": (CHAT, [("x-weighbridge-key", SECRET), ("X-Forwarded-Authorization", f"Bearer {SECRET}")]),
    "another-scheme": (CHAT, [("x-weighbridge-key", SECRET), ("Authorization", f"Token {SECRET}")]),
    "query-twice": (f"{GEMINI}?key={SECRET}&key={OTHER}&alt=sse", []),
    "query-escaped": (f"{GEMINI}?alt=sse&key=%77bk_{SECRET[4:]}", []),
    "query-name-escaped": (f"{GEMINI}?k%65y={SECRET}", []),
    "query-other-name": (f"{GEMINI}?access_token={SECRET}", []),
}


@pytest.mark.parametrize("mode", [AuthMode.PASSTHROUGH, AuthMode.KEYS])
@pytest.mark.parametrize("place", LEAKS)
async def test_no_gateway_key_goes_to_a_provider(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind, mode: AuthMode, place: str
) -> None:
    path, lines = LEAKS[place]
    upstream.default = reply(json=openai_chat())
    async with Core(upstream.base, lane, mode=mode, ring=ring_of(tmp_path, KEY), keys=CONFIGURED) as core:
        answer = await call(core.port, "POST", path, lines, json=BODY)
        assert answer.status == 200 or mode is AuthMode.KEYS
        record = await core.record()
    for secret in (SECRET, OTHER):
        assert secret[4:] not in repr(record)
        for seen in upstream.requests:
            assert secret[4:].encode() not in seen.head.raw
    if place == "two-places":
        assert b"sk-configured" in upstream.requests[0].head.raw


@pytest.mark.parametrize("mode", [AuthMode.BOTH, AuthMode.KEYS])
async def test_where_only_the_gateway_holds_keys_none_of_the_app_passes_in_the_query(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind, mode: AuthMode
) -> None:
    upstream.default = reply(json=openai_chat())
    async with Core(upstream.base, lane, mode=mode, ring=ring_of(tmp_path, KEY), keys=CONFIGURED) as core:
        header = ("x-weighbridge-key", SECRET)
        answer = await call(core.port, "POST", f"{GEMINI}?key=AIza-of-the-app&alt=sse", [header], json=BODY)
        assert answer.status == 200
    (seen,) = upstream.requests
    assert ("AIza" in seen.target) == (mode is AuthMode.BOTH)
    assert seen.target.endswith("alt=sse")


@pytest.mark.parametrize(
    ("path", "kind"),
    [(CHAT, "authentication_error"), (CLAUDE, "authentication_error"), (GEMINI, "UNAUTHENTICATED")],
)
async def test_without_a_good_key_nothing_is_called(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind, path: str, kind: str
) -> None:
    now_ms = int(time.time() * 1000)
    expired = msgspec.structs.replace(KEY, expires_ms=now_ms - 1)
    wrong = "wbk_" + "x" * 43
    for ring, secret, why, whose in (
        (ring_of(tmp_path, KEY), wrong, "is not known", None),
        (ring_of(tmp_path, KEY), None, "needs a key of its own", None),
        (ring_of(tmp_path, KEY, revoked=True), SECRET, "was revoked", KEY),
        (ring_of(tmp_path, expired), SECRET, "has expired", KEY),
    ):
        async with Core(upstream.base, lane, mode=AuthMode.KEYS, ring=ring, keys=CONFIGURED) as core:
            lines = [("x-weighbridge-key", secret)] if secret else [("Authorization", "Bearer sk-own")]
            answer = await call(core.port, "POST", path, lines, json=BODY)
            assert answer.status == 401
            error = answer.json()["error"]
            assert why in error["message"]
            assert kind in (error.get("type"), error.get("status"))
            assert b"wbk_" not in answer.body
            record = await core.record()
            assert (record.outcome, record.answer.error_code) == (Outcome.REFUSED, "weighbridge_unauthorized")
            assert record.cost.status is CostStatus.NOT_BILLABLE
            said = (whose.id, whose.team) if whose is not None else (None, None)
            assert (record.who.key_id, record.who.team) == said
    assert not upstream.requests


@pytest.mark.parametrize("mode", AuthMode)
@pytest.mark.parametrize("place", PLACES)
async def test_a_token_that_may_only_read_opens_no_call_and_stays_here(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind, mode: AuthMode, place: str
) -> None:
    token = f"wbt_{SECRET[4:]}"
    path, (name, value) = PLACES[place]
    path, value = path.replace(SECRET, token), value.replace(SECRET, token)
    async with Core(upstream.base, lane, mode=mode, ring=ring_of(tmp_path, KEY), keys=CONFIGURED) as core:
        answer = await call(core.port, "POST", path, [(name, value)], json=BODY)
        assert answer.status == 401
        assert "may only read" in answer.json()["error"]["message"]
        assert token not in repr(await core.record())
    assert not upstream.requests


async def test_a_token_beside_a_key_stays_here(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind
) -> None:
    token = f"wbt_{SECRET[4:]}"
    upstream.default = reply(json=openai_chat())
    lines = [("x-weighbridge-key", SECRET), ("Cookie", f"a=b; token={token}"), ("X-Web", "wbt_ and no more")]
    async with Core(upstream.base, lane, ring=ring_of(tmp_path, KEY), keys=CONFIGURED) as core:
        assert (await call(core.port, "POST", CHAT, lines, json=BODY)).status == 200
    (seen,) = upstream.requests
    assert token.encode() not in seen.head.raw
    assert b"wbt_ and no more" in seen.head.raw


async def test_until_the_keys_are_known_apps_are_told_to_try_again(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind
) -> None:
    async with Core(upstream.base, lane, mode=AuthMode.KEYS, ring=KeyRing(tmp_path)) as core:
        answer = await call(core.port, "POST", CHAT, [("x-weighbridge-key", SECRET)], json=BODY)
        assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert not upstream.requests


@pytest.mark.parametrize(
    ("change", "path", "body", "status", "message"),
    [
        ({"providers": ("anthropic",)}, CHAT, BODY, 403, "may not call OpenAI; it may call: anthropic"),
        ({"models": ("gpt-4o-mini", "o*")}, CHAT, BODY, 403, "may not use the model 'gpt-4o'"),
        ({"models": ("gpt-4o*",)}, CHAT, BODY, 200, ""),
        ({"models": ("gpt-4o*",)}, CHAT, {"messages": []}, 403, "calls that name no model"),
        ({"required": ("feature", "user")}, CHAT, BODY, 400, "x-weighbridge-feature"),
        ({"required": ("user",)}, CHAT, {**BODY, "user": "ann"}, 200, ""),
    ],
)
async def test_what_a_key_allows(
    upstream: ScriptedUpstream,
    tmp_path: Path,
    lane: LaneKind,
    change: dict[str, Any],
    path: str,
    body: dict[str, Any],
    status: int,
    message: str,
) -> None:
    upstream.default = reply(json=openai_chat())
    ring = ring_of(tmp_path, msgspec.structs.replace(KEY, **change))
    async with Core(upstream.base, lane, mode=AuthMode.KEYS, ring=ring) as core:
        answer = await call(core.port, "POST", path, [("x-weighbridge-key", SECRET)], json=body)
        assert answer.status == status
        if status != 200:
            assert message in answer.json()["error"]["message"]
            assert (await core.record()).who.key_id == "key_1"
    assert len(upstream.requests) == (status == 200)


async def test_a_listing_needs_no_model(upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind) -> None:
    ring = ring_of(tmp_path, msgspec.structs.replace(KEY, models=("gpt-4o",)))
    upstream.default = reply(json={"data": []})
    async with Core(upstream.base, lane, mode=AuthMode.KEYS, ring=ring) as core:
        answer = await call(core.port, "GET", "/openai/v1/models", [("x-weighbridge-key", SECRET)])
        assert answer.status == 200


async def test_what_the_key_binds_goes_before_what_the_app_says(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind
) -> None:
    upstream.default = reply(json=openai_chat())
    said = [
        ("x-weighbridge-key", SECRET),
        ("x-weighbridge-team", "other"),
        ("x-weighbridge-tenant", "other"),
        ("x-weighbridge-user", "ann"),
        ("x-weighbridge-tags", "tier=tin,more=1"),
    ]
    async with Core(upstream.base, lane, ring=ring_of(tmp_path, KEY)) as core:
        await call(core.port, "POST", CHAT, said, json={**BODY, "user": "bob"})
        who = (await core.record()).who
    assert (who.team, who.tenant, who.user) == ("search", "acme", "ann")
    assert who.tags == (("tier", "gold"), ("more", "1"))
    assert dict(who.sources) == {"tenant": "key", "team": "key", "environment": "key", "user": "header"}


async def test_a_key_that_was_good_for_a_connection_ends_with_its_revocation(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind
) -> None:
    """Heads are remembered by connection: what was worked out with the keys of before must not count."""
    upstream.default = reply(json=openai_chat())
    ring = ring_of(tmp_path, KEY)
    async with Core(upstream.base, lane, mode=AuthMode.KEYS, ring=ring, keys=CONFIGURED) as core:
        app = await RawClient.open(core.port)
        statuses = []
        for turn in range(6):
            if turn == 4:
                ring.take(Snapshot(2, [KeyRow(KEY, digest(SECRET), None, None, 0, 5)], []))
                core.proxy.keys_changed()
            app.request("POST", CHAT, [("Authorization", f"Bearer {SECRET}")], json=BODY)
            statuses.append((await app.answer()).status)
        assert statuses == [200, 200, 200, 200, 401, 401]


async def test_an_expiry_is_seen_on_a_connection_that_lasts(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = reply(json=openai_chat())
    soon = msgspec.structs.replace(KEY, expires_ms=int(time.time() * 1000) + 60_000)
    async with Core(upstream.base, lane, mode=AuthMode.KEYS, ring=ring_of(tmp_path, soon)) as core:
        app = await RawClient.open(core.port)
        later = time.time_ns() + 61 * 10**9
        for expected in (200, 200, 200, 401):
            if expected == 401:
                monkeypatch.setattr("gateway.proxy.time.time_ns", lambda: later)
            app.request("POST", CHAT, [("x-weighbridge-key", SECRET)], json=BODY)
            assert (await app.answer()).status == expected


async def test_a_rotated_key_is_good_until_its_grace_is_over(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    ring.take(Snapshot(1, [KeyRow(KEY, digest("wbk_new"), digest(SECRET), 1_000, 0, None)], []))
    assert ring.find(b"wbk_new", 5_000) is not None
    assert ring.find(SECRET.encode(), 999) is not None
    assert ring.find(SECRET.encode(), 1_000) is None
    assert ring.why_not(SECRET.encode()) == ("was replaced by another", KEY)
    ring.take(Snapshot(2, [KeyRow(KEY, digest("wbk_new"), digest(SECRET), 1_000, 0, 2_000)], []))
    assert ring.why_not(SECRET.encode()) == ring.why_not(b"wbk_new") == ("was revoked", KEY)
    assert ring.why_not(b"wbk_else") == ("is not known", None)


async def test_a_running_stream_ends_with_its_key_and_is_billed(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind
) -> None:
    gate = asyncio.Semaphore(2)
    upstream.play(sse(openai_events(), gate=gate))
    ring = ring_of(tmp_path, KEY)
    async with Core(upstream.base, lane, mode=AuthMode.KEYS, ring=ring, counts=True) as core:
        app = await RawClient.open(core.port)
        ask = {**BODY, "stream": True, "messages": [{"role": "user", "content": "How heavy is a lorry?"}]}
        app.request("POST", CHAT, [("x-weighbridge-key", SECRET)], json=ask)
        await app.until(b"Twelve")
        for running in list(core.live):
            assert running.call.known is not None
            running.revoke()
        await app.closed()
        assert not app.received.endswith(b"0\r\n\r\n")
        record = await core.record()
        assert (record.outcome, record.answer.status) == (Outcome.REVOKED, 200)
        assert record.cost.status is CostStatus.ESTIMATED
        assert record.cost.total


async def test_a_running_stream_ends_when_its_key_expires(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key changes, and nobody else calls."""
    now_ms, address = time.time_ns() // 10**6, parse(sqlite, Path())
    monkeypatch.setattr("gateway.governance._now_ms", lambda: now_ms)
    monkeypatch.setattr("gateway.watch.TICK_S", 0.01)
    db = control_of(address)
    soon = msgspec.structs.replace(KEY, expires_ms=now_ms + 60_000)
    secret = await create_key(db, soon, "test", now_ms)
    await db.close()
    governance = Governance(address, tmp_path / "data", tmp_path / "spool")
    governance.admission(PriceBook.load(), time.monotonic, no_tokens, lambda: None, strict=False)
    gate = asyncio.Semaphore(2)
    upstream.play(sse(openai_events(), gate=gate))
    async with Core(upstream.base, lane, mode=AuthMode.KEYS, ring=governance.ring) as core:
        await governance.start("me", core.live, core.proxy.keys_changed)
        app = await RawClient.open(core.port)
        app.request("POST", CHAT, [("x-weighbridge-key", secret)], json={**BODY, "stream": True})
        await app.until(b"Twelve")
        now_ms += 59_999
        await asyncio.sleep(0.05)
        assert core.live
        now_ms += 1
        await app.closed()
        assert (await core.record()).outcome is Outcome.REVOKED
        await governance.stop(1)


async def no_tokens(_: Call) -> int:
    return 0


async def test_a_call_that_waits_ends_with_its_key(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind
) -> None:
    gate = asyncio.Semaphore(0)
    upstream.play(sse(openai_events(), gate=gate))
    async with Core(upstream.base, lane, ring=ring_of(tmp_path, KEY)) as core:
        app = await RawClient.open(core.port)
        app.request("POST", CHAT, [("x-weighbridge-key", SECRET)], json=BODY)
        await upstream.seen(1)
        for running in list(core.live):
            running.revoke()
        answer = await app.answer()
        assert answer.status in (200, 401)
        assert (await core.record()).outcome is Outcome.REVOKED


@pytest.mark.parametrize(
    ("target", "without"),
    [
        (b"/x", b"/x"),
        (b"/x?key=AIza", b"/x?key=AIza"),
        (b"/x?key=wbk_a", b"/x"),
        (b"/x?key=wbk_a&alt=sse", b"/x?alt=sse"),
        (b"/x?alt=sse&key=wbk_a", b"/x?alt=sse"),
        (b"/x?a=1&key=wbk_a&b=2", b"/x?a=1&b=2"),
        (b"/x?mykey=wbk_a", b"/x?mykey=wbk_a"),
        (b"/x?key=wbk_a&key=wbk_b", b"/x"),
        (b"/x?b=%26&key=%77bk_a&c", b"/x?b=%26&c"),
        (b"/x?", b"/x?"),
        (b"/x?a&&b", b"/x?a&&b"),
    ],
)
def test_a_key_in_the_query_is_taken_out(target: bytes, without: bytes) -> None:
    assert without_key(target) == without


def test_the_last_good_state_is_kept(tmp_path: Path) -> None:
    ring = ring_of(tmp_path, KEY)
    token = TokenRow(Token(id="tok_1", name="ann", team="search"), digest("wbt_x"), 0, None)
    snapshot = Snapshot(7, [KeyRow(KEY, digest(SECRET), None, None, 0, None)], [token])
    ring.save(snapshot)
    assert (tmp_path / "keys.snapshot").stat().st_mode & 0o777 == 0o600
    assert SECRET.encode() not in (tmp_path / "keys.snapshot").read_bytes()
    cold = KeyRing(tmp_path)
    assert not cold.is_known
    assert cold.load() == snapshot
    assert cold.version == 7
    assert cold.find(SECRET.encode(), 1) is not None
    assert cold.token("wbt_x", 1) == token
    (tmp_path / "keys.snapshot").write_bytes(b"\x93garbage")
    assert KeyRing(tmp_path).load() is None


async def test_prices_are_believed_from_a_key_that_is_trusted(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind
) -> None:
    upstream.default = reply(json=openai_chat())
    told = ("cf-aig-custom-cost", '{"total_cost":0.5}')
    totals = []
    for trusted in (True, False):
        ring = ring_of(tmp_path, msgspec.structs.replace(KEY, trusts_prices=trusted))
        async with Core(upstream.base, lane, ring=ring) as core:
            await call(core.port, "POST", CHAT, [("x-weighbridge-key", SECRET), told], json=BODY)
            totals.append((await core.record()).cost.total)
    assert totals[0] == 500_000_000 != totals[1]


async def test_an_app_that_is_traced_already_gets_no_spans_of_ours(
    upstream: ScriptedUpstream, tmp_path: Path, lane: LaneKind
) -> None:
    upstream.default = reply(json=openai_chat())
    ring = ring_of(tmp_path, msgspec.structs.replace(KEY, traced=True))
    async with Core(upstream.base, lane, ring=ring, traces=True) as core:
        await call(core.port, "POST", CHAT, [("x-weighbridge-key", SECRET)], json=BODY)
        await call(core.port, "POST", CHAT, [("Authorization", "Bearer sk")], json=BODY)
        sampled = [one.trace.sampled for one in [await core.record(1), await core.record(2)] if one.trace]
        assert sampled == [False, True]
    assert OPENAI_USAGE["total_tokens"] == 150
