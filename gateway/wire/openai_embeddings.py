"""OpenAI embeddings, and those who speak it."""

from __future__ import annotations

from gateway.wire.asking import read_body
from gateway.wire.contract import Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import openai_error
from gateway.wire.openai_chat import ChatReader
from gateway.wire.paths import ends
from pricing.usage import Usage

_PATHS = ("/embeddings", "/contextualizedembeddings", "/multimodalembeddings")
_OTHERS = ("/api/embeddings", "/text/embeddings")
"""Ollama's older ones and watsonx's."""
_NAMED = frozenset(("prompt_tokens", "input_tokens"))


class EmbeddingsReader(ChatReader):
    __slots__ = ()

    def reading(self) -> Reading:
        found = self._seen.usage
        if found is None or "total_tokens" not in found or _NAMED & found.keys():
            return super().reading()
        # Voyage and others report the total alone, or beside what it is made of: all of it is input
        counts = Counts()
        return self._seen.with_usage(self._call, Usage(counts.take(found, "total_tokens")), counts)


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, *_PATHS) and not ends(path, *_OTHERS)


WIRE = Wire("openai_embeddings", "embeddings", matches, read_body, EmbeddingsReader, openai_error)
