"""``python -m bench``: CPU per call and per chunk, and added latency, of the gateway, nginx and a naive proxy."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from bench import native_tools, report
from bench.ledger_check import recorded
from bench.machine import BenchError, Machine, require
from bench.measure import Measure, body_bytes, window
from bench.report import Results
from bench.variants import Running, Variant, start

WARM_UP_S = 0.3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute, rougher")
    parser.add_argument("--rounds", type=int, help="windows per measure and contestant (5; quick: 2)")
    parser.add_argument("--seconds", type=float, help="length of a window (1.0; quick: 0.6)")
    parser.add_argument("--only", help="contestants, by comma: " + ", ".join(Variant))
    parser.add_argument("--measures", help="measures, by comma: " + ", ".join(Measure))
    parser.add_argument("--enforce", action="store_true", help="exit 1 when a bar is missed")
    options = parser.parse_args()
    rounds = options.rounds or (2 if options.quick else 5)
    seconds = options.seconds or (0.6 if options.quick else 1.0)
    variants = [Variant(name) for name in options.only.split(",")] if options.only else list(Variant)
    measures = [Measure(name) for name in options.measures.split(",")] if options.measures else list(Measure)
    console = Console(width=150)
    try:
        results = run(variants, measures, rounds, seconds, console)
    except BenchError as error:
        console.print(f"bench: {error}", style="bold", highlight=False, markup=False)
        return 2
    report.show(results, console)
    console.print(f"written to {report.save('bench', report.as_json(results))}", highlight=False)
    return 1 if options.enforce and not all(bar.kept for bar in results.bars()) else 0


def run(
    variants: list[Variant], measures: list[Measure], rounds: int, seconds: float, console: Console
) -> Results:
    """All contestants up at once, windows interleaved, so that a slow phase of the machine hits them all."""
    require("gcc", *(["nginx"] if Variant.NGINX in variants else []))
    results = Results(variants)
    with tempfile.TemporaryDirectory(prefix="weighbridge-bench-") as folder, Machine(Path(folder)) as machine:
        native_tools.build(machine.folder)
        upstream = native_tools.start_upstream(machine)
        running = [start(variant, machine, upstream) for variant in variants]
        size = {measure: body_bytes(measure, machine, upstream) for measure in measures}
        answered = dict.fromkeys(variants, 0)
        for each in running:
            for measure in measures:
                answered[each.variant] += window(measure, machine, each, WARM_UP_S, size[measure]).load.done
        for number in range(rounds):
            console.print(f"round {number + 1} of {rounds}", style="dim")
            for measure in measures:
                for each in _rotated(running, number):
                    got = window(measure, machine, each, seconds, size[measure])
                    results.add(each.variant, measure, got)
                    answered[each.variant] += got.load.done
        for each in running:
            if each.data is not None:
                console.print(recorded(each.variant, each.data, answered[each.variant]), highlight=False)
    return results


def _rotated(running: list[Running], number: int) -> list[Running]:
    """Everyone gets to follow everyone."""
    at = number % len(running)
    return running[at:] + running[:at]


if __name__ == "__main__":
    sys.exit(main())
