"""Token counts as Bedrock reports them: in bodies, in stream metrics and in response headers.

Cache reads and writes are apart from the input count; ``input`` is their sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from gateway.wire.contract import Exchanged
from gateway.wire.counts import Counts, plus
from gateway.wire.paths import plain
from pricing.usage import Usage

_HEADERS = {
    b"x-amzn-bedrock-input-token-count": "inputTokenCount",
    b"x-amzn-bedrock-output-token-count": "outputTokenCount",
    b"x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    b"x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}


_TIER = b"x-amzn-bedrock-service-tier"
_LATENCY = b"x-amzn-bedrock-performanceconfig-latency"
OPTIMIZED = "latency_optimized"


def bedrock_usage(found: Mapping[str, object], counts: Counts) -> Usage:
    """Normal form of Converse ``usage``, of stream ``invocationMetrics`` and of the headers."""
    uncached = counts.take(found, "inputTokens", "inputTokenCount")
    read = counts.take(found, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = counts.take(found, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    long = None
    for row in counts.rows(found, "cacheDetails"):
        if row.get("ttl") not in (None, "5m"):
            long = plus(long, counts.take(row, "inputTokens"))
    short = written
    if long is not None and written is not None:
        long = min(long, written)
        short = written - long
    return Usage(
        plus(uncached, read, written),
        counts.take(found, "outputTokens", "outputTokenCount"),
        read,
        short,
        long,
    )


def header_counts(call: Exchanged) -> dict[str, object]:
    """The counts among the response headers, by their names in ``invocationMetrics``."""
    found: dict[str, object] = {}
    for name, value in call.headers:
        field = _HEADERS.get(name)
        if field is not None and value.isdigit() and len(value) < 18:
            found[field] = int(value)
    return found


def header_tier(call: Exchanged) -> str | None:
    """The service tier that ``invoke`` tells in headers; latency that is optimized costs like one."""
    found: str | None = None
    for name, value in call.headers:
        if name == _TIER:
            return value.decode("latin-1")[:64] or None
        if name == _LATENCY and value == b"optimized":
            found = OPTIMIZED
    return found


def header_error(call: Exchanged) -> str | None:
    """``x-amzn-ErrorType: ValidationException:http://...`` -> ``ValidationException``."""
    for name, value in call.headers:
        if name == b"x-amzn-errortype":
            return value.partition(b":")[0].decode("latin-1")[:128] or None
    return None


def model_of(path: str, *verbs: str) -> str | None:
    """The model id or ARN between ``/model/`` and the verb, unescaped (slashes of an ARN may be raw)."""
    _, _, rest = plain(path).partition("/model/")
    for verb in verbs:
        if rest.endswith(verb):
            return unquote(rest[: -len(verb)])[:512] or None
    return None
