"""States of alerts: each change is made once, whoever evaluates at the same time and however often they restart."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alerts.facts import DOLLAR, MONTH, NOON, budget, calls, rule
from alerts.messages import ROUTING_KEY
from alerts.office import Office, hook
from sqlalchemy import inspect

from storage.alerts.tables import ALERTS, CHANNELS, DELIVERIES, RULES, SILENCES, TRIES, State
from storage.queries.calls import CursorError
from telemetry.alerts.channels.registry import channel_of
from telemetry.alerts.transition import GRACE, STALE
from telemetry.alerts.verdict import Severity

MINUTE = timedelta(minutes=1)
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


async def test_the_migrated_tables_are_those_of_the_code(office: Make) -> None:
    one = office()
    for table in (ALERTS, DELIVERIES, TRIES, RULES, SILENCES, CHANNELS):
        async with one.workers[0].database.changing() as db:
            found = await db.run_sync(lambda sync, name=table.name: inspect(sync).get_columns(name))
        assert {column["name"]: column["nullable"] for column in found} == {
            column.name: column.nullable for column in table.columns
        }


async def test_each_crossing_gives_one_alert_over_four_workers_and_three_restarts(office: Make) -> None:
    chance = random.Random(11)
    one = office(rule("budget"), posts=[hook("http://h:1"), hook("http://h:2", "second")], workers=4)
    spent = {"b1": 0, "b2": 0, "b3": 0}
    for step in range(24):
        for name in spent:
            spent[name] += chance.randrange(2 * DOLLAR)
        one.facts.budget_facts = [budget(amount, budget_id=name, name=name) for name, amount in spent.items()]
        one.now += MINUTE
        await one.evaluate()
        if step in (5, 11, 17):
            await one.restart()
    reached = [
        (name, level)
        for name, amount in spent.items()
        for level, share in (("50 %", 0.5), ("75 %", 0.75), ("90 %", 0.9), ("100 %", 1))
        if amount >= 15 * DOLLAR * share
    ]
    assert len(reached) > 9
    assert Counter((alert.subject, alert.level) for alert in await one.alerts()) == Counter(reached)
    messages = Counter((delivery.alert_id, delivery.channel) for delivery in await one.deliveries())
    assert set(messages.values()) == {1}
    assert len(messages) == 2 * len(reached)


async def test_an_edit_of_the_limit_tells_nothing_twice(office: Make) -> None:
    one = office(rule("budget", thresholds=[0.5, 0.9]))
    for spent, limit in ((8, 15), (8, 80), (8, 15), (14, 15), (14, 100), (95, 100)):
        one.facts.budget_facts = [budget(spent * DOLLAR, limit * DOLLAR)]
        one.now += MINUTE
        await one.evaluate()
    assert [alert.level for alert in await one.alerts()] == ["50 %", "90 %"]


async def test_a_clock_that_steps_back_tells_nothing_twice(office: Make) -> None:
    one = office(rule("budget", thresholds=[0.5]), rule("error_rate", renotify="1h"))
    one.facts.budget_facts = [budget(8 * DOLLAR)]
    one.facts.call_facts = [calls(50)]
    await one.evaluate()
    for step in (-30, -1, -600, 5):
        one.now += step * MINUTE
        await one.evaluate()
    assert len(await one.alerts()) == 2


async def test_the_next_month_is_told_again_and_the_old_alert_ends(office: Make) -> None:
    pager = channel_of(
        "pager", {"kind": "pagerduty", "routing_key_env": "K", "send_resolved": True}, {"K": ROUTING_KEY}
    )
    one = office(rule("budget", thresholds=[0.5]), posts=[hook("http://h:1"), pager])
    november = budget(8 * DOLLAR)
    december = budget(
        9 * DOLLAR,
        window_key="2026-12",
        window_start=MONTH[1],
        window_end=MONTH[1] + timedelta(days=31),
    )
    one.facts.budget_facts = [november]
    await one.evaluate()
    one.now = MONTH[1] + MINUTE
    one.facts.budget_facts = [november, december]
    await one.evaluate()
    one.now = MONTH[1] + GRACE
    await one.evaluate()
    assert [(alert.window_key, alert.state, alert.reason) for alert in await one.alerts()] == [
        ("2026-11", "resolved", "window_ended"),
        ("2026-12", "firing", "reached"),
    ]
    told = [(delivery.channel, delivery.event) for delivery in await one.deliveries()]
    assert sorted(told) == [
        ("ops", "firing"),
        ("ops", "firing"),
        ("pager", "firing"),
        ("pager", "firing"),
        ("pager", "resolved"),
    ], "the end of a month is news only where something is kept open"


async def test_what_goes_on_firing_is_told_again_and_its_end_too(office: Make) -> None:
    one = office(rule("error_rate", renotify="1h"), posts=[hook("http://h:1")])
    one.facts.call_facts = [calls(50)]
    for minute in range(150):
        await one.evaluate()
        one.now += MINUTE
        if minute in (30, 90):
            await one.restart()
    one.facts.call_facts = [calls(0)]
    await one.evaluate()
    (alert,) = await one.alerts()
    assert (alert.state, alert.reason, alert.notified) == ("resolved", "recovered", 3)
    assert [(delivery.event, delivery.number) for delivery in await one.deliveries()] == [
        ("firing", 1),
        ("still_firing", 2),
        ("still_firing", 3),
        ("resolved", 4),
    ]


async def test_four_workers_tell_again_once(office: Make) -> None:
    one = office(rule("error_rate", renotify="1h"), posts=[hook("http://h:1")], workers=4)
    one.facts.call_facts = [calls(50)]
    await one.evaluate()
    for _ in range(3):
        one.now += 60 * MINUTE
        await one.evaluate()
    assert [delivery.number for delivery in await one.deliveries()] == [1, 2, 3, 4]
    one.facts.call_facts = [calls(0)]
    done = await one.evaluate()
    assert sum(result.messages for result in done) == 1
    assert len(await one.deliveries()) == 5


async def test_flapping_within_a_window_is_one_alert(office: Make) -> None:
    one = office(rule("error_rate", window="10m"))
    for failed in (50, 0, 50, 0, 50):
        one.facts.call_facts = [calls(failed)]
        one.now += MINUTE
        await one.evaluate()
    assert len(await one.alerts()) == 1
    one.now += 10 * MINUTE
    await one.evaluate()
    assert len(await one.alerts()) == 2


async def test_each_group_is_an_alert_of_its_own(office: Make) -> None:
    one = office(rule("error_rate", group_by=["team"], scope={"provider": "openai"}))
    one.facts.call_facts = [
        calls(50, labels=(("team", "search"),)),
        calls(0, labels=(("team", "ads"),)),
        calls(90, labels=(("team", ""),)),
    ]
    await one.evaluate()
    found = await one.alerts()
    assert sorted(dict(alert.labels)["team"] for alert in found) == ["", "search"]
    assert {alert.labels[0][1] for alert in found} == {"openai"}
    assert sorted(str(alert.team) for alert in found) == ["", "search"]


async def test_a_silence_keeps_messages_back_until_it_is_over(office: Make) -> None:
    one = office(rule("error_rate"), posts=[hook("http://h:1")])
    until = NOON + 30 * MINUTE
    made = await one.desk.silence([("rule", "error-rate")], until, "ada", "migration", NOON)
    one.facts.call_facts = [calls(50)]
    await one.evaluate()
    (alert,) = await one.alerts()
    assert (alert.silence, alert.notified, await one.deliveries()) == (made.id, 0, [])
    one.now = until
    await one.evaluate()
    assert [delivery.event for delivery in await one.deliveries()] == ["firing"]
    assert await one.desk.silences(one.now) == []


async def test_what_was_never_told_ends_without_a_word(office: Make) -> None:
    one = office(rule("error_rate"), posts=[hook("http://h:1")])
    await one.desk.silence([("kind", "error_*")], NOON + 9 * STALE, "ada", "migration", NOON)
    one.facts.call_facts = [calls(50)]
    await one.evaluate()
    one.facts.call_facts = [calls(0)]
    await one.evaluate()
    (alert,) = await one.alerts()
    assert (alert.state, await one.deliveries()) == ("resolved", [])


async def test_a_silence_can_be_ended(office: Make) -> None:
    one = office()
    made = await one.desk.silence([("team", "search")], NOON + STALE, "ada", "test", NOON)
    assert await one.desk.end_silence(made.id, NOON + MINUTE)
    assert not await one.desk.end_silence(made.id, NOON + MINUTE)
    assert await one.desk.silences(NOON + 2 * MINUTE) == []
    assert len(await one.desk.silences()) == 1


async def test_rules_made_by_hand_count_until_they_are_taken_away(office: Make) -> None:
    one = office(posts=[hook("http://h:1")])
    one.facts.call_facts = [calls(50)]
    spec = {"kind": "error_rate", "above": 0.3, "severity": "critical"}
    assert await one.desk.put_rule("mine", spec, True, "ada", NOON)
    assert not await one.desk.put_rule("mine", spec, True, "bob", NOON)
    await one.desk.put_rule("broken", {"kind": "of another version"}, True, "ada", NOON)
    await one.evaluate()
    (alert,) = await one.alerts()
    assert (alert.rule, alert.severity) == ("mine", Severity.CRITICAL)
    assert await one.desk.drop_rule("mine")
    assert not await one.desk.drop_rule("mine")
    await one.evaluate()
    (alert,) = await one.alerts()
    assert (alert.state, alert.reason) == ("resolved", "rule_gone")
    assert [delivery.event for delivery in await one.deliveries()] == ["firing"]


async def test_a_rule_that_stumbles_does_not_stop_the_others(
    office: Make, caplog: pytest.LogCaptureFixture
) -> None:
    one = office(rule("latency", above=1), rule("error_rate"))
    one.facts.quantile_facts = ["no fact"]  # type: ignore[list-item]
    one.facts.call_facts = [calls(50)]
    await one.evaluate()
    assert [alert.rule for alert in await one.alerts()] == ["error-rate"]
    assert "rule latency could not be evaluated: AttributeError" in caplog.text


async def test_pages_and_scopes(office: Make) -> None:
    one = office(rule("error_rate", group_by=["tenant", "team"], window="1m"))
    one.facts.call_facts = [
        calls(50, labels=(("tenant", f"t{number % 3}"), ("team", f"team{number}"))) for number in range(30)
    ]
    await one.evaluate()
    seen, cursor = [], None
    while True:
        page = await one.desk.alerts({}, cursor=cursor, limit=7)
        seen += [alert.id for alert in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 30
    mine = (await one.desk.alerts({"tenant_id": "t1"})).items
    assert {alert.tenant_id for alert in mine} == {"t1"}
    assert len(mine) == 10
    assert await one.desk.alert(mine[0].id, {"tenant_id": "t2"}) is None
    assert (await one.desk.alert(mine[0].id, {"tenant_id": "t1"})) is not None
    assert (await one.desk.alerts({}, state=State.RESOLVED)).items == []
    with pytest.raises(CursorError):
        await one.desk.alerts({}, cursor="nonsense")


async def test_old_alerts_are_forgotten_and_open_ones_are_not(office: Make) -> None:
    one = office(rule("error_rate"), rule("budget", thresholds=[0.5]), posts=[hook("http://h:1")])
    one.facts.call_facts = [calls(50)]
    one.facts.budget_facts = [budget(9 * DOLLAR)]
    await one.evaluate()
    one.facts.call_facts = [calls(0)]
    await one.evaluate()
    assert await one.desk.forget(NOON) == 0
    assert await one.desk.forget(NOON + MINUTE) == 1
    assert [alert.kind for alert in await one.alerts()] == ["budget"]
    assert [delivery.event for delivery in await one.deliveries()] == ["firing"]
    await one.evaluate()
    assert len(await one.alerts()) == 1
