"""``python -m tools.conformance``: recorded traffic of real providers through the gateway, byte for byte.

Needs the recordings with their replay upstream and checker (``../shared/corpus`` beside the project, or
``--corpus FOLDER``); says so when they are not there. Three parts: fidelity (bodies untouched, nothing injected),
usage (streams are asked for their usage; the recorded tokens must be the provider's), and every fault of the
replay upstream, whose outcome must be what the provider alone would have given.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import click
import msgspec

from bench.machine import BenchError, Machine, free_port

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
RECORDS_SQL = """
select id as replay_id, coalesce(response_model, request_model) as model, http_status as status, input_tokens,
       output_tokens, cache_read_tokens as cached_read_tokens, reasoning_tokens,
       coalesce(cache_write_5m_tokens, 0) + coalesce(cache_write_1h_tokens, 0) as cache_write_tokens,
       usage_source = 'estimated' as estimated
from model_requests
"""
CALLS = "from model_requests where operation is not 'background_job'"  # jobs have records of their own
OUTCOMES_SQL = f"select outcome, count(*) {CALLS} group by 1"
COSTS_SQL = f"""
select case when (cost_nano is null) = (cost_status in ('unpriced', 'invalid_usage')) then cost_status
            else 'DISHONEST: ' || cost_status end, count(*)
{CALLS} group by 1
"""
SLOW_FAULTS = ("stall=1", "hang=2")
FAULTS = (
    "gzip", "cut=200", "status=429", "status=500", "status=529", "malformed", "stall=1", "drip", "merge", "hang=2",
)  # fmt: skip
SLOW_SAMPLE = 80
"""Interactions played with faults that take seconds each."""


LOST = ("want None", "direct ended 'no response'")
"""How differences end where the provider's answer never came to the direct call. A reset may overtake what was sent before
it; by chance, so that what is found twice is ours."""


class Part(msgspec.Struct, frozen=True):
    """One run of the checker."""

    name: str
    inject: bool
    options: tuple[str, ...] = ()
    records: bool = False
    encoding: str = "identity"
    """How the replay upstream sends bodies: ``identity``, or ``recorded`` (compressed where they were)."""
    event_delay: float = 0.02
    """Seconds between the events of a stream."""


class Verdict(msgspec.Struct, frozen=True):
    """What a run gave."""

    name: str
    played: int
    failures: list[tuple[str, str, str]]
    """Check, interaction, difference."""
    excused: Counter[str]
    """Differences that belong there, by reason."""
    outcomes: Counter[str]
    """How the gateway recorded the calls."""
    costs: Counter[str]
    """What it says of their cost."""
    seconds: float


PARTS = (
    Part("fidelity", inject=False, records=True),
    Part("fidelity, compressed as recorded", inject=False, records=True, encoding="recorded"),
    Part("usage", inject=True, records=True),
    *(
        Part(
            f"fault {fault}",
            inject=True,
            event_delay=0.0,
            options=("--fault", fault, *(("--limit", str(SLOW_SAMPLE)) if fault in SLOW_FAULTS else ())),
        )
        for fault in FAULTS
    ),
)


class Run:
    """The replay upstream and one gateway for each way of treating stream usage."""

    def __init__(self, corpus: Path, machine: Machine) -> None:
        self.corpus = corpus
        self.machine = machine
        self.upstream = free_port()
        self.gateways: dict[bool, int] = {}
        with (corpus / "corpus.jsonl").open(encoding="utf-8") as lines:
            self.recordings = {one["id"]: one for one in map(json.loads, lines)}
        self.twins = twins(list(self.recordings.values()))
        command = [sys.executable, str(corpus / "replay_upstream.py"), "--port", str(self.upstream)]
        process = machine.start("replay", [*command, "--corpus", str(corpus / "corpus.jsonl")])
        machine.until_listening("replay", process, self.upstream)

    def gateway(self, inject: bool) -> int:
        """Port of the gateway; starts it when it is first asked for."""
        if inject not in self.gateways:
            port, name = free_port(), f"gateway-{'inject' if inject else 'never'}"
            config = self.machine.folder / f"{name}.toml"
            config.write_text(self._config(port, name, inject))
            command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
            process = self.machine.start(name, command)
            self.machine.until_listening(name, process, port)
            self.gateways[inject] = port
        return self.gateways[inject]

    def _config(self, port: int, name: str, inject: bool) -> str:
        providers = sorted({one["provider"] for one in self.recordings.values()})
        sections = "".join(
            f'[providers.{each}]\nbase_url = "http://127.0.0.1:{self.upstream}"\n' for each in providers
        )
        usage = "inject" if inject else "never"
        return (
            f'[server]\nport = {port}\n[storage]\ndata_dir = "{self.machine.folder / name}"\n'
            f'[proxy]\nstream_usage = "{usage}"\n{sections}'
        )

    def store(self, inject: bool) -> Path:
        return self.machine.folder / f"gateway-{'inject' if inject else 'never'}" / "weighbridge.db"

    def play(self, part: Part) -> Verdict:
        """Runs the checker once and judges what it found."""
        port, began = self.gateway(part.inject), time.monotonic()
        before = self.outcomes(part.inject)
        costs_before = _costs(self.store(part.inject)) if before else Counter[str]()
        self.replay_config({"encoding": part.encoding, "event_delay": part.event_delay})
        found = self.check(part, port)
        played = sum(row["n"] for row in found["table"].values())
        failures, excused = [], Counter[str]()
        for check, entries in found["fails"].items():
            for interaction, difference in entries:
                reason = self.excuse(part, check, interaction, difference)
                if reason:
                    excused[reason] += 1
                else:
                    failures.append((check, interaction, difference))
        if any(difference.endswith(LOST) for _, _, difference in failures):
            again, played = self.check(part, port), played * 2
            failures = self.not_by_chance(failures, again, excused)
        outcomes = self.outcomes(part.inject, at_least=before.total() + played) - before
        if outcomes.total() != played:
            failures.append(("one record each", part.name, f"{played} calls, {outcomes.total()} records"))
        costs = _costs(self.store(part.inject)) - costs_before
        failures += [("cost", part.name, name) for name in costs if name.startswith("DISHONEST")]
        return Verdict(part.name, played, failures, excused, outcomes, costs, time.monotonic() - began)

    def check(self, part: Part, port: int) -> dict[str, Any]:
        """What the checker writes with ``--out``."""
        file, recordings = self.machine.folder / "found.json", str(self.corpus / "corpus.jsonl")
        file.unlink(missing_ok=True)
        command = [sys.executable, str(self.corpus / "conformance.py"), "--corpus", recordings]
        command += ["--upstream", f"http://127.0.0.1:{self.upstream}", "--out", str(file), *part.options]
        command += ["--route", f"*=http://127.0.0.1:{port}/{{provider}}"]
        if part.records:
            command += ["--records", str(self.store(part.inject)), "--sql", RECORDS_SQL]
            command += ["--join-header", "x-weighbridge-request-id", "--input-semantics", "total"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if not file.exists():
            raise BenchError(f"the checker did not finish:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        result: dict[str, Any] = json.loads(file.read_text())
        return result

    def not_by_chance(
        self, failures: list[tuple[str, str, str]], again: dict[str, Any], excused: Counter[str]
    ) -> list[tuple[str, str, str]]:
        """What is left of ``failures``: where the direct call lost its answer, what was found ``again``."""
        found = {(check, entry[0]) for check, entries in again["fails"].items() for entry in entries}
        left = [one for one in failures if one[:2] in found or not one[2].endswith(LOST)]
        if len(left) < len(failures):
            excused["the direct call had lost its answer, and not the next time"] += len(failures) - len(left)
        return left

    def excuse(self, part: Part, check: str, interaction: str, difference: str) -> str | None:
        """Why a difference belongs there, or ``None``."""
        if not part.inject:
            return None
        if check == "up_body" and "stream_options" in difference:
            return "usage asked for"
        if interaction in self.twins:
            return "with usage asked for it is another recording's request"
        return None

    def outcomes(self, inject: bool, at_least: int = 0) -> Counter[str]:
        """Rows by outcome; waits a little until there are as many as expected."""
        counted = Counter[str]()
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(sqlite3.OperationalError):  # at its start a gateway has no table yet
                counted = _count(self.store(inject))
            if counted.total() >= at_least or time.monotonic() > deadline:
                return counted
            time.sleep(0.1)

    def replay_config(self, change: dict[str, str | float]) -> None:
        """Changes the replay upstream while it runs."""
        data = json.dumps(change).encode()
        ask = urllib.request.Request(
            f"http://127.0.0.1:{self.upstream}/__replay__/config", data, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(ask, timeout=10) as answer:
            answer.read()


def twins(recordings: list[dict[str, Any]]) -> set[str]:
    """Recordings whose request, once usage is asked for, is the same as another recording's.

    The replay upstream then answers with the other one, and rightly so.
    """

    def place(one: dict[str, Any], body: dict[str, Any]) -> str:
        request = one["request"]
        return json.dumps([request["method"], request["path"], request["query"], body], sort_keys=True)

    bodies = {}
    for one in recordings:
        with contextlib.suppress(ValueError):
            body = json.loads(one["request"].get("body", ""))
            if isinstance(body, dict):
                bodies[one["id"]] = (one, body)
    asked = {place(one, body) for one, body in bodies.values() if "stream_options" in body}
    return {
        name
        for name, (one, body) in bodies.items()
        if "stream_options" not in body
        and place(one, {**body, "stream_options": {"include_usage": True}}) in asked
    }


def _count(file: Path) -> Counter[str]:
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
        return Counter(dict(store.execute(OUTCOMES_SQL)))


def _costs(file: Path) -> Counter[str]:
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
        return Counter(dict(store.execute(COSTS_SQL)))


def show(verdict: Verdict, most: int) -> None:
    """One part in a few lines."""
    passed = "pass" if not verdict.failures else "FAIL"
    recorded = ", ".join(f"{name} {count}" for name, count in verdict.outcomes.most_common())
    excused = "".join(f"; {name}: {count}" for name, count in verdict.excused.items())
    click.echo(
        f"{passed}  {verdict.name:34} {verdict.played:4} played in {verdict.seconds:.0f} s, "
        f"{len(verdict.failures)} differences{excused}"
    )
    costs = ", ".join(f"{name} {count}" for name, count in verdict.costs.most_common())
    click.echo(f"      recorded as {recorded}; cost {costs}")
    for check, interaction, difference in verdict.failures[:most]:
        click.echo(f"      [{check}] {interaction}: {difference}")
    if len(verdict.failures) > most:
        click.echo(f"      ... {len(verdict.failures) - most} more")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder with the recordings")
    parser.add_argument("--only", default="", help="parts whose name contains this")
    parser.add_argument("--show", type=int, default=10, help="differences shown per part")
    options = parser.parse_args()
    if not (options.corpus / "corpus.jsonl").is_file():
        click.echo(f"There are no recordings in {options.corpus}; nothing was checked.")
        click.echo("Name the folder with --corpus FOLDER.")
        return 2
    bad = 0
    with (
        tempfile.TemporaryDirectory(prefix="weighbridge-conformance-") as folder,
        Machine(Path(folder)) as machine,
    ):
        try:
            run = Run(options.corpus.resolve(), machine)
            for part in PARTS:
                if options.only in part.name:
                    verdict = run.play(part)
                    show(verdict, options.show)
                    bad += bool(verdict.failures)
        except BenchError as error:
            click.echo(f"conformance: {error}")
            return 2
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
