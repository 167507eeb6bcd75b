"""Gemini's ``usageMetadata``. Thoughts are apart from candidates, unless the total shows that they are in them;
tool-use tokens are apart from the prompt; cached tokens are inside the prompt. It is cumulative and replaced whole by
each later one."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.wire.counts import Counts, plus
from pricing.usage import Usage

_MODALITIES = {1: "TEXT", 2: "IMAGE", 3: "VIDEO", 4: "AUDIO", 5: "DOCUMENT"}
"""Numbers appear where the client asked for ``enum-encoding=int``."""
TRAFFIC = {1: "ON_DEMAND", 2: "PROVISIONED_THROUGHPUT", 3: "ON_DEMAND_PRIORITY", 4: "ON_DEMAND_FLEX"}


def gemini_usage(found: Mapping[str, object], counts: Counts) -> Usage:
    prompt = counts.take(found, "promptTokenCount")
    tools = counts.take(found, "toolUsePromptTokenCount")
    thoughts = counts.take(found, "thoughtsTokenCount")
    answered = counts.take(found, "candidatesTokenCount")
    made = plus(answered, thoughts)
    if thoughts and answered and counts.take(found, "totalTokenCount") == plus(prompt, tools, answered):
        made = answered
    if answered is None and (spoken := counts.take(found, "responseTokenCount")) is not None:
        made = plus(spoken, thoughts)
    asked = _by_modality(found, counts, "promptTokensDetails", "toolUsePromptTokensDetails")
    cached = _by_modality(found, counts, "cacheTokensDetails")
    given = _by_modality(found, counts, "candidatesTokensDetails", "responseTokensDetails")
    return Usage(
        plus(prompt, tools),
        made,
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
