"""The one change to a request, and the one chunk the app does not get to see."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.usage_injection import UsageFilter, inject_usage

SPLICED = {
    "nothing said": (b'{"model":"m","stream":true}', b'{"stream_options":{"include_usage":true},"model":"m","stream":true}'),
    "space before": (b' \n{ "stream":true }', b' \n{"stream_options":{"include_usage":true}, "stream":true }'),
    "null": (b'{"stream":true,"stream_options": null ,"a":1}', b'{"stream":true,"stream_options": {"include_usage":true} ,"a":1}'),
    "empty": (b'{"stream":true,"stream_options":{ }}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
    "other options": (
        b'{"stream_options" : {"include_obfuscation":false}, "stream" : true}',
        b'{"stream_options" : {"include_usage":true,"include_obfuscation":false}, "stream" : true}',
    ),
    "said false": (
        b'{"stream":true,"stream_options":{"include_usage" : false,"k":1}}',
        b'{"stream":true,"stream_options":{"include_usage" : true,"k":1}}',
    ),
    "nested namesake": (
        b'{"a":{"stream_options":{"include_usage":true}},"stream":true}',
        b'{"stream_options":{"include_usage":true},"a":{"stream_options":{"include_usage":true}},"stream":true}',
    ),
    "namesake as a value": (
        b'{"t":"stream_options","stream":true}',
        b'{"stream_options":{"include_usage":true},"t":"stream_options","stream":true}',
    ),
    "namesake in a text": (
        b'{"t":"\\"stream_options\\":{\\"include_usage\\":true}","stream":true}',
        b'{"stream_options":{"include_usage":true},"t":"\\"stream_options\\":{\\"include_usage\\":true}","stream":true}',
    ),
    "inner namesake": (
        b'{"stream_options":{"x":{"include_usage":false}},"stream":true}',
        b'{"stream_options":{"include_usage":true,"x":{"include_usage":false}},"stream":true}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SPLICED)
def test_splice(case: str) -> None:
    before, after = SPLICED[case]
    assert inject_usage(before) == after
    assert json.loads(after)["stream_options"]["include_usage"] is True


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"stream":false}',
        b'{"stream":"true"}',
        b'{"model":"m"}',
        b'{"stream":true,"stream_options":{"include_usage":true}}',
        b'{"stream":true,"stream_options":5}',
        b'{"stream":true,"stream_options":"include_usage"}',
        b'{"stream":true,"stream_options":{"include_usage":false,"x":{"include_usage":null}}}',
        b'{"stream":true} trailing',
        b"\xff\xfe{\x00",
    ],
)
def test_left_alone(body: bytes) -> None:
    assert inject_usage(body) is None


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\{}:é', max_size=8) | st.just("stream_options"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('ab"', max_size=4) | st.just("stream_options"), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(st.text("abc", max_size=5), ANY, max_size=5), st.sampled_from([None, 1]), st.booleans()
)
def test_splice_adds_the_option_and_changes_no_other_value(
    request: dict[str, object], indent: int | None, first: bool
) -> None:
    whole = {"stream": True, **request} if first else {**request, "stream": True}
    body = json.dumps(whole, indent=indent).encode()
    spliced = inject_usage(body)
    assert spliced is not None
    assert json.loads(spliced) == {**whole, "stream_options": {"include_usage": True}}


CONTENT = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}\n\n'
WITH_CHOICE = b'data: {"id":"1","choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
AZURE_FIRST = b'data: {"id":"","choices":[],"prompt_filter_results":[{"n":"prompt_tokens"}]}\n\n'
COMMENT = b": keep-alive\n\n"
NAMED = b'event: x\nid: 3\ndata: {"choices":[{}]}\n\n'
SPLIT_LINES = b'data: {"choices":\ndata: [{"delta":{}}]}\n\n'
DONE = b"data: [DONE]\n\n"
EXTRA = (
    b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
    b'data: {"id": "1", "choices": [ ], "usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}}}\n\n',
    b'data:{"usage":{"total_tokens":1},"choices":[]}\n\n',
)
KEPT = (
    CONTENT,
    WITH_CHOICE,
    AZURE_FIRST,
    COMMENT,
    NAMED,
    SPLIT_LINES,
    DONE,
    b"garbage _tokens\n\n",
    b"\n",
    b"data: {_tokens\n\n",
)


def through(stream: bytes, cuts: list[int]) -> bytes:
    passing = UsageFilter()
    edges = [0, *sorted(cuts), len(stream)]
    return b"".join(passing.feed(stream[a:b]) for a, b in pairwise(edges)) + passing.end()


@given(st.lists(st.sampled_from(KEPT + EXTRA), max_size=8), st.booleans(), st.data())
def test_filter_takes_out_the_extra_chunk_and_nothing_else(
    blocks: list[bytes], crlf: bool, data: st.DataObject
) -> None:
    if crlf:
        blocks = [block.replace(b"\n", b"\r\n") for block in blocks]
    extra = [block.replace(b"\n", b"\r\n") for block in EXTRA] if crlf else list(EXTRA)
    stream = b"".join(blocks)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    wanted = b"".join(block for block in blocks if block not in extra)
    assert through(stream, cuts) == wanted


@pytest.mark.parametrize("eol", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("extra", EXTRA)
def test_filter_at_every_boundary(eol: bytes, extra: bytes) -> None:
    before, hidden, after = ((b.replace(b"\n", eol)) for b in (CONTENT + WITH_CHOICE, extra, COMMENT + DONE))
    stream = before + hidden + after
    for cut in range(len(stream) + 1):
        assert through(stream, [cut]) == before + after
    assert through(stream, list(range(len(stream)))) == before + after


def test_filter_hides_an_extra_chunk_that_no_blank_line_closed() -> None:
    assert through(CONTENT + EXTRA[0].rstrip(b"\n"), []) == CONTENT


def test_filter_lets_an_unfinished_event_go_as_soon_as_it_shows_a_choice() -> None:
    passing = UsageFilter()
    assert (
        passing.feed(CONTENT + b'data: {"id":"1","choices":[{"index"')
        == CONTENT + b'data: {"id":"1","choices":[{"index"'
    )
    assert passing.feed(b':0}],"usage":{"prompt_tokens":1}}\n') == b':0}],"usage":{"prompt_tokens":1}}\n'
    assert passing.feed(b"\n" + EXTRA[0] + DONE) == b"\n" + DONE
    assert passing.hidden == 1


def test_filter_holds_a_bounded_amount() -> None:
    passing = UsageFilter()
    out = passing.feed(b'data: {"id":"')
    for _ in range(100):
        out += passing.feed(b"x" * 1000)
        assert len(passing._held) <= 65_536
    out += passing.feed(b'"}\n\n' + DONE) + passing.end()
    assert out == b'data: {"id":"' + b"x" * 100_000 + b'"}\n\n' + DONE
