"""What single channels send: signatures that the reference library takes, bodies that receivers understand."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from email.message import EmailMessage
from typing import Any

import pytest
from alerts.facts import NOON
from alerts.messages import MESSAGE, OLD_SECRET, ROUTING_KEY, SECRET, message
from hypothesis import given
from hypothesis import strategies as st
from rig.script import reply
from rig.upstream import ScriptedUpstream
from standardwebhooks import Webhook, WebhookVerificationError

from telemetry.alerts.channels.contract import Parcel, Post
from telemetry.alerts.channels.public import Doorkeeper, is_public
from telemetry.alerts.channels.registry import channel_of
from telemetry.alerts.channels.retry import SCHEDULE_S, Trouble, pause_s
from telemetry.alerts.given import Unfit
from telemetry.alerts.message import Event

ENVIRON = {"SECRET": SECRET, "OLD": OLD_SECRET, "KEY": ROUTING_KEY}


def webhook(url: str = "http://h:1", **changed: Any) -> Post:
    table = {"kind": "webhook", "url": url, "secret_env": "SECRET", "allow_private": True, **changed}
    return channel_of("ops", table, ENVIRON)


async def test_the_reference_library_takes_the_signature() -> None:
    async with ScriptedUpstream() as receiver:
        post = webhook(receiver.base)
        parcel = Parcel("msg_7", post.body(MESSAGE))
        await post.send(parcel, datetime.now(UTC))
        seen = receiver.requests[0]
    headers = dict(seen.head.headers)
    assert headers["webhook-id"] == "msg_7"
    told = Webhook(SECRET).verify(seen.body, headers)
    assert told["type"] == "alert.firing"
    assert told["data"]["value"] == 9_000_000_000
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD_SECRET).verify(seen.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(seen.body + b" ", headers)


async def test_while_a_secret_is_changed_both_signatures_are_sent() -> None:
    async with ScriptedUpstream() as receiver:
        post = webhook(receiver.base, old_secret_env="OLD")
        await post.send(Parcel("msg_7", post.body(MESSAGE)), datetime.now(UTC))
        seen = receiver.requests[0]
    headers = dict(seen.head.headers)
    assert [part.partition(",")[0] for part in headers["webhook-signature"].split(" ")] == ["v1", "v1"]
    for secret in (SECRET, OLD_SECRET):
        Webhook(secret).verify(seen.body, headers)


async def test_every_try_has_a_fresh_time_and_signature() -> None:
    zone = NOON.astimezone().tzinfo
    async with ScriptedUpstream(default=reply(503)) as receiver:
        post = webhook(receiver.base)
        parcel = Parcel("msg_7", post.body(MESSAGE))
        await post.send(parcel, NOON.astimezone(zone))
        await post.send(parcel, NOON + timedelta(hours=5))
        first, second = receiver.requests
    assert first.header("webhook-id") == second.header("webhook-id") == "msg_7"
    assert first.body == second.body
    assert first.header("webhook-timestamp") == str(int(NOON.timestamp()))
    assert second.header("webhook-timestamp") == str(int(NOON.timestamp()) + 18_000)
    assert first.header("webhook-signature") != second.header("webhook-signature")


def test_the_payload() -> None:
    assert json.loads(webhook().body(MESSAGE)) == {
        "type": "alert.firing",
        "timestamp": "2026-11-21T12:00:02Z",
        "data": {
            "alert": MESSAGE.alert,
            "rule": "budgets",
            "kind": "budget",
            "severity": "warning",
            "level": "90 %",
            "reason": "reached",
            "summary": MESSAGE.summary,
            "value": 9_000_000_000,
            "limit": 9_000_000_000,
            "unit": "nano_usd",
            "labels": {"budget": "search-monthly", "team": "search"},
            "window": {
                "key": "2026-11",
                "start": "2026-11-01T00:00:00Z",
                "end": "2026-12-01T00:00:00Z",
            },
            "fired_at": "2026-11-21T12:00:00Z",
            "number": 1,
        },
    }


def test_what_understands_alertmanager_understands_this() -> None:
    post = channel_of("ops", {"kind": "webhook", "url": "http://h:1", "format": "alertmanager"}, {})
    firing = json.loads(post.body(MESSAGE))
    over = json.loads(post.body(message(event=Event.RESOLVED)))
    assert (firing["version"], firing["status"], over["status"]) == ("4", "firing", "resolved")
    (alert,) = firing["alerts"]
    assert alert["labels"] == {
        "alertname": "budgets",
        "severity": "warning",
        "kind": "budget",
        "level": "90 %",
        "budget": "search-monthly",
        "team": "search",
    }
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-21T12:00:00Z", "0001-01-01T00:00:00Z")
    assert over["alerts"][0]["endsAt"] == "2026-11-21T12:00:02Z"
    assert over["alerts"][0]["fingerprint"] == alert["fingerprint"]
    assert over["groupKey"] == firing["groupKey"]
    assert post.tracks
    assert not webhook().tracks


async def test_pagerduty_opens_and_resolves_under_one_key() -> None:
    table = {"kind": "pagerduty", "routing_key_env": "KEY", "allow_private": True}
    async with ScriptedUpstream(default=reply(202)) as receiver:
        post = channel_of("pager", {**table, "url": f"{receiver.base}/v2/enqueue"}, ENVIRON)
        for event in (Event.FIRING, Event.STILL_FIRING, Event.RESOLVED):
            await post.send(Parcel("m", post.body(message(event=event))), NOON)
        told = [json.loads(seen.body) for seen in receiver.requests]
    assert [one["event_action"] for one in told] == ["trigger", "trigger", "resolve"]
    assert {one["dedup_key"] for one in told} == {MESSAGE.alert}
    assert {one["routing_key"] for one in told} == {ROUTING_KEY}
    assert told[0]["payload"]["severity"] == "warning"
    assert told[0]["payload"]["summary"].startswith("[warning] budgets 90 %: budget search-monthly")


def test_slack_gets_plain_text_and_its_fallback_is_escaped() -> None:
    post = channel_of("chat", {"kind": "slack", "url": "https://hooks.slack.com/services/T/B/x"}, {})
    told = json.loads(post.body(message(summary="<!channel> & co", labels=(("team", "<!here>"),))))
    assert told["text"] == "🟠 [warning] budgets 90 %: &lt;!channel&gt; &amp; co"
    assert "mrkdwn" not in json.dumps(told["blocks"])
    assert {"type": "plain_text", "text": "team: <!here>", "emoji": False} in told["blocks"][2]["fields"]


def test_teams_gets_a_card_without_markdown() -> None:
    post = channel_of("chat", {"kind": "teams", "url": "https://x.logic.azure.com/workflows/1"}, {})
    told = json.loads(post.body(MESSAGE))
    (attachment,) = told["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert {block["type"] for block in attachment["content"]["body"]} == {"RichTextBlock"}


def test_a_mail_is_one_that_mail_programs_read() -> None:
    table = {"kind": "email", "host": "mail", "from": "g@example.com", "to": ["o@example.com"]}
    told = json.loads(channel_of("mail", table, {}).body(MESSAGE))
    mail = EmailMessage()
    mail["Subject"] = told["subject"]
    mail.set_content(told["text"])
    read = message_from_string(mail.as_string(), policy=policy.default)
    assert read["Subject"] == "[warning] budgets 90 %"
    text = read.get_content()
    assert "team: search" in text
    assert "value: $9.00" in text


@pytest.mark.parametrize(
    ("table", "key", "what"),
    [
        ({"kind": "pigeon"}, "kind", "'pigeon' is not a kind of channel"),
        ({}, "kind", "is missing"),
        ({"kind": "webhook", "url": "http://h"}, "secret_env", "is missing"),
        ({"kind": "webhook", "secret_env": "SECRET"}, "url_env", "is missing"),
        ({"kind": "webhook", "url": "ftp://h", "secret_env": "SECRET"}, "url", "is not an http or https URL"),
        ({"kind": "webhook", "url": "http://u:p@h", "secret_env": "SECRET"}, "url", "holds a user name"),
        (
            {"kind": "webhook", "url": "http://h", "secret_env": "SHORT"},
            "secret_env",
            "names a secret of 23 bytes",
        ),
        (
            {"kind": "webhook", "url": "http://h", "secret_env": "TEXT"},
            "secret_env",
            "names a secret that is not",
        ),
        (
            {"kind": "webhook", "url": "http://h", "secret_env": "SECRET", "old_secret_env": "SHORT"},
            "old_secret_env",
            "names a secret of 23 bytes",
        ),
        (
            {"kind": "webhook", "url": "http://h", "secret_env": "whsec_x="},
            "secret_env",
            "is not the name of",
        ),
        ({"kind": "pagerduty", "routing_key_env": "TEXT"}, "routing_key_env", "names a key that is not 32"),
        ({"kind": "pagerduty"}, "routing_key_env", "is missing"),
        ({"kind": "email", "host": "h", "from": "a@b.c", "to": "x"}, "to", "is not usable"),
        (
            {"kind": "email", "host": "h", "from": "a@b.c", "to": "d@e.f", "username": "u"},
            "username",
            "and password_env go together",
        ),
        (
            {
                "kind": "email",
                "host": "h",
                "from": "a@b.c",
                "to": "d@e.f",
                "username": "u",
                "password_env": "TEXT",
                "security": "none",
            },
            "security",
            "would send the password in the clear",
        ),
        ({"kind": "apprise"}, "url_env", "is missing"),
    ],
)
def test_channels_that_cannot_work_are_refused(table: dict[str, Any], key: str, what: str) -> None:
    environ = {
        **ENVIRON,
        "SHORT": "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "TEXT": "correct horse battery staple",
    }
    with pytest.raises(Unfit) as caught:
        channel_of("ops", table, environ)
    assert caught.value.key == key
    assert caught.value.what.startswith(what)
    assert not any(value in str(caught.value) for value in environ.values())


def test_ten_tries_over_three_days() -> None:
    pauses = [pause_s(tried, 0.0) for tried in range(1, 11)]
    assert pauses == [*SCHEDULE_S, None]
    assert sum(SCHEDULE_S) >= 75 * 3_600


@given(st.integers(1, 9), st.floats(0, 1), st.integers(0, 10**6))
def test_a_pause_is_as_planned_or_a_little_longer_or_as_wished(
    tried: int, chance: float, wished: int
) -> None:
    planned, pause = SCHEDULE_S[tried - 1], pause_s(tried, chance)
    assert pause is not None
    assert planned <= pause <= planned * 1.1
    assert pause_s(tried, chance, wished) == max(pause, min(wished, 86_400))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.0.0.1", False),
        ("172.16.5.4", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2002:5db8:d822::", True),
        ("192.0.0.9", False),
        ("64:ff9b:1::a00:1", False),
        ("100:0:0:1::1", False),
        ("2001:0:a00:1::1", False),
        ("2001:20::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("fec0::1", False),
        ("not an address", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_a_name_that_changes_its_meaning_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the address that a connection is made to counts, and it is looked at then."""
    async with ScriptedUpstream() as receiver:
        asked: list[str] = []

        async def resolve(self: Any, host: str, port: int, **_: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolve)
        post = webhook(f"http://rebound.example:{receiver.port}", allow_private=False)
        answer = await post.send(Parcel("m", post.body(MESSAGE)), NOON)
        assert asked == ["rebound.example"]
        assert answer.trouble is Trouble.PRIVATE_TARGET
        assert receiver.peers == []


def test_the_door_is_open_for_public_addresses() -> None:
    door = Doorkeeper(allow_private=False)
    door((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))).close()
    assert not door.refused
