"""Calls that meet in one turn of the loop go on side by side, and what happens in that turn changes none of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rig.bodies import openai_chat, openai_events
from rig.client import RawClient
from rig.core import Core, LaneKind
from rig.http11 import LAST_CHUNK, chunk, request_bytes
from rig.ledger import record
from rig.script import body_read, fin, head, raw, reply, steps, wait
from rig.upstream import ScriptedUpstream

from gateway.front import FrontConnection
from gateway.turns import Reply, Steps, Turns
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

CHAT = "/openai/v1/chat/completions"
BODY = b'{"model":"gpt-4o-mini","messages":[]}'


class Wire(asyncio.Transport):
    """The app's end of a connection that can be lost at any point."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


def walk(log: list[str], name: str, stages: int) -> Steps:
    for stage in range(stages):
        log.append(f"{name}{stage}")
        yield None


def stumble(log: list[str]) -> Steps:
    log.append("x0")
    yield None
    raise ValueError("a defect")


async def ran(turns: Turns, *work: tuple[Steps, Callable[[], None]]) -> None:
    for steps_, broken in work:
        turns.join(steps_, broken)
    await asyncio.sleep(0)


async def test_each_stage_is_taken_by_all_before_the_next() -> None:
    log: list[str] = []
    turns = Turns(asyncio.get_running_loop(), lambda _: None, lambda _: None)
    await ran(
        turns, *[(walk(log, name, stages), lambda: None) for name, stages in (("a", 3), ("b", 1), ("c", 2))]
    )
    assert log == ["a0", "b0", "c0", "a1", "c1", "a2"]
    await ran(turns, (walk(log, "d", 1), lambda: None))
    assert log[6:] == ["d0"]


async def test_a_defect_ends_one_call_and_no_other() -> None:
    log: list[str] = []
    defects: list[BaseException] = []
    turns = Turns(asyncio.get_running_loop(), defects.append, lambda _: None)
    await ran(
        turns,
        (walk(log, "a", 2), lambda: log.append("a broken")),
        (stumble(log), lambda: log.append("x broken")),
        (walk(log, "b", 2), lambda: log.append("b broken")),
    )
    assert log == ["a0", "x0", "b0", "a1", "b1"]
    await asyncio.sleep(0)
    assert log[5:] == ["x broken"]
    assert [type(one) for one in defects] == [ValueError]


async def test_who_joins_while_a_turn_runs_comes_in_the_next() -> None:
    log: list[str] = []
    turns = Turns(asyncio.get_running_loop(), lambda _: None, lambda _: None)

    def again() -> Steps:
        turns.join(walk(log, "late", 1), lambda: None)
        yield None
        log.append("first")

    await ran(turns, (again(), lambda: None))
    assert log == ["first"]
    await asyncio.sleep(0)
    assert log == ["first", "late0"]


def keeper(log: list[str], name: str, ahead: int, number: int) -> Steps:
    """Gives a record after ``ahead`` stages, and says what becomes of it."""
    yield from walk(log, name, ahead)
    try:
        reply = yield record(number)
        log.append(f"{name} {'waits' if reply else 'goes'}")
    except ValueError:
        log.append(f"{name} refused")
        yield None
    log.append(f"{name} over")


async def test_records_of_one_stage_are_put_down_together_before_the_next() -> None:
    log: list[str] = []
    written: list[list[CallRecord]] = []
    waiter = asyncio.get_running_loop().create_future()

    def write(records: list[CallRecord]) -> list[Reply] | None:
        log.append("written")
        written.append(records)
        return None if len(written) == 1 else [waiter, ValueError("refused")]

    turns = Turns(asyncio.get_running_loop(), lambda _: None, write)
    await ran(
        turns,
        *[
            (keeper(log, name, ahead, number), lambda: None)
            for number, (name, ahead) in enumerate((("a", 0), ("b", 1), ("c", 0), ("d", 1)))
        ],
        (walk(log, "e", 2), lambda: None),
    )
    assert log == [
        *("b0", "d0", "e0", "written"),
        *("a goes", "a over", "c goes", "c over", "e1", "written"),
        *("b waits", "b over", "d refused", "d over"),
    ]
    assert written == [[record(0), record(2)], [record(1), record(3)]]


async def test_what_breaks_while_records_are_put_down_ends_their_calls_and_no_other() -> None:
    log: list[str] = []
    defects: list[BaseException] = []

    def write(records: list[CallRecord]) -> None:
        raise OSError(f"{len(records)} records")

    turns = Turns(asyncio.get_running_loop(), defects.append, write)
    work = [(keeper(log, name, 0, number), lambda: log.append("broken")) for number, name in enumerate("ab")]
    await ran(turns, *work, (walk(log, "c", 2), lambda: None))
    await asyncio.sleep(0)
    assert log == ["c0", "c1", "broken", "broken"]
    assert [str(defect) for defect in defects] == ["2 records"] * 2


async def test_replies_that_do_not_fit_the_records_end_the_calls_and_not_the_loop() -> None:
    log: list[str] = []
    defects: list[BaseException] = []
    turns = Turns(asyncio.get_running_loop(), defects.append, lambda records: [None] * (len(records) - 1))
    await ran(turns, *[(keeper(log, name, 0, number), lambda: None) for number, name in enumerate("ab")])
    assert log == ["a refused", "b refused", "a over", "b over"]
    assert not defects


def test_a_call_that_runs_through_at_once_waits_for_its_record_too() -> None:
    loop, log = asyncio.new_event_loop(), list[str]()
    turns = Turns(loop, lambda _: None, lambda records: log.append(f"written {len(records)}"))
    turns.through(keeper(log, "a", 1, 1))
    assert log == ["a0", "written 1", "a goes", "a over"]
    refusing = Turns(loop, lambda _: None, lambda _: [ValueError("refused")])
    refusing.through(keeper(log, "b", 0, 1))
    assert log[4:] == ["b refused", "b over"]
    loop.close()


async def test_an_app_that_leaves_in_the_turn_of_its_request_leaves_one_record(
    core: Core, upstream: ScriptedUpstream
) -> None:
    app = FrontConnection(core.lane)
    app.connection_made(Wire())
    app.data_received(request_bytes("POST", CHAT, body=BODY))
    app.connection_lost(None)
    record = await core.record()
    assert record.outcome is Outcome.CANCELLED
    assert not core.live
    assert len(core.records) == 1


async def test_an_app_that_leaves_when_its_answer_is_whole_was_answered(
    core: Core, upstream: ScriptedUpstream
) -> None:
    """What the provider billed is known; nobody knows whether the last bytes would have been read."""
    upstream.play(reply(json=openai_chat()))
    app, wire = FrontConnection(core.lane), Wire()
    app.connection_made(wire)
    app.data_received(request_bytes("POST", CHAT, body=BODY))
    await asyncio.sleep(0)
    exchange = app._exchange
    assert exchange is not None
    while not exchange.over:
        await asyncio.sleep(0)
    app.connection_lost(None)
    record = await core.record()
    assert (record.outcome, record.cost.status.value) == (Outcome.COMPLETED, "priced")
    assert not core.live
    assert wire.written == b""


async def test_an_app_that_leaves_while_its_last_bytes_wait_for_the_disk_was_answered(
    core: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(reply(json=openai_chat()))
    core.ledger.waiter = asyncio.get_running_loop().create_future()
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, body=BODY)
    record = await core.record()
    client.transport.abort()
    await core.turn()
    assert not core.live
    core.ledger.waiter.set_result(None)
    await core.turn()
    assert record.outcome is Outcome.COMPLETED
    assert core.records == [record]
    assert not core.defects


async def test_an_app_that_leaves_at_the_end_of_its_stream_costs_no_connection_to_the_provider(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    async with Core(upstream.base, lane, settings={"proxy": {"drain_seconds": 5}}) as core:
        go = asyncio.Event()
        begin = head(headers=[("Content-Type", "text/event-stream")])
        upstream.play(steps(body_read(), begin, wait(go), raw(chunk(b"".join(openai_events())) + LAST_CHUNK)))
        core.ledger.waiter = asyncio.get_running_loop().create_future()
        client = await RawClient.open(core.port)
        client.request("POST", CHAT, body=BODY)
        await client.until(b"\r\n\r\n")
        go.set()
        record = await core.record()
        client.transport.abort()
        await core.turn()
        core.ledger.waiter.set_result(None)
        await core.turn()
        assert record.outcome is Outcome.COMPLETED
        assert core.records == [record]
        assert not core.live
        assert len(core.pool._open) == 1


async def test_an_answer_whose_record_is_stuck_meets_its_deadline(
    core: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(reply(json=openai_chat()))
    core.ledger.waiter = asyncio.get_running_loop().create_future()
    client = await RawClient.open(core.port)
    client.request("POST", CHAT, body=BODY)
    await core.record()
    await core.turn()
    assert core.live
    core.advance(100_000)
    assert (await client.answer("POST")).status == 504
    core.ledger.waiter.set_result(None)
    await core.turn()
    assert len(core.records) == 1
    assert not core.live
    assert not core.defects


async def test_a_provider_that_closes_behind_its_answer_has_answered(
    core: Core, upstream: ScriptedUpstream
) -> None:
    client = await RawClient.open(core.port)
    for _ in range(10):
        upstream.play(steps(reply(json=openai_chat()), fin()))
        client.request("POST", CHAT, body=BODY)
        answer = await client.answer("POST")
        assert answer.complete
        assert answer.json() == openai_chat()
    assert {record.outcome for record in core.records} == {Outcome.COMPLETED}
    assert len(core.records) == 10


async def test_many_calls_at_once_each_get_their_own_answer(core: Core, upstream: ScriptedUpstream) -> None:
    async def one(number: int) -> None:
        client = await RawClient.open(core.port)
        for turn in range(5):
            body = b'{"model":"m","messages":[],"user":"%d-%d"}' % (number, turn)
            client.request("POST", CHAT, body=body)
            answer = await client.answer("POST")
            assert answer.complete

    await asyncio.gather(*[one(number) for number in range(40)])
    said = {record.who.user for record in core.records}
    assert said == {f"{number}-{turn}" for number in range(40) for turn in range(5)}
    assert len(core.records) == 200
    assert not core.live
