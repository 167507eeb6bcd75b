"""Several workers as real processes: crashes, reloads, stops, and a supervisor that is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rig.background import background
from rig.process import DEADLINE, ROOT, ServeProcess, eventually, free_port, serving, toml_for
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.keyring import FILE
from gateway.presence import running_pid

TWO = "--workers=2"


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with background() as loop:
        yield loop.enter(ScriptedUpstream(reply(json={"from": "first"})))


@pytest.fixture
def other() -> Iterator[ScriptedUpstream]:
    with background() as loop:
        yield loop.enter(ScriptedUpstream(reply(json={"from": "second"})))


@pytest.fixture
def gateway(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[ServeProcess]:
    with serving(tmp_path, upstream.base, TWO) as running:
        yield running


def ask(port: int) -> str:
    """One call on a connection of its own; who answered."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/openai/v1/x", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        text: str = answer.read().decode()
    return text


def reload(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "reload", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_a_worker_that_dies_is_started_again(gateway: ServeProcess) -> None:
    port = gateway.started()
    eventually(lambda: len(gateway.workers()) == 2, "two workers")
    first = gateway.workers()
    psutil.Process(first[0]).kill()
    gateway.logged("worker 0 ended with code -9")
    eventually(lambda: len(set(gateway.workers()) - set(first)) == 1, "a new worker")
    assert first[1] in gateway.workers()
    gateway.logged("starting it again in 0.2 s")
    assert {ask(port) for _ in range(8)} == {'{"from": "first"}'}
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0
    assert len(gateway.rows()) == 8
    assert "Traceback" not in gateway.log


def test_a_reload_changes_providers_and_a_bad_one_changes_nothing(
    gateway: ServeProcess, upstream: ScriptedUpstream, other: ScriptedUpstream, tmp_path: Path
) -> None:
    port = gateway.started()
    eventually(lambda: len(gateway.workers()) == 2, "two workers")
    workers = gateway.workers()
    assert running_pid(gateway.data) == gateway.pid

    gateway.settings(toml_for(other.base, port, "[limits]\nheaders = 'many'\n"))
    asked = reload(tmp_path, "--data-dir", "weighbridge-data")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "limits.headers" in asked.stderr
    assert "the old settings stay" in asked.stderr
    gateway.logged("reload refused, the old settings stay: limits.headers")
    assert ask(port) == '{"from": "first"}'

    gateway.settings(toml_for(other.base, port, "[timeouts]\nclient_head = 3\n"))
    asked = reload(tmp_path)
    assert (asked.returncode, asked.stderr, asked.stdout) == (0, "", "ok  settings reloaded\n")
    eventually(lambda: gateway.log.count("settings reloaded") == 3, "parent and both workers")
    assert {ask(port) for _ in range(12)} == {'{"from": "second"}'}
    assert gateway.workers() == workers
    assert "Traceback" not in gateway.log


def test_a_reload_without_a_gateway_says_so(tmp_path: Path) -> None:
    asked = reload(tmp_path)
    assert asked.returncode == 3
    assert "no gateway runs on weighbridge-data" in asked.stderr


def test_one_worker_reloads_too(tmp_path: Path, upstream: ScriptedUpstream, other: ScriptedUpstream) -> None:
    with serving(tmp_path, upstream.base) as gateway:
        port = gateway.started()
        gateway.settings(toml_for(other.base, port).replace("[server]", "[server"))
        gateway.signal(signal.SIGHUP)
        gateway.logged("is not valid TOML")
        assert ask(port) == '{"from": "first"}'
        gateway.settings(toml_for(other.base, port))
        assert reload(tmp_path).returncode == 0
        assert ask(port) == '{"from": "second"}'
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        assert running_pid(gateway.data) is None


def writer_to(fifo: Path) -> int:
    """Waits until somebody reads it; what they wait for then."""
    opened: list[int] = []

    def is_read() -> bool:
        with contextlib.suppress(OSError):
            opened.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    eventually(is_read, f"somebody who reads {fifo.name}")
    return opened[0]


@pytest.mark.parametrize(
    ("options", "is_early"),
    [((), True), ((), False), ((TWO,), True)],
    ids=["as soon as it is found", "in the middle", "two workers"],
)
def test_a_reload_during_the_start_comes_after_it(
    tmp_path: Path, upstream: ScriptedUpstream, other: ScriptedUpstream, options: tuple[str], is_early: bool
) -> None:
    port, slow = free_port(), tmp_path / "weighbridge-data" / FILE
    slow.parent.mkdir()
    os.mkfifo(slow)  # read at the start, which goes no further before somebody writes
    with serving(tmp_path, upstream.base, *options, port=port) as gateway:
        eventually(lambda: running_pid(gateway.data) == gateway.pid, "its mark on the folder", pause_s=0.001)
        held = None if is_early else writer_to(slow)
        gateway.settings(toml_for(other.base, port))
        gateway.signal(signal.SIGHUP)
        held = held or writer_to(slow)
        assert gateway.output == "", "it has not started"
        slow.unlink()
        os.close(held)
        gateway.started()
        eventually(lambda: gateway.log.count("settings reloaded") == 1 + 2 * len(options), "all processes")
        assert {ask(port) for _ in range(6)} == {'{"from": "second"}'}
        assert "Traceback" not in gateway.log
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0


def test_workers_end_with_their_supervisor(gateway: ServeProcess) -> None:
    port = gateway.started()
    eventually(lambda: len(gateway.workers()) == 2, "two workers")
    ask(port)
    workers = gateway.workers()
    gateway.signal(signal.SIGKILL)
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in workers), "the workers' end")
    assert len(gateway.rows()) == 1
    with pytest.raises(urllib.error.URLError):
        ask(port)


def test_a_second_gateway_does_not_share_the_port(gateway: ServeProcess, tmp_path: Path) -> None:
    port = gateway.started()
    folder = tmp_path / "second"
    folder.mkdir()
    with serving(folder, "http://127.0.0.1:1", TWO, port=port) as second:
        assert second.wait() == 3
        assert f"port {port} of 127.0.0.1 is in use" in second.log


def test_a_signal_to_the_whole_group_still_ends_in_order(gateway: ServeProcess) -> None:
    port = gateway.started()
    eventually(lambda: len(gateway.workers()) == 2, "two workers")
    ask(port)
    os.killpg(gateway.pid, signal.SIGINT)  # as a terminal does
    assert gateway.wait() == 0
    assert len(gateway.rows()) == 1


def test_a_schema_from_the_future_stops_all_workers_with_the_reason(
    gateway: ServeProcess, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    gateway.started()
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0
    with contextlib.closing(sqlite3.connect(gateway.data / "weighbridge.db")) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    with serving(tmp_path, upstream.base, TWO) as again:
        assert again.wait() == 1
        assert "newer" in again.log
        assert "Traceback" not in again.log
