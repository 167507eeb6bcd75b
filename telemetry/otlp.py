"""What the export thread sends with: one small contract, one implementation per transport."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from telemetry.metrics import Collection
from telemetry.spans import SpanData


class Fate(enum.Enum):
    """What became of one request."""

    DELIVERED = enum.auto()
    RETRY = enum.auto()
    """The collector is away or busy: the same request may succeed later."""
    REJECTED = enum.auto()
    """The same request would fail again."""


class Delivery(msgspec.Struct, frozen=True):
    """Outcome of one request; ``detail`` is for a log line and holds no secret."""

    fate: Fate
    detail: str = ""
    status: int | None = None
    retry_after_s: float | None = None


DELIVERED = Delivery(Fate.DELIVERED)


class SpanSink(Protocol):
    """Sends spans. Used from one thread; ``send`` may block for its timeout and does not raise."""

    def encode(self, span: SpanData) -> Any:
        """The span in the form ``send`` takes: cheap to keep."""

    def size(self, encoded: Any) -> int:
        """Bytes it holds, roughly."""

    def send(self, batch: Sequence[Any], timeout_s: float) -> Delivery:
        """One request."""

    def close(self) -> None:
        """Frees connections."""


class MetricSink(Protocol):
    """Sends metrics; as :class:`SpanSink`."""

    def send(self, collection: Collection, timeout_s: float) -> Delivery:
        """One request."""

    def close(self) -> None:
        """Frees connections."""
