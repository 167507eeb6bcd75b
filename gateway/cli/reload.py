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
from gateway.presence import Reloaded, last_reload, running_pid

WAIT_SECONDS: Final = 10.0
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
    gateway's log. The gateway is found by its data folder.
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
    report = _await_report(folder, asked)
    if report is None:
        fail(f"process {pid} did not say how it went", "Look at its log", Exit.UNREACHABLE)
    if report.problems:
        for problem in report.problems:
            click.echo(f"{click.style('error', fg='red', bold=True)}  {problem}", err=True)
        fail("reload refused, the old settings stay")
    click.echo(f"{click.style('ok', fg='green', bold=True)}  settings reloaded")
    if report.waits:
        click.echo(f"    changes in {', '.join(report.waits)} take effect at the next start")


def _await_report(folder: Path, since_ns: int) -> Reloaded | None:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        report = last_reload(folder)
        if report is not None and report.at_ns >= since_ns:
            return report
        time.sleep(_POLL_SECONDS)
    return None


COMMAND: Final = reload
