"""The normal form of what a call consumed.

``Usage`` is additive: ``input`` counts every input token (cache reads and writes, audio, images, tool
tokens included), ``output`` counts every output token (reasoning and audio included); the other token
fields are subsets of those two. ``None`` means "the provider did not report it" and is never the same as 0.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

SIZES = (32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
"""Input tokens of a request beyond which price lists change their rates."""
MAX_COUNT = 2**53
"""Largest count accepted from a provider; anything above is invalid usage (JSON's exact-integer limit)."""


class Usage(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Counts of one call. New fields go to the end with a default: stored frames decode by position."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    """Subset of ``input`` served from the provider's prompt cache."""
    cache_write_5m: int | None = None
    """Subset of ``input`` written to a cache of short life (also every write without a stated life)."""
    cache_write_1h: int | None = None
    """Subset of ``input`` written to a cache of one hour or more."""
    reasoning: int | None = None
    """Subset of ``output``."""
    input_audio: int | None = None
    cache_audio_read: int | None = None
    """Subset of both ``cache_read`` and ``input_audio``."""
    output_audio: int | None = None
    input_image: int | None = None
    output_image: int | None = None
    tool_input: int | None = None
    """Subset of ``input`` that provider-side tools put into the prompt (Gemini ``toolUsePromptTokenCount``)."""
    # Units that are not tokens.
    web_searches: int | None = None
    search_units: int | None = None
    """Rerank searches (Cohere ``search_units``)."""
    pages: int | None = None
    """Pages read by OCR."""
    images: int | None = None
    """Images made."""
    characters: int | None = None
    """Characters spoken (text to speech)."""
    audio_ms: int | None = None
    """Milliseconds of audio transcribed or made."""
    cache_image_read: int | None = None
    """Subset of both ``cache_read`` and ``input_image``."""
    input_video: int | None = None
    output_video: int | None = None
    citation: int | None = None
    """Subset of ``output`` (Perplexity ``citation_tokens``)."""
    annotated_pages: int | None = None
    """Subset of ``pages``: read by OCR with annotations."""
    file_searches: int | None = None
    """Searches in the provider's own file store (OpenAI ``file_search`` calls)."""
    billed_input: int | None = None
    """Input tokens the provider charges for where that is not ``input`` (Cohere ``billed_units``, which leaves out
    its own prompt template). When set, it takes the place of ``input`` in the price and subsets get no rate of
    their own; where it is ``input`` less ``tool_input`` (Gemini's search) they keep theirs."""
    billed_output: int | None = None
    """Output tokens the provider charges for where that is not ``output``."""
    largest_input: int | None = None
    """Input of the largest request, where the counts are the sum of several that fall into one of :data:`SIZES`: rates
    that depend on size go by it."""

    @property
    def cache_write(self) -> int | None:
        """All cache writes, whatever their life; ``None`` when neither was reported."""
        if self.cache_write_5m is None and self.cache_write_1h is None:
            return None
        return (self.cache_write_5m or 0) + (self.cache_write_1h or 0)


NOTHING = Usage()
"""Reported nothing at all."""


class Part(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Usage within a call that has a price of its own. New fields go to the end with a default, as above."""

    model: str
    usage: Usage
    service_tier: str | None = None
    """As the provider reported it; ``None``: that of the call."""
    within: bool = False
    """Its tokens are also among those of the call's usage, which is then paid for by its parts; otherwise it was used
    beside them."""


def size_of(tokens: int) -> int:
    """Which of the ranges between :data:`SIZES` a request of so many input tokens falls into."""
    return bisect_left(SIZES, tokens)


def smallest_like(tokens: int) -> int:
    """The least number of input tokens in the range of ``tokens``."""
    size = size_of(tokens)
    return SIZES[size - 1] + 1 if size else 0
