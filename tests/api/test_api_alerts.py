"""Alerts over HTTP: what is shown to whom, rules and silences made and refused, messages sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alerts.facts import NOON, MadeUp, calls, rule
from alerts.office import hook
from pydantic import SecretStr

from gateway.alerting.evaluate import Evaluator
from gateway.alerting.plan import AlertPlan
from gateway.api.alert_rules import MOST_RULES
from gateway.api.alerts import AlertsDeps, open_alerts
from gateway.api.viewer import Viewer
from storage.address import parse
from storage.alerts.book import AlertBook
from storage.alerts.database import AlertDatabase
from storage.store import Store

from .conftest import Connect

TOKEN = SecretStr("correct horse")
ADMIN = {"Authorization": "Bearer correct horse"}
READER = {"Authorization": "Bearer reader"}
PLAN = AlertPlan(
    (hook("http://h:1"),),
    (rule("error_rate", group_by=["tenant", "team"]),),
    {"error-rate": {"name": "error-rate", "kind": "error_rate", "group_by": ["tenant", "team"]}},
)


async def tokens(told: str) -> Viewer | None:
    return Viewer("reader", tenant="acme") if told == "reader" else None


@pytest.fixture
async def deps(tmp_path: Path, store: Store) -> AsyncIterator[AlertsDeps]:
    opened = msgspec.structs.replace(open_alerts(None, tmp_path, lambda: PLAN), now=lambda: NOON)
    yield opened
    await opened.close()


@pytest.fixture
async def fired(deps: AlertsDeps, tmp_path: Path) -> None:
    """An alert for each of two tenants."""
    facts, database = MadeUp(), AlertDatabase(parse(None, tmp_path))
    facts.call_facts = [
        calls(50, labels=(("tenant", tenant), ("team", "search"))) for tenant in ("acme", "other")
    ]
    await Evaluator(lambda: PLAN).run(AlertBook(database), deps.desk, facts, NOON)
    await database.close()


Client = Any
Ask = Callable[..., Any]


@pytest.fixture
async def client(connect: Connect, deps: AlertsDeps) -> Client:
    return await connect(alerts=deps, admin_token=TOKEN, tokens=tokens)


async def get(client: Client, path: str, headers: dict[str, str] = ADMIN, status: int = 200) -> Any:
    answer = await client.get(path, headers=headers)
    assert answer.status == status, await answer.text()
    return await answer.json()


async def send(client: Client, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await client.request(method, path, json=body, headers=ADMIN)
    assert answer.status == status, await answer.text()
    return await answer.json()


async def test_an_alert_is_shown_in_full(client: Client, fired: None) -> None:
    page = await get(client, "/api/alerts?state=firing&rule=error-rate")
    assert len(page["items"]) == 2
    (alert,) = [one for one in page["items"] if one["labels"]["tenant"] == "acme"]
    assert await get(client, f"/api/alerts/{alert['id']}") == alert
    del alert["id"], alert["window"]
    assert alert == {
        "rule": "error-rate",
        "kind": "error_rate",
        "state": "firing",
        "severity": "warning",
        "level": "warning",
        "reason": "reached",
        "summary": "50 % of calls of tenant acme, team search failed in 10 min: 50 of 100 (limit 5 %)",
        "value": {"value": 500_000, "text": "50 %"},
        "limit": {"value": 50_000, "text": "5 %"},
        "unit": "ppm",
        "labels": {"tenant": "acme", "team": "search"},
        "fired_at": "2026-11-21T12:00:00Z",
        "seen_at": "2026-11-21T12:00:00Z",
        "notified_at": "2026-11-21T12:00:00Z",
        "notified": 1,
        "silence": None,
        "resolved_at": None,
    }


async def test_a_reader_sees_its_own_tenant_alone(client: Client, fired: None) -> None:
    page = await get(client, "/api/alerts", READER)
    assert [one["labels"]["tenant"] for one in page["items"]] == ["acme"]
    everything = await get(client, "/api/alerts")
    (other,) = [one for one in everything["items"] if one["labels"]["tenant"] == "other"]
    await get(client, f"/api/alerts/{other['id']}", READER, 404)
    messages = await get(client, "/api/alerts/deliveries", READER)
    assert [one["alert"] for one in messages["items"]] == [page["items"][0]["id"]]
    assert len((await get(client, "/api/alerts/deliveries"))["items"]) == 2
    narrowed = await get(client, f"/api/alerts/deliveries?alert={other['id']}", READER)
    assert narrowed["items"] == []


async def test_a_reader_sees_rules_about_its_tenant_alone_and_changes_nothing(client: Client) -> None:
    spec = {"kind": "error_rate", "scope": {"tenant": "acme"}}
    await send(client, "PUT", "/api/alerts/rules/mine", spec)
    await send(client, "PUT", "/api/alerts/rules/others", {**spec, "scope": {"tenant": "other"}})
    rules = await get(client, "/api/alerts/rules", READER)
    assert [one["name"] for one in rules["items"]] == ["mine"]
    for path in ("/api/alerts/silences", "/api/alerts/channels"):
        await get(client, path, READER, 403)
    for method, path in (
        ("PUT", "/api/alerts/rules/mine"),
        ("DELETE", "/api/alerts/rules/mine"),
        ("POST", "/api/alerts/silences"),
        ("DELETE", "/api/alerts/silences/x"),
        ("POST", "/api/alerts/test"),
        ("POST", "/api/alerts/deliveries/x/redeliver"),
        ("POST", "/api/alerts/channels/ops/enable"),
    ):
        answer = await client.request(method, path, json={}, headers=READER)
        assert answer.status == 403, path


async def test_rules_are_made_changed_and_dropped(client: Client) -> None:
    spec = {"kind": "latency", "above": 2.5, "channels": ["ops"]}
    made = await send(client, "PUT", "/api/alerts/rules/slow", spec)
    assert (made["source"], made["spec"], made["enabled"]) == ("stored", spec, True)
    await send(client, "PUT", "/api/alerts/rules/slow", {**spec, "above": 3, "enabled": False})
    rules = (await get(client, "/api/alerts/rules"))["items"]
    assert [(one["name"], one["source"], one["enabled"]) for one in rules] == [
        ("error-rate", "settings", True),
        ("slow", "stored", False),
    ]
    assert rules[1]["spec"]["above"] == 3
    await send(client, "DELETE", "/api/alerts/rules/slow")
    await send(client, "DELETE", "/api/alerts/rules/slow", status=404)


@pytest.mark.parametrize(
    ("name", "spec", "status", "message"),
    [
        ("error-rate", {"kind": "error_rate"}, 409, "error-rate is a rule of the settings: change it there."),
        ("x", {"kind": "error_rat"}, 400, "kind: 'error_rat' is not a kind of rule."),
        ("x", {"kind": "latency"}, 400, "above: is missing. Write seconds, such as above = 2.5."),
        ("x", {"kind": "error_rate", "channels": ["opps"]}, 400, "channels: 'opps' is not a channel."),
        ("x", {"kind": "error_rate", "scope": 5}, 400, "scope: is not a table of texts."),
        ("X", {"kind": "error_rate"}, 400, "name: 'X' can't be used."),
        ("x", {"above": 5}, 400, "kind: Field required."),
    ],
)
async def test_rules_that_cannot_work_are_refused(
    client: Client, name: str, spec: dict[str, Any], status: int, message: str
) -> None:
    answer = await send(client, "PUT", f"/api/alerts/rules/{name}", spec, status)
    assert answer["error"]["message"].startswith(message)


async def test_stored_rules_are_bounded(client: Client, deps: AlertsDeps) -> None:
    for number in range(MOST_RULES):
        await deps.desk.put_rule(f"r{number}", {"kind": "error_rate"}, False, "ada", NOON)
    await send(client, "PUT", "/api/alerts/rules/one-more", {"kind": "error_rate"}, 409)
    await send(client, "PUT", "/api/alerts/rules/r5", {"kind": "error_rate"})


async def test_silences(client: Client) -> None:
    until = (NOON + timedelta(hours=2)).isoformat()
    said = {"matchers": {"team": "search", "rule": "*"}, "until": until, "why": "migration"}
    made = await send(client, "POST", "/api/alerts/silences", said)
    assert (made["matchers"], made["who"], made["until"]) == (
        said["matchers"],
        "admin",
        "2026-11-21T14:00:00Z",
    )
    assert (await get(client, "/api/alerts/silences"))["items"] == [made]
    await send(client, "DELETE", f"/api/alerts/silences/{made['id']}")
    await send(client, "DELETE", f"/api/alerts/silences/{made['id']}", status=404)
    assert (await get(client, "/api/alerts/silences"))["items"] == []


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"until": "2026-11-21T11:00:00Z"}, "until"),
        ({"until": "2036-11-21T11:00:00Z"}, "until"),
        ({"until": "tomorrow"}, "until"),
        ({"matchers": {}}, "matchers"),
        ({"matchers": {"teem": "search"}}, "matchers"),
        ({"why": ""}, "why"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_silences_that_make_no_sense_are_refused(
    client: Client, changed: dict[str, Any], param: str
) -> None:
    said = {"matchers": {"team": "search"}, "until": "2026-11-21T14:00:00Z", "why": "migration"}
    answer = await send(client, "POST", "/api/alerts/silences", {**said, **changed}, 400)
    assert answer["error"]["param"] == param


async def test_a_channel_is_tried_out_and_a_message_sent_again(client: Client, deps: AlertsDeps) -> None:
    made = await send(client, "POST", "/api/alerts/test", {"channel": "ops"}, 202)
    (message,) = (await get(client, "/api/alerts/deliveries?channel=ops&state=pending"))["items"]
    assert (message["id"], message["event"], message["tries"]) == (made["id"], "test", [])
    await send(client, "POST", f"/api/alerts/deliveries/{made['id']}/redeliver", status=202)
    await send(client, "POST", "/api/alerts/deliveries/msg_x/redeliver", status=404)
    answer = await send(client, "POST", "/api/alerts/test", {"channel": "opps"}, 404)
    assert answer["error"]["message"] == "There is no channel 'opps'. Did you mean ops? Channels: ops."


async def test_channels_show_nothing_of_where_they_send(client: Client) -> None:
    page = await get(client, "/api/alerts/channels")
    assert page["items"] == [
        {
            "name": "ops",
            "kind": "webhook",
            "about": "an HTTP endpoint of yours, signed",
            "send_resolved": True,
            "disabled_at": None,
        }
    ]
    await send(client, "POST", "/api/alerts/channels/ops/enable", status=409)
    await send(client, "POST", "/api/alerts/channels/none/enable", status=404)


@pytest.mark.parametrize(
    ("query", "param"),
    [("state=fireing", "state"), ("stat=firing", "stat"), ("limit=0", "limit"), ("cursor=x", "cursor")],
)
async def test_parameters_that_cannot_be_used_are_named(client: Client, query: str, param: str) -> None:
    answer = await get(client, f"/api/alerts?{query}", status=400)
    assert answer["error"]["param"] == param


async def test_all_of_it_is_described(client: Client) -> None:
    document = await get(client, "/api/openapi.json")
    assert set(document["paths"]) >= {
        "/api/alerts",
        "/api/alerts/{id}",
        "/api/alerts/deliveries",
        "/api/alerts/rules/{name}",
        "/api/alerts/silences/{id}",
        "/api/alerts/channels/{name}/enable",
    }
    parameters = document["paths"]["/api/alerts"]["get"]["parameters"]
    assert [one["name"] for one in parameters] == ["state", "rule", "limit", "cursor"]
