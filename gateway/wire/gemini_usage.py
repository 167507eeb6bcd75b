"""Gemini's ``usageMetadata``. Thoughts are apart from candidates, unless the total shows that they are in them;
tool-use tokens are apart from the prompt; cached tokens are inside the prompt. It is cumulative and replaced whole by
each later one."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.wire.counts import Counts, plus
from gateway.wire.shapes import text
from pricing.usage import Usage

_MODALITIES = {1: "TEXT", 2: "IMAGE", 3: "VIDEO", 4: "AUDIO", 5: "DOCUMENT"}
"""Numbers appear where the client asked for ``enum-encoding=int``."""
TRAFFIC = {1: "ON_DEMAND", 2: "PROVISIONED_THROUGHPUT", 3: "ON_DEMAND_PRIORITY", 4: "ON_DEMAND_FLEX"}


def gemini_usage(found: Mapping[str, object], counts: Counts) -> Usage:
    prompt = counts.take(found, "promptTokenCount")
    tools = counts.take(found, "toolUsePromptTokenCount")
    thoughts = counts.take(found, "thoughtsTokenCount")
    answered = counts.take(found, "candidatesTokenCount")
    made = answered_tokens(answered, thoughts, plus(prompt, tools), counts.take(found, "totalTokenCount"))
    if answered is None and (spoken := counts.take(found, "responseTokenCount")) is not None:
        made = plus(spoken, thoughts)
    return gemini_normal(
        plus(prompt, tools),
        made,
        cached=counts.take(found, "cachedContentTokenCount"),
        thoughts=thoughts,
        tools=tools,
        asked_by=by_modality(found, counts, "tokenCount", _details(found), "toolUsePromptTokensDetails"),
        cached_by=by_modality(found, counts, "tokenCount", "cacheTokensDetails"),
        made_by=by_modality(found, counts, "tokenCount", "candidatesTokensDetails", "responseTokensDetails"),
    )


def _details(found: Mapping[str, object]) -> str:
    """The Gemini API's embeddings spell it otherwise; Vertex's do not."""
    return "promptTokensDetails" if "promptTokensDetails" in found else "promptTokenDetails"


def traffic_of(found: Mapping[str, object]) -> str | None:
    """The tier of service, as Vertex tells it."""
    told = found.get("trafficType")
    return text(TRAFFIC.get(told) if type(told) is int else told, 64)


def answered_tokens(
    answered: int | None, thoughts: int | None, asked: int | None, total: int | None
) -> int | None:
    """Output tokens: thoughts are apart from what was answered, unless the total shows that they are in it."""
    return answered if thoughts and answered and total == plus(asked, answered) else plus(answered, thoughts)


def gemini_normal(
    asked: int | None,
    made: int | None,
    *,
    cached: int | None,
    thoughts: int | None,
    tools: int | None,
    asked_by: Mapping[str, int],
    cached_by: Mapping[str, int],
    made_by: Mapping[str, int],
) -> Usage:
    """The normal form of Gemini's counts, in all and by modality (:func:`by_modality`)."""
    return Usage(
        asked,
        made,
        cached,
        reasoning=thoughts,
        input_audio=asked_by.get("AUDIO"),
        cache_audio_read=cached_by.get("AUDIO"),
        output_audio=made_by.get("AUDIO"),
        input_image=asked_by.get("IMAGE"),
        output_image=made_by.get("IMAGE"),
        tool_input=tools,
        cache_image_read=cached_by.get("IMAGE"),
        input_video=asked_by.get("VIDEO"),
        output_video=made_by.get("VIDEO"),
    )


def by_modality(found: Mapping[str, object], counts: Counts, count: str, *names: str) -> dict[str, int]:
    """Tokens (named ``count``) per modality, its name in capitals, repeats added up."""
    sums: dict[str, int] = {}
    for name in names:
        for row in counts.rows(found, name):
            kind = row.get("modality")
            label = _MODALITIES.get(kind) if type(kind) is int else kind
            tokens = counts.take(row, count)
            if isinstance(label, str) and tokens is not None:
                label = label.upper()
                sums[label] = sums.get(label, 0) + tokens
    return sums
