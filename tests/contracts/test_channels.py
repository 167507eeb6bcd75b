"""What every alert channel keeps to: the table of fates, deadlines, no redirects, no secret anywhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from alerts.facts import NOON
from alerts.messages import MESSAGE, NOTICE, OLD_SECRET, ROUTING_KEY, SECRET, TOKEN, message
from rig.script import Script, hang, raw, reply, rst
from rig.upstream import ScriptedUpstream, Unreachable

from telemetry.alerts.channels.contract import Parcel, Post, Reply
from telemetry.alerts.channels.registry import CHANNELS, channel_of
from telemetry.alerts.channels.retry import Fate, Trouble
from telemetry.alerts.given import Unfit
from telemetry.alerts.message import Event

HTTP = ("webhook", "slack", "teams", "pagerduty")
ENVIRON = {"SECRET": SECRET, "OLD": OLD_SECRET, "KEY": ROUTING_KEY, "PASSWORD": "pass-word-of-the-mailer"}
SECRETS = (SECRET, OLD_SECRET, SECRET[6:], ROUTING_KEY, TOKEN, ENVIRON["PASSWORD"])


def configured(kind: str, base: str, **changed: Any) -> Post:
    """A channel of that kind that sends to ``base`` (http://HOST:PORT)."""
    host, _, port = base.removeprefix("http://").partition(":")
    url = f"{base}/{TOKEN}"
    near = {"url_env": "URL", "allow_private": True}
    tables: dict[str, dict[str, Any]] = {
        "webhook": {**near, "secret_env": "SECRET", "old_secret_env": "OLD"},
        "slack": near,
        "teams": near,
        "pagerduty": {**near, "routing_key_env": "KEY"},
        "email": {
            "host": host,
            "port": int(port),
            "security": "none",
            "from": "gateway@example.com",
            "to": ["ops@example.com", "fin@example.com"],
        },
        "apprise": {"url_env": "URL"},
    }
    environ = {**ENVIRON, "URL": url.replace("http://", "json://") if kind == "apprise" else url}
    return channel_of("ops", {"kind": kind, **tables[kind], **changed}, environ)


async def sent(post: Post, **changed: Any) -> Reply:
    return await post.send(Parcel("msg_1", post.body(message(**changed))), NOON)


class Mailbox:
    """Handler of a mail server; ``answer`` is what it says to a message."""

    def __init__(self, answer: str = "250 OK", recipients: dict[str, str] | None = None) -> None:
        self.answer = answer
        self.recipients = recipients or {}
        self.taken: list[bytes] = []

    async def handle_RCPT(  # noqa: N802 - its name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        refused = self.recipients.get(address)
        if refused is None:
            envelope.rcpt_tos.append(address)
        return refused or "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - its name
        self.taken.append(envelope.content)
        return self.answer


@asynccontextmanager
async def mail_server(mailbox: Mailbox, **options: Any) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop, **options), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def test_the_tests_know_every_channel() -> None:
    assert set(CHANNELS) == {*HTTP, "email", "apprise"}


STATUS: list[tuple[int, Fate]] = [
    (200, Fate.SENT),
    (202, Fate.SENT),
    (204, Fate.SENT),
    (301, Fate.RETRY),
    (302, Fate.RETRY),
    (307, Fate.RETRY),
    (400, Fate.GIVE_UP),
    (401, Fate.RETRY),
    (403, Fate.RETRY),
    (404, Fate.RETRY),
    (408, Fate.RETRY),
    (410, Fate.DISABLE),
    (413, Fate.GIVE_UP),
    (422, Fate.GIVE_UP),
    (429, Fate.RETRY),
    (500, Fate.RETRY),
    (503, Fate.RETRY),
]


@pytest.mark.parametrize("kind", HTTP)
async def test_the_table_of_fates_is_the_same_for_all(kind: str) -> None:
    async with ScriptedUpstream() as receiver:
        post = configured(kind, receiver.base)
        for status, fate in STATUS:
            receiver.play(
                reply(status, headers=[("Location", f"{receiver.base}/elsewhere"), ("Retry-After", "7")])
            )
            answer = await sent(post)
            assert (answer.fate, answer.status, answer.wished_s) == (fate, status, 7)
            assert (answer.trouble is None) == (fate is Fate.SENT)
        assert [seen.target for seen in receiver.requests] == [f"/{TOKEN}"] * len(STATUS), (
            "no redirect followed"
        )
        assert all(seen.method == "POST" for seen in receiver.requests)


async def test_apprise_tells_success_from_failure_and_follows_no_redirect() -> None:
    async with ScriptedUpstream() as receiver:
        post = configured("apprise", receiver.base)
        for status, fate in ((200, Fate.SENT), (302, Fate.RETRY), (500, Fate.RETRY)):
            receiver.play(reply(status, headers=[("Location", f"{receiver.base}/elsewhere")]))
            assert (await sent(post)).fate is fate
        assert {seen.target.rstrip("/") for seen in receiver.requests} == {f"/{TOKEN}"}


@pytest.mark.parametrize(
    ("answer", "fate", "status"),
    [
        ("250 OK", Fate.SENT, 250),
        ("451 later", Fate.RETRY, 451),
        ("452 full", Fate.RETRY, 452),
        ("550 no", Fate.GIVE_UP, 550),
        ("554 no", Fate.GIVE_UP, 554),
    ],
)
async def test_mail_servers_have_a_table_of_their_own(answer: str, fate: Fate, status: int) -> None:
    async with mail_server(Mailbox(answer)) as base:
        found = await sent(configured("email", base))
    assert (found.fate, found.status) == (fate, status)


async def test_one_refused_recipient_does_not_make_the_other_get_it_twice() -> None:
    mailbox = Mailbox(recipients={"fin@example.com": "550 unknown"})
    async with mail_server(mailbox) as base:
        assert (await sent(configured("email", base))).fate is Fate.SENT
    assert len(mailbox.taken) == 1
    mailbox.recipients["ops@example.com"] = "450 later"
    async with mail_server(mailbox) as base:
        assert await sent(configured("email", base)) == Reply(Fate.RETRY, 450, Trouble.REFUSED)


async def test_a_wrong_password_may_be_put_right() -> None:
    options = {
        "auth_required": True,
        "auth_require_tls": False,
        "authenticator": lambda *_: AuthResult(success=False, handled=False),
    }
    async with mail_server(Mailbox(), **options) as base:
        post = configured("email", base)
        with_login = msgspec.structs.replace(
            post.target, username="u", password=configured("webhook", "http://h:1").target.secrets[0]
        )
        answer = await sent(msgspec.structs.replace(post, target=with_login))
    assert answer == Reply(Fate.RETRY, 535, Trouble.LOGIN)


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Takes connections and says nothing."""
    async with ScriptedUpstream(default=hang()) as receiver:
        yield receiver.base


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_try_has_a_deadline(kind: str) -> None:
    async with silent_server() as base:
        post = msgspec.structs.replace(configured(kind, base), timeout_s=0.2)
        async with asyncio.timeout(5):
            assert await sent(post) == Reply(Fate.RETRY, trouble=Trouble.TIMEOUT)


@pytest.mark.parametrize("kind", HTTP)
async def test_who_answers_200_has_it_however_long_the_rest_takes(kind: str) -> None:
    slow: Script = reply(200, body=b"x" * 100, cut=10)
    async with ScriptedUpstream(default=slow) as receiver:
        assert (await sent(configured(kind, receiver.base))).fate is Fate.SENT


@pytest.mark.parametrize("kind", CHANNELS)
async def test_nobody_there(kind: str) -> None:
    with Unreachable() as base:
        answer = await sent(configured(kind, base))
    assert answer.fate is Fate.RETRY
    assert answer.trouble in (Trouble.CONNECT, Trouble.STATUS)


@pytest.mark.parametrize("kind", HTTP)
async def test_connections_that_break_and_answers_that_are_none(kind: str) -> None:
    async with ScriptedUpstream() as receiver:
        post = configured(kind, receiver.base)
        receiver.play(rst(), raw(b"SMTP ready\r\n\r\n"))
        assert await sent(post) == Reply(Fate.RETRY, trouble=Trouble.RESET)
        assert await sent(post) == Reply(Fate.RETRY, trouble=Trouble.PROTOCOL)


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("mood", ["fine", "refused", "silent", "gone"])
async def test_secrets_are_nowhere(kind: str, mood: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = {"refused": reply(400, body=TOKEN.encode()), "silent": hang()}.get(mood, reply(200))
    async with ScriptedUpstream(default=script) as receiver:
        post = msgspec.structs.replace(configured(kind, receiver.base), timeout_s=0.2)
        if mood == "gone":
            await receiver.stop_listening()
        answer = await sent(post)
    told = "\n".join((repr(post), str(post.target), repr(answer), post.body(MESSAGE), caplog.text))
    for secret in SECRETS:
        assert secret not in told
    assert set(post.secrets()) <= {*SECRETS, *(one for one in post.secrets() if TOKEN in one)}


@pytest.mark.parametrize("kind", ["webhook", "slack", "teams", "pagerduty"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://[::1]:9/", "http://169.254.169.254/latest"])
async def test_private_targets_are_refused_when_the_connection_is_made(kind: str, url: str) -> None:
    table = {
        "webhook": {"url": url, "secret_env": "SECRET"},
        "slack": {"url": url},
        "teams": {"url": url},
        "pagerduty": {"url": url, "routing_key_env": "KEY"},
    }[kind]
    post = channel_of("ops", {"kind": kind, **table}, ENVIRON)
    assert await sent(post) == Reply(Fate.RETRY, trouble=Trouble.PRIVATE_TARGET)


@pytest.mark.parametrize("kind", CHANNELS)
async def test_id_and_body_are_the_same_at_every_try(kind: str) -> None:
    mailbox = Mailbox("451 later")
    async with ScriptedUpstream(default=reply(503)) as receiver, mail_server(mailbox) as mail:
        post = configured(kind, mail if kind == "email" else receiver.base)
        parcel = Parcel("msg_1", post.body(MESSAGE))
        for hours in (0, 5):
            await post.send(parcel, NOON + timedelta(hours=hours))
    if kind == "email":
        first, second = (mail.decode().split("\r\n") for mail in mailbox.taken)
        assert [line for line in first if not line.startswith("Date:")] == [
            line for line in second if not line.startswith("Date:")
        ]
        assert "Message-ID: <msg_1@example.com>" in first
    else:
        assert receiver.requests[0].body == receiver.requests[1].body


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("event", Event)
def test_every_event_has_a_body_that_names_the_alert(kind: str, event: Event) -> None:
    evil = "<!channel> [x](http://evil) \r\nBcc: all@example.com " + "y" * 5_000
    body = configured(kind, "http://h:1").body(message(event=event, labels=(("team", evil),)))
    assert len(body) < 4_000
    if kind not in ("apprise", "webhook"):
        assert MESSAGE.alert in body
    assert "\\r\\nBcc" not in body


@pytest.mark.parametrize("kind", CHANNELS)
async def test_reports_are_carried_the_same_at_every_try_or_not_at_all(kind: str) -> None:
    mailbox = Mailbox("451 later")
    async with ScriptedUpstream(default=reply(503)) as receiver, mail_server(mailbox) as mail:
        post = configured(kind, mail if kind == "email" else receiver.base)
        assert post.carries_notices is (kind != "pagerduty")
        if not post.carries_notices:
            with pytest.raises(TypeError):
                post.body(NOTICE)
            return
        parcel = Parcel("msg_1", post.body(NOTICE))
        for hours in (0, 5):
            await post.send(parcel, NOON + timedelta(hours=hours))
    bodies = [seen.body for seen in receiver.requests]
    if kind == "email":
        bodies = [body.partition(b"Auto-Submitted")[2] for body in mailbox.taken]
        assert b"text/html" in bodies[0]
    assert bodies[0] == bodies[1]
    assert NOTICE.lines[0].encode() in b"".join(bodies)
    for secret in SECRETS:
        assert secret not in parcel.body


@pytest.mark.parametrize("kind", ["slack", "teams"])
def test_a_long_report_still_fits_and_pings_nobody(kind: str) -> None:
    long = msgspec.structs.replace(
        NOTICE, title="t" * 500, lines=("<!channel> [x](http://evil)", "y" * 9_000)
    )
    told = msgspec.json.decode(configured(kind, "http://h:1").body(long))
    if kind == "slack":
        assert [len(block["text"]["text"]) for block in told["blocks"][:2]] == [150, 3_000]
        assert {block["text"]["type"] for block in told["blocks"][:2]} == {"plain_text"}
        assert "<!channel>" not in told["text"]
    else:
        (card,) = told["attachments"]
        assert {one["type"] for one in card["content"]["body"]} == {"RichTextBlock"}


def test_a_receiver_of_alertmanager_gets_no_reports() -> None:
    assert not configured("webhook", "http://h:1", format="alertmanager").carries_notices


@pytest.mark.parametrize("kind", CHANNELS)
def test_unknown_keys_and_missing_secrets_are_named(kind: str) -> None:
    with pytest.raises(Unfit, match="colour: is not a known key here"):
        configured(kind, "http://h:1", colour="red")
    if kind != "email":
        with pytest.raises(Unfit, match="NOT_THERE, which is not in the environment"):
            configured(kind, "http://h:1", url_env="NOT_THERE")
    with pytest.raises(Unfit, match="timeout"):
        configured(kind, "http://h:1", timeout=0)
