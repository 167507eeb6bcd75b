"""OTLP over HTTP with protobuf bodies, on ``requests`` (proxies, TLS and keep-alive as its users know them).

What may be retried is the OTLP specification's list: 429, 502, 503 and 504, and a connection that failed.
Retrying itself is not done here: a waiting request must not hold up the thread that drains the queue.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Final

import requests

from telemetry.config import SignalPlan
from telemetry.metrics import Collection
from telemetry.otlp import DELIVERED, Delivery, Fate
from telemetry.otlp_encode import SpanEncoder
from telemetry.otlp_metrics import encode_collection
from telemetry.spans import SpanData

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_HOPELESS: Final = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
)
_LONGEST_WAIT: Final = 300.0

Resource = tuple[tuple[str, str], ...]


class _Poster:
    """Posts bodies to one URL over one kept-alive session."""

    def __init__(self, plan: SignalPlan, version: str) -> None:
        self._url = plan.endpoint
        self._gzip = plan.gzip
        self._session = requests.Session()
        self._session.verify = plan.ca_file or True
        if plan.cert_file is not None:
            self._session.cert = (plan.cert_file, plan.key_file) if plan.key_file else plan.cert_file
        self._session.headers.update({"user-agent": f"weighbridge/{version or '0'}"})
        self._session.headers.update(plan.headers)
        self._session.headers["content-type"] = "application/x-protobuf"
        if plan.gzip:
            self._session.headers["content-encoding"] = "gzip"

    def post(self, body: bytes, timeout_s: float) -> Delivery:
        """One POST; redirects are not followed."""
        try:
            response = self._session.post(
                self._url,
                data=gzip.compress(body, compresslevel=5) if self._gzip else body,
                timeout=timeout_s,
                allow_redirects=False,
            )
        except _HOPELESS as error:
            return Delivery(Fate.REJECTED, type(error).__name__)
        except (requests.RequestException, OSError) as error:
            # The text of these errors holds the URL, which may hold a credential.
            return Delivery(Fate.RETRY, type(error).__name__)
        status = response.status_code
        if 200 <= status < 300:
            return DELIVERED
        if status in _RETRYABLE:
            return Delivery(
                Fate.RETRY, f"HTTP {status}", status, _seconds(response.headers.get("retry-after"))
            )
        return Delivery(Fate.REJECTED, f"HTTP {status}", status)

    def close(self) -> None:
        self._session.close()


class HttpSpans:
    """Spans, encoded when they come."""

    def __init__(self, plan: SignalPlan, resource: Resource, version: str) -> None:
        self._poster = _Poster(plan, version)
        self._encoder = SpanEncoder(resource, version)

    def encode(self, span: SpanData) -> bytes:
        return self._encoder.span(span)

    def size(self, encoded: bytes) -> int:
        return len(encoded)

    def send(self, batch: Sequence[bytes], timeout_s: float) -> Delivery:
        return self._poster.post(self._encoder.request(batch), timeout_s)

    def close(self) -> None:
        self._poster.close()


class HttpMetrics:
    """Metrics."""

    def __init__(self, plan: SignalPlan, resource: Resource, version: str) -> None:
        self._poster = _Poster(plan, version)
        self._resource = resource
        self._version = version

    def send(self, collection: Collection, timeout_s: float) -> Delivery:
        return self._poster.post(encode_collection(collection, self._resource, self._version), timeout_s)

    def close(self) -> None:
        self._poster.close()


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds, bounded; its date form is left to our own back-off."""
    if retry_after is None or not retry_after.strip().isdecimal():
        return None
    return min(float(retry_after), _LONGEST_WAIT)
