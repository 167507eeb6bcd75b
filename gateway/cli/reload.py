"""Make a running gateway read its settings again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Final

import click

from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail, settings_from
from gateway.presence import RESTART, Reloaded, last_reload, running_pid

WAIT_SECONDS: Final = 10.0
REPLACING_SECONDS: Final = 180.0
"""How long workers are waited for that start one after the other."""
_POLL_SECONDS: Final = 0.05


@click.command()
@config_option
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Data folder of the gateway [storage.data_dir]."
)
def reload(config: Path | None, data_dir: Path | None) -> None:
    """Make the gateway on this machine read its settings again.

    It reads them as it was started: same file, same options, same environment. Running calls end under the old
    settings. Settings that can't be used change nothing; what is wrong with them is told here and in the
    gateway's log. Where a setting needs new processes, several workers are replaced one by one while calls go
    on, and this waits for it. The gateway is found by its data folder.
    """
    folder = data_dir or settings_from(config).storage.data_dir
    try:
        pid = running_pid(folder)
    except OSError as error:
        fail(f"{folder} can't be looked into: {error.strerror}", "", Exit.UNREACHABLE)
    if pid is None:
        fail(
            f"no gateway runs on {folder}",
            "Run this on its machine, in its folder, or name its data folder with --data-dir",
            Exit.UNREACHABLE,
        )
    asked = time.time_ns()
    try:
        os.kill(pid, signal.SIGHUP)
    except (ProcessLookupError, PermissionError) as error:
        fail(f"process {pid} can't be signalled: {error.strerror}", "Run this as its user", Exit.UNREACHABLE)
    report = _await_report(folder, asked, WAIT_SECONDS)
    if report is not None and not report.ended:
        click.echo(f"replacing the workers for {', '.join(report.workers)} ...")
        report = _await_report(folder, report.at_ns + 1, REPLACING_SECONDS)
    if report is None:
        fail(f"process {pid} did not say how it went", "Look at its log", Exit.UNREACHABLE)
    if report.problems:
        for problem in report.problems:
            click.echo(f"{click.style('error', fg='red', bold=True)}  {problem}", err=True)
        fail("reload failed" if report.workers else "reload refused, the old settings stay")
    replaced = f", workers replaced for {', '.join(report.workers)}" if report.workers else ""
    click.echo(f"{click.style('ok', fg='green', bold=True)}  settings reloaded{replaced}")
    if report.waits:
        click.echo(f"    not taken over: {', '.join(report.waits)}; to have it, {RESTART}")


def _await_report(folder: Path, since_ns: int, seconds: float) -> Reloaded | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        report = last_reload(folder)
        if report is not None and report.at_ns >= since_ns:
            return report
        if running_pid(folder) is None:  # it ended, and what it said went with it
            return None
        time.sleep(_POLL_SECONDS)
    return None


COMMAND: Final = reload
