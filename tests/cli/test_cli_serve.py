"""``weighbridge serve`` as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig.process import ROOT

DEADLINE = 30
COMMAND = [sys.executable, "-m", "gateway", "serve"]
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) [\w.]+\[\d+\]: (?P<said>.+)")
"""Of the log: UTC, level, who, in which process."""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A gateway on a free port, stopped at the end whatever happens."""
    started = subprocess.Popen(
        [*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield started
    started.kill()
    with started:
        started.wait(DEADLINE)


def url_of(process: subprocess.Popen[str]) -> str:
    """From the first line of the banner."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"listening on (http://127\.0\.0\.1:\d+)$", line)
    assert found is not None, line
    return found[1]


def test_it_says_where_it_is_serves_and_ends_well(process: subprocess.Popen[str]) -> None:
    url = url_of(process)
    with urllib.request.urlopen(f"{url}/readyz", timeout=DEADLINE) as answer:
        assert json.load(answer)["status"] == "ready"
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 0
    assert process.stdout is not None
    assert process.stderr is not None
    banner, errors = process.stdout.read(), process.stderr.read()
    assert f"export OPENAI_BASE_URL={url}/openai/v1" in banner
    assert f"export ANTHROPIC_BASE_URL={url}/anthropic" in banner
    assert f"export GOOGLE_GEMINI_BASE_URL={url}/gemini" in banner
    assert "Calls are recorded in weighbridge-data/weighbridge.db\n" in banner
    assert "Traceback" not in errors
    assert Path("weighbridge-data").is_dir()
    told = [LINE.fullmatch(line) for line in errors.splitlines()]
    assert all(told), errors
    said = [line["said"] for line in told if line is not None]
    assert "stopping: 0 running calls have 30 s to finish" in said
    assert said[-1] == "stopped: 0 calls accepted, 0 recorded"


def test_a_taken_port_is_told_in_one_line(process: subprocess.Popen[str]) -> None:
    port = url_of(process).rpartition(":")[2]
    second = subprocess.run(
        [*COMMAND, "--port", port], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert second.returncode == 3
    assert f"error  port {port} of 127.0.0.1 is in use" in second.stderr
    assert "Traceback" not in second.stderr


def test_an_address_of_another_machine_is_told_in_one_line() -> None:
    done = subprocess.run(
        [*COMMAND, "--host", "192.0.2.1"], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 3
    assert "error  192.0.2.1 is not an address of this machine" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_nobody_knows_is_told_in_one_line() -> None:
    done = subprocess.run(
        [*COMMAND, "--host", "no-such-name.invalid"],
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "error  no-such-name.invalid is not a name this machine knows" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_demo_that_is_interrupted_ends_quietly() -> None:
    command = [sys.executable, "-m", "gateway", "demo", "--port", "0", "--calls", "5000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "sample calls" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, errors) == (0, "")


def test_a_demo_reloads_and_keeps_its_provider(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    options: dict[str, Any] = {"cwd": tmp_path, "env": env, "text": True}
    python, settings = [sys.executable, "-m", "gateway"], tmp_path / "weighbridge.toml"
    again = [*python, "reload", "--data-dir", "weighbridge-demo"]
    process = subprocess.Popen(
        [*python, "demo", "--port", "0", "--calls", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = re.search(r"gateway on (\S+)\.$", process.stdout.readline())
        assert url is not None
        while "Call it yourself" not in process.stdout.readline():
            pass
        settings.write_text("[limits]\nbody_bytes = 1024\n[server]\nport = 9\n")
        told = subprocess.run(again, capture_output=True, timeout=DEADLINE, check=False, **options)
        assert (told.returncode, told.stderr) == (0, "")
        assert [size_told(url[1], size) for size in (10, 2000)] == [200, 413]
        settings.write_text("[limits]\nbody_bytes = 'much'\n")
        told = subprocess.run(again, capture_output=True, timeout=DEADLINE, check=False, **options)
        assert (told.returncode, "limits.body_bytes" in told.stderr) == (1, True)
        assert [size_told(url[1], size) for size in (10, 2000)] == [200, 413]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
        assert "Traceback" not in errors
    finally:
        process.kill()
        process.communicate()


def size_told(url: str, size: int) -> int:
    """The status of a call with so large a prompt."""
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * size}]})
    request = urllib.request.Request(
        f"{url}/openai/v1/chat/completions",
        body.encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer any"},
    )
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("command", ["version", "prices providers", "prices show gpt-4o"])
def test_what_can_not_be_written_is_told_without_a_traceback(command: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *command.split()],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_a_pipe_that_is_closed_early_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "prices", "providers"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_debug_tells_no_statements_of_the_database() -> None:
    command = [*COMMAND, "--port", "0", "--debug"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        with urllib.request.urlopen(f"{url_of(process)}/api/calls", timeout=DEADLINE) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE)
    assert " DEBUG " in errors
    assert "SELECT" not in errors
    assert "PRAGMA" not in errors
