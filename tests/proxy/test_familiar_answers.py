"""An answer like an earlier one is told without parsing it, and nothing tells that from one that was parsed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.familiar_answers import EVERY, MOST, FamiliarAnswers, familiar_answer
from gateway.headers import TOLD, answer_head
from gateway.upstream import Connection, Origin, Pool

ORIGIN = Origin("provider", 80, False)
NAMES = st.sampled_from(
    [
        *(b"Date", b"x-request-id", b"X-RateLimit-Remaining", b"Set-Cookie", b"Server"),
        *(b"Content-Type", b"content-encoding", b"Connection", b"Keep-Alive", b"Upgrade", b"TE"),
        *(b"Content-Length", b"Transfer-Encoding", b"X-Content-Length", b"Trailer"),
    ]
)
VALUES = st.one_of(
    st.sampled_from([b"application/json", b"keep-alive", b"close", b"chunked", b"gzip", b"2", b"timeout=5"]),
    st.text("ab: \t\u00e9", max_size=6).map(lambda text: text.encode("latin-1")),
)
ODD = st.sampled_from([b"\n", b"\r", b"\0", b"\x7f", b"\r\n", b"\r\n ", b"\r\nContent-Length: 2", b": "])
LINES = st.lists(st.tuples(NAMES, st.sampled_from([b": ", b":", b" : "]), VALUES), max_size=6)
STATUSES = st.sampled_from([b"200 OK", b"200", b"429 Too Many Requests", b"204 No Content", b"100 Continue"])


class Listener:
    """Takes part in no call."""

    def __init__(self) -> None:
        self.broken = 0

    def upstream_read(self, connection: Connection, data: bytes) -> None:
        pass

    def upstream_broken(self, connection: Connection, error: Exception | None) -> None:
        self.broken += 1

    def upstream_mishap(self, error: Exception) -> None:
        raise error

    def upstream_paused(self) -> None: ...

    def upstream_resumed(self) -> None: ...


class Told(Connection):
    """Counts what was parsed."""

    __slots__ = ("parsed",)

    def __init__(self, pool: Pool) -> None:
        self.parsed = 0
        super().__init__(pool, ORIGIN)

    def _read(self, data: bytes) -> Any:
        self.parsed += 1
        return super()._read(data)


def pool() -> Pool:
    return Pool(None, lambda: 0.0, idle_seconds=1)  # type: ignore[arg-type]


def told(connection: Connection, data: bytes, *, head_only: bool = False) -> dict[str, Any]:
    """All that a receiver can know after one read."""
    listener = Listener()
    connection.receiver = listener
    connection._head_only = head_only
    connection.data_received(data)
    names = ("status", "keep", "complete", "junk", "until_close", "pieces", "raw", "body_at", "head")
    return {name: getattr(connection, name) for name in names} | {"broken": listener.broken}


def answer(
    status: bytes, lines: list[tuple[bytes, bytes, bytes]], at: int, length: int, body: bytes
) -> bytes:
    head = [b"".join(line) for line in lines]
    head.insert(at, b"Content-Length: %d" % length)
    return b"\r\n".join([b"HTTP/1.1 " + status, *head, b"", body])


@given(STATUSES, LINES, st.integers(0, 6), st.integers(1, 20), st.data())
def test_it_is_told_as_if_it_was_parsed(
    status: bytes, lines: list[tuple[bytes, bytes, bytes]], at: int, length: int, data: st.DataObject
) -> None:
    """What comes after a first answer: the same lines with other values, other lines, more or less than a body, and what no
    parser takes."""
    one = pool()
    told(Connection(one, ORIGIN), answer(status, lines, at, length, b"x" * length))
    changed = [
        (name, between, data.draw(VALUES) if data.draw(st.booleans()) else value)
        for name, between, value in lines
    ]
    if data.draw(st.integers(0, 3)) == 0:
        changed.append(data.draw(st.tuples(NAMES, st.just(b": "), VALUES)))
    other = data.draw(st.integers(0, 20))
    body = b"y" * data.draw(st.sampled_from([other, other, other, other + 1, max(0, other - 1)]))
    raw = answer(status if data.draw(st.booleans()) else data.draw(STATUSES), changed, at, other, body)
    if data.draw(st.integers(0, 3)) == 0:
        cut = data.draw(st.integers(0, len(raw)))
        raw = raw[:cut] + data.draw(ODD) + raw[cut:]
    head_only = data.draw(st.integers(0, 5)) == 0
    assume(raw)
    assert told(Connection(one, ORIGIN), raw, head_only=head_only) == told(
        Connection(pool(), ORIGIN), raw, head_only=head_only
    )


HEADS = (
    b"HTTP/1.1 200 OK\r\nDate: 1\r\nContent-Length: 2\r\nX: a b\r\n\r\n{}",
    b"HTTP/1.0 200 OK\r\nContent-Type: a\r\ncontent-length:2\r\nConnection: keep-alive\r\nX:\r\n\r\n{}",
)
BYTES = (
    b"\n",
    b"\r",
    b"\0",
    b"\x7f",
    b"\t",
    b" ",
    b"\xe9",
    b":",
    b"1",
    b"\r\n",
    b"\r\n ",
    b"\nConnection: close",
)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("more", BYTES)
def test_whatever_stands_anywhere(head: bytes, more: bytes) -> None:
    """In the answer that is compared, or in the one that it is compared with."""
    plain = pool()
    told(Connection(plain, ORIGIN), head)
    for at in range(len(head) + 1):
        other = head[:at] + more + head[at:]
        assert told(Connection(plain, ORIGIN), other) == told(Connection(pool(), ORIGIN), other)
        odd = pool()
        told(Connection(odd, ORIGIN), other)
        assert told(Connection(odd, ORIGIN), head) == told(Connection(pool(), ORIGIN), head)


@pytest.mark.parametrize("name", sorted(TOLD))
def test_what_is_looked_into_is_the_same_or_parsed(name: bytes) -> None:
    one = pool()
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%b: %b\r\n\r\n{}"
    for value in (b"gzip", b"close", b"gzip", b"identity", b"2", b"close"):
        data = raw % (name.title(), value)
        assert told(Connection(one, ORIGIN), data) == told(Connection(pool(), ORIGIN), data)


@pytest.mark.parametrize("first", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: ", b"\r\n"])
def test_what_began_before_goes_on(first: bytes) -> None:
    one = pool()
    told(Connection(one, ORIGIN), HEADS[0])
    familiar, fresh = Connection(one, ORIGIN), Connection(pool(), ORIGIN)
    assert told(familiar, first) == told(fresh, first)
    assert told(familiar, HEADS[0]) == told(fresh, HEADS[0])


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_a_body_teaches_nothing(status: bytes) -> None:
    one = pool()
    raw = HEADS[0].replace(b"200 OK", status)
    told(Connection(one, ORIGIN), raw[:-2])
    assert told(Connection(one, ORIGIN), raw) == told(Connection(pool(), ORIGIN), raw)


JSON = (
    b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n"
    b"Content-Length: %d\r\nx-id: %b\r\n\r\n%b"
)


def test_the_second_of_its_kind_is_not_parsed() -> None:
    one = pool()
    connection = Told(one)
    for number, body in enumerate((b"{}", b'{"a": 1}', b"[" + b" " * 5000 + b"]")):
        found = told(connection, JSON % (b"day %d" % number, len(body), b"", body))
        assert (found["status"], found["pieces"], found["complete"], found["keep"]) == (
            200,
            [body],
            True,
            True,
        )
        assert found["head"].content_length == len(body)
        assert found["head"].content_type == "application/json"
        assert connection.parsed == 1
        connection._begin()
    told(connection, JSON.replace(b"keep-alive", b"close") % (b"", 2, b"", b"{}"))
    assert (connection.parsed, connection.keep) == (2, False)


def test_what_comes_in_two_reads_is_parsed() -> None:
    one = pool()
    raw = JSON % (b"now", 2, b"1", b"{}")
    told(Connection(one, ORIGIN), raw)
    for cut in range(1, len(raw)):
        connection = Told(one)
        told(connection, raw[:cut])
        assert connection.complete is False
        told(connection, raw[cut:])
        assert (connection.complete, connection.parsed) == (True, 2)
        assert b"".join(connection.pieces) == (b"{}" if cut <= len(raw) - 2 else b"}")


@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: chunked",
        b"Content-Length: 0",
        b"Content-Length: 2\r\n goes on: here",
        b"Content-Length: 2\r\nX: " + b"x" * 9000,
    ],
)
def test_what_is_not_delimited_by_a_plain_length_is_not_remembered(lines: bytes) -> None:
    head = answer_head(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n")
    assert familiar_answer(head, 200, keep=True) is None


def test_few_are_remembered_and_seldom_a_new_one() -> None:
    known = FamiliarAnswers()

    def raw(kind: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\nX-%d: 1\r\nContent-Length: 2\r\n\r\n{}" % kind

    def learn(kind: int) -> None:
        known.remember(answer_head(raw(kind)[:-2]), 200, keep=True)

    for kind in range(MOST):
        assert known.again(raw(kind)) is None
        learn(kind)
    assert all(known.again(raw(kind)) for kind in range(MOST))
    assert known.again(raw(0)) is not None  # the last that was used
    for _ in range(EVERY - 1):
        learn(99)
    assert known.again(raw(99)) is None
    learn(99)
    assert known.again(raw(99)) is not None
    assert [known.again(raw(kind)) is not None for kind in range(MOST)] == [True, False, True, True]
