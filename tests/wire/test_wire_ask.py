"""What requests say of themselves: whole, broken off, and as forms."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import multipart, prefix
from gateway.wire.asking import of_body
from gateway.wire.registry import WIRES


def test_every_spelling_of_the_token_limit() -> None:
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        assert of_body(json.dumps({"model": "m", name: 7}).encode()).max_tokens == 7
    for value in (-1, True, "7", 1.5, 2**40, None):
        assert of_body(json.dumps({"max_tokens": value}).encode()).max_tokens is None


def test_texts_are_such_as_every_store_takes() -> None:
    for sent, kept in (
        ("gpt-4o", "gpt-4o"),
        ("g\0pt", "gpt"),
        ("m\u00fcller", "m\u00fcller"),
        ("m\u00fc\0", "m\u00fc"),
        ("a\ud800", "a?"),
        ("x" * 300, "x" * 256),
        ("", None),
    ):
        said = of_body(json.dumps({"model": sent, "user": sent}).encode())
        assert (said.model, said.user) == (kept, kept)


@pytest.mark.parametrize(
    ("value", "answers"), [(4, 4), (1, 1), (0, 1), (-3, 1), (True, 1), ("9", 1), (10**9, 128)]
)
def test_the_number_of_answers(value: object, answers: int) -> None:
    """Wherever it stands: a request is decoded anyway. What only looks like it does not count."""
    text = 'say "n": 9, "candidateCount": 9' * 2_000
    middle = {
        "messages": [{"role": "user", "content": text}],
        "n": value,
        "tools": [{"n": 64}],
        "input": text,
    }
    assert of_body(json.dumps(middle).encode()).answers == answers
    assert of_body(json.dumps({"n": value, "input": text}).encode()[:-9]).answers == answers
    assert of_body(json.dumps({"prompt": text, "best_of": value}).encode()).answers == answers
    wire = next(wire for wire in WIRES if wire.name == "gemini_generate")
    config = {"contents": text, "generationConfig": {"candidateCount": value}, "n": 64, "more": text}
    asked = wire.read_ask("/v1beta/models/m:generateContent", "", json.dumps(config).encode())
    assert asked.answers == answers


def test_attribution_fields() -> None:
    body = {
        "model": "m",
        "metadata": {"user_id": "u", "session_id": "s", "team": "ops", "n": 7, "deep": {"x": 1}, "": "y"},
        "service_tier": "flex",
        "stream": True,
        "stream_options": {"include_usage": True},
        "conversation": "conv_1",
    }
    ask = of_body(json.dumps(body).encode())
    assert (ask.user, ask.session, ask.service_tier, ask.stream, ask.wants_usage, ask.conversation) == (
        "u", "s", "flex", True, True, "conv_1",
    )  # fmt: skip
    assert ask.tags == (("team", "ops"), ("n", "7"))
    assert of_body(b'{"user":"direct","safety_identifier":"other"}').user == "direct"
    assert of_body(b'{"safety_identifier":"other"}').user == "other"


def test_tags_are_bounded() -> None:
    ask = of_body(json.dumps({"metadata": {f"k{i}" + "x" * 99: "v" * 9999 for i in range(99)}}).encode())
    assert len(ask.tags) == 16
    assert all(len(name) <= 64 and len(value) <= 512 for name, value in ask.tags)


def test_stream_is_true_only_when_it_is_true() -> None:
    for value in ("true", 1, None, [], "yes"):
        assert of_body(json.dumps({"stream": value}).encode()).stream is False


@given(st.integers(0, 400))
def test_a_request_that_breaks_off_is_read_as_far_as_it_goes(cut: int) -> None:
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": 'say {"model": "not me"}'}],
            "model": "me",
            "stream": True,
            "user": "u",
        }
    ).encode()
    ask = of_body(body[:cut])
    assert ask.model in (None, "me")
    if cut < len(body) and body[:cut].endswith(b'"me",'):
        assert ask.model == "me"
    if b'"stream": true,' in body[:cut]:
        assert ask.stream is True


def test_prefix_takes_no_number_that_may_go_on() -> None:
    assert prefix.scalars(b'{"max_tokens": 12', frozenset({b"max_tokens"})) == {}
    assert prefix.scalars(b'{"max_tokens": 12,', frozenset({b"max_tokens"})) == {b"max_tokens": 12}


FORM = (
    b'--XyZ\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    + b"\x00\x01--Xy\r\n\r\n" * 5000
    + b'\r\n--XyZ\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    + b"--XyZ\r\ncontent-disposition: form-data; name=stream\r\n\r\ntrue\r\n--XyZ--\r\n"
)


def test_model_behind_the_file_of_a_form() -> None:
    ask = of_body(FORM)
    assert (ask.model, ask.stream) == ("whisper-1", True)


@pytest.mark.parametrize("cut", [0, 1, 5, 60, 200, 40_000, len(FORM) - 60, len(FORM) - 20])
def test_form_that_breaks_off(cut: int) -> None:
    assert multipart.fields(FORM[:cut], frozenset({"model"})) in ({}, {"model": "whisper-1"})
    of_body(FORM[:cut])


def test_model_in_the_path_beats_the_body() -> None:
    paths = {
        "/v1beta/models/gemini-2.5-pro:streamGenerateContent": ("gemini-2.5-pro", True),
        "/v1beta/tunedModels/mine:generateContent": ("mine", False),
        "/v1/projects/p/locations/l/endpoints/123:generateContent": ("123", False),
        "/v1/projects/p/locations/l/publishers/anthropic/models/claude@1:streamRawPredict": (
            "claude@1",
            True,
        ),
        "/model/us.anthropic.claude-v2%3A1/invoke": ("us.anthropic.claude-v2:1", False),
        "/model/us.anthropic.claude-v2%3A1/invoke-with-response-stream": ("us.anthropic.claude-v2:1", True),
        "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x/converse-stream": (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x",
            True,
        ),
    }
    for path, expected in paths.items():
        wire = WIRES.find("POST", path)
        assert wire is not None
        ask = wire.read_ask(path, "", b'{"model":"of the body"}')
        assert (ask.model, ask.stream) == expected


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/models/gpt2", "gpt2"),
        ("/hf-inference/models/an/owner%27s", "an/owner's"),
        ("/hf-inference/models/an/owner/pipeline/feature-extraction", "an/owner"),
        ("/hf-inference/models/gpt2/pipeline/feature-extraction", "gpt2"),
        ("/pipeline/feature-extraction/an/owner", "an/owner"),
        ("/generate", None),
    ],
)
def test_hugging_face_names_the_model_with_its_owner(path: str, model: str | None) -> None:
    assert WIRES.get("huggingface").read_ask(path, "", b"{}").model == model


def test_registry_remembers_a_bounded_number_of_paths() -> None:
    for i in range(10_000):
        assert WIRES.find("PATCH", f"/made/up/{i}") is None
    assert len(WIRES._remembered) <= 4096
    wire = WIRES.find("POST", "/v1/chat/completions")
    assert wire is WIRES.get("openai_chat")
    with pytest.raises(KeyError):
        WIRES.get("no such wire")


@pytest.mark.parametrize("ends", ["", '"', "\\", '\\"', "\\\\", '\\\\"', "é"])
def test_a_text_that_is_cut_off_ends_the_reading(ends: str) -> None:
    """Quotes in it begin nothing: were each taken for a beginning, this would take minutes of the event loop."""
    text = '{"a\\": \\"b\\", ' * 12_000
    body = b'{"model":"m","user":"u","input":"%b%b' % (text.encode().replace(b'{"a', b"{a"), ends.encode())
    found = prefix.scalars(body[: prefix.MOST], frozenset((b"model", b"user", b"input", b"a")))
    assert sum(1 for _ in prefix._TOKEN.finditer(body[: prefix.MOST])) < 20, "one text, looked at once"
    closed = ends in ('"', '\\\\"') and len(body) <= prefix.MOST
    assert {name: found[name] for name in (b"model", b"user")} == {b"model": "m", b"user": "u"}
    assert (b"input" in found) is closed
