"""What is made of the bytes of a call: text, digests, marks; nothing of what must not be kept."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.bodies import openai_chat, openai_events

from gateway.capturing.content import Captured, ContentMaker
from gateway.capturing.rules import Wanted
from gateway.settings.choices import Capture
from gateway.wire.contract import AskFields, Exchanged
from gateway.wire.openai_chat import WIRE as CHAT
from gateway.wire.openai_embeddings import WIRE as EMBEDDINGS
from gateway.wire.tap import Sample
from storage.contents.model import MOST_TEXT, Absence, Content
from telemetry.redact import Redactor

NONE, HASH, REDACTED, FULL = Capture
JSON = "application/json"
SSE = "text/event-stream"
MAKER = ContentMaker(b"key", Redactor(["the-registered-secret"]), hides_users=False)
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How heavy\n is  it?"}]}


def sample(body: bytes, kind: str = SSE, wire: Any = CHAT, *, room: int = 2**20, **more: Any) -> Sample:
    ask = AskFields(stream=kind == SSE)
    call = Exchanged("POST", "/v1/chat/completions", "", ask, more.get("status", 200), ())
    kept = body[:room]
    return Sample(wire, call, kind, more.get("encoding", ""), room - len(body), [kept], len(kept))


def made(
    mode: Capture = FULL,
    request: Any = ASK,
    answer: Sample | None = None,
    *,
    maker: ContentMaker = MAKER,
    size: int | None = None,
    **more: Any,
) -> Content:
    raw = request if isinstance(request, bytes) else json.dumps(request).encode()
    wanted = Wanted(more.get("ask", mode), more.get("answer_mode", mode), more.get("is_text", True))
    return maker.make(
        Captured(
            "id", 1, "acme", None, "ada", None, more.get("user"), wanted, raw, size or len(raw), answer, 9
        )
    )


STREAM = b"".join(openai_events(("Twelve", " ", "tonnes", ".")))


def test_the_request_as_it_was_and_the_words_of_the_answer() -> None:
    found = made(FULL, ASK, sample(STREAM))
    assert found.request.text == json.dumps(ASK)
    assert (found.answer.text, found.answer.cut) == ("Twelve tonnes.", False)
    whole = made(FULL, ASK, sample(json.dumps(openai_chat()).encode(), JSON))
    assert whole.answer.text == "Twelve tonnes."
    assert whole.answer.digest == found.answer.digest, "streamed or not"


def test_digests_are_keyed_and_know_words_not_spaces() -> None:
    spaced = {**ASK, "temperature": 1, "messages": [{"role": "user", "content": "How heavy is it? "}]}
    one, other = made(HASH, ASK).request, made(HASH, spaced).request
    assert one.digest == other.digest
    assert one.text is None
    assert (
        made(HASH, ASK, maker=ContentMaker(b"x", Redactor(), hides_users=False)).request.digest != one.digest
    )
    asked = {**ASK, "messages": [{"role": "user", "content": "How long is it?"}]}
    assert made(HASH, asked).request.digest != one.digest


PERSONAL = "ada@lovelace.example"


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": [{"content": f"I am {PERSONAL}\n4111111111111111"}]},
        {"metadata": {PERSONAL: [PERSONAL]}, "card": 4111111111111111},
        b'{"input": "ada\\u0040lovelace.example \\u0034111111111111111"}',
        f"not json {PERSONAL}\\n4111111111111111".encode(),
        b'{"cut": "ada\\u0040lovelace.example\\n4111111111111111 ' + b"x" * 600,
    ],
)
def test_redacted_holds_no_personal_data_however_it_is_written(request_: Any) -> None:
    raw = request_ if isinstance(request_, bytes) else json.dumps(request_).encode()
    cut = raw.endswith(b"x")
    text = made(REDACTED, raw, size=len(raw) + cut).request.text
    assert text is not None
    assert "lovelace" not in text
    assert "1111111111" not in text
    assert "[EMAIL]" in text


def test_an_address_that_comes_in_pieces_is_one() -> None:
    stream = b"".join(openai_events(("mail a", "da@love", "lace.exa", "mple now")))
    assert made(REDACTED, ASK, sample(stream)).answer.text == "mail [EMAIL] now"


def test_secrets_go_from_redacted_text() -> None:
    said = {"messages": [{"content": "use sk-abcdefghijklmnop and the-registered-secret"}]}
    text = made(REDACTED, said).request.text
    assert text == '{"messages":[{"content":"use sk-*** and ***"}]}'


def test_who_is_named_in_the_body() -> None:
    said = {"user": "u-17", "input": "u-17 and u-170"}
    assert made(REDACTED, said, user="u-17").request.text == '{"user":"[USER]","input":"[USER] and u-170"}'
    hides = ContentMaker(b"k", Redactor(), hides_users=True)
    assert "u-17 " not in str(made(FULL, said, user="u-17", maker=hides).request.text)
    assert made(FULL, said, user="u-17").request.text == json.dumps(said)


@pytest.mark.parametrize("mode", [REDACTED, FULL])
def test_embedded_data_is_not_text(mode: Capture) -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 400
    text = made(mode, {"messages": [{"content": [{"image_url": {"url": picture}}, "hi"]}]}).request.text
    assert text is not None
    assert f"[DATA {len(picture)}]" in text
    assert len(text) < 120


def test_what_there_is_no_text_of() -> None:
    found = made(FULL, ASK, None, ask=NONE)
    assert (found.request.absent, found.answer.absent) == (Absence.OMITTED, Absence.UNREAD)
    assert made(FULL, b"RIFF", is_text=False).request.absent == Absence.NOT_TEXT
    assert made(FULL, b"").request.absent == Absence.EMPTY
    assert made(FULL, ASK, sample(b"")).answer.absent == Absence.EMPTY
    assert made(FULL, ASK, sample(b"{}", JSON, EMBEDDINGS)).answer.absent == Absence.VECTORS
    assert made(FULL, ASK, sample(b"ID3", "audio/mpeg")).answer.absent == Absence.NOT_TEXT


def test_an_error_is_kept_as_it_came() -> None:
    error = json.dumps({"error": {"message": "no"}}).encode()
    for encoding, body in (("", error), ("gzip", gzip.compress(error))):
        found = made(FULL, ASK, sample(body, JSON, status=400, encoding=encoding))
        assert found.answer.text == error.decode()


def test_what_is_too_long_is_cut_and_says_so() -> None:
    long = "word " * MOST_TEXT
    found = made(FULL, {"messages": [{"content": long}]}, sample(b"".join(openai_events((long,)))))
    for piece in (found.request, found.answer):
        assert piece.cut
        assert len(piece.text or "") == MOST_TEXT
    seen = sample(STREAM, room=len(STREAM) // 2)
    part = made(FULL, json.dumps(ASK).encode()[:30], seen, size=900)
    assert (part.request.cut, part.answer.cut) == (True, True)


def test_a_bomb_is_only_a_short_answer() -> None:
    bomb = gzip.compress(b"x" * 300 * 1024 * 1024, 9)
    found = made(FULL, ASK, sample(bomb, "text/plain", encoding="gzip"))
    assert len(found.answer.text or "") <= MOST_TEXT


@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from([HASH, REDACTED, FULL]))
def test_any_bytes_are_only_bytes(request_: bytes, answer: bytes, mode: Capture) -> None:
    for kind in (JSON, SSE, "text/plain", ""):
        found = made(mode, request_, sample(answer, kind))
        assert (found.request.text is None) == (mode is HASH or not request_)


def test_nesting_without_end_is_only_text() -> None:
    found = made(REDACTED, b'{"a":' * 5000 + b'"ada@lovelace.example"' + b"}" * 5000)
    assert "lovelace" not in str(found.request.text)
