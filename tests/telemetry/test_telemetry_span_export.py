"""Batches, retries and bounds, with a sink that does as told and a clock that is moved by hand."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from otel.records import TYPICAL, record

from telemetry.metric_export import MetricExport
from telemetry.metrics import Collection, Metrics
from telemetry.notice import Notices
from telemetry.otlp import DELIVERED, Delivery, Fate
from telemetry.record import CallRecord
from telemetry.span_export import DropReason, SpanExport
from telemetry.spans import SpanData, SpanStyle

AWAY = Delivery(Fate.RETRY, "ConnectionError")
REFUSED = Delivery(Fate.REJECTED, "HTTP 400", 400)
NOT_FOUND = Delivery(Fate.REJECTED, "HTTP 404", 404)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Sink:
    """Answers with ``reply``; what arrived is in ``sent``."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.reply = DELIVERED
        self.takes_s = 0.0
        self.tries: list[tuple[float, int, float]] = []
        self.sent: list[str] = []

    def encode(self, span: SpanData) -> str:
        return str(span.attributes["weighbridge.request.id"])

    def size(self, encoded: str) -> int:
        return 100

    def send(self, batch: Sequence[str], timeout_s: float) -> Delivery:
        self.tries.append((self.clock.now, len(batch), timeout_s))
        self.clock.now += min(self.takes_s, timeout_s)
        if self.reply is DELIVERED:
            self.sent.extend(batch)
        return self.reply

    def close(self) -> None:
        pass


class Rig:
    def __init__(self, *, batch_limit: int = 4, backlog_bytes: int = 10_000) -> None:
        self.clock = Clock()
        self.sink = Sink(self.clock)
        self.export = SpanExport(
            self.sink,
            style=SpanStyle(),
            batch_limit=batch_limit,
            backlog_bytes=backlog_bytes,
            flush_interval_s=1.0,
            timeout_s=3.0,
            clock=self.clock,
            notices=Notices(logging.getLogger("test"), self.clock),
        )

    def add(self, *ids: str) -> None:
        for call_id in ids:
            self.export.add(record(id=call_id))

    def drops(self) -> dict[DropReason, int]:
        return dict(+self.export.drops)


def test_a_full_batch_goes_at_once_and_an_open_one_after_the_interval() -> None:
    rig = Rig()
    rig.add("a", "b", "c")
    rig.export.work()
    assert rig.sink.sent == ["a", "a", "b", "b"]
    assert rig.export.due() == 101.0
    rig.clock.now = 100.9
    rig.export.work()
    assert len(rig.sink.tries) == 1
    rig.clock.now = 101.0
    rig.export.work()
    assert rig.sink.sent[4:] == ["c", "c"]
    assert (rig.export.due(), rig.export.pending, rig.export.delivered) == (None, 0, 6)


def test_records_without_spans_make_no_batch() -> None:
    rig = Rig()
    rig.export.add(record(trace=None))
    assert rig.export.due() is None


def test_a_collector_that_is_away_gets_everything_in_order_when_it_is_back() -> None:
    rig = Rig()
    rig.sink.reply = AWAY
    rig.add("a", "b", "c", "d")
    for _ in range(40):  # 20 s in steps of half a second
        rig.export.work()
        rig.clock.now += 0.5
    waits = [after[0] - before[0] for before, after in zip(rig.sink.tries, rig.sink.tries[1:], strict=False)]
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert (rig.export.pending, rig.export.failures) == (4, 5)
    rig.sink.reply = DELIVERED
    rig.clock.now += 30
    rig.export.work()
    assert rig.sink.sent == list("aabbccdd")
    assert rig.drops() == {}


def test_retry_after_is_kept() -> None:
    rig = Rig()
    rig.sink.reply = Delivery(Fate.RETRY, "HTTP 503", 503, 20.0)
    rig.add("a", "b")
    rig.export.work()
    assert rig.export.due() == 120.0


def test_what_is_refused_is_dropped_and_the_next_goes() -> None:
    rig = Rig()
    rig.sink.reply = REFUSED
    rig.add("a", "b")
    rig.export.work()
    rig.sink.reply = DELIVERED
    rig.add("c", "d")
    rig.export.work()
    assert rig.sink.sent == list("ccdd")
    assert rig.drops() == {DropReason.REJECTED: 2}


def test_a_batch_is_not_tried_for_ever() -> None:
    rig = Rig()
    rig.sink.reply = AWAY
    rig.add("a", "b")
    for _ in range(40):
        rig.export.work()
        rig.clock.now += 31
    assert len(rig.sink.tries) == 12
    assert rig.drops() == {DropReason.EXPIRED: 2}
    assert rig.export.due() is None


def test_the_backlog_is_bounded_and_drops_the_oldest() -> None:
    rig = Rig(backlog_bytes=1000)
    rig.sink.reply = AWAY
    for number in range(100):
        rig.add(f"{number}", f"{number}")
        rig.export.work()
    assert rig.export.pending == 4  # 2 batches of 4 spans of 100 bytes
    assert rig.drops() == {DropReason.BACKLOG_FULL: 196}
    rig.sink.reply = DELIVERED
    rig.clock.now += 60
    rig.export.work()
    assert set(rig.sink.sent) == {"98", "99"}


def test_the_end_sends_what_is_left_even_while_waiting_to_retry() -> None:
    rig = Rig()
    rig.sink.reply = AWAY
    rig.add("a", "b", "c")
    rig.export.work()
    rig.sink.reply = DELIVERED
    rig.export.finish(rig.clock.now + 3)
    assert rig.sink.sent == list("aabbcc")
    assert rig.export.pending == 0


def test_the_end_is_over_at_the_deadline() -> None:
    rig = Rig()
    rig.sink.takes_s = 60.0
    rig.sink.reply = AWAY
    rig.add(*(str(number) for number in range(20)))
    rig.export.finish(rig.clock.now + 2)
    assert rig.sink.tries == [(100.0, 4, 2.0)]
    assert rig.clock.now == 102.0
    assert rig.drops() == {DropReason.SHUTDOWN: 20}
    assert rig.export.pending == 0


def test_the_end_divides_its_time_among_batches() -> None:
    rig = Rig()
    rig.sink.takes_s = 1.5
    rig.add("a", "b", "c", "d", "e")
    rig.export.finish(rig.clock.now + 2)
    assert [timeout for _, _, timeout in rig.sink.tries] == [2.0, 0.5]
    assert rig.drops() == {DropReason.SHUTDOWN: 1}


def test_failures_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    notices = Notices(logging.getLogger("test"), clock)
    for _ in range(120):
        notices.warn("spans", "span export failed: ConnectionError")
        clock.now += 1
    notices.warn("other", "something else")
    assert [line.getMessage() for line in caplog.records] == [
        "span export failed: ConnectionError",
        "span export failed: ConnectionError (59 more like this since the last line)",
        "something else",
    ]


class Meters:
    def __init__(self) -> None:
        self.reply = DELIVERED
        self.sent: list[Collection] = []
        self.timeouts: list[float] = []

    def send(self, collection: Collection, timeout_s: float) -> Delivery:
        self.sent.append(collection)
        self.timeouts.append(timeout_s)
        return self.reply

    def close(self) -> None:
        pass


class MeterRig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.sink = Meters()
        self.export = MetricExport(
            self.sink,
            Metrics(now_ns=lambda: int(self.clock.now * 1e9)),
            interval_s=60,
            timeout_s=3,
            clock=self.clock,
            notices=Notices(logging.getLogger("test"), self.clock),
        )

    def minute(self, *records: CallRecord) -> None:
        for call in records:
            self.export.add(call)
        self.clock.now += 60
        self.export.work()


def test_metrics_go_once_per_interval() -> None:
    rig = MeterRig()
    rig.export.add(TYPICAL)
    rig.export.work()
    assert rig.sink.sent == []
    assert rig.export.due() == 160.0
    rig.minute()
    rig.minute(TYPICAL)
    assert [collection.end_ns for collection in rig.sink.sent] == [160 * 10**9, 220 * 10**9]
    assert rig.export.delivered == 2


def test_without_calls_nothing_is_sent() -> None:
    rig = MeterRig()
    rig.minute()
    rig.export.finish(rig.clock.now + 1)
    assert rig.sink.sent == []


@pytest.mark.parametrize("status", [404, 405])
def test_an_endpoint_without_metrics_is_warned_of_once_and_left_alone(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    rig = MeterRig()
    rig.sink.reply = Delivery(Fate.REJECTED, f"HTTP {status}", status)
    for _ in range(10):
        rig.minute(TYPICAL)
    rig.export.finish(rig.clock.now + 1)
    assert len(rig.sink.sent) == 1
    assert (rig.export.stopped, rig.export.due()) == (True, None)
    (line,) = caplog.records
    assert f"HTTP {status}" in line.getMessage()


@pytest.mark.parametrize("reply", [AWAY, REFUSED])
def test_another_failure_does_not_stop_metrics(reply: Delivery) -> None:
    rig = MeterRig()
    rig.sink.reply = reply
    rig.minute(TYPICAL)
    rig.sink.reply = DELIVERED
    rig.minute()
    assert (rig.export.failures, rig.export.delivered, rig.export.stopped) == (1, 1, False)


def test_the_last_export_keeps_to_the_deadline() -> None:
    rig = MeterRig()
    rig.export.add(TYPICAL)
    rig.export.finish(rig.clock.now + 0.5)
    rig.export.finish(rig.clock.now)
    assert rig.sink.timeouts == [0.5]
