"""The outbox: every message arrives, in order and under one id; two never send at once; nobody is asked for ever."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alerts.facts import DOLLAR, NOON, budget, calls, rule
from alerts.messages import SECRET, message
from alerts.office import Office, hook
from rig.process import ROOT
from rig.script import hang, reply
from rig.upstream import ScriptedUpstream
from standardwebhooks import Webhook

from storage.alerts.outbox import LEASE, WAITING
from telemetry.alerts.channels.contract import Reply
from telemetry.alerts.channels.registry import channel_of
from telemetry.alerts.channels.retry import SCHEDULE_S, Fate, Trouble

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
Make = Callable[..., Office]


@pytest.fixture
async def office(database: str, tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Office] = []

    def make(*rules: Any, **options: Any) -> Office:
        made.append(Office(database, tmp_path, rules, **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def receiver() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=reply(204)) as server:
        yield server


def ids(receiver: ScriptedUpstream) -> list[str | None]:
    return [seen.header("webhook-id") for seen in receiver.requests]


async def test_a_receiver_that_was_down_for_an_hour_gets_each_crossing_once(
    office: Make, receiver: ScriptedUpstream
) -> None:
    one = office(rule("budget"), posts=[hook(receiver.base)], workers=4)
    receiver.default = reply(503)
    for minute in range(0, 160, 4):
        if minute == 60:
            receiver.default = reply(204)
            down = len(receiver.requests)
        one.facts.budget_facts = [
            budget(min(minute, 30) * DOLLAR // 2, budget_id=name, name=name) for name in ("a", "b", "c")
        ]
        one.now += 4 * MINUTE
        await one.evaluate()
        await one.deliver()
        if minute in (20, 80, 120):
            await one.restart()
    deliveries = await one.deliveries()
    assert len(deliveries) == 12
    assert {delivery.state for delivery in deliveries} == {"sent"}
    assert Counter(ids(receiver)[down:]) == {delivery.id: 1 for delivery in deliveries}
    assert set(ids(receiver)[:down]) == {delivery.id for delivery in deliveries}, "the same ids as before"
    bodies: dict[str | None, set[bytes]] = {}
    for seen in receiver.requests:
        bodies.setdefault(seen.header("webhook-id"), set()).add(seen.body)
    assert all(len(one) == 1 for one in bodies.values()), "and the same bodies"


async def test_signatures_are_taken_by_the_reference_library(
    office: Make, receiver: ScriptedUpstream
) -> None:
    one = office(rule("error_rate"), posts=[hook(receiver.base)])
    one.facts.call_facts = [calls(50)]
    one.now = datetime.now(UTC)
    await one.evaluate()
    await one.deliver()
    (seen,) = receiver.requests
    told = Webhook(SECRET).verify(seen.body, dict(seen.head.headers))
    (alert,) = await one.alerts()
    assert told["data"]["alert"] == alert.id
    assert told["data"]["summary"] == "50 % of calls failed in 10 min: 50 of 100 (limit 5 %)"


async def test_a_channel_hears_of_an_alert_in_order(office: Make, receiver: ScriptedUpstream) -> None:
    one = office(rule("error_rate", renotify="1h"), posts=[hook(receiver.base)])
    receiver.default = reply(500)
    one.facts.call_facts = [calls(50)]
    await one.evaluate()
    await one.deliver()
    one.now += HOUR
    await one.evaluate()
    one.facts.call_facts = [calls(0)]
    one.now += MINUTE
    await one.evaluate()
    receiver.default = reply(200)
    receiver.requests.clear()
    await one.deliver()
    events = [seen.body.split(b'"type":"alert.')[1].split(b'"')[0] for seen in receiver.requests]
    assert events == [b"firing", b"still_firing", b"resolved"]


async def test_two_never_send_at_once_and_a_dead_one_is_followed(
    office: Make, receiver: ScriptedUpstream
) -> None:
    one = office(posts=[hook(receiver.base), hook(receiver.base, "second")], workers=4)
    for number in range(10):
        await one.outbox.put_one(message(alert=f"a{number}"), one.plan.posts[number % 2], NOON)
    taken = await asyncio.gather(*(worker.outbox.take(["ops", "second"], NOON, 4) for worker in one.workers))
    got = [parcel.parcel.id for some in taken for parcel in some]
    assert len(got) == len(set(got)) == 10
    assert await one.outbox.take(["ops", "second"], NOON + LEASE - SECOND, 99) == []
    assert not await one.outbox.is_due(["ops", "second"], NOON + LEASE - SECOND)
    late = await one.outbox.take(["ops", "second"], NOON + LEASE, 99)
    assert {parcel.parcel.id for parcel in late} == set(got)
    quick = late[0]
    slow = next(parcel for some in taken for parcel in some if parcel.parcel.id == quick.parcel.id)
    assert not await one.outbox.note(slow, Reply(Fate.GIVE_UP, 400), NOON, 1, 0.0, ""), (
        "its lease is another's"
    )
    assert await one.outbox.note(quick, Reply(Fate.SENT, 200), NOON + LEASE, 1, 0.0, "")
    states = {delivery.id: delivery.state for delivery in await one.deliveries()}
    assert states[quick.parcel.id] == "sent"


async def test_killed_between_sending_and_noting_it_comes_again_under_the_same_id(
    office: Make, receiver: ScriptedUpstream, database: str, tmp_path: Path
) -> None:
    one = office(posts=[hook(receiver.base)])
    delivery = await one.outbox.put_one(message(), one.plan.posts[0], NOON)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rig.alert_child", database, str(tmp_path), receiver.base),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )
    assert child.stdout is not None
    said = await child.stdout.readline()
    child.kill()
    await child.wait()
    assert said.decode().split() == ["sent", delivery, "sent"]
    await one.deliver()
    assert ids(receiver) == [delivery], "its lease still holds"
    one.now = NOON + LEASE
    await one.deliver()
    await one.deliver()
    assert ids(receiver) == [delivery, delivery]
    assert receiver.requests[0].body == receiver.requests[1].body
    assert [row.state for row in await one.deliveries()] == ["sent"]


async def test_ten_tries_over_three_days_then_it_is_given_up(
    office: Make, receiver: ScriptedUpstream
) -> None:
    one = office(posts=[hook(receiver.base)])
    receiver.default = reply(500)
    delivery = await one.outbox.put_one(message(), one.plan.posts[0], NOON)
    waits = []
    while True:
        (row,) = await one.deliveries()
        if row.state != "pending":
            break
        waits.append((row.due_at - one.now).total_seconds())
        one.now = row.due_at
        await one.deliver()
    assert row.state == "gave_up"
    assert len(receiver.requests) == 10
    assert one.now - NOON >= timedelta(hours=75)
    for planned, waited in zip((0, *SCHEDULE_S), waits, strict=True):
        assert planned <= waited <= planned * 1.1 + 1
    log = (await one.desk.tries([delivery]))[delivery]
    assert [entry.number for entry in log] == list(range(1, 11))
    assert {(entry.fate, entry.status, entry.trouble) for entry in log} == {("retry", 500, "status")}
    receiver.default = reply(200)
    assert await one.outbox.again(delivery, one.now)
    await one.deliver()
    (row,) = await one.deliveries()
    assert (row.state, row.tries, row.id) == ("sent", 11, delivery)
    assert not await one.outbox.again("msg_none", one.now)


async def test_what_is_refused_for_good_is_not_tried_again(
    office: Make, receiver: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    one = office(posts=[hook(receiver.base)])
    receiver.default = reply(400)
    await one.outbox.put_one(message(), one.plan.posts[0], NOON)
    await one.deliver()
    one.now += 100 * HOUR
    await one.deliver()
    assert len(receiver.requests) == 1
    assert [row.state for row in await one.deliveries()] == ["gave_up"]
    assert "channel ops did not take msg_" in caplog.text
    assert SECRET not in caplog.text


async def test_a_receiver_that_is_gone_disables_its_channel_until_somebody_acts(
    office: Make, receiver: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    other = hook(receiver.base, "other")
    one = office(posts=[hook(f"{receiver.base}/old"), other])
    receiver.routes["/old"] = reply(410)
    for number in range(3):
        await one.outbox.put_one(message(alert=f"a{number}"), one.plan.posts[0], NOON)
    await one.outbox.put_one(message(alert="b"), other, NOON)
    await one.deliver()
    assert "the receiver of channel ops is gone (410)" in caplog.text
    assert [row.name for row in await one.desk.disabled()] == ["ops"]
    receiver.requests.clear()
    one.now += 10 * HOUR
    await one.deliver()
    assert receiver.requests == []
    assert Counter(row.state for row in await one.deliveries()) == {"pending": 3, "sent": 1}
    one.plan = type(one.plan)((hook(f"{receiver.base}/new"), other), ())
    await one.deliver()
    assert len(receiver.requests) == 3, "it sends elsewhere now"


async def test_a_disabled_channel_can_be_enabled(office: Make, receiver: ScriptedUpstream) -> None:
    one = office(posts=[hook(receiver.base)])
    receiver.play(reply(410))
    await one.outbox.put_one(message(), one.plan.posts[0], NOON)
    await one.deliver()
    await one.deliver()
    assert len(receiver.requests) == 1
    assert await one.outbox.enable("ops")
    assert not await one.outbox.enable("ops")
    await one.deliver()
    assert [row.state for row in await one.deliveries()] == ["sent"]


async def test_messages_without_a_channel_wait_and_are_given_up_in_the_end(
    office: Make, receiver: ScriptedUpstream
) -> None:
    one = office(posts=[hook(receiver.base)])
    post = one.plan.posts[0]
    await one.outbox.put_one(message(), post, NOON)
    one.plan = type(one.plan)((), ())
    await one.deliver()
    assert await one.outbox.give_up_old(NOON + WAITING) == 0
    assert await one.outbox.give_up_old(NOON + WAITING + SECOND) == 1
    assert [row.state for row in await one.deliveries()] == ["gave_up"]


async def test_many_messages_leave_in_one_round(office: Make, receiver: ScriptedUpstream) -> None:
    one = office(posts=[hook(receiver.base)])
    for number in range(50):
        await one.outbox.put_one(message(alert=f"a{number}"), one.plan.posts[0], NOON)
    (done,) = await one.deliver()
    assert (done.sent, len(set(ids(receiver)))) == (50, 50)


async def test_a_receiver_that_hangs_holds_up_nobody_else(office: Make, receiver: ScriptedUpstream) -> None:
    one = office(posts=[hook(f"{receiver.base}/slow", timeout=1), hook(receiver.base, "other")])
    receiver.routes["/slow"] = hang()
    await one.outbox.put_one(message(), one.plan.posts[0], NOON)
    await one.outbox.put_one(message(), one.plan.posts[1], NOON)
    task = asyncio.create_task(one.deliver())
    await receiver.seen(2)
    (done,) = await task
    assert (done.sent, done.failed) == (1, 1)
    tries = await one.desk.tries([row.id for row in await one.deliveries()])
    assert sorted(entry[0].trouble or "" for entry in tries.values()) == ["", "timeout"]


async def test_a_defect_in_a_channel_is_a_failed_try(
    office: Make, receiver: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    one = office(posts=[hook(receiver.base)])
    await one.outbox.put_one(message(), one.plan.posts[0], NOON)
    async with one.workers[0].database.changing() as db:
        await db.exec_driver_sql("UPDATE alert_deliveries SET channel = 'mail'")
    mail = mail_channel()
    one.plan = type(one.plan)((mail,), ())
    await one.deliver()
    assert "channel mail has a defect: ValidationError" in caplog.text
    (row,) = await one.deliveries()
    log = await one.desk.tries([row.id])
    assert log[row.id][0].trouble == Trouble.DEFECT.value


def mail_channel() -> Any:
    """It can't read the body of another channel's message."""
    table = {"kind": "email", "host": "127.0.0.1", "from": "a@b.c", "to": "d@e.f"}
    return channel_of("mail", table, {})
