"""What a model may be called: provider aliases and the spellings of a name worth looking up.

Nothing here guesses: each spelling only takes off what platforms are known to put around a model's own name.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote

MAX_NAME = 256
"""Longer names are not looked up (a Bedrock ARN has at most 170 characters)."""

PROVIDER_ALIASES: dict[str, str] = {
    "amazon-bedrock": "aws",
    "aws_bedrock": "aws",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "gemini": "google",
    "google-vertex": "google",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "together-ai": "together",
    "together_ai": "together",
    "vertex": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
    "z-ai": "zai",
}
"""Other names of the catalogue's providers. Exact: a provider that merely contains "openai" is not OpenAI."""

ROUTING_SUFFIXES = (":nitro", ":floor", ":exacto", ":thinking", ":beta")
"""OpenRouter suffixes that choose a host or a mode and not a price list; ``:free`` is a model of its own."""

_BEDROCK_REGION = re.compile(r"^(?:us|us-gov|eu|apac|au|jp|ca|global)\.(?=[a-z0-9-]+\.)")
_BEDROCK_ARN = re.compile(r"^arn:aws[a-z-]*:(?:bedrock|sagemaker):[^/]*/")
_PUBLISHER_PATH = re.compile(r"^(?:projects/.*/)?publishers/[^/]+/models/")
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_VERTEX_ALIAS = re.compile(r"@(?:default|latest)$")


def canonical_provider(name: str) -> str:
    """The catalogue's id of a provider."""
    lower = name.lower()
    return PROVIDER_ALIASES.get(lower, lower)


def routed_provider(provider: str, name: str) -> tuple[str, str]:
    """Hugging Face names carry the host that serves them: ``org/model:groq`` is ``huggingface_groq``'s."""
    if provider == "huggingface" and ":" in name:
        model, _, host = name.rpartition(":")
        return f"huggingface_{host}", model
    return provider, name


def spellings(name: str, vendors: Collection[str]) -> tuple[str, ...]:
    """The ways to look ``name`` up, the most literal first. ``vendors``: provider ids whose models these may be."""
    if len(name) > MAX_NAME:
        return ()
    plain = name.strip().lower()
    if "%" in plain:
        plain = unquote(plain)
    found = dict.fromkeys((plain,))
    for strip in (_strip_path, _strip_suffix, _strip_region):
        for text in tuple(found):
            found[strip(text)] = None
    for text in tuple(found):
        prefix, slash, rest = text.partition("/")
        if slash and rest and canonical_provider(prefix) in vendors:
            found[rest] = None
            found[_strip_region(rest)] = None
    for text in tuple(found):
        found[_COMPACT_DATE.sub(r"-\1-\2-\3", text)] = None
    found.pop("", None)
    return tuple(found)


def _strip_path(text: str) -> str:
    if text.startswith("arn:"):
        return _BEDROCK_ARN.sub("", text)
    return _PUBLISHER_PATH.sub("", text).removeprefix("models/")


def _strip_suffix(text: str) -> str:
    text = _VERTEX_ALIAS.sub("", text)
    for suffix in ROUTING_SUFFIXES:
        text = text.removesuffix(suffix)
    return text


def _strip_region(text: str) -> str:
    return _BEDROCK_REGION.sub("", text)
