"""Workers that are replaced under load, for settings that need a new process: every call is answered and recorded."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rig.background import background
from rig.bodies import openai_chat, openai_events
from rig.process import DEADLINE, ServeProcess, eventually, serving, toml_for
from rig.script import body_read, chunked, chunked_end, head, reply, steps, wait
from rig.upstream import ScriptedUpstream

TWO = "--workers=2"
STREAM = "/v1/stream/chat/completions"
EVENTS = openai_events()
STREAMED = {"model": "gpt-4o", "stream": True, "stream_options": {"include_usage": True}}


class House:
    """A provider in a thread of its own: answers at once, or begins a stream and waits."""

    def __init__(self, upstream: ScriptedUpstream, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.upstream = upstream
        self._go = asyncio.Event()
        first, *rest = EVENTS
        upstream.routes[STREAM] = steps(
            body_read(),
            head(200, [("Content-Type", "text/event-stream")]),
            chunked(first),
            wait(self._go),
            *map(chunked, rest),
            chunked_end(),
        )

    def finish_streams(self) -> None:
        self._loop.call_soon_threadsafe(self._go.set)


@pytest.fixture
def house() -> Iterator[House]:
    with background() as loop:
        yield House(loop.enter(ScriptedUpstream(reply(json=openai_chat()))), loop._loop)


class App:
    """Calls one after the other until it is told to stop; keeps its connection where it may."""

    def __init__(self, port: int, *, keeps: bool) -> None:
        self._port = port
        self._keeps = keeps
        self._stop = threading.Event()
        self.answered = 0
        self.told_to_leave = 0
        self.trouble: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        body = json.dumps({"model": "gpt-4o", "messages": []})
        kind = {"Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/openai/v1/chat/completions", body, kind)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.trouble.append(repr(error))
                connection.close()
                continue
            if answer.status != 200 or not text.endswith(b"}"):
                self.trouble.append(f"{answer.status} {text!r}")
            self.answered += 1
            self.told_to_leave += answer.getheader("Connection") == "close"
            if not self._keeps:
                connection.close()
        connection.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)


@contextlib.contextmanager
def calling(port: int, count: int = 6) -> Iterator[list[App]]:
    apps = [App(port, keeps=number % 2 == 0) for number in range(count)]
    try:
        yield apps
    finally:
        for app in apps:
            app.stop()


def reload(gateway: ServeProcess, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "reload", *options],
        cwd=gateway.folder,
        env=gateway.environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def listeners(pid: int) -> int:
    return sum(one.status == psutil.CONN_LISTEN for one in psutil.Process(pid).net_connections(kind="tcp"))


@pytest.mark.parametrize(
    ("workers", "rounds", "callers"), [(2, 2, 6), pytest.param(3, 6, 12, marks=pytest.mark.soak)]
)
def test_no_call_is_lost_or_refused_while_workers_are_replaced(
    house: House, tmp_path: Path, workers: int, rounds: int, callers: int
) -> None:
    base = house.upstream.base
    with serving(tmp_path, base, f"--workers={workers}") as gateway:
        port = gateway.started()
        eventually(lambda: len(gateway.workers()) == workers, "all workers")
        first = set(gateway.workers())
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        ask = json.dumps(STREAMED)
        stream.request("POST", f"/openai{STREAM}", ask, {"Content-Type": "application/json"})
        begun = stream.getresponse()
        with calling(port, callers) as apps:
            eventually(lambda: all(app.answered > 5 for app in apps), "calls")
            for size in range(20, 20 + rounds):
                before = set(gateway.workers())
                held = f'batch_ms = {size}\ndata_dir = "elsewhere"'
                gateway.settings(toml_for(base, port).replace("batch_ms = 10", held))
                asked = reload(gateway, "--data-dir", str(gateway.data))
                assert (asked.returncode, asked.stderr) == (0, "")
                assert "not taken over: storage.data_dir; to have it, stop the gateway" in asked.stdout
                assert "settings reloaded, workers replaced for storage.batch_ms\n" in asked.stdout
                assert len(set(gateway.workers()) - before) == workers
                at = [app.answered for app in apps]
                eventually(
                    lambda at=at: all(app.answered > 5 + was for app, was in zip(apps, at, strict=True)),  # type: ignore[misc]
                    "calls of the new workers",
                )
        assert [app.trouble for app in apps] == [[]] * len(apps)
        assert sum(app.told_to_leave for app in apps) >= 2, "kept connections moved with an answer"
        eventually(lambda: len(set(gateway.workers()) & first) <= 1, "the end of those without a call")
        house.finish_streams()
        assert b"".join(EVENTS) == begun.read(), "the old worker lives as long as its stream"
        stream.close()
        eventually(lambda: len(gateway.workers()) == workers, "the end of all old workers")
        assert [listeners(pid) for pid in gateway.workers()] == [1] * workers
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        assert len(gateway.rows()) == sum(app.answered for app in apps) + 1
        assert {row[1:] for row in gateway.rows()} == {("completed", 200)}
        assert not (tmp_path / "elsewhere").exists()
        spool = gateway.data / "spool"
        assert [one.name for one in spool.iterdir() if one.is_dir()] == [], "every spool was emptied"
        assert "Traceback" not in gateway.log


def test_a_stop_in_the_middle_ends_old_and_new_workers(house: House, tmp_path: Path) -> None:
    base = house.upstream.base
    with serving(tmp_path, base, TWO) as gateway:
        port = gateway.started()
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        stream.request("POST", f"/openai{STREAM}", json.dumps(STREAMED), {"Content-Type": "application/json"})
        begun = stream.getresponse()
        gateway.settings(toml_for(base, port).replace("batch_ms = 10", "batch_ms = 20"))
        assert reload(gateway).returncode == 0
        gateway.signal(signal.SIGTERM)
        eventually(lambda: len(gateway.workers()) == 1, "only the worker with the stream")
        with pytest.raises(ConnectionRefusedError):
            http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE).connect()
        house.finish_streams()
        assert b"".join(EVENTS) == begun.read()
        assert gateway.wait() == 0
        assert [row[1:] for row in gateway.rows()] == [("completed", 200)]


def test_a_call_that_outlasts_the_drain_time_is_recorded_when_its_worker_goes(
    house: House, tmp_path: Path
) -> None:
    base = house.upstream.base
    drained = {"WEIGHBRIDGE_SERVER__DRAIN_SECONDS": "0.5"}
    with serving(tmp_path, base, TWO, environ=drained) as gateway:
        port = gateway.started()
        eventually(lambda: len(gateway.workers()) == 2, "two workers")
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        stream.request("POST", f"/openai{STREAM}", json.dumps(STREAMED), {"Content-Type": "application/json"})
        begun = stream.getresponse()
        gateway.settings(toml_for(base, port).replace("batch_ms = 10", "batch_ms = 20"))
        assert reload(gateway).returncode == 0
        eventually(lambda: len(gateway.workers()) == 2, "the end of all old workers")
        with pytest.raises(http.client.IncompleteRead):
            begun.read()
        eventually(lambda: len(gateway.rows()) == 1, "its record")
        assert [row[1:] for row in gateway.rows()] == [("shutdown", 200)]
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0


def told(port: int) -> int | None:
    """How a body of 1,025 bytes is answered; nothing while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    with contextlib.closing(connection), contextlib.suppress(ConnectionRefusedError):
        connection.request("POST", "/openai/v1/chat/completions", b"x" * 1025)
        return connection.getresponse().status
    return None


def of_tomorrow(folder: Path) -> str:
    """A database that no worker of ours starts with, as a line of settings."""
    newer = folder / "newer.db"
    with contextlib.closing(sqlite3.connect(newer)) as db:
        db.execute("CREATE TABLE alembic_version (version_num TEXT)")
        db.execute("INSERT INTO alembic_version VALUES ('9999')")
        db.commit()
    return f'[storage]\nurl = "sqlite:///{newer}"\n'


def test_a_worker_that_crashes_after_a_failed_replacement_has_the_settings_of_the_others(
    house: House, tmp_path: Path
) -> None:
    base = house.upstream.base
    with serving(tmp_path, base, TWO) as gateway:
        port = gateway.started()
        eventually(lambda: len(gateway.workers()) == 2, "two workers")
        stricter = toml_for(base, port) + "\n[limits]\nbody_bytes = 1024\nhold_body_bytes = 1024\n"
        gateway.settings(stricter)
        assert "settings reloaded\n" in reload(gateway).stdout
        gateway.settings(stricter.replace("[storage]\n", of_tomorrow(tmp_path)))
        assert "reload failed" in reload(gateway).stderr
        before = gateway.workers()
        for pid in before:
            psutil.Process(pid).kill()
        eventually(lambda: len(set(gateway.workers()) - set(before)) == 2, "two that start again")
        eventually(lambda: told(port) is not None, "a worker that listens")
        assert {told(port) for _ in range(8)} == {413}


def test_a_worker_that_cannot_start_leaves_the_others_as_they_are(house: House, tmp_path: Path) -> None:
    base = house.upstream.base
    with serving(tmp_path, base, TWO) as gateway:
        port = gateway.started()
        eventually(lambda: len(gateway.workers()) == 2, "two workers")
        before = gateway.workers()
        text = toml_for(base, port)
        gateway.settings(text.replace("[storage]\n", of_tomorrow(tmp_path)))
        with calling(port) as apps:
            eventually(lambda: all(app.answered for app in apps), "calls")
            asked = reload(gateway)
        assert asked.returncode == 1
        assert "a new worker ended with code 78 before it took calls" in asked.stderr
        assert gateway.workers() == before
        assert [app.trouble for app in apps] == [[]] * len(apps)
        gateway.settings(text)
        assert "settings reloaded\n" in reload(gateway).stdout, "nothing was left of it"
        psutil.Process(before[0]).kill()
        eventually(lambda: len(set(gateway.workers()) - set(before)) == 1, "one that crashed starts again")
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
        assert len(gateway.rows()) == sum(app.answered for app in apps)


def test_a_worker_that_crashes_later_starts_with_the_settings_of_the_last_reload(
    house: House, tmp_path: Path
) -> None:
    with background() as loop:
        other = loop.enter(ScriptedUpstream(reply(json={"from": "second"})))
        with serving(tmp_path, house.upstream.base, TWO) as gateway:
            port = gateway.started()
            eventually(lambda: len(gateway.workers()) == 2, "two workers")
            gateway.settings(toml_for(other.base, port))
            assert reload(gateway).returncode == 0
            eventually(lambda: gateway.log.count("settings reloaded") == 3, "parent and both workers")
            before = gateway.workers()
            for pid in before:
                psutil.Process(pid).kill()
            eventually(lambda: len(set(gateway.workers()) - set(before)) == 2, "two new workers")
            eventually(lambda: all(listeners(pid) == 1 for pid in gateway.workers()), "listening")
            for _ in range(6):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
                connection.request("POST", "/openai/v1/x", "{}")
                assert connection.getresponse().read() == b'{"from": "second"}'
                connection.close()
