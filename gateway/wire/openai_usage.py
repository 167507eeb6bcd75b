"""The usage object of the OpenAI family (chat, completions, responses, embeddings and all who copied them).

``input`` and ``output`` already hold cached, audio and reasoning tokens here, with exceptions that the sums or
the provider's name prove.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from gateway.wire.counts import Count, Counts, exceeds, milliseconds, plus
from gateway.wire.money import nano_usd
from gateway.wire.shapes import NOT_AS_EXPECTED
from pricing.usage import Usage

TICKS_PER_USD = 10_000_000_000
"""xAI's ``cost_in_usd_ticks``, of chats, responses, images and videos. Grok at another seller costs what that charges."""


class _OfInput(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: Count = None
    cache_write_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    text_tokens: Count = None


class _OfOutput(msgspec.Struct, forbid_unknown_fields=True):
    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    text_tokens: Count = None
    accepted_prediction_tokens: Count = None
    rejected_prediction_tokens: Count = None


class _Chat(msgspec.Struct, forbid_unknown_fields=True):
    prompt: Count = msgspec.field(name="prompt_tokens", default=None)
    completion: Count = msgspec.field(name="completion_tokens", default=None)
    total: Count = msgspec.field(name="total_tokens", default=None)
    of_input: _OfInput | None = msgspec.field(name="prompt_tokens_details", default=None)
    of_output: _OfOutput | None = msgspec.field(name="completion_tokens_details", default=None)
    hit: Count = msgspec.field(name="prompt_cache_hit_tokens", default=None)
    """DeepSeek's, as what it did not find there."""
    prompt_cache_miss_tokens: Count = None
    queue_time: float | None = None
    """Groq's, in seconds, as those that follow."""
    prompt_time: float | None = None
    completion_time: float | None = None
    total_time: float | None = None


class _Responses(msgspec.Struct, forbid_unknown_fields=True):
    prompt: Count = msgspec.field(name="input_tokens", default=None)
    completion: Count = msgspec.field(name="output_tokens", default=None)
    total: Count = msgspec.field(name="total_tokens", default=None)
    of_input: _OfInput | None = msgspec.field(name="input_tokens_details", default=None)
    of_output: _OfOutput | None = msgspec.field(name="output_tokens_details", default=None)
    hit: ClassVar[None] = None


_CHAT = msgspec.json.Decoder(_Chat)
_RESPONSES = msgspec.json.Decoder(_Responses)
_NO_INPUT = _OfInput()
_NO_OUTPUT = _OfOutput()


def usual_usage(raw: bytes) -> Usage | None:
    """The normal form of a sound usage object that is as OpenAI's own, DeepSeek's or Groq's, in a tenth of the
    time; ``None`` for every other, which :func:`openai_usage` has to look at."""
    told: _Chat | _Responses
    try:
        told = _CHAT.decode(raw) if raw.find(b'"prompt_tokens"') > 0 else _RESPONSES.decode(raw)
    except NOT_AS_EXPECTED:
        return None
    prompt, completion = told.prompt, told.completion
    if prompt is None or completion is None or told.total != prompt + completion:
        return None
    of_input, of_output = told.of_input or _NO_INPUT, told.of_output or _NO_OUTPUT
    heard, spoken = of_input.audio_tokens, of_output.audio_tokens
    seen, drawn = of_input.image_tokens, of_output.image_tokens
    cached = told.hit if of_input.cached_tokens is None else of_input.cached_tokens
    written = of_input.cache_write_tokens
    thought = of_output.reasoning_tokens
    usage = Usage(prompt, completion, cached, written, None, thought, heard, None, spoken, seen, drawn)
    if heard or spoken or seen or drawn:
        return None if exceeds(usage) else usage
    if (cached or 0) + (written or 0) > prompt or (thought or 0) > completion:
        return None  # text alone: all that exceeds() would find
    return usage


def of_text(usage: Usage | None) -> Usage | None:
    """A :func:`usual_usage`, if it is of text alone."""
    if usage is None or usage.input_audio or usage.output_audio or usage.input_image or usage.output_image:
        return None
    return usage


def openai_usage(provider: str, found: Mapping[str, object], counts: Counts) -> Usage:
    """Normal form of a usage object as the provider named ``provider`` means it."""
    prompt = counts.take(found, "prompt_tokens", "input_tokens")
    completion = counts.take(found, "completion_tokens", "output_tokens")
    total = counts.take(found, "total_tokens")
    plain = (prompt is not None) + (completion is not None) + (total is not None)
    if plain == len(found):
        usage = Usage(prompt, _output(provider, prompt, completion, None, total))
        return _hidden_thoughts(usage, completion) if provider == "gemini" else usage
    of_input = counts.part(
        found, "prompt_tokens_details", "input_tokens_details", "prompt_token_details", "input_token_details"
    )
    of_output = counts.part(
        found,
        "completion_tokens_details",
        "output_tokens_details",
        "completion_token_details",
        "output_token_details",
    )
    reasoning = counts.take(of_output, "reasoning_tokens")
    if reasoning is None:
        reasoning = counts.take(found, "reasoning_tokens")
    if provider == "openrouter" and reasoning and completion is not None and reasoning > completion:
        reasoning = None  # it counts them apart, at times more than there are; its charge is the same
    cached, written = _cache(found, of_input, counts)
    cited = None
    if provider == "perplexity" and "completion_tokens" in found:
        # deep research reports both apart from the completion, beside it; in its details they would be part of it
        cited = counts.take(found, "citation_tokens")
        completion = plus(completion, counts.take(found, "reasoning_tokens"), cited)
        total = None
    elif provider == "xai" and total is None and "completion_tokens" in found:
        completion = plus(completion, reasoning)  # apart in chat, and no total to prove it
    of_cached = counts.part(of_input, "cached_tokens_details")
    usage = Usage(
        prompt,
        _output(provider, prompt, completion, reasoning, total),
        cached,
        written,
        None,
        reasoning,
        counts.take(of_input, "audio_tokens"),
        counts.take(of_cached, "audio_tokens"),
        counts.take(of_output, "audio_tokens"),
        counts.take(of_input, "image_tokens"),
        counts.take(of_output, "image_tokens"),
        web_searches=_searches(found, counts),
        cache_image_read=counts.take(of_cached, "image_tokens"),
        input_video=counts.take(of_input, "video_tokens"),
        audio_ms=milliseconds(found.get("prompt_audio_seconds"), counts),
        citation=cited,
    )
    if provider == "gemini" and usage.reasoning is None:
        return _hidden_thoughts(usage, completion)
    return usage


def _cache(
    found: Mapping[str, object], of_input: Mapping[str, object], counts: Counts
) -> tuple[int | None, int | None]:
    """What was read from the prompt cache and what was written to it, under any of their names."""
    read = counts.take(of_input, "cached_tokens", "cache_read_tokens", "cache_read_input_tokens")
    if read is None:
        read = counts.take(
            found, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens"
        )
    written = counts.take(
        of_input, "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"
    )
    if written is None:
        written = counts.take(found, "cache_write_tokens", "cache_creation_input_tokens")
    return read, written


def _searches(found: Mapping[str, object], counts: Counts) -> int | None:
    """Searches of the web, wherever they are told."""
    told = counts.take(found, "num_search_queries", "web_search_requests")
    if told is not None:
        return told
    tools = counts.part(found, "server_tool_use_details", "server_tool_use")  # OpenRouter
    if tools:
        return counts.take(tools, "web_search_requests")
    calls = counts.part(found, "tool_calls_details")  # Perplexity
    if calls:
        return counts.take(counts.part(calls, "search_web"), "invocation")
    tools = counts.part(found, "server_side_tool_usage_details")  # xAI
    return counts.take(tools, "web_search_calls") or None if tools else None


def uses_tools(found: Mapping[str, object]) -> bool:
    """Does xAI tell of tools or sources? It charges for each of them, and not all have a count."""
    return bool(found.get("num_sources_used") or found.get("num_server_side_tools_used"))


def _output(
    provider: str, prompt: int | None, completion: int | None, reasoning: int | None, total: int | None
) -> int | None:
    """All output, where the total shows that some of it is missing from the completion count."""
    if total is None or prompt is None:
        return completion
    if completion is None:
        return total - prompt if total > prompt else None
    if reasoning and total == prompt + completion + reasoning:
        return completion + reasoning
    if provider == "gemini":
        return max(completion, total - prompt)
    return completion


def _hidden_thoughts(usage: Usage, completion: int | None) -> Usage:
    """Gemini's OpenAI-compatible endpoint leaves thoughts out of the completion count and names them nowhere."""
    if completion is None or usage.output is None or usage.output == completion:
        return usage
    return msgspec.structs.replace(usage, reasoning=usage.output - completion)


def openai_charge(provider: str, found: Mapping[str, object]) -> int | None:
    """The charge in a usage object, nano-USD; only from providers whose currency and meaning are known."""
    if provider == "xai":
        return nano_usd(found.get("cost_in_usd_ticks"), TICKS_PER_USD)
    cost = found.get("cost")
    if provider == "perplexity" and isinstance(cost, dict):
        return nano_usd(cost.get("total_cost"))
    if provider == "openrouter":
        charged = nano_usd(cost)
        details = found.get("cost_details")
        if charged is not None and found.get("is_byok") is True and isinstance(details, dict):
            # with the user's own key the upstream provider charges beside OpenRouter's fee
            upstream = nano_usd(details.get("upstream_inference_cost"))
            return None if upstream is None else charged + upstream
        return charged
    return None
