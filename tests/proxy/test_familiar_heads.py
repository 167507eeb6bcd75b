"""A head that comes again is found by its bytes, and nothing else is taken for it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from rig.client import RawClient
from rig.core import Core
from rig.upstream import ScriptedUpstream

from gateway.call import RequestHead
from gateway.familiar import Familiar, familiar
from gateway.headers import scan

LINES = st.lists(
    st.sampled_from(
        [
            b"Host: a",
            b"Authorization: Bearer k",
            b"Content-Type: application/json",
            b"X-Content-Length: 7",
            b"x-weighbridge-team: core",
            b"Accept: */*",
        ]
    ),
    unique=True,
    max_size=6,
)
SPELLINGS = st.sampled_from([b"Content-Length: ", b"content-length:", b"CONTENT-LENGTH:\t "])


def request(lines: list[bytes], at: int, spelling: bytes, digits: bytes) -> bytes:
    head = [*lines[:at], spelling + digits, *lines[at:]]
    return b"\r\n".join([b"POST /openai/v1/x HTTP/1.1", *head, b"", b""])


def read(raw: bytes) -> RequestHead:
    lines = raw[: raw.find(b"\r\n\r\n")].split(b"\r\n")[1:]
    found = scan(lines)
    length = int(found.seen[b"content-length"]) if found.seen[b"content-length"].isdigit() else None
    return RequestHead("POST", b"/openai/v1/x", found, False, True, False, length, "127.0.0.1")


def remembered(raw: bytes) -> Familiar:
    known = familiar(raw, raw.find(b"\r\n\r\n"), read(raw))
    assert known is not None
    return known


@given(
    LINES, st.integers(0, 6), SPELLINGS, st.integers(0, 10**9), st.integers(0, 10**9), st.binary(max_size=20)
)
def test_only_the_length_may_differ(
    lines: list[bytes], at: int, spelling: bytes, first: int, second: int, body: bytes
) -> None:
    known = remembered(request(lines, at, spelling, b"%d" % first))
    raw = request(lines, at, spelling, b"%d" % second)
    assert known.told(raw + body) == (second, len(raw))
    assert known.head.content_length == 0
    assert known.head.recall is not None


@given(LINES, LINES, st.integers(0, 6), st.sampled_from([b"5", b"+5", b"5 ", b"0x5", b"", b"5" * 30]))
def test_anything_else_is_read_anew(one: list[bytes], other: list[bytes], at: int, digits: bytes) -> None:
    known = remembered(request(one, at, b"Content-Length: ", b"12"))
    raw = request(other, at, b"Content-Length: ", digits)
    if one != other or digits != b"5":
        assert known.told(raw) is None
    assert known.told(raw[:-3]) is None, "an unfinished head"


async def test_kept_connections_carry_bodies_of_changing_length(
    core: Core, upstream: ScriptedUpstream
) -> None:
    client = await RawClient.open(core.port)
    for size, team in ((3, "a"), (3, "a"), (50, "a"), (4000, "a"), (3, "b"), (70, "b"), (70, "a"), (9, "a")):
        body = b'{"a":"' + b"x" * size + b'"}'
        head = b"POST /openai/v1/thing HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n" % len(body)
        client.send(
            head + b"X-Team: %b\r\nx-weighbridge-team: %b\r\n\r\n" % (team.encode(), team.encode()) + body
        )
        assert (await client.answer("POST")).status == 200
        seen = upstream.requests[-1]
        assert seen.body == body
        assert seen.head.raw.count(b"X-Team: " + team.encode()) == 1
    assert [record.who.team for record in core.ledger.closed_records] == list("aaaabbaa")


async def test_the_body_names_its_own_user_whatever_came_before(
    core: Core, upstream: ScriptedUpstream
) -> None:
    client = await RawClient.open(core.port)
    users: list[str | None] = ["ada", "ada", "bo", None, "ada", None, None, "bo", "bo"]
    for user in users:
        body = json.dumps({"model": "m", "messages": [], **({"user": user} if user else {})}).encode()
        head = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\nx-weighbridge-team: core\r\n"
        client.send(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        assert (await client.answer("POST")).status == 200
    records = core.ledger.closed_records
    assert [record.who.user for record in records] == users
    assert {record.who.team for record in records} == {"core"}
    assert [record.who.sources for record in records] == [
        (("team", "header"), ("user", "body")) if user else (("team", "header"),) for user in users
    ]
