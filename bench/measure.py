"""One window of one measure on one contestant."""

from __future__ import annotations

import enum

import msgspec

from bench.machine import Machine, cpu_seconds, settle
from bench.native_tools import Load, request, run_load
from bench.variants import Running

CHUNKS = 100


class Measure(enum.StrEnum):
    """What is measured."""

    CALL = "call"
    """CPU per recorded call that is not a stream: 32 connections, as fast as it goes."""
    LATENCY = "latency"
    """One connection, one call after the other."""
    PACED = "paced"
    """50 streams at once, 100 chunks each, about 3 ms apart, not in step."""
    BURST = "burst"
    """8 streams at once whose 100 chunks come in one write."""
    FIRST_BYTE = "first_byte"
    """One connection, one short stream after the other."""


class Setting(msgspec.Struct, frozen=True):
    """How a measure is taken."""

    connections: int
    stream: bool = False
    chunks: int = CHUNKS
    gap_us: int = 0
    share: float = 1.0
    """Part of the window's time: where only a median is wanted, less is enough."""


SETTINGS = {
    Measure.CALL: Setting(32),
    Measure.LATENCY: Setting(1, share=0.5),
    Measure.PACED: Setting(50, stream=True, gap_us=3000),
    Measure.BURST: Setting(8, stream=True),
    Measure.FIRST_BYTE: Setting(1, stream=True, chunks=2, gap_us=200, share=0.5),
}


class Window(msgspec.Struct, frozen=True):
    """What one window gave."""

    load: Load
    cpu_us: float
    """CPU of the contestant, all threads and children, until it was quiet again; 0 without a process."""

    @property
    def per_call(self) -> float:
        return self.cpu_us / self.load.done

    @property
    def rate(self) -> float:
        return self.load.done / self.load.seconds


def body_bytes(measure: Measure, machine: Machine, upstream: int) -> int:
    """Size of the answer's body when nobody stands in between."""
    how = SETTINGS[measure]
    ask = request("/v1/chat/completions", stream=how.stream, chunks=how.chunks, gap_us=how.gap_us)
    return run_load(machine, upstream, 1, 0.0, ask).body_max


def window(measure: Measure, machine: Machine, running: Running, seconds: float, size: int) -> Window:
    """Runs one window. Raises :class:`bench.machine.BenchError` if a call was not answered with ``size`` bytes."""
    how = SETTINGS[measure]
    ask = request(running.path, stream=how.stream, chunks=how.chunks, gap_us=how.gap_us)
    port = running.stream_port if how.stream else running.port
    before = cpu_seconds(running.pid) if running.pid else 0.0
    load = run_load(machine, port, how.connections, seconds * how.share, ask)
    load.check(size)
    if running.pid:
        settle(running.pid)
    used = cpu_seconds(running.pid) - before if running.pid else 0.0
    return Window(load, used * 1e6)
