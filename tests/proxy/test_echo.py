"""Error codes are kept, echoes of keys and prompts are not."""

from __future__ import annotations

import pytest

from gateway.echo import UNTOLD, without_echo

HEAD = (
    b"POST /v1/x?alt=sse&key=query-key-0123456789 HTTP/1.1\r\nHost: api.example.com\r\n"
    b"Authorization: Bearer sk-live-0123456789abcdef\r\nX-Custom: tok~0123456789\r\n\r\n"
    b'{"model": "invalid_api_key"}'
)


@pytest.mark.parametrize(
    "code",
    [
        "invalid_api_key",
        "rate_limit_exceeded",
        "insufficient_quota",
        "RESOURCE_EXHAUSTED",
        "404",
        "x.y:z/1",
        "E#1",
    ],
)
def test_codes_are_kept(code: str) -> None:
    assert without_echo(code, HEAD) == code


@pytest.mark.parametrize(
    "code",
    [
        "sk-live-0123456789abcdef",
        "bad_sk-live-0123456789abcdef",
        "query-key-0123456789",
        "the prompt was: how heavy",
        "",
        "clé",
        "a" * 97,
        "x\ny",
    ],
)
def test_what_is_no_code_is_not_kept(code: str) -> None:
    assert without_echo(code, HEAD) == UNTOLD
