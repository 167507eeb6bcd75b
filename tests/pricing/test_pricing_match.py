"""Finding the price list of a model by its name."""

from __future__ import annotations

import sys

import pytest
from rig.traced import kept

from pricing.book import REMEMBERED_NAMES, PriceBook
from pricing.names import MAX_NAME, canonical_provider, spellings


def entry(book: PriceBook, provider: str, name: str | None, asked: str | None = None) -> str | None:
    hit = book.find(provider, name, asked).hit
    return None if hit is None else f"{hit.owner}/{hit.entry.id}"


@pytest.mark.parametrize(
    ("provider", "name", "expected"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "GPT-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("openai", "openai/gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-5.2-20251211", "openai/gpt-5.2"),
        ("openai", "gpt-35-turbo", "openai/gpt-3.5-turbo"),
        ("gemini", "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google", "publishers/google/models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        (
            "google",
            "projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929",
            "google/claude-sonnet-4-5",
        ),
        ("google", "google/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4-20250514", "anthropic/claude-opus-4-0"),
        ("azure", "gpt-4o-2024-11-20", "openai/gpt-4o"),
        ("azure_openai", "azure/gpt-4o", "openai/gpt-4o"),
        ("azure", "o3-mini", "azure/o3-mini"),
        (
            "bedrock",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "bedrock",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "bedrock",
            "anthropic.claude-3-5-sonnet-20241022-v2%3A0",
            "aws/regional.anthropic.claude-3-5-sonnet-20241022-v2:0",
        ),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "bedrock",
            "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0",
            "aws/amazon.nova-lite-v1:0",
        ),
        ("openrouter", "openai/gpt-4o:nitro", "openrouter/openai/gpt-4o"),
        ("openrouter", "deepseek/deepseek-r1:free", "openrouter/deepseek/deepseek-r1:free"),
        ("xai", "grok-4.3-latest", "x-ai/grok-4.3"),
        ("mistral", "mistral-large-latest", "mistral/mistral-large-latest"),
        ("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("openai", "ft:gpt-4o-2024-08-06:acme::a1b2", "openai/ft:gpt-4o"),
        ("openai", "ft:gpt-4.1-mini-2025-04-14:acme:x:a1b2", "openai/ft:gpt-4.1-mini"),
    ],
)
def test_known_names(book: PriceBook, provider: str, name: str, expected: str) -> None:
    assert entry(book, provider, name) == expected


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "gpt-4o-ultra"),
        ("openai", "gpt-4"[:3]),
        ("openai", "gpt-4o-2031-01-01"),
        ("openai", "ft:gpt-9:acme::x"),
        ("openai", "claude-sonnet-4-5"),
        ("anthropic", "gpt-4o"),
        ("my-openai", "gpt-4o"),
        ("openai-proxy", "openai/gpt-4o"),
        ("ollama", "llama3.1:8b"),
        ("bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"),
        ("openrouter", "openai/gpt-4o-made-up:free"),
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct"),
        ("openai", "x" * (MAX_NAME + 1)),
        ("openai", ""),
        ("", "gpt-4o"),
    ],
)
def test_nothing_is_guessed(book: PriceBook, provider: str, name: str) -> None:
    assert entry(book, provider, name) is None


def test_hugging_face_names_carry_their_host(book: PriceBook) -> None:
    found = entry(book, "huggingface", "openai/gpt-oss-120b:cerebras")
    assert found is not None
    assert found.startswith("huggingface_cerebras/")


def test_the_answered_model_beats_the_asked_one(book: PriceBook) -> None:
    assert entry(book, "openai", "gpt-4o-mini", "gpt-4o") == "openai/gpt-4o-mini"
    assert entry(book, "openai", "gpt-4o-2031-01-01", "gpt-4o") == "openai/gpt-4o"
    assert entry(book, "azure", None, "gpt-4o") == "openai/gpt-4o"


def test_every_name_of_the_catalogue_is_found_under_its_provider(book: PriceBook) -> None:
    checked = 0
    for provider in ("openai", "anthropic", "google", "aws", "mistral", "openrouter", "groq"):
        index = book.matcher.index(provider)
        assert index is not None
        for name, expected in index.names.items():
            hit = book.matcher.find(provider, name)
            assert hit is not None
            assert hit.entry is expected, name
            checked += 1
    assert checked > 1500


def test_made_up_names_leave_memory_bounded() -> None:
    fresh = PriceBook.load()
    fresh.find("openai", "gpt-4o", None)
    for number in range(REMEMBERED_NAMES):
        fresh.find("openai", f"warm-up-{number:06d}", f"asked-{number:06d}")

    def look_up() -> None:
        for number in range(10_000):
            fresh.find("openai", f"made-up-{number:06d}", f"asked-{number:06d}")

    held = REMEMBERED_NAMES * (2 * sys.getsizeof("made-up-000000") + 400)
    assert kept("pricing", look_up) < held
    assert len(fresh._found) == REMEMBERED_NAMES


def test_huge_names_are_not_kept() -> None:
    fresh = PriceBook.load()
    for number in range(50):
        assert fresh.find("openai", "x" * 1_000 + str(number)).listed is None
    assert not fresh._found


def test_spellings_start_with_the_name_itself() -> None:
    assert spellings("  Models/Foo ", ())[0] == "models/foo"
    assert spellings("", ()) == ()


def test_providers_are_never_matched_by_containment() -> None:
    assert canonical_provider("my-openai-proxy") == "my-openai-proxy"
    assert canonical_provider("Vertex_AI") == "google"
