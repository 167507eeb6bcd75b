"""Gemini's ``usageMetadata``. Thoughts are apart from candidates, tool-use tokens apart from the prompt; cached
tokens are inside the prompt. It is cumulative and replaced whole by each later one."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.wire.counts import Counts, plus
from pricing.usage import Usage

_MODALITIES = {1: "TEXT", 2: "IMAGE", 3: "VIDEO", 4: "AUDIO", 5: "DOCUMENT"}
"""Numbers appear where the client asked for ``enum-encoding=int``."""
TRAFFIC = {1: "ON_DEMAND", 2: "PROVISIONED_THROUGHPUT"}


def gemini_usage(found: Mapping[str, object], counts: Counts) -> Usage:
    prompt = counts.take(found, "promptTokenCount")
    tools = counts.take(found, "toolUsePromptTokenCount")
    thoughts = counts.take(found, "thoughtsTokenCount")
    made = counts.take(found, "candidatesTokenCount", "responseTokenCount")
    asked = _by_modality(found, counts, "promptTokensDetails", "toolUsePromptTokensDetails")
    cached = _by_modality(found, counts, "cacheTokensDetails")
    given = _by_modality(found, counts, "candidatesTokensDetails", "responseTokensDetails")
    return Usage(
        plus(prompt, tools),
        plus(made, thoughts),
        counts.take(found, "cachedContentTokenCount"),
        reasoning=thoughts,
        input_audio=asked.get("AUDIO"),
        cache_audio_read=cached.get("AUDIO"),
        output_audio=given.get("AUDIO"),
        input_image=asked.get("IMAGE"),
        output_image=given.get("IMAGE"),
        tool_input=tools,
        cache_image_read=cached.get("IMAGE"),
        input_video=asked.get("VIDEO"),
        output_video=given.get("VIDEO"),
    )


def _by_modality(found: Mapping[str, object], counts: Counts, *names: str) -> dict[str, int]:
    """Tokens per modality, repeats added up."""
    sums: dict[str, int] = {}
    for name in names:
        for row in counts.rows(found, name):
            kind = row.get("modality")
            label = _MODALITIES.get(kind) if type(kind) is int else kind
            tokens = counts.take(row, "tokenCount")
            if isinstance(label, str) and tokens is not None:
                sums[label] = sums.get(label, 0) + tokens
    return sums
