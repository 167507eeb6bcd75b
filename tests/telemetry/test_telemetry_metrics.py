"""Sums, buckets, bounded labels, and both generations of names."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from otel.records import PATIENT, RECORDS, TYPICAL, VARIATIONS, record

from pricing.cost import NOT_BILLABLE, UNPRICED
from telemetry import names
from telemetry.config import MetricNames, Temporality
from telemetry.metrics import (
    MAX_ERROR_TYPES,
    MAX_LABEL_VALUES,
    MAX_SERIES,
    Collection,
    HistogramPoint,
    Metrics,
    SumPoint,
)
from telemetry.outcome import Outcome
from telemetry.record import CallRecord, Route


class Clock:
    def __init__(self) -> None:
        self.now = 1000

    def __call__(self) -> int:
        return self.now


CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "server.address": "api.openai.com",
    "server.port": 443,
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "weighbridge.team.id": "search",
}


def measured(
    *records: CallRecord,
    generation: MetricNames = MetricNames.V1_41,
    temporality: Temporality = Temporality.CUMULATIVE,
) -> Collection:
    metrics = Metrics(generation=generation, temporality=temporality, now_ns=Clock())
    for call in records:
        metrics.observe(call)
    return metrics.collect()


def points(collection: Collection, name: str) -> list[HistogramPoint | SumPoint]:
    return [point for metric in collection.metrics if metric.name == name for point in metric.points]


def labels(point: HistogramPoint | SumPoint) -> Mapping[str, object]:
    return dict(point.labels)


def values(collection: Collection, name: str, key: str) -> set[object]:
    return {labels(point).get(key) for point in points(collection, name)}


def bucket(point: HistogramPoint) -> list[int]:
    return [index for index, count in enumerate(point.buckets) if count]


def test_one_call() -> None:
    collection = measured(TYPICAL, TYPICAL)
    (duration,) = points(collection, names.OPERATION_DURATION)
    assert isinstance(duration, HistogramPoint)
    assert labels(duration) == CALL
    assert (duration.count, duration.total, duration.low, duration.high) == (2, 2.8, 1.4, 1.4)
    assert bucket(duration) == [8]  # 1.28 < 1.4 <= 2.56
    assert len(duration.buckets) == 15
    (first,) = points(collection, names.TIME_TO_FIRST_CHUNK)
    assert isinstance(first, HistogramPoint)
    assert (first.count, first.total, bucket(first)) == (2, 0.5, [5])
    tokens = {labels(point)["gen_ai.token.type"]: point for point in points(collection, names.TOKEN_USAGE)}
    assert set(tokens) == {"input", "output"}
    assert [
        (point.total, bucket(point)) for point in tokens.values() if isinstance(point, HistogramPoint)
    ] == [
        (2000, [5]),
        (400, [4]),
    ]
    (cost,) = points(collection, names.COST)
    assert isinstance(cost, SumPoint)
    assert (labels(cost), cost.value) == (CALL, 0.0005)
    (server,) = points(collection, names.SERVER_DURATION)
    assert labels(server) == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
    }


def test_units_and_bounds() -> None:
    metrics = {metric.name: metric for metric in measured(TYPICAL).metrics}
    assert {name: (metric.unit, metric.bounds) for name, metric in metrics.items()} == {
        "gen_ai.client.token.usage": ("{token}", names.TOKEN_BUCKETS),
        "gen_ai.client.operation.duration": ("s", names.DURATION_BUCKETS),
        "gen_ai.client.operation.time_to_first_chunk": ("s", names.DURATION_BUCKETS),
        "http.server.request.duration": ("s", names.HTTP_BUCKETS),
        "weighbridge.cost": ("USD", ()),
    }


@PATIENT
@given(st.integers(0, 2**53))
def test_a_value_on_a_bound_belongs_below_it(tokens: int) -> None:
    collection = measured(record(usage={"input": tokens, "output": None}))
    (point,) = points(collection, names.TOKEN_USAGE)
    assert isinstance(point, HistogramPoint)
    (index,) = bucket(point)
    assert index == len(names.TOKEN_BUCKETS) or tokens <= names.TOKEN_BUCKETS[index]
    assert index == 0 or tokens > names.TOKEN_BUCKETS[index - 1]


@PATIENT
@given(st.lists(RECORDS, max_size=20))
def test_nothing_is_lost_or_counted_twice(calls: list[CallRecord]) -> None:
    collection = measured(*calls, generation=MetricNames.BOTH)
    server = [
        point for point in points(collection, names.SERVER_DURATION) if isinstance(point, HistogramPoint)
    ]
    assert sum(point.count for point in server) == len(calls)
    reached = [call for call in calls if call.what.operation is not None and call.route.host is not None]
    for name in (names.OPERATION_DURATION, names.INFERENCE_DURATION):
        found = [point for point in points(collection, name) if isinstance(point, HistogramPoint)]
        assert sum(point.count for point in found) == len(reached)
        assert all(sum(point.buckets) == point.count for point in found)
    for metric in collection.metrics:
        assert len({point.labels for point in metric.points}) == len(metric.points)


def test_a_failure_is_measured_with_its_type() -> None:
    failed = record(outcome=Outcome.PROVIDER_ERROR, answer={"status": 529}, cost=NOT_BILLABLE, usage=None)
    collection = measured(TYPICAL, failed)
    assert values(collection, names.OPERATION_DURATION, "error.type") == {None, "529"}
    assert values(collection, names.SERVER_DURATION, "error.type") == {None, "529"}
    assert len(points(collection, names.COST)) == 1


def test_a_refused_call_is_no_operation() -> None:
    collection = measured(record(outcome=Outcome.REFUSED, route=Route(), answer={"status": 401}))
    assert [metric.name for metric in collection.metrics] == [names.SERVER_DURATION]


def test_a_call_that_is_not_read_is_no_operation() -> None:
    collection = measured(record(what={"wire": None, "operation": None}))
    assert [metric.name for metric in collection.metrics] == [names.SERVER_DURATION]
    assert values(collection, names.SERVER_DURATION, "http.route") == {None}


def test_an_unpriced_call_is_counted_and_costs_nothing() -> None:
    collection = measured(record(cost=UNPRICED))
    assert points(collection, names.COST) == []
    (unpriced,) = points(collection, names.UNPRICED_CALLS)
    assert (labels(unpriced), unpriced.value) == (CALL, 1)  # type: ignore[union-attr]


def test_a_made_up_model_makes_no_series() -> None:
    refused = [
        record(
            outcome=Outcome.PROVIDER_ERROR,
            what={"model": f"made-up-{n}"},
            answer={"status": 404, "model": None},
        )
        for n in range(50)
    ]
    collection = measured(*refused)
    assert values(collection, names.OPERATION_DURATION, "gen_ai.request.model") == {"other"}
    known = measured(TYPICAL, record(outcome=Outcome.PROVIDER_ERROR, answer={"status": 429, "model": None}))
    assert values(known, names.OPERATION_DURATION, "gen_ai.request.model") == {"gpt-4o-mini"}


def test_labels_are_bounded() -> None:
    calls = [record(what={"model": f"m{n}"}, who={"team": f"t{n}"}) for n in range(MAX_LABEL_VALUES + 100)]
    collection = measured(*calls)
    for key in ("gen_ai.request.model", "weighbridge.team.id"):
        found = values(collection, names.OPERATION_DURATION, key)
        assert len(found) == MAX_LABEL_VALUES + 1
        assert "other" in found
    strange = measured(record(what={"model": "m" * 200}, answer={"model": "a\nb"}))
    assert values(strange, names.COST, "gen_ai.request.model") == {"other"}
    assert values(strange, names.COST, "gen_ai.response.model") == {"other"}


def test_error_types_are_bounded() -> None:
    calls = [
        record(outcome=Outcome.PROVIDER_ERROR, answer={"status": 200, "error_type": f"e{n}"})
        for n in range(MAX_ERROR_TYPES * 2)
    ]
    assert len(values(measured(*calls), names.OPERATION_DURATION, "error.type")) == MAX_ERROR_TYPES + 1


def test_series_are_bounded_and_the_overflow_counts() -> None:
    metrics = Metrics(now_ns=Clock())
    for model in range(60):
        for team in range(60):
            metrics.observe(record(what={"model": f"m{model}"}, who={"team": f"t{team}"}))
    collection = metrics.collect()
    for name in (names.OPERATION_DURATION, names.COST):
        found = points(collection, name)
        assert len(found) == MAX_SERIES
        (overflow,) = [point for point in found if labels(point) == {"otel.metric.overflow": True}]
        counted = overflow.count if isinstance(overflow, HistogramPoint) else round(overflow.value / 0.00025)
        assert counted == 3600 - (MAX_SERIES - 1)


def test_cumulative_sums_go_on() -> None:
    clock = Clock()
    metrics = Metrics(now_ns=clock)
    for expected in (1, 2):
        metrics.observe(TYPICAL)
        clock.now += 10
        collection = metrics.collect()
        metrics.delivered(collection)
        assert (collection.start_ns, collection.end_ns) == (1000, clock.now)
        (point,) = points(collection, names.OPERATION_DURATION)
        assert isinstance(point, HistogramPoint)
        assert point.count == expected


def test_delta_sums_begin_anew_once_delivered() -> None:
    clock = Clock()
    metrics = Metrics(temporality=Temporality.DELTA, now_ns=clock)
    metrics.observe(TYPICAL)
    clock.now = 1010
    metrics.collect()  # not delivered
    metrics.observe(TYPICAL)
    clock.now = 1020
    second = metrics.collect()
    (point,) = points(second, names.COST)
    assert (second.start_ns, second.end_ns, point.value) == (1000, 1020, 0.0005)  # type: ignore[union-attr]
    metrics.delivered(second)
    clock.now = 1030
    third = metrics.collect()
    assert (third.start_ns, third.metrics) == (1020, ())


def test_the_newest_names() -> None:
    collection = measured(TYPICAL, generation=MetricNames.LATEST)
    sums = {metric.name: metric.points[0] for metric in collection.metrics if not metric.bounds}
    assert {name: point.value for name, point in sums.items() if isinstance(point, SumPoint)} == {
        "weighbridge.cost": 0.00025,
        "gen_ai.client.inference.usage.input_tokens": 1000,
        "gen_ai.client.inference.usage.output_tokens": 200,
        "gen_ai.client.inference.usage.cache_read.input_tokens": 300,
        "gen_ai.client.inference.usage.cache_write.input_tokens": 60,
        "gen_ai.client.inference.usage.reasoning.output_tokens": 40,
    }
    assert labels(sums["gen_ai.client.inference.usage.input_tokens"]) == {
        **CALL,
        "gen_ai.token.modality": "unknown",
    }
    assert {metric.name for metric in collection.metrics if metric.bounds} == {
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
        "http.server.request.duration",
    }


def test_the_newest_names_count_zero_for_a_failed_call() -> None:
    failed = record(outcome=Outcome.TIMEOUT, usage=None, answer={"status": 504})
    collection = measured(failed, generation=MetricNames.LATEST)
    (point,) = points(collection, names.INFERENCE_USAGE_INPUT)
    assert point.value == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("generation", MetricNames)
def test_both_is_the_union(generation: MetricNames) -> None:
    found = {metric.name for metric in measured(TYPICAL, generation=generation).metrics}
    both = {metric.name for metric in measured(TYPICAL, generation=MetricNames.BOTH).metrics}
    assert found <= both
    assert len(both) == 14


def series_of(call: CallRecord, metrics: Metrics) -> dict[str, list[dict[str, object]]]:
    """What a call alone adds to."""
    metrics.delivered(metrics.collect())
    metrics.observe(call)
    found = metrics.collect().metrics
    return {metric.name: [dict(point.labels) for point in metric.points] for metric in found}


IN_ITS_PATH = record(what={"path": "/models/a:generate", "model": "a"})


@pytest.mark.parametrize(
    ("before", "call"),
    [
        *[pytest.param(TYPICAL, *each.values, id=each.id) for each in VARIATIONS],
        (IN_ITS_PATH, record(what={"path": "/models/a:generate", "model": "b"})),
    ],
)
def test_labels_remembered_of_another_call_change_nothing(before: CallRecord, call: CallRecord) -> None:
    """A call adds to the same series as if its labels were worked out anew."""
    warm, cold = (Metrics(temporality=Temporality.DELTA, now_ns=Clock()) for _ in range(2))
    warm.observe(before)
    cold.observe(before)
    cold._remembered.clear()
    assert series_of(call, warm) == series_of(call, cold)
