"""Counting tokens offline."""

from __future__ import annotations

import base64
import hashlib
import lzma
import socket
from pathlib import Path
from typing import Any

import pytest
import tiktoken_ext.openai_public as published
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing import tokens
from pricing.encodings import DATA_DIR, VOCABULARIES, EncodingError, Encodings, Vocabulary, pack, read_tokens
from pricing.tokens import (
    CAP_CHARS,
    PIECE_CHARS,
    Ratios,
    TokenCounter,
    first_ratio,
    pieces_of,
    vocabulary_for,
)


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    return TokenCounter()


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=lambda item: item.name)
def test_the_files_are_the_published_ones(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def remember(url: str, expected_hash: str) -> dict[bytes, int]:
        asked.append({"url": url, "hash": expected_hash})
        return {}

    monkeypatch.setattr(published, "load_tiktoken_bpe", remember)
    theirs = getattr(published, vocabulary.name)()
    assert theirs["pat_str"] == vocabulary.pattern
    listed = read_tokens(vocabulary)
    assert len(listed) == vocabulary.tokens
    text = b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(listed))
    assert hashlib.sha256(text).hexdigest() == vocabulary.official_sha256 == asked[0]["hash"]


def test_it_counts_with_every_socket_blocked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    fresh = TokenCounter()
    assert fresh.count("Hello, world!", "gpt-4o") == 4
    assert fresh.count("Hello, world!", "gpt-4") == 4
    assert fresh.count("naïve café — 東京", "gpt-5") == 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "flipped", "other"])
def test_a_damaged_file_is_reported_not_fetched(tmp_path: Path, damage: str) -> None:
    vocabulary = VOCABULARIES["cl100k_base"]
    path = tmp_path / "cl100k_base.xz"
    data = DATA_DIR.joinpath(path.name).read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        path.write_bytes(data[:1_000] + bytes([data[1_000] ^ 1]) + data[1_001:])
    elif damage == "other":
        path.write_bytes(lzma.compress(pack([b"a", b"b"])))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EncodingError, match=r"cl100k_base\.xz"):
        TokenCounter(Encodings(tmp_path)).count("text", "gpt-4")
    assert sorted(tmp_path.iterdir()) == before
    assert vocabulary.name in path.name


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("ft:gpt-3.5-turbo:acme::1", "cl100k_base"),
        ("ft:gpt-4-0613:acme::1", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("ft:gpt-4.1-2025-04-14:acme::1", "o200k_base"),
        ("ft:gpt-4o-2024-08-06:acme::1", "o200k_base"),
        ("openai/gpt-4.5-preview", "o200k_base"),
        ("gpt-6-sol", "o200k_base"),
        ("o3", "o200k_base"),
        ("claude-opus-4-8", "o200k_base"),
        (None, "o200k_base"),
    ],
)
def test_models_have_their_vocabulary(model: str | None, name: str) -> None:
    assert vocabulary_for(model).name == name


@pytest.mark.parametrize(
    ("model", "percent"),
    [
        ("gpt-4o", 100),
        ("openai/o3-mini", 100),
        ("ft:gpt-4.1-mini-2025-04-14:acme::1", 100),
        ("deepseek-chat", 105),
        ("deepseek/deepseek-r1", 105),
        ("claude-3-5-sonnet-20241022", 120),
        ("claude-opus-4-20250514", 120),
        ("claude-opus-4-6", 120),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 120),
        ("claude-2.1", 120),
        ("claude-opus-4-7", 150),
        ("claude-opus-4.8", 150),
        ("claude-fable-5", 150),
        ("claude-opus-5-5", 150),
        ("claude-latest", 150),
        ("gemini-2.5-pro", 110),
        (None, 110),
    ],
)
def test_first_ratios(model: str | None, percent: int) -> None:
    assert first_ratio(model) == percent


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=5_000))
def test_any_text_can_be_counted(text: str) -> None:
    assert "".join(pieces_of(text)) == text
    assert all(len(piece) <= PIECE_CHARS for piece in pieces_of(text))


def test_pieces_cost_a_token_or_two_a_cut(counter: TokenCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The truck drives over the weighbridge, and is weighed, priced and ticketed. " * 400
    in_pieces = counter.count(text, "gpt-4o")
    monkeypatch.setattr(tokens, "PIECE_CHARS", CAP_CHARS)
    whole = counter.count(text, "gpt-4o")
    assert whole <= in_pieces <= whole + 2 * (len(text) // PIECE_CHARS)


def test_long_text_is_extrapolated(counter: TokenCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "CAP_CHARS", 10_000)
    text = "weigh " * 10_000
    assert sum(map(len, pieces_of(text))) == 10_000
    assert abs(counter.count(text, "gpt-4o") - 10_000) < 200


def test_odd_text_is_counted(counter: TokenCounter) -> None:
    assert counter.count("", "gpt-4o") == 0
    assert counter.count("\ud800 lone", "gpt-4o") > 0
    assert counter.count("<|endoftext|>", "gpt-4o") > 1
    assert counter.count("a" * 20_000, "gpt-4o") > 1_000


def test_chat_overhead(counter: TokenCounter) -> None:
    assert counter.count_chat([], "gpt-4o") == 3
    assert counter.count_chat(["Hello, world!", ""], "gpt-4o", names=1) == 3 + 1 + 3 + 4 + 3


def test_ratios_start_from_the_known_and_move_to_the_learned() -> None:
    ratios = Ratios()
    assert ratios.estimate("anthropic", "claude-opus-4-8", 1_000) == 1_500
    assert ratios.estimate("openai", "gpt-4o", 7) == 7
    for _ in range(200):
        assert ratios.learn("anthropic", "claude-opus-4-8", 1_300, 1_000)
    assert 1_300 <= ratios.estimate("anthropic", "claude-opus-4-8", 1_000) <= 1_305
    assert ratios.estimate("other", "claude-opus-4-8", 1_000) == 1_500


@pytest.mark.parametrize(("reported", "counted"), [(19, 100), (100, 19), (401, 100), (100, 401), (0, 0)])
def test_odd_calls_teach_nothing(reported: int, counted: int) -> None:
    ratios = Ratios()
    assert not ratios.learn("p", "m", reported, counted)
    assert len(ratios) == 0


def test_ratios_are_bounded_and_follow_change() -> None:
    ratios = Ratios(limit=100)
    for number in range(1_000):
        ratios.learn("p", f"model-{number}", 100, 100)
    assert len(ratios) == 100
    for _ in range(1_000):
        ratios.learn("p", "m", 20_000, 10_000)
    for _ in range(1_000):
        ratios.learn("p", "m", 10_000, 10_000)
    assert 1_000 <= ratios.estimate("p", "m", 1_000) <= 1_010
