"""Heads of answers: what stays here is taken out, and every other byte goes to the app."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.headers import HOP_BY_HOP, answer_head, without_hops
from gateway.relay import Framing, response_head

EXTRA = b"x-weighbridge-request-id: 1\r\n"
NAMES = (
    *("Connection", "connection", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "Proxy-Authorization"),
    *(
        "Transfer-Encoding",
        "Content-Type",
        "Content-Length",
        "X-Connection",
        "Keep",
        "Date",
        "X-Listed",
        "Te-x",
    ),
)
VALUES = (
    *(
        "keep-alive",
        "Keep-Alive",
        "close",
        "keep-alive, X-Listed",
        "upgrade",
        "timeout=5",
        "chunked",
        "5",
        "",
        "a",
    ),
    "Connection: keep-alive",
)
LINES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from([": ", ":", ":  "]), st.sampled_from(VALUES)),
    max_size=8,
).map(
    lambda lines: [
        f"{name}{between}{'5' if name == 'Content-Length' else value}".encode()
        for name, between, value in lines
    ]
)


def head_of(lines: list[bytes]) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""])


@given(LINES)
def test_nothing_but_what_stays_here_is_taken_out(lines: list[bytes]) -> None:
    head = answer_head(head_of(lines))
    kept = [line for line in lines if line.partition(b":")[0].strip().lower() not in head.strip]
    expected = head_of([*kept, EXTRA[:-2]])
    looked_at = msgspec.structs.replace(head, hops=())
    assert response_head(looked_at, Framing.RAW, EXTRA, close=False) == expected
    assert response_head(head, Framing.RAW, EXTRA, close=False) == expected
    assert not {line.partition(b":")[0].strip().lower() for line in kept} & HOP_BY_HOP


@pytest.mark.parametrize(
    "lines",
    [
        [b"Connection: keep-alive"],
        [b"connection: close", b"Keep-Alive: timeout=5", b"X: 1"],
        [b"Connection: Keep-Alive", b"Connection: Keep-Alive"],
        [b"Upgrade: h2c", b"Connection: upgrade"],
    ],
)
def test_what_providers_write_needs_no_look_at_each_line(lines: list[bytes]) -> None:
    head = answer_head(head_of([b"Content-Type: text/event-stream", *lines, b"Date: x"]))
    fit = without_hops(head)
    assert fit is not None
    assert b"onnection" not in fit
    assert fit.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    assert fit.endswith(b"Date: x\r\n\r\n")


@pytest.mark.parametrize("line", [b"Connection: keep-alive, X-Listed", b"Connection:keep-alive"])
def test_other_heads_are_looked_at_line_by_line(line: bytes) -> None:
    head = answer_head(head_of([line, b"X-Listed: 1", b"X-Other: 1"]))
    assert without_hops(head) is None
    told = response_head(head, Framing.RAW, EXTRA, close=False)
    assert b"onnection" not in told
    assert b"X-Other: 1" in told
    assert (b"X-Listed" in told) is (b"," not in line)
