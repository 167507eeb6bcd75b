"""Metrics of finished calls, summed here and handed to an exporter once per interval.

The SDK's ``histogram.record`` costs 7 us and a call makes about six measurements; adding to plain lists costs
a tenth. All measurements are made by one thread, so nothing is locked.

Labels are bounded: a model's name is used only once the provider has accepted it (a made-up name in a refused
call makes no series), each label has a limit of values beyond which it reads ``other``, and a metric has a
limit of series beyond which measurements go to one overflow series, as the SDK's specification has it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from pricing.cost import NANO_PER_USD, CostStatus
from telemetry import names
from telemetry.config import MetricNames, Temporality
from telemetry.failure import error_type, server_error_type
from telemetry.outcome import Outcome
from telemetry.record import CallRecord, UsageSource
from telemetry.spans import client_window, first_chunk_seconds, route_of, split_host

LabelValue = str | int | bool
Labels = tuple[tuple[str, LabelValue], ...]

MAX_SERIES: Final = 2000
"""Of one metric; the SDK's own default."""
MAX_LABEL_VALUES: Final = 500
MAX_ERROR_TYPES: Final = 50
_LONGEST_LABEL: Final = 128
_MAX_REMEMBERED: Final = 4096

_Key = tuple[LabelValue, ...]
"""Labels laid flat (name, value, name, value...): half the cost of hashing pairs."""
_OVERFLOW: Final[_Key] = (names.METRIC_OVERFLOW, True)


class HistogramPoint(msgspec.Struct, frozen=True):
    """One series at the moment of collection; ``buckets`` has one count more than the metric has bounds."""

    labels: Labels
    count: int
    total: float
    buckets: tuple[int, ...]
    low: float
    high: float


class SumPoint(msgspec.Struct, frozen=True):
    """One series of a monotonic sum."""

    labels: Labels
    value: int | float


class MetricData(msgspec.Struct, frozen=True):
    """One metric, ready for export. ``bounds`` is empty for a sum."""

    name: str
    unit: str
    description: str
    bounds: tuple[float, ...]
    points: tuple[HistogramPoint, ...] | tuple[SumPoint, ...]


class Collection(msgspec.Struct, frozen=True):
    """All metrics over ``(start_ns, end_ns]``, UTC nanoseconds."""

    start_ns: int
    end_ns: int
    temporality: Temporality
    metrics: tuple[MetricData, ...]


class _Histogram:
    def __init__(self, name: str, unit: str, description: str, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self.bounds = bounds
        # count, sum, min, max, then the buckets
        self.series: dict[_Key, list[float]] = {}

    def record(self, labels: _Key, value: float) -> None:
        series = self.series.get(labels)
        if series is None:
            series = self._new(labels)
        series[0] += 1
        series[1] += value
        if value < series[2]:
            series[2] = value
        if value > series[3]:
            series[3] = value
        series[4 + bisect_left(self.bounds, value)] += 1

    def _new(self, labels: _Key) -> list[float]:
        if len(self.series) >= MAX_SERIES - 1:
            labels = _OVERFLOW
        return self.series.setdefault(
            labels, [0, 0.0, float("inf"), float("-inf"), *([0] * (len(self.bounds) + 1))]
        )

    def collect(self) -> MetricData:
        points = tuple(
            HistogramPoint(_pairs(labels), int(line[0]), line[1], tuple(map(int, line[4:])), line[2], line[3])
            for labels, line in self.series.items()
        )
        return MetricData(self.name, self.unit, self.description, self.bounds, points)


class _Sum:
    def __init__(self, name: str, unit: str, description: str, divisor: int = 1) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self.divisor = divisor
        self.series: dict[_Key, int] = {}

    def add(self, labels: _Key, value: int) -> None:
        series = self.series
        if labels not in series and len(series) >= MAX_SERIES - 1:
            labels = _OVERFLOW
        series[labels] = series.get(labels, 0) + value

    def collect(self) -> MetricData:
        divisor = self.divisor
        points = tuple(
            SumPoint(_pairs(labels), value if divisor == 1 else value / divisor)
            for labels, value in self.series.items()
        )
        return MetricData(self.name, self.unit, self.description, (), points)


class _Bounded:
    """The values a label may take: the first that come, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._known: set[str] = set()
        self._limit = limit

    def learn(self, value: str) -> str:
        """The value itself, or ``other``."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit or len(value) > _LONGEST_LABEL or not value.isprintable():
            return names.OTHER
        self._known.add(value)
        return value

    def known(self, value: str) -> str:
        """The value if it was learned before, else ``other``."""
        return value if value in self._known else names.OTHER


class Metrics:
    """Sums of all calls observed. To be used from one thread."""

    def __init__(
        self,
        *,
        generation: MetricNames = MetricNames.V1_41,
        temporality: Temporality = Temporality.CUMULATIVE,
        provider_names: Mapping[str, str] = names.PROVIDER_NAMES,
        now_ns: Callable[[], int],
    ) -> None:
        self._temporality = temporality
        self._provider_names = provider_names
        self._now_ns = now_ns
        self._start_ns = now_ns()
        self._old = _Generation1() if generation is not MetricNames.LATEST else None
        self._new = _Latest() if generation is not MetricNames.V1_41 else None
        self._cost = _Sum(names.COST, "USD", "Cost of calls whose price is known.", NANO_PER_USD)
        self._unpriced = _Sum(names.UNPRICED_CALLS, "{call}", "Calls whose cost is not known.")
        self._server = _Histogram(
            names.SERVER_DURATION, "s", "Duration of HTTP server requests.", names.HTTP_BUCKETS
        )
        self._models = _Bounded(MAX_LABEL_VALUES)
        self._answered = _Bounded(MAX_LABEL_VALUES)
        self._teams = _Bounded(MAX_LABEL_VALUES)
        self._routes = _Bounded(MAX_LABEL_VALUES)
        self._hosts = _Bounded(MAX_LABEL_VALUES)
        self._errors = _Bounded(MAX_ERROR_TYPES)
        self._methods = _Bounded(MAX_ERROR_TYPES)
        self._remembered: dict[tuple[str | None, ...], _Key] = {}

    def observe(self, record: CallRecord) -> None:
        """Adds one finished call."""
        self._server.record(self._server_labels(record), record.timing.duration_us / 1e6)
        if record.what.operation is None or record.route.host is None:
            return
        labels = self._call_labels(record, record.what.operation, record.route.host)
        failure = error_type(record)
        ended = labels if failure is None else (*labels, names.ERROR_TYPE, self._errors.learn(failure))
        begin, end = client_window(record)
        seconds, first = (end - begin) / 1e6, first_chunk_seconds(record)
        for generation in (self._old, self._new):
            if generation is not None:
                generation.observe(record, labels, ended, seconds, first)
        if record.cost.total is not None:
            if record.cost.status is not CostStatus.NOT_BILLABLE:
                self._cost.add(labels, record.cost.total)
        elif record.usage is not None:
            self._unpriced.add(labels, 1)

    def collect(self) -> Collection:
        """Everything since the start or, with delta temporality, since the last collection delivered."""
        collected = tuple(metric.collect() for metric in self._all() if metric.series)
        return Collection(self._start_ns, self._now_ns(), self._temporality, collected)

    def delivered(self, collection: Collection) -> None:
        """To be told of each collection that arrived: with delta temporality its sums begin anew."""
        if self._temporality is Temporality.DELTA:
            self._start_ns = collection.end_ns
            for metric in self._all():
                metric.series.clear()

    def _all(self) -> list[_Histogram | _Sum]:
        metrics: list[_Histogram | _Sum] = [self._cost, self._unpriced, self._server]
        for generation in (self._old, self._new):
            if generation is not None:
                metrics.extend(generation.metrics)
        return metrics

    def _server_labels(self, record: CallRecord) -> _Key:
        what = record.what
        labels: list[LabelValue] = [names.HTTP_REQUEST_METHOD, self._methods.learn(what.method)]
        # A refused path was made up by the caller; only what reached a provider teaches a route.
        route = route_of(record)
        if route is not None:
            reached = record.route.host is not None
            labels += (names.HTTP_ROUTE, self._routes.learn(route) if reached else self._routes.known(route))
        if record.answer.status is not None:
            labels += (names.HTTP_RESPONSE_STATUS_CODE, record.answer.status)
        failure = server_error_type(record)
        if failure is not None:
            labels += (names.ERROR_TYPE, self._errors.learn(failure))
        return tuple(labels)

    def _call_labels(self, record: CallRecord, operation: str, host: str) -> _Key:
        what, answered, team = record.what, record.answer.model, record.who.team
        accepted = record.outcome is Outcome.COMPLETED
        seen = (operation, what.provider, host, what.model, answered, team)
        if accepted:
            remembered = self._remembered.get(seen)
            if remembered is not None:
                return remembered
        address, port = split_host(host)
        labels: list[LabelValue] = [
            names.OPERATION_NAME,
            operation,
            names.PROVIDER_NAME,
            self._provider_names.get(what.provider, what.provider),
            names.SERVER_ADDRESS,
            self._hosts.learn(address),
            names.SERVER_PORT,
            port,
        ]
        if what.model is not None:
            model = self._models.learn(what.model) if accepted else self._models.known(what.model)
            labels += (names.REQUEST_MODEL, model)
        if answered is not None:
            labels += (names.RESPONSE_MODEL, self._answered.learn(answered))
        if team is not None:
            labels += (names.TEAM_ID, self._teams.learn(team))
        key = tuple(labels)
        if accepted:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[seen] = key
        return key


def _pairs(labels: _Key) -> Labels:
    return tuple(zip(map(str, labels[::2]), labels[1::2], strict=True))


class _Generation1:
    """The GenAI client metrics of v1.41."""

    def __init__(self) -> None:
        self._tokens = _Histogram(
            names.TOKEN_USAGE, "{token}", "Number of input and output tokens used.", names.TOKEN_BUCKETS
        )
        self._duration = _Histogram(
            names.OPERATION_DURATION, "s", "GenAI operation duration.", names.DURATION_BUCKETS
        )
        self._first = _Histogram(
            names.TIME_TO_FIRST_CHUNK, "s", "Time to receive the first chunk.", names.DURATION_BUCKETS
        )
        self.metrics: tuple[_Histogram | _Sum, ...] = (self._tokens, self._duration, self._first)

    def observe(
        self, record: CallRecord, labels: _Key, ended: _Key, seconds: float, first: float | None
    ) -> None:
        self._duration.record(ended, seconds)
        if first is not None:
            self._first.record(labels, first)
        usage = record.usage
        if usage is None or record.usage_source is UsageSource.NONE:
            return
        if usage.input is not None:
            self._tokens.record((*labels, names.TOKEN_TYPE, "input"), usage.input)
        if usage.output is not None:
            self._tokens.record((*labels, names.TOKEN_TYPE, "output"), usage.output)


class _Latest:
    """The GenAI client metrics of the newest conventions: a counter per kind of token."""

    def __init__(self) -> None:
        self._duration = _Histogram(
            names.INFERENCE_DURATION, "s", "Duration of the inference.", names.DURATION_BUCKETS
        )
        self._first = _Histogram(
            names.INFERENCE_TIME_TO_FIRST_CHUNK, "s", "Time to first chunk.", names.DURATION_BUCKETS
        )
        self._inputs = _Histogram(
            names.INFERENCE_INPUT_TOKENS, "{token}", "Input tokens of a call.", names.TOKEN_BUCKETS
        )
        self._outputs = _Histogram(
            names.INFERENCE_OUTPUT_TOKENS, "{token}", "Output tokens of a call.", names.TOKEN_BUCKETS
        )
        self._input = _Sum(names.INFERENCE_USAGE_INPUT, "{token}", "Input tokens, cached ones included.")
        self._output = _Sum(names.INFERENCE_USAGE_OUTPUT, "{token}", "Output tokens, reasoning included.")
        self._cache_read = _Sum(
            names.INFERENCE_USAGE_CACHE_READ, "{token}", "Input tokens read from a cache."
        )
        self._cache_write = _Sum(
            names.INFERENCE_USAGE_CACHE_WRITE, "{token}", "Input tokens written to a cache."
        )
        self._reasoning = _Sum(
            names.INFERENCE_USAGE_REASONING, "{token}", "Output tokens spent on reasoning."
        )
        self.metrics: tuple[_Histogram | _Sum, ...] = (
            self._duration,
            self._first,
            self._inputs,
            self._outputs,
            self._input,
            self._output,
            self._cache_read,
            self._cache_write,
            self._reasoning,
        )

    def observe(
        self, record: CallRecord, labels: _Key, ended: _Key, seconds: float, first: float | None
    ) -> None:
        self._duration.record(ended, seconds)
        if first is not None:
            self._first.record(labels, first)
        usage = record.usage if record.usage_source is not UsageSource.NONE else None
        # The conventions count 0 for a call without usage, failed ones included.
        input_tokens = usage.input if usage is not None and usage.input is not None else 0
        output_tokens = usage.output if usage is not None and usage.output is not None else 0
        counted = (*labels, names.TOKEN_MODALITY, "unknown")
        self._inputs.record(labels, input_tokens)
        self._outputs.record(labels, output_tokens)
        self._input.add(counted, input_tokens)
        self._output.add(counted, output_tokens)
        if usage is None:
            return
        for counter, tokens in (
            (self._cache_read, usage.cache_read),
            (self._cache_write, usage.cache_write),
            (self._reasoning, usage.reasoning),
        ):
            if tokens:
                counter.add(counted, tokens)
