"""Decisions: questions with a fixed set of answers (OpenRouter, Perplexity, Gemini, Ollama's ``systemone``).

Gemini reports usage as its interactions do, the others as OpenAI does.
"""

from __future__ import annotations

from gateway.wire.asking import read_body
from gateway.wire.contract import Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import openai_error
from gateway.wire.gemini_interactions import interaction_usage
from gateway.wire.openai_chat import ChatReader
from gateway.wire.paths import ends


class DecisionReader(ChatReader):
    __slots__ = ()

    def reading(self) -> Reading:
        found = self._seen.usage
        if found is None or "total_input_tokens" not in found:
            return super().reading()
        counts = Counts()
        return self._seen.with_usage(self._call, interaction_usage(found, counts), counts)


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/decisions", "/systemone")


WIRE = Wire("decisions", "generate_content", matches, read_body, DecisionReader, openai_error)
