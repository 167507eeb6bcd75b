"""``weighbridge serve`` as a process of its own: started, signalled, looked into, and killed at the end.

with serving(tmp_path, upstream.base) as gateway:
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import psutil
from rig.migrated import with_tables

DEADLINE = 30.0
"""Seconds after which a test that waits for something has failed; never reached by a test that passes."""
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(met: Callable[[], bool], what: str, seconds: float = DEADLINE, pause_s: float = 0.02) -> None:
    """Looks again and again until ``met()``."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(pause_s)


class ServeProcess:
    """A running gateway. ``folder``: its working directory, with ``weighbridge.toml`` and the data folder."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *options: str) -> None:
        self.folder = folder
        self.data = folder / "weighbridge-data"
        self._lines: list[str] = []
        self._banner: list[str] = []
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith(("WEIGHBRIDGE_", "OTEL_"))
        }
        self.environ = {**clean, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", *options],
            cwd=folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stderr, self._lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stdout, self._banner), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Iterable[str], into: list[str]) -> None:
        for line in stream:
            into.append(line)

    @property
    def log(self) -> str:
        """Everything on stderr so far."""
        return "".join(self._lines)

    @property
    def output(self) -> str:
        return "".join(self._banner)

    @property
    def pid(self) -> int:
        return self.process.pid

    def started(self) -> int:
        """Waits until it takes calls; the port."""

        def listening() -> bool:
            assert self.process.poll() is None, f"it ended: {self.log}"
            return "listening on" in self.output

        eventually(listening, "the banner")
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", self.output)
        assert found is not None
        return int(found[1])

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        return sorted(child.pid for child in psutil.Process(self.pid).children())

    def rss(self) -> int:
        """Resident bytes, workers included."""
        parent = psutil.Process(self.pid)
        return int(parent.memory_info().rss + sum(child.memory_info().rss for child in parent.children()))

    def settled_rss(self) -> int:
        """The same, once it has stopped moving (something may still be loading in a thread)."""
        before, now = 0, self.rss()
        end = time.monotonic() + DEADLINE
        while abs(now - before) > 512 * 1024 and time.monotonic() < end:
            time.sleep(0.4)
            before, now = now, self.rss()
        return now

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = DEADLINE) -> int:
        """Waits for the end; the exit code."""
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(5)
        return code

    def logged(self, text: str) -> None:
        """Waits for a line on stderr."""
        eventually(lambda: text in self.log, f"{text!r} in {self.log!r}")

    def settings(self, text: str) -> None:
        """Replaces its settings file."""
        (self.folder / "weighbridge.toml").write_text(text)

    def rows(self, columns: str = "id, outcome, http_status") -> list[tuple[object, ...]]:
        """What its database holds."""
        with contextlib.closing(sqlite3.connect(self.data / "weighbridge.db")) as db:
            return db.execute(f"SELECT {columns} FROM model_requests ORDER BY id").fetchall()

    def end(self) -> None:
        """Kills everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def toml_for(base_url: str, port: int, extra: str = "") -> str:
    """Settings with every provider of the tests at ``base_url``."""
    providers = "".join(
        f'[providers.{name}]\nbase_url = "{base_url}"\n' for name in ("openai", "anthropic", "gemini")
    )
    return f"[server]\nport = {port}\n[storage]\nbatch_ms = 10\n{providers}{extra}"


@contextlib.contextmanager
def serving(
    folder: Path,
    base_url: str,
    *options: str,
    extra: str = "",
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[ServeProcess]:
    """A gateway in ``folder``, whose database has its tables; ``extra`` is added to its settings file."""
    with_tables(folder / "weighbridge-data")
    (folder / "weighbridge.toml").write_text(toml_for(base_url, free_port() if port is None else port, extra))
    running = ServeProcess(folder, environ or {}, *options)
    try:
        yield running
    finally:
        running.end()
