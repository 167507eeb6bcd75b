"""``python -m bench.streams``: many streams open at once. Do all complete, and what does one cost in memory?"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console

from bench import native_tools, report
from bench.machine import LOAD_CORE, BenchError, Machine, require, rss_bytes
from bench.native_tools import Load, load_command, request, run_load
from bench.variants import Running, Variant, start

BAR_BYTES = 20 * 1024
"""Most memory per open stream."""
CHUNKS = 12
GAP_US = 500_000


class Outcome(msgspec.Struct, frozen=True):
    """What came of it on one contestant."""

    variant: str
    streams: int
    completed: int
    idle_bytes: int
    open_bytes: int
    after_bytes: int

    @property
    def per_stream(self) -> float:
        return (self.open_bytes - self.idle_bytes) / self.streams

    @property
    def kept(self) -> bool:
        return self.completed == self.streams and self.per_stream <= BAR_BYTES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument(
        "--only", default="nginx,gateway", help="contestants, by comma: " + ", ".join(Variant)
    )
    parser.add_argument("--enforce", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    console = Console(width=120)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    outcomes = []
    try:
        for name in options.only.split(","):
            outcomes.append(measure(Variant(name), options.streams))
            console.print(line(outcomes[-1]), highlight=False)
    except BenchError as error:
        console.print(f"bench: {error}", style="bold", highlight=False, markup=False)
        return 2
    rows = [{**msgspec.to_builtins(each), "per_stream": each.per_stream} for each in outcomes]
    console.print(f"written to {report.save('streams', {'outcomes': rows})}", highlight=False)
    ours = [each for each in outcomes if each.variant.startswith("gateway")]
    return 1 if options.enforce and not all(each.kept for each in ours) else 0


def measure(variant: Variant, streams: int) -> Outcome:
    """Opens the streams, looks at the memory while all are open, and waits for their ends."""
    require("gcc", *(["nginx"] if variant is Variant.NGINX else []))
    with tempfile.TemporaryDirectory(prefix="weighbridge-bench-") as folder, Machine(Path(folder)) as machine:
        native_tools.build(machine.folder)
        running = start(variant, machine, native_tools.start_upstream(machine))
        ask = request(running.path, stream=True, chunks=2, gap_us=1000)
        run_load(machine, running.stream_port, 20, 1.0, ask).check()
        time.sleep(1.0)
        idle = rss_bytes(running.pid)
        load, opened = _open(machine, running, streams)
        time.sleep(1.0)
        return Outcome(variant.value, streams, load.done, idle, opened, rss_bytes(running.pid))


def _open(machine: Machine, running: Running, streams: int) -> tuple[Load, int]:
    ask = request(running.path, stream=True, chunks=CHUNKS, gap_us=GAP_US)
    command = [*load_command(machine, running.stream_port, streams, 30.0, ask), "once"]
    most = 0
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),  # noqa: PLW1509  the harness has no threads
    ) as client:
        assert client.stdout is not None
        said = client.stdout.readline()
        if said.strip() == b"open":
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                most = max(most, rss_bytes(running.pid))
                time.sleep(0.1)
            said = client.stdout.readline()
    if not most:
        raise BenchError(f"{running.variant}: not all of the {streams} streams were open at once: {said!r}")
    return msgspec.json.decode(said, type=Load), most


def line(outcome: Outcome) -> str:
    """One contestant in words."""
    mib = 1024 * 1024
    return (
        f"{outcome.variant:8} {outcome.completed:,} of {outcome.streams:,} streams complete, "
        f"{outcome.per_stream / 1024:.1f} KB each while open "
        f"(idle {outcome.idle_bytes / mib:.1f} MiB, open {outcome.open_bytes / mib:.1f} MiB, "
        f"after {outcome.after_bytes / mib:.1f} MiB)"
    )


if __name__ == "__main__":
    sys.exit(main())
