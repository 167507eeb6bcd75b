"""What is made of the bytes of a call: text, digests, marks; nothing of what must not be kept."""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from rig.bodies import openai_chat, openai_events

from gateway.attribution import hashed
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
SALT = SecretStr("salt")
MOST_REQUEST = 2**20
MAKER = ContentMaker(b"key", Redactor(["the-registered-secret"]), most_request=MOST_REQUEST)
HIDES = ContentMaker(b"key", Redactor(), most_request=MOST_REQUEST, salt=SALT)
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How heavy\n is  it?"}]}


@functools.cache
def gzip_bomb() -> bytes:
    return gzip.compress(b"x" * 300 * 1024 * 1024, 9)


@functools.cache
def brotli_bomb() -> bytes:
    return brotli.compress(b"x" * 300 * 1024 * 1024, quality=5)


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
    encoding = more.get("encoding", "")
    wanted = Wanted(more.get("ask", mode), more.get("answer_mode", mode), more.get("is_text", True), encoding)
    reads = partial(CHAT.read_ask, "/v1/chat/completions", "") if encoding else None
    who, said = more.get("who", "ada"), more.get("user")
    return maker.make(
        Captured("id", 1, "acme", None, who, None, said, wanted, raw, size or len(raw), answer, 9, reads)
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
    assert made(HASH, ASK, maker=ContentMaker(b"x", Redactor(), most_request=9)).request.digest != one.digest
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
    assert "u-17 " not in str(made(FULL, said, user="u-17", maker=HIDES).request.text)
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
    bomb = gzip_bomb()
    found = made(FULL, ASK, sample(bomb, "text/plain", encoding="gzip"))
    assert len(found.answer.text or "") <= MOST_TEXT


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "gzip, br": lambda body: brotli.compress(gzip.compress(body)),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_request_is_what_it_says(encoding: str) -> None:
    plain = json.dumps({**ASK, "note": "x" * 10_000}).encode()
    packed = ENCODINGS[encoding](plain)
    for mode in (HASH, REDACTED, FULL):
        found, same = made(mode, packed, encoding=encoding).request, made(mode, plain).request
        assert (found.text, found.digest, found.cut, found.absent) == (same.text, same.digest, False, None)
        assert found.size == len(packed), "as it passed"


def test_who_is_named_in_a_compressed_body() -> None:
    """Nobody could read it when the call was made: whose it is is known by now, and it must be found and erased by that."""
    packed = gzip.compress(json.dumps({"user": "u-17", "input": "u-17 and u-170"}).encode())
    redacted = made(REDACTED, packed, sample(b"u-17 answers", "text/plain"), encoding="gzip", who=None)
    assert redacted.request.text == '{"user":"[USER]","input":"[USER] and u-170"}'
    assert redacted.answer.text == "[USER] answers"
    assert redacted.user == "u-17"
    hidden = made(FULL, packed, encoding="gzip", who=None, maker=HIDES)
    assert "u-17 " not in str(hidden.request.text)
    assert hidden.user == hashed("u-17", SALT)
    assert made(FULL, packed, encoding="gzip", who="ada").user == "ada", "a header goes before the body"
    omitted = made(FULL, packed, sample(b"u-17 answers", "text/plain"), encoding="gzip", who=None, ask=NONE)
    assert (omitted.request.text, omitted.user) == (None, "u-17")


BODY = json.dumps(ASK).encode()


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [
        (lambda: gzip.compress(b'{"a": "' + b"x" * MOST_REQUEST + b'"}'), "gzip"),
        (gzip_bomb, "gzip"),
        (brotli_bomb, "br"),
        (lambda: BODY, "gzip"),
        (lambda: BODY, "br"),
        (lambda: BODY, "zstd"),
        (lambda: gzip.compress(BODY)[:20] + b"damaged" * 20, "gzip"),
        (lambda: gzip.compress(brotli.compress(b"\xff" + BODY * 20)), "gzip"),
        (lambda: gzip.compress(BODY), "made-up"),
    ],
    ids=[
        "large",
        "bomb",
        "bomb of brotli",
        *("not " + name for name in ("gzip", "br", "zstd")),
        "damaged",
        "twice",
        "unknown",
    ],
)
@pytest.mark.parametrize("mode", [HASH, REDACTED, FULL])
def test_what_cannot_be_inflated_within_limits_is_no_text(
    mode: Capture, pack: Callable[[], bytes], encoding: str
) -> None:
    packed = pack()
    found = made(mode, packed, encoding=encoding).request
    assert (found.absent, found.text, found.digest) == (Absence.NOT_TEXT, None, None)
    assert found.size == len(packed)


def test_a_compressed_request_of_which_only_the_beginning_is_looked_at_is_no_text() -> None:
    """Who it names may stand in the rest."""
    packed = gzip.compress(BODY)
    assert made(FULL, packed, encoding="gzip", size=len(packed) + 1).request.absent is Absence.NOT_TEXT


@given(
    st.binary(max_size=300),
    st.sampled_from([*ENCODINGS]),
    st.sampled_from([HASH, REDACTED, FULL]),
    st.booleans(),
)
def test_any_bytes_may_be_compressed(request_: bytes, encoding: str, mode: Capture, is_packed: bool) -> None:
    packed = ENCODINGS[encoding](request_) if is_packed else request_
    found = made(mode, packed, encoding=encoding).request
    assert found.size == len(packed)
    assert (found.absent is None) == (found.digest is not None)


@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from([HASH, REDACTED, FULL]))
def test_any_bytes_are_only_bytes(request_: bytes, answer: bytes, mode: Capture) -> None:
    for kind in (JSON, SSE, "text/plain", ""):
        found = made(mode, request_, sample(answer, kind))
        assert (found.request.text is None) == (mode is HASH or not request_)


def test_nesting_without_end_is_only_text() -> None:
    found = made(REDACTED, b'{"a":' * 5000 + b'"ada@lovelace.example"' + b"}" * 5000)
    assert "lovelace" not in str(found.request.text)
