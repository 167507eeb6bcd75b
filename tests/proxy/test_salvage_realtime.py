"""A defect of ours at the end of a WebSocket costs what could not be found out, never its record, nor either side its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import pytest
from rig.client import RawClient
from rig.core import Core, LaneKind
from rig.script import Script, fin, flag, hang, raw, reply, steps, wait
from rig.upstream import ScriptedUpstream
from websockets.frames import Frame, Opcode

from pricing.cost import CostStatus
from storage.budgets.model import Budget
from telemetry.outcome import Outcome
from telemetry.record import CallRecord, UsageSource

UPGRADE = (
    b"GET /openai/v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
TURN = Frame(
    Opcode.TEXT,
    json.dumps(
        {
            "type": "response.done",
            "response": {"status": "completed", "usage": {"input_tokens": 100, "output_tokens": 50}},
        }
    ).encode(),
).serialize(mask=False)
GOODBYE = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False)
WATCHED = Budget(id="b", name="watched", limit=10**9)
PRICED, UNPRICED = CostStatus.PRICED, CostStatus.UNPRICED


def breaks(*_: Any, **__: Any) -> NoReturn:
    raise ValueError("a defect")


DEFECTS = {
    "the reading": "gateway.wire.openai_realtime.RealtimeReader.reading",
    "the record": "gateway.recording.record_of",
}


@pytest.fixture(params=DEFECTS)
def planted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(DEFECTS[request.param], breaks)
    where: str = request.param
    return where


@pytest.fixture
async def core(upstream: ScriptedUpstream, lane: LaneKind) -> AsyncIterator[Core]:
    async with Core(upstream.base, lane, budgets=[WATCHED]) as running:
        yield running


async def asked(core: Core) -> RawClient:
    app = await RawClient.open(core.port)
    app.send(UPGRADE)
    return app


async def only_record(core: Core, outcome: Outcome, status: CostStatus) -> CallRecord:
    """The one there is. Nothing is left of the call on either side, and the defect was counted."""
    record = await core.record()
    await core.turn()
    assert core.records == [record]
    assert [one.id for one in core.ledger.opened_records] == [record.id]
    assert not core.live
    assert core.admission.holding == 0
    assert not core.pool._open, "nothing is left of the provider's connection"
    assert not core.lane.connections
    assert {str(defect) for defect in core.defects} == {"a defect"}
    core.defects.clear()
    assert record.outcome is outcome
    assert record.cost.status is status
    assert record.usage_source is UsageSource.NONE
    assert record.timing.duration_us > 0
    return record


def agreeing(*then: Script) -> Script:
    return steps(raw(AGREED + TURN), *then)


def say_goodbye(_: Core, app: RawClient) -> None:
    app.send(GOODBYE)
    app.close()


def stop(core: Core, _: RawClient) -> None:
    for running in list(core.live):
        running.shut_down()


def revoke(core: Core, _: RawClient) -> None:
    for running in list(core.live):
        running.revoke()


ENDINGS: dict[str, tuple[Callable[[Core, RawClient], None], Outcome]] = {
    "the app leaves": (lambda _, app: app.close(), Outcome.CANCELLED),
    "the app says goodbye": (say_goodbye, Outcome.COMPLETED),
    "the gateway stops": (stop, Outcome.SHUTDOWN),
    "the key is revoked": (revoke, Outcome.REVOKED),
    "nobody says a word": (lambda core, _: core.advance(301), Outcome.STALLED),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_however_we_or_the_app_end_it(
    core: Core, upstream: ScriptedUpstream, planted: str, ending: str
) -> None:
    upstream.play(agreeing(hang()))
    app = await asked(core)
    await app.until(TURN)
    leave, outcome = ENDINGS[ending]
    leave(core, app)
    record = await only_record(core, outcome, UNPRICED)
    await upstream.peers[0].gone.wait()
    if not ending.startswith("the app"):
        await app.closed()
    assert record.answer.status == 101
    assert record.route.attempts == (1 if planted == "the reading" else 0)


@pytest.mark.parametrize(
    ("goodbye", "outcome"), [(GOODBYE, Outcome.COMPLETED), (b"", Outcome.TRUNCATED)], ids=["goodbye", "none"]
)
async def test_however_the_provider_ends_it(
    core: Core, upstream: ScriptedUpstream, planted: str, goodbye: bytes, outcome: Outcome
) -> None:
    upstream.play(agreeing(raw(goodbye), fin()))
    app = await asked(core)
    await app.closed()
    assert app.received.endswith(TURN + goodbye)
    await only_record(core, outcome, UNPRICED)


async def test_what_was_reported_is_priced_where_no_stage_breaks(
    core: Core, upstream: ScriptedUpstream
) -> None:
    """The other tests mean something: this turn has a price."""
    upstream.play(agreeing(raw(GOODBYE), fin()))
    app = await asked(core)
    await app.closed()
    record = await core.record()
    assert (record.cost.status, record.usage_source) == (PRICED, UsageSource.PROVIDER)


async def test_what_ends_before_it_was_agreed(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DEFECTS["the record"], breaks)
    upstream.play(reply(401, b"no"))
    app = await asked(core)
    answer = await app.answer("GET")
    assert (answer.status, answer.body) == (401, b"no")
    await app.closed()
    await only_record(core, Outcome.PROVIDER_ERROR, UNPRICED)


async def test_a_provider_that_says_nothing(
    core: Core, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DEFECTS["the record"], breaks)
    there, never = asyncio.Event(), asyncio.Event()
    upstream.play(steps(flag(there), wait(never)))
    app = await asked(core)
    await there.wait()
    core.advance(601)
    assert (await app.answer("GET")).status == 504
    await app.closed()
    await only_record(core, Outcome.TIMEOUT, UNPRICED)
