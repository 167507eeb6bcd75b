"""What is summed, and the few kinds calls are told apart by.

Everything is an integer, and nothing is ``None``: what a call does not say adds nothing, and calls whose cost is not
known are counted as such beside the sums. A sum is that of the columns of ``model_requests`` as they were recorded:
pricing history again (``repriced_*``) changes no rollup, and usage billed under other models within a call
(``usage_also``) is in its cost, not in its tokens, here as there.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from telemetry.outcome import Outcome

MAX_RATE_TOKENS: Final = 10**9
"""Output tokens beyond which a call tells no speed (and its arithmetic might not fit into 64 bits)."""
LARGEST: Final = 2**53
"""Where the sum of one row stops to grow, so that sums of rows stay within 64 bits whatever a provider reports: nine
million dollars for one group and hour."""


class OutcomeClass(enum.StrEnum):
    """How calls ended, coarse enough to keep sums apart by it."""

    OK = "ok"
    PROVIDER_ERROR = "provider_error"
    CLIENT_CANCELLED = "client_cancelled"
    FAILED = "failed"
    """The provider's answer never came whole: connection, deadline, or our own doing."""
    REFUSED = "refused"


CLASS_OF: Final = dict.fromkeys(Outcome, OutcomeClass.FAILED) | {
    Outcome.COMPLETED: OutcomeClass.OK,
    Outcome.PROVIDER_ERROR: OutcomeClass.PROVIDER_ERROR,
    Outcome.CANCELLED: OutcomeClass.CLIENT_CANCELLED,
    Outcome.REFUSED: OutcomeClass.REFUSED,
}


class ErrorKind(enum.StrEnum):
    """Why calls did not succeed, as the measure that counts them; refused and cancelled calls are classes already."""

    RATE_LIMITED = "errors_rate_limited"
    CLIENT = "errors_client"
    """The provider answered 4xx other than 429."""
    SERVER = "errors_server"
    """The provider answered 5xx."""
    IN_STREAM = "errors_in_stream"
    """An error within an answer that began well."""
    TIMEOUT = "errors_timeout"
    CONNECTION = "errors_connection"
    GATEWAY = "errors_gateway"
    """We were stopped, died or have a defect."""


KIND_OF: Final = {
    Outcome.TIMEOUT: ErrorKind.TIMEOUT,
    Outcome.STALLED: ErrorKind.TIMEOUT,
    Outcome.CONNECT_FAILED: ErrorKind.CONNECTION,
    Outcome.RESET: ErrorKind.CONNECTION,
    Outcome.TRUNCATED: ErrorKind.CONNECTION,
    Outcome.PROTOCOL_ERROR: ErrorKind.CONNECTION,
    Outcome.SHUTDOWN: ErrorKind.GATEWAY,
    Outcome.INTERRUPTED: ErrorKind.GATEWAY,
    Outcome.GATEWAY_ERROR: ErrorKind.GATEWAY,
}
"""Failed calls; a provider's error is told by its status (:func:`error_kind`)."""


def error_kind(outcome: Outcome, status: int | None) -> ErrorKind | None:
    """The measure that counts an end; ``None`` for calls that completed, were refused or cancelled."""
    if outcome is not Outcome.PROVIDER_ERROR:
        return KIND_OF.get(outcome)
    if status is None or status < 400:
        return ErrorKind.IN_STREAM
    if status == 429:
        return ErrorKind.RATE_LIMITED
    return ErrorKind.CLIENT if status < 500 else ErrorKind.SERVER


class Sums(msgspec.Struct, frozen=True, gc=False):
    """The measures of many calls. ``*_nano`` is nano-USD, ``*_us`` microseconds, the rest are counts.

    The order of the fields is that of :data:`MEASURES`, of the tables' columns and of deltas: new ones go to the end.
    """

    calls: int = 0
    streams: int = 0
    cache_hits: int = 0
    """Calls with input from the provider's prompt cache."""
    errors_rate_limited: int = 0
    errors_client: int = 0
    errors_server: int = 0
    errors_in_stream: int = 0
    errors_timeout: int = 0
    errors_connection: int = 0
    errors_gateway: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """Of any life."""
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    input_video_tokens: int = 0
    output_video_tokens: int = 0
    web_searches: int = 0
    file_searches: int = 0
    search_units: int = 0
    pages: int = 0
    images: int = 0
    characters: int = 0
    audio_ms: int = 0
    cost_nano: int = 0
    """Of the calls whose cost is known; see ``unpriced_calls``, ``invalid_calls`` and ``partial_calls``."""
    cost_input_nano: int = 0
    cost_output_nano: int = 0
    cost_cache_read_nano: int = 0
    cost_cache_write_nano: int = 0
    cost_other_nano: int = 0
    estimated_calls: int = 0
    estimated_nano: int = 0
    """Of ``cost_nano``, what rests on our own counts."""
    partial_calls: int = 0
    partial_nano: int = 0
    """Of ``cost_nano``, what is a lower bound."""
    unpriced_calls: int = 0
    invalid_calls: int = 0
    baseline_calls: int = 0
    """Calls for which both their cost and that of the baseline model are known."""
    baseline_nano: int = 0
    """What those calls would have cost on their baseline models."""
    baseline_cost_nano: int = 0
    """What those calls did cost."""
    duration_us: int = 0
    ttft_calls: int = 0
    """Streamed calls whose answer began."""
    ttft_us: int = 0
    rate_tokens: int = 0
    """Output tokens of the calls whose speed is known: streamed, completed, counted by the provider."""
    rate_us: int = 0
    """Time from the first to the last byte of those calls' answers."""
    overhead_us: int = 0
    """The gateway's own share of ``duration_us``."""


MEASURES: Final = Sums.__struct_fields__
PLACE: Final = {name: place for place, name in enumerate(MEASURES)}
TOKEN_FIELDS: Final = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write_5m": "cache_write_tokens",
    "cache_write_1h": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
    "input_audio": "input_audio_tokens",
    "output_audio": "output_audio_tokens",
    "input_image": "input_image_tokens",
    "output_image": "output_image_tokens",
    "input_video": "input_video_tokens",
    "output_video": "output_video_tokens",
    "web_searches": "web_searches",
    "file_searches": "file_searches",
    "search_units": "search_units",
    "pages": "pages",
    "images": "images",
    "characters": "characters",
    "audio_ms": "audio_ms",
}
"""The measure each field of :class:`pricing.usage.Usage` is added to; those that are not here are not summed."""
COST_FIELDS: Final = {
    "total": "cost_nano",
    "input": "cost_input_nano",
    "output": "cost_output_nano",
    "cache_read": "cost_cache_read_nano",
    "cache_write": "cost_cache_write_nano",
    "other": "cost_other_nano",
}
USER_MEASURES: Final = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nano",
    "estimated_calls",
    "estimated_nano",
    "partial_calls",
    "partial_nano",
    "unpriced_calls",
    "invalid_calls",
)
"""What is kept by user and day."""
