"""The quick way to read a whole answer says what the reader says, or nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.contract import AskFields, Exchanged, Reading, Wire
from gateway.wire.registry import WIRES
from gateway.wire.tap import Tap
from pricing.plain import is_plain
from tests.wire.recordings import Recording, all_recordings

PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
}
PROVIDERS = ("", "openai", "anthropic", "gemini", "openrouter", "perplexity", "xai")
ASKED = (None, "gpt-4o-search-preview", "gpt-4.1-mini")
QUICK = [wire.name for wire in WIRES if wire.usual is not None]

ODD: st.SearchStrategy[Any] = st.sampled_from(
    (
        None,
        True,
        False,
        0,
        -1,
        3,
        2**53,
        2**53 + 1,
        1.5,
        7.0,
        "",
        "x",
        "tab\there",
        "nul\x00",
        "é",
        "𝄞",
        "y" * 65,
    )
) | st.sampled_from(("z" * 257, [], {}, [1], {"a": 1}, [{}], [None], "error", "completed", "failed", "flex"))
COUNT = st.integers(0, 60)
PART = st.integers(0, 12)


def some(
    rare: dict[str, st.SearchStrategy[Any]] | None = None, **fields: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with all of the fields, or some; mostly nothing of what is rare, and mostly as they should be."""
    whole = st.fixed_dictionaries(fields)
    odd = st.fixed_dictionaries({}, optional={**fields, **(rare or {})})
    swapped = st.tuples(whole, st.sampled_from(sorted({**fields, **(rare or {})})), ODD)
    return st.one_of(whole, whole, whole, odd, swapped.map(lambda one: {**one[0], one[1]: one[2]}))


def totalled(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    told = [usage.get(name) for name in names]
    return {**usage, "total_tokens": sum(told)} if all(type(one) is int for one in told) else usage


OPENAI_USAGE = some(
    prompt_tokens=COUNT, completion_tokens=COUNT,
    prompt_tokens_details=some(cached_tokens=PART, audio_tokens=st.sampled_from((0, 0, 4))),
    completion_tokens_details=some(reasoning_tokens=PART, audio_tokens=st.just(0), rejected_prediction_tokens=PART),
    rare={"cost": ODD, "service_tier": ODD, "prompt_cache_hit_tokens": PART, "prompt_cache_miss_tokens": COUNT, "total_time": ODD},
).map(lambda usage: totalled(usage, "prompt_tokens", "completion_tokens"))  # fmt: skip
RESPONSE_USAGE = some(
    input_tokens=COUNT, output_tokens=COUNT,
    input_tokens_details=some(cached_tokens=PART), output_tokens_details=some(reasoning_tokens=PART),
).map(lambda usage: totalled(usage, "input_tokens", "output_tokens"))  # fmt: skip
CLAUDE_USAGE = some(
    input_tokens=COUNT, output_tokens=COUNT, cache_read_input_tokens=COUNT, cache_creation_input_tokens=COUNT,
    cache_creation=some(ephemeral_5m_input_tokens=COUNT, ephemeral_1h_input_tokens=COUNT),
    service_tier=st.sampled_from(("standard", "priority")), speed=st.just("fast"), inference_geo=st.just("us"),
    rare={"server_tool_use": some(web_search_requests=COUNT), "iterations": ODD, "output_tokens_details": some(thinking_tokens=COUNT)},
)  # fmt: skip
TEXT = st.text(max_size=12)
TOOL_USAGE = some(
    web_search=some(num_requests=COUNT), image_gen=some(input_tokens=COUNT, output_tokens=COUNT)
)
TOOLS = st.lists(
    some(type=st.sampled_from(("web_search", "web_search_preview", "image_generation")), model=TEXT),
    max_size=2,
)
ANSWERS = {
    "openai_chat": some(
        id=TEXT, model=st.sampled_from(("gpt-4o", "gpt-4o-search-preview")), usage=OPENAI_USAGE, service_tier=st.sampled_from(("default", "flex")),
        choices=st.lists(some(finish_reason=st.sampled_from(("stop", "length")), index=COUNT, rare={"usage": OPENAI_USAGE}), max_size=2)
        | st.lists(some(finish_reason=st.sampled_from(("stop", "error"))), min_size=14, max_size=18),
        rare={"error": ODD, "x_groq": some(id=TEXT, rare={"usage": OPENAI_USAGE, "usage_breakdown": ODD}), "usage_breakdown": ODD},
    ),
    "openai_responses": some(
        id=TEXT, model=st.sampled_from(("gpt-5", "gpt-4.1-mini")), usage=RESPONSE_USAGE, status=st.sampled_from(("completed", "completed", "failed")),
        output=st.lists(some(type=st.sampled_from(("message", "message", "reasoning", "web_search_call", "code_interpreter_call"))), max_size=2),
        background=st.sampled_from((False, False, True)), created_at=COUNT,
        rare={"error": ODD, "incomplete_details": some(reason=TEXT), "tool_usage": TOOL_USAGE | ODD, "tools": TOOLS | ODD},
    ),
    "anthropic_messages": some(
        id=TEXT, type=st.sampled_from(("message", "message", "error")), model=st.just("claude-haiku-4-5"), usage=CLAUDE_USAGE,
        stop_reason=st.sampled_from(("end_turn", "tool_use", "refusal")), content=st.just([]), rare={"error": ODD},
    ),
}  # fmt: skip
USUAL: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "id": "c-1", "model": "gpt-4o", "service_tier": "default", "choices": [{"index": 0, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0}},
    },
    "openai_responses": {
        "id": "r-1", "model": "gpt-5", "status": "completed", "error": None, "background": False, "output": [{"type": "reasoning"}, {"type": "message"}],
        "usage": {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13, "output_tokens_details": {"reasoning_tokens": 2}},
    },
    "anthropic_messages": {
        "id": "m-1", "type": "message", "model": "claude-haiku-4-5", "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2,
                  "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 2}, "service_tier": "standard", "inference_geo": "us"},
    },
}  # fmt: skip


def thoroughly(wire: Wire, path: str, body: bytes, provider: str = "", model: str | None = None) -> Reading:
    asked = AskFields(model=model)
    tap = Tap(wire, Exchanged("POST", path, "", asked, 200, (), provider=provider), "application/json")
    tap.whole(body)
    return tap.conclude()


def quickly(wire: Wire, path: str, body: bytes) -> Reading | None:
    assert wire.usual is not None
    found = wire.usual(path, body)
    if found is None or found.plain is None:
        return found
    assert found.plain is found.usage
    assert is_plain(found.plain)
    return msgspec.structs.replace(found, plain=None)


@pytest.mark.parametrize(
    ("name", "details", "text"),
    [
        ("openai_chat", "prompt_tokens_details", "cached_tokens"),
        ("openai_chat", "completion_tokens_details", "reasoning_tokens"),
        ("openai_responses", "input_tokens_details", "cached_tokens"),
        ("openai_responses", "output_tokens_details", "reasoning_tokens"),
    ],
)
@pytest.mark.parametrize("kind", ["", "audio_tokens", "image_tokens"])
def test_usage_of_text_alone_is_known_to_be_plain(name: str, details: str, text: str, kind: str) -> None:
    usual = WIRES.get(name).usual
    assert usual is not None
    answer = USUAL[name] | {"usage": USUAL[name]["usage"] | {details: {kind or text: 2}}}
    found = usual(PATHS[name], json.dumps(answer).encode())
    assert found is not None
    assert found.usage is not None
    assert found.plain is (None if kind else found.usage)


def test_every_quick_way_is_tried() -> None:
    assert sorted(QUICK) == sorted(ANSWERS) == sorted(USUAL) == sorted(PATHS)


@pytest.mark.parametrize("name", sorted(ANSWERS))
@given(data=st.data(), provider=st.sampled_from(PROVIDERS), asked=st.sampled_from(ASKED))
def test_it_says_what_the_reader_says(
    name: str, data: st.DataObject, provider: str, asked: str | None
) -> None:
    body = json.dumps(data.draw(ANSWERS[name])).encode()
    quick = quickly(WIRES.get(name), PATHS[name], body)
    assert quick in (None, thoroughly(WIRES.get(name), PATHS[name], body, provider, asked))


@pytest.mark.parametrize("name", sorted(ANSWERS))
@given(data=st.data())
def test_one_odd_thing_in_a_usual_answer(name: str, data: st.DataObject) -> None:
    answer = json.loads(json.dumps(USUAL[name]))
    place: Any = answer
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(ODD)
            break
        place = place[key]
    body = json.dumps(answer).encode()
    assert quickly(WIRES.get(name), PATHS[name], body) in (
        None,
        thoroughly(WIRES.get(name), PATHS[name], body),
    )


@pytest.mark.parametrize("name", sorted(USUAL))
@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize(
    "spacing",
    [{"separators": (",", ":")}, {"separators": (", ", ": ")}, {"indent": 2}],
    ids=["tight", "spaced", "lines"],
)
def test_a_usual_answer_is_read_the_quick_way(name: str, spacing: dict[str, Any], in_order: bool) -> None:
    body = json.dumps(USUAL[name], sort_keys=in_order, **spacing).encode()
    quick = quickly(WIRES.get(name), PATHS[name], body)
    assert quick is not None
    assert quick == thoroughly(WIRES.get(name), PATHS[name], body)


COUNTS = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({}, {**COUNTS, "prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 6}),
        ({"x_groq": {"id": "g-1"}}, {**COUNTS, "queue_time": 0.0955, "prompt_time": 0.01, "completion_time": 1, "total_time": 2e-3}),
    ],
    ids=["deepseek", "groq"],
)  # fmt: skip
def test_what_other_providers_add_is_usual_too(more: dict[str, Any], usage: dict[str, Any]) -> None:
    body = json.dumps({**USUAL["openai_chat"], **more, "usage": usage}).encode()
    wire, path = WIRES.get("openai_chat"), PATHS["openai_chat"]
    quick = quickly(wire, path, body)
    assert quick is not None
    assert quick.usage is not None
    assert quick.usage.cache_read == usage.get("prompt_cache_hit_tokens")
    assert quick == thoroughly(wire, path, body)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'data: {"usage":{}}\n\n', b"\xff", b'{"usage":null}']
)
@pytest.mark.parametrize("name", sorted(USUAL))
def test_what_is_no_such_answer_is_left_alone(name: str, body: bytes) -> None:
    assert quickly(WIRES.get(name), PATHS[name], body) is None


@pytest.mark.parametrize(
    "recording",
    [
        one
        for one in all_recordings()
        if one.wire.usual is not None and one.status == 200 and one.method == "POST"
    ],
    ids=lambda one: one.id,
)
def test_recordings(recording: Recording) -> None:
    quick = quickly(recording.wire, recording.path, recording.body)
    assert quick is None or msgspec.structs.replace(quick, usage_raw=None) == recording.expected()


@pytest.mark.parametrize(
    "path", ["/v1/responses/r-1/cancel", "/v1/responses/r-1/cancel/", "/v1//responses/r-1/cancel//"]
)
def test_a_cancellation_is_no_answer_to_be_paid(path: str) -> None:
    wire, body = WIRES.get("openai_responses"), json.dumps(USUAL["openai_responses"]).encode()
    assert wire.matches("POST", path)
    assert quickly(wire, path, body) is None
    assert not thoroughly(wire, path, body).billable


@pytest.mark.parametrize("name", sorted(USUAL))
@pytest.mark.parametrize(
    "odd", [b'"x":"\xff"', b'"\xff":1', b'"x":1e99999999999999999999', b'"cost":null,"cost_in_usd_ticks":5']
)
def test_what_nobody_has_checked_is_no_usual_usage(name: str, odd: bytes) -> None:
    body = json.dumps(USUAL[name]).encode().replace(b'"usage": {', b'"usage": {' + odd + b",")
    assert quickly(WIRES.get(name), PATHS[name], body) is None


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_usage_means_the_same_however_it_is_laid_out(provider: str) -> None:
    wire, path = WIRES.get("openai_chat"), PATHS["openai_chat"]
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    plain = thoroughly(wire, path, json.dumps({"usage": usage}).encode(), provider)
    for more in ({"x": 1}, {"seconds": None}):
        body = json.dumps({"usage": usage | more}, indent=1).encode()
        assert thoroughly(wire, path, body, provider).usage == plain.usage


def test_who_was_asked_counts_where_an_answer_names_no_model() -> None:
    chat, path = WIRES.get("openai_chat"), PATHS["openai_chat"]
    body = json.dumps({**USUAL["openai_chat"], "model": ""}).encode()
    assert quickly(chat, path, body) is None
    assert thoroughly(chat, path, body, model="gpt-4o-search-preview").fees_unseen
