"""Budgets in front of the proxy: what is refused, what is told, and that nothing stays reserved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rig.bodies import openai_chat, openai_events
from rig.client import RawClient, call
from rig.core import Core, LaneKind
from rig.script import hang, reply, rst, sse
from rig.upstream import ScriptedUpstream

from gateway.admission import SETTLING_S, Admission
from gateway.keyring import KeyRing, Snapshot
from gateway.proxy import Limits
from gateway.purse import Purse
from pricing.book import PriceBook, PriceQuery
from pricing.cost import CostStatus
from pricing.usage import Usage
from storage.budgets.leases import Grant, Standing
from storage.budgets.model import EVERY, Budget, Mode, Unit, Unpriced, Window, account_of
from storage.budgets.windows import span_of
from storage.keys.model import Key, KeyRow, digest
from storage.spool import SpoolFull
from telemetry.outcome import Outcome

CHAT = "/openai/v1/chat/completions"
CLAUDE = "/anthropic/v1/messages"
GEMINI = "/gemini/v1beta/models/gemini-2.0-flash:generateContent"
BODY: dict[str, Any] = {
    "model": "gpt-4o",
    "max_tokens": 30,
    "messages": [{"role": "user", "content": "How heavy?"}],
}
USD = 10**9
REMAINING = "x-weighbridge-budget-remaining-usd"
SECRET = "wbk_" + "s" * 43
WEBSOCKET = (
    b"GET /openai/v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class MemoryLender:
    """Lends like the database does, out of memory. ``answers``: is it there?"""

    def __init__(self, admission: Admission) -> None:
        del admission
        self.lent: dict[tuple[str, str, str], int] = {}
        self.spent: dict[tuple[str, str, str], int] = {}
        """Before this worker began."""
        self.answers = True
        self.asked = 0
        self.gate: asyncio.Event | None = None

    async def ask(self, purses: Sequence[Purse]) -> bool:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if not self.answers:
            return False
        for purse in purses:
            key = purse.account.key
            spent = self.spent.get(key, 0)
            free = purse.limit - spent - self.lent.get(key, 0)
            amount = min(free, max(purse.asked - purse.available, 0))
            self.lent[key] = self.lent.get(key, 0) + amount
            purse.take(Grant(amount, spent + purse.used, self.lent[key] - purse.used))
        return True

    def wake(self) -> None:
        return None


def core_of(upstream: ScriptedUpstream, lane: LaneKind, *budgets: Budget, **more: Any) -> Core:
    return Core(upstream.base, lane, budgets=budgets, lender=MemoryLender, **more)


def lender_of(core: Core) -> MemoryLender:
    lender = core.admission.lender
    assert isinstance(lender, MemoryLender)
    return lender


def purse_of(core: Core) -> Purse:
    (purse,) = core.admission.purses.values()
    return purse


def nothing_held(core: Core) -> bool:
    return all(purse.held == 0 for purse in core.admission.purses.values())


def hard(limit: int, **more: Any) -> Budget:
    return Budget(id="b", name="Search team", limit=limit, mode=Mode.HARD, **more)


@pytest.mark.parametrize(
    ("path", "model", "shape"),
    [
        (CHAT, "gpt-4o", "rate_limit_error"),
        (CLAUDE, "claude-sonnet-4-5", "rate_limit_error"),
        (GEMINI, "gemini-2.0-flash", "RESOURCE_EXHAUSTED"),
    ],
)
async def test_what_is_used_up_is_refused_in_the_wires_shape(
    upstream: ScriptedUpstream, lane: LaneKind, path: str, model: str, shape: str
) -> None:
    scope = (("team", "search"),)
    async with core_of(upstream, lane, hard(5, scope=scope, timezone="Pacific/Auckland")) as core:
        team = ("x-weighbridge-team", "search")
        answer = await call(core.port, "POST", path, [team], json={**BODY, "model": model})
        assert answer.status == 429
        wait = answer.header("retry-after")
        assert wait is not None
        assert 0 < int(wait) <= 31 * 86_400
        assert answer.header("x-should-retry") == "false"
        error = answer.json()["error"]
        assert shape in (error.get("type"), error.get("status"))
        for part in ("'Search team' of 0.000000005 USD", "team search", "0 USD spent", "(Pacific/Auckland)"):
            assert part in error["message"]
        record = await core.record()
        assert record.outcome is Outcome.REFUSED
        assert record.answer.error_code == "weighbridge_budget_exceeded"
        assert (record.who.team, record.cost.total) == ("search", 0)
        assert (purse_of(core).denied, nothing_held(core)) == (1, True)
        assert not core.ledger.opened_records
        upstream.default = reply(json=openai_chat())
        assert (await call(core.port, "POST", CHAT, json=BODY)).status == 200  # no team, no budget
    assert len(upstream.requests) == 1


async def test_what_a_call_cost_is_settled_and_what_is_left_is_told(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    upstream.default = reply(json=openai_chat())
    watched = Budget(id="w", name="watched", limit=USD)
    async with core_of(upstream, lane, watched) as core:
        left = []
        for turn in range(3):
            answer = await call(core.port, "POST", CHAT, json=BODY)
            left.append(answer.header(REMAINING))
            await core.record(turn + 1)
            if not turn:
                purse_of(core).look(Standing(spent=USD // 2))
        cost = core.records[0].cost.total
        assert cost
        assert left[0] is None  # nobody has looked yet what was spent before
        assert [_nano(one) for one in left[1:]] == [USD // 2, USD // 2 - cost]


async def test_the_first_answer_tells_what_was_spent_before(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    """A hard budget is looked at before its first call goes; of what is refused the same is told."""
    upstream.default = reply(json=openai_chat())
    async with core_of(upstream, lane, hard(USD)) as core:
        (key,) = [account_of(hard(USD), "", span_of(Window.MONTH, "UTC", 1, int(time.time()))).key]
        lender_of(core).spent[key] = USD // 4
        first = await call(core.port, "POST", CHAT, json=BODY)
        assert _nano(first.header(REMAINING)) == USD - USD // 4
    async with core_of(upstream, lane, hard(USD)) as core:
        lender_of(core).spent[key] = USD
        refused = await call(core.port, "POST", CHAT, json=BODY)
        assert (refused.status, refused.header(REMAINING)) == (429, "0")


async def test_what_is_left_is_not_told_while_one_of_the_accounts_is_unknown(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    upstream.default = reply(json=openai_chat())
    budgets = [Budget(id=name, name=name, limit=limit) for name, limit in (("all", USD), ("more", 2 * USD))]
    async with core_of(upstream, lane, *budgets) as core:
        await call(core.port, "POST", CHAT, json=BODY)
        for number, told in ((1, None), (0, "0.4")):
            tuple(core.admission.purses.values())[number].look(Standing(spent=6 * USD // 10))
            answer = await call(core.port, "POST", CHAT, json=BODY)
            assert answer.header(REMAINING) == told


def _nano(text: str | None) -> int:
    assert text is not None
    whole, _, fraction = text.partition(".")
    return int(whole) * USD + int(fraction.ljust(9, "0"))


async def test_a_soft_budget_tells_and_a_shadow_counts(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    upstream.default = reply(json=openai_chat())
    soft = Budget(id="s", name="söft", limit=1, mode=Mode.SOFT)
    shadow = Budget(id="h", name="shadow", limit=1, mode=Mode.SHADOW)
    async with core_of(upstream, lane, soft, shadow) as core:
        first = await call(core.port, "POST", CHAT, json=BODY)
        await core.record()
        second = await call(core.port, "POST", CHAT, json=BODY)
        assert (first.status, second.status) == (200, 200)
        assert first.header("x-weighbridge-budget-exceeded") is None
        assert second.header("x-weighbridge-budget-exceeded") == "s?ft"
        assert second.header(REMAINING) == "0"
        counted = {purse.account.budget.id: purse.denied for purse in core.admission.purses.values()}
        assert counted == {"s": 0, "h": 2}


@pytest.mark.parametrize("unpriced", Unpriced)
async def test_calls_without_a_price(upstream: ScriptedUpstream, lane: LaneKind, unpriced: Unpriced) -> None:
    upstream.default = reply(json=openai_chat("house-model"))
    budget = hard(USD, unpriced=unpriced, ceiling_nano_per_mtok=1_000_000)
    async with core_of(upstream, lane, budget) as core:
        answer = await call(core.port, "POST", CHAT, json={**BODY, "model": "house-model"})
        record = await core.record()
        assert record.cost.total is None or record.outcome is Outcome.REFUSED
        used = purse_of(core).used
    if unpriced is Unpriced.BLOCK:
        assert (answer.status, used) == (403, 0)
        assert "refuses calls whose price is not known" in answer.json()["error"]["message"]
    else:
        assert answer.status == 200
        assert used == (150 if unpriced is Unpriced.CEILING else 0)


@pytest.mark.parametrize("strict", [False, True])
async def test_without_the_database(upstream: ScriptedUpstream, lane: LaneKind, strict: bool) -> None:
    upstream.default = reply(json=openai_chat())
    async with core_of(upstream, lane, hard(USD), strict=strict) as core:
        lender_of(core).answers = False
        answer = await call(core.port, "POST", CHAT, json=BODY)
        assert answer.status == (503 if strict else 200)
        await core.record()
        assert core.admission.overdrawn == (0 if strict else 1)
        assert nothing_held(core)


async def test_nothing_stays_reserved_however_a_call_ends(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    async with core_of(upstream, lane, hard(USD)) as core:
        for number, script in enumerate((reply(500, b"{}"), rst(), reply(json=openai_chat())), 1):
            upstream.play(script)
            await call(core.port, "POST", CHAT, json=BODY)
            await core.record(number)
            assert nothing_held(core)
        before = len(upstream.requests)
        upstream.play(hang())
        app = await RawClient.open(core.port)
        app.request("POST", CHAT, json=BODY)
        await upstream.seen(before + 1)
        assert not nothing_held(core)
        app.abort()
        await core.record(4)
        assert nothing_held(core)
        core.ledger.refuse = SpoolFull("full")
        assert (await call(core.port, "POST", CHAT, json=BODY)).status == 503
        assert nothing_held(core)
        core.ledger.refuse = None
        assert purse_of(core).used == sum(record.cost.total or 0 for record in core.records)


async def test_an_app_that_leaves_while_it_waits_holds_nothing(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    async with core_of(upstream, lane, hard(USD)) as core:
        lender = lender_of(core)
        lender.gate = asyncio.Event()
        app = await RawClient.open(core.port)
        app.request("POST", CHAT, json=BODY)
        while not lender.asked:
            await core.turn()
        app.abort()
        record = await core.record()
        lender.gate.set()
        await core.turn()
        assert record.outcome is Outcome.CANCELLED
        assert not core.ledger.opened_records
        assert nothing_held(core)
        assert not core.live
    assert not upstream.requests


async def test_a_large_upload_waits_for_the_decision(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    """Its first part is held, more comes while the decision is pending; all of it arrives, in order."""
    upstream.default = reply(json=openai_chat())
    body = b'{"model":"gpt-4o","max_tokens":5,"messages":[{"role":"user","content":"%b"}]}' % (b"x" * 700_000)
    limits = Limits(65_536, 1 << 30, 16_384)
    async with core_of(upstream, lane, hard(1000 * USD), limits=limits) as core:
        lender = lender_of(core)
        lender.gate = asyncio.Event()
        app = await RawClient.open(core.port)
        app.request("POST", CHAT, [("Content-Type", "application/json")], body)
        while not lender.asked:
            await core.turn()
        lender.gate.set()
        assert (await app.answer()).status == 200
    assert upstream.requests[0].body == body


@pytest.mark.parametrize("answers", [1, 4])
async def test_what_is_reserved_is_what_it_may_cost_at_most(
    upstream: ScriptedUpstream, lane: LaneKind, answers: int
) -> None:
    gate = asyncio.Semaphore(0)
    upstream.play(sse(openai_events(), gate=gate))
    async with core_of(upstream, lane, hard(USD)) as core:
        app = await RawClient.open(core.port)
        app.request("POST", CHAT, json={**BODY, "n": answers, "stream": True})
        await upstream.seen(1)
        held = purse_of(core).held
        book = PriceBook.load()
        usage = Usage(input=5, output=30 * answers)
        least = book.price(PriceQuery("openai", "gpt-4o", None, usage, 1_760_000_000 * 10**9)).total
        assert least is not None
        assert least <= held <= least * 12 // 10
        for _ in range(20):
            gate.release()
        await app.answer()


async def test_each_session_has_an_account_of_its_own(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    """A runaway agent is cut, and nobody else."""
    upstream.default = reply(json=openai_chat())
    budget = hard(2, unit=Unit.CALLS, scope=(("session", EVERY),), window=Window.TOTAL)
    async with core_of(upstream, lane, budget) as core:
        statuses = []
        for session in ("a", "a", "b", "a", "b", "b"):
            header = ("x-weighbridge-session", session)
            answer = await call(core.port, "POST", CHAT, [header], json=BODY)
            statuses.append(answer.status)
        assert statuses == [200, 200, 200, 429, 200, 429]
        assert "session b" in answer.json()["error"]["message"]
        assert "does not begin anew" in answer.json()["error"]["message"]


async def test_listings_and_polls_are_free(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    upstream.default = reply(json={"data": []})
    async with core_of(upstream, lane, hard(0)) as core:
        assert (await call(core.port, "GET", "/openai/v1/models")).status == 200
        assert (await call(core.port, "POST", CHAT, json=BODY)).status == 429


@pytest.mark.parametrize("unit", [Unit.USD, Unit.TOKENS, Unit.CALLS])
@pytest.mark.parametrize(
    "path", ["/openai/v1/threads", "/openai/v1/files", "/anthropic/v1/messages/count_tokens"]
)
async def test_what_manages_or_counts_is_free(
    upstream: ScriptedUpstream, lane: LaneKind, path: str, unit: Unit
) -> None:
    upstream.default = reply(json={"id": "made", "input_tokens": 9})
    async with core_of(upstream, lane, hard(0, unit=unit, unpriced=Unpriced.BLOCK)) as core:
        assert (await call(core.port, "POST", path, json={"model": "house-model"})).status == 200
        assert (await core.record()).cost.status is CostStatus.NOT_BILLABLE
        assert (await call(core.port, "POST", CHAT, json=BODY)).status == 429


async def test_a_websocket_is_admitted_too(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    async with core_of(upstream, lane, hard(0, unit=Unit.CALLS)) as core:
        app = await RawClient.open(core.port)
        app.send(WEBSOCKET)
        answer = await app.answer("GET")
        assert (answer.status, answer.header("retry-after") is not None) == (429, True)
        record = await core.record()
        assert (record.outcome, record.answer.error_code) == (Outcome.REFUSED, "weighbridge_budget_exceeded")
    assert not upstream.requests


async def test_a_websocket_that_leaves_while_it_waits_holds_nothing(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    async with core_of(upstream, lane, hard(USD)) as core:
        lender = lender_of(core)
        lender.gate = asyncio.Event()
        app = await RawClient.open(core.port)
        app.send(WEBSOCKET)
        while not lender.asked:
            await core.turn()
        app.abort()
        assert (await core.record()).outcome is Outcome.CANCELLED
        lender.gate.set()
        await core.turn()
        assert core.admission.holding == 0
        assert nothing_held(core)
    assert not upstream.requests


def ring_of(folder: Path, **limits: int) -> KeyRing:
    ring = KeyRing(folder)
    key = Key(id="key_1", name="search", **limits)  # type: ignore[arg-type]
    ring.take(Snapshot(1, [KeyRow(key, digest(SECRET), None, None, 0, None)], []))
    return ring


async def test_a_key_may_make_so_many_calls_at_once(
    upstream: ScriptedUpstream, lane: LaneKind, tmp_path: Path
) -> None:
    gate = asyncio.Semaphore(0)
    upstream.play(sse(openai_events(), gate=gate))
    upstream.default = reply(json=openai_chat())
    async with core_of(upstream, lane, ring=ring_of(tmp_path, concurrent=1)) as core:
        header = ("x-weighbridge-key", SECRET)
        app = await RawClient.open(core.port)
        app.request("POST", CHAT, [header], json={**BODY, "stream": True})
        await upstream.seen(1)
        refused = await call(core.port, "POST", CHAT, [header], json=BODY)
        assert (refused.status, refused.header("retry-after")) == (429, "1")
        assert refused.json()["error"]["code"] == "weighbridge_rate_limited"
        for _ in range(20):
            gate.release()
        await app.answer()
        assert (await call(core.port, "POST", CHAT, [header], json=BODY)).status == 200


async def test_a_key_may_make_so_many_calls_a_minute(
    upstream: ScriptedUpstream, lane: LaneKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = reply(json=openai_chat())
    now = 1_763_700_010 * 10**9
    monkeypatch.setattr("gateway.proxy.time.time_ns", lambda: now)
    async with core_of(upstream, lane, ring=ring_of(tmp_path, calls_per_minute=2)) as core:
        header = ("x-weighbridge-key", SECRET)
        statuses = []
        for turn in range(6):
            if turn == 3:
                now += 60 * 10**9
            answer = await call(core.port, "POST", CHAT, [header], json=BODY)
            statuses.append(answer.status)
        assert statuses == [200, 200, 429, 200, 200, 429]
        assert "2 calls per minute" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "limits", [{"calls_per_minute": 1}, {"concurrent": 1}, {"tokens_per_minute": 20_000}]
)
async def test_polls_and_listings_use_up_no_limit_of_a_key(
    upstream: ScriptedUpstream,
    lane: LaneKind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
) -> None:
    """Neither do they need what is left of one, nor do they leave less of it."""
    now = 1_763_700_010 * 10**9
    monkeypatch.setattr("gateway.proxy.time.time_ns", lambda: now)  # no minute ends in between
    gate = asyncio.Semaphore(0)
    polled = reply(json={"object": "response", "status": "in_progress", "id": "resp_1"})
    upstream.default = polled
    budget = hard(1, unit=Unit.CALLS)
    async with core_of(upstream, lane, budget, ring=ring_of(tmp_path, **limits)) as core:
        header = ("x-weighbridge-key", SECRET)

        async def poll() -> list[int]:
            methods = ("GET", "HEAD", "DELETE", "GET")
            path = "/openai/v1/responses/resp_1"
            return [(await call(core.port, method, path, [header])).status for method in methods]

        assert await poll() == [200] * 4
        upstream.play(sse(openai_events(), gate=gate))
        app = await RawClient.open(core.port)
        app.request("POST", CHAT, [header], json={**BODY, "stream": True})
        await upstream.seen(5)
        asked = lender_of(core).asked
        another = asyncio.create_task(call(core.port, "POST", CHAT, [header], json=BODY))
        while not another.done():
            if lender_of(core).asked > asked:
                core.clock.ahead = SETTLING_S  # that long it waits for what the stream may not need
            await core.turn()
        assert (await another).status == 429
        assert await poll() == [200] * 4
        for _ in range(20):
            gate.release()
        assert (await app.answer()).status == 200
        methods = [record.what.method for record in core.records]
        assert (methods.count("GET"), methods.count("HEAD"), methods.count("DELETE")) == (4, 2, 2)
        used = {purse.account.budget.unit: purse.used for purse in core.admission.purses.values()}
        assert used[Unit.CALLS] == 1
        assert nothing_held(core)
