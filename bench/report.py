"""Best windows, ratios, bars; a table for people and JSON for machines."""

from __future__ import annotations

import datetime
import os
import platform
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench.measure import CHUNKS, Measure, Window
from bench.variants import Variant

RESULTS = Path(__file__).parent / "results"


class Bar(msgspec.Struct, frozen=True):
    """A promise as a ratio of two figures."""

    name: str
    got: float
    most: float

    @property
    def kept(self) -> bool:
        return self.got <= self.most


class Best(msgspec.Struct, frozen=True):
    """The best window of each measure on one contestant; microseconds."""

    call_us: float | None
    calls_per_s: float | None
    latency_p50_us: float | None
    chunk_us: float | None
    burst_us: float | None
    """Per stream of 100 chunks that arrive at once."""
    ttfb_p50_us: float | None


class Results:
    """Collects windows."""

    def __init__(self, variants: list[Variant]) -> None:
        self.variants = variants
        self.windows: dict[Variant, dict[Measure, list[Window]]] = defaultdict(lambda: defaultdict(list))

    def add(self, variant: Variant, measure: Measure, window: Window) -> None:
        self.windows[variant][measure].append(window)

    def best(self, variant: Variant) -> Best:
        """Noise only ever adds, so the least of several windows is nearest to the truth."""
        got = self.windows[variant]
        has_process = variant is not Variant.DIRECT

        def least(measure: Measure) -> float | None:
            if not has_process:
                return None
            return min((window.per_call for window in got[measure]), default=None)

        paced = least(Measure.PACED)
        latency = got[Measure.LATENCY]
        return Best(
            call_us=least(Measure.CALL),
            calls_per_s=max((window.rate for window in got[Measure.CALL]), default=None),
            latency_p50_us=min((window.load.total_p50 for window in latency), default=None),
            chunk_us=None if paced is None else paced / CHUNKS,
            burst_us=least(Measure.BURST),
            ttfb_p50_us=min((window.load.ttfb_p50 for window in got[Measure.FIRST_BYTE]), default=None),
        )

    def bars(self) -> list[Bar]:
        """The promises that this run can tell about."""
        nginx, naive = self.best(Variant.NGINX), self.best(Variant.NAIVE)
        bars = []
        for variant in (Variant.GATEWAY, Variant.GATEWAY_OTEL):
            best = self.best(variant)
            wanted = (
                ("CPU per call / nginx", best.call_us, nginx.call_us, 4.5),
                ("CPU per call / naive", best.call_us, naive.call_us, 0.5),
                ("CPU per chunk / nginx", best.chunk_us, nginx.chunk_us, 1.6),
            )
            bars += [Bar(f"{variant}: {name}", a / b, most) for name, a, b, most in wanted if a and b]
        return bars


def show(results: Results, console: Console) -> None:
    """Prints the table and the bars."""
    table = Table(title="best windows; CPU = utime+stime of all threads and children of the proxy")
    for name in (
        "",
        "CPU us/call",
        "x nginx",
        "x naive",
        "calls/s",
        "p50 added us",
        "CPU us/chunk",
        "x nginx",
    ):
        table.add_column(name, justify="right" if name else "left")
    for name in ("CPU us/burst", "x nginx", "first byte us"):
        table.add_column(name, justify="right")
    nginx, naive = results.best(Variant.NGINX), results.best(Variant.NAIVE)
    direct = results.best(Variant.DIRECT)
    for variant in results.variants:
        best = results.best(variant)
        table.add_row(
            variant.value,
            _figure(best.call_us, 1),
            _ratio(best.call_us, nginx.call_us),
            _ratio(best.call_us, naive.call_us),
            _figure(best.calls_per_s, 0),
            _difference(best.latency_p50_us, direct.latency_p50_us),
            _figure(best.chunk_us, 1),
            _ratio(best.chunk_us, nginx.chunk_us),
            _figure(best.burst_us, 0),
            _ratio(best.burst_us, nginx.burst_us),
            _figure(best.ttfb_p50_us, 0),
        )
    console.print(table)
    for bar in results.bars():
        word = "kept  " if bar.kept else "MISSED"
        console.print(f"{word} {bar.name}: {bar.got:.2f} (at most {bar.most:g})", highlight=False)


def save(name: str, content: dict[str, Any]) -> Path:
    """Writes ``results/NAME-TIME.json`` and ``results/NAME-latest.json``; returns the former."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    whole = {
        "at": now.isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        **content,
    }
    text = msgspec.json.format(msgspec.json.encode(whole), indent=1)
    file = RESULTS / f"{name}-{now:%Y%m%d-%H%M%S}.json"
    for target in (file, RESULTS / f"{name}-latest.json"):
        target.write_bytes(text)
    return file


def as_json(results: Results) -> dict[str, Any]:
    """Everything measured, window by window."""
    return {
        "best": {variant.value: results.best(variant) for variant in results.variants},
        "bars": [
            {"name": bar.name, "got": bar.got, "most": bar.most, "kept": bar.kept} for bar in results.bars()
        ],
        "windows": {
            variant.value: {measure.value: list(windows) for measure, windows in got.items()}
            for variant, got in results.windows.items()
        },
    }


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _ratio(value: float | None, reference: float | None) -> str:
    return "-" if value is None or not reference else f"{value / reference:.2f}"


def _difference(value: float | None, reference: float | None) -> str:
    return "-" if value is None or reference is None else f"{value - reference:,.0f}"
