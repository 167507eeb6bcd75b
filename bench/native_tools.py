"""The upstream and the load client in C: compiled when needed, run, and their answers read."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import msgspec

from bench.machine import LOAD_CORE, BenchError, Machine

SOURCES = Path(__file__).parent / "native"


class Load(msgspec.Struct, frozen=True):
    """What a load run saw. Times in microseconds."""

    done: int
    errors: int
    unfinished: int
    not_200: int
    seconds: float
    bytes: int
    body_min: int
    body_max: int
    ttfb_p50: int
    ttfb_p99: int
    total_p50: int
    total_p99: int

    def check(self, body_bytes: int | None = None) -> None:
        """Raises :class:`BenchError` unless every call was answered whole (and with ``body_bytes``)."""
        if self.errors or self.unfinished or self.not_200 or not self.done:
            raise BenchError(f"not every call was answered: {self}")
        if body_bytes is not None and (self.body_min, self.body_max) != (body_bytes, body_bytes):
            raise BenchError(
                f"bodies of {self.body_min} to {self.body_max} bytes, the upstream sent {body_bytes}"
            )


def build(folder: Path) -> None:
    """Compiles ``upstream`` and ``load`` into ``folder``."""
    for name in ("upstream", "load"):
        source = SOURCES / f"{name}.c"
        done = subprocess.run(
            ["gcc", "-O2", "-Wall", "-Wextra", "-o", str(folder / name), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"gcc failed on {source}:\n{done.stderr}")


def start_upstream(machine: Machine) -> int:
    """Starts the upstream on the load core and returns its port."""
    process = machine.start("upstream", [str(machine.folder / "upstream"), "0"], LOAD_CORE)
    for _ in range(100):
        words = machine.log("upstream").split()
        if len(words) == 2:
            return int(words[1])
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise BenchError(f"the upstream did not start: {machine.log('upstream')}")


def request(path: str, *, stream: bool, chunks: int = 100, gap_us: int = 0) -> bytes:
    """About 1 KB of JSON with the headers of an SDK."""
    body: dict[str, object] = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You answer for the freight desk. Be brief and exact. " * 6},
            {"role": "user", "content": "The truck shows 38.4 tonnes at gate 2. May it leave the yard? " * 8},
        ],
        "temperature": 0.2,
        "max_tokens": 400,
        "user": "bench",
    }
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
        body["metadata"] = {"chunks": str(chunks), "gap_us": str(gap_us)}
    data = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sk-bench-not-a-key\r\n"
        "Content-Type: application/json\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\n"
        "User-Agent: OpenAI/Python 3.52.0\r\nx-stainless-lang: python\r\nx-weighbridge-team: bench\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def load_command(machine: Machine, port: int, conns: int, seconds: float, ask: bytes) -> list[str]:
    """The command line of the load client; the request goes into a file of its own."""
    file = machine.folder / f"request-{abs(hash(ask))}"
    file.write_bytes(ask)
    return [str(machine.folder / "load"), str(port), str(conns), str(seconds), str(file)]


def run_load(machine: Machine, port: int, conns: int, seconds: float, ask: bytes) -> Load:
    """Runs the load client on the load core to its end."""
    done = subprocess.run(
        load_command(machine, port, conns, seconds, ask),
        capture_output=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
        timeout=seconds + 40,
        check=True,
    )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Load)
