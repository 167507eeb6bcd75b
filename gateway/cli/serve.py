"""Start the gateway."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail, fail_with, settings_from, show_problem
from gateway.providers.table import ProviderTable
from gateway.serve import serve as run
from gateway.settings import Settings, SettingsError, load
from gateway.settings.lint import lint
from gateway.settings.problem import Severity
from gateway.version import VERSION
from storage.address import Engine, parse
from storage.targets.contract import SchemaTooNew

SHOWN: Final = ("openai", "anthropic", "gemini")
"""Providers whose base URL is shown at the start; the others follow the same pattern."""


@click.command()
@config_option
@click.option("--host", help="Address to listen on [server.host].")
@click.option("--port", "-p", type=click.IntRange(0, 65_535), help="Port to listen on [server.port].")
@click.option(
    "--workers", "-w", type=click.IntRange(1, 256), help="Processes that share the port [server.workers]."
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for records [storage.data_dir].")
@click.option("--debug", is_flag=True, help="Log everything there is to tell, secrets masked.")
def serve(
    config: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    data_dir: Path | None,
    debug: bool,
) -> None:
    """Start the gateway.

    Needs no settings: listens on 127.0.0.1:8707, keeps records in ./weighbridge-data, passes the apps' own
    provider keys through. SIGTERM and Ctrl-C let running calls finish; a second one stops at once.
    """
    changes = _changes(
        server={"host": host, "port": port, "workers": workers}, storage={"data_dir": data_dir}
    )
    settings = settings_from(config, changes)
    _refuse_or_warn(settings)

    def announce(url: str) -> None:
        click.echo(banner(settings, url, _whereabouts(config, changes, url)))

    try:
        code = run(settings, announce, lambda: settings_or_error(config, changes), debug=debug)
    except SettingsError as error:
        fail_with(error)
    except SchemaTooNew as error:
        fail(str(error), "Start the version of weighbridge that made it, or a newer one", Exit.UNREACHABLE)
    except OSError as error:
        fail(*why(error, settings), Exit.UNREACHABLE)
    raise SystemExit(code)


def banner(settings: Settings, url: str, options: str = "") -> str:
    """What the terminal shows once calls are taken; ``options`` lead other commands to this gateway."""
    table = ProviderTable.build(settings)
    lines = [
        f"weighbridge {VERSION} is listening on {url}",
        f"Calls are recorded in {place_of(settings)}",
        "",
        "Point your apps at it; keys stay where they are:",
    ]
    for name in SHOWN:
        provider = table.destinations[name].provider
        lines.append(f"  export {provider.sdk_env}={url}{provider.sdk_base}")
    lines += [
        f"  any other provider: {url}/NAME/...   ({', '.join(sorted(set(table.destinations) - set(SHOWN)))})",
        "",
        f"Then look:  {own_name()} calls --follow{options}",
        f"            {own_name()} explain{options}",
        "",
    ]
    return "\n".join(lines)


def place_of(settings: Settings) -> str:
    """The database, without its password."""
    address = parse(settings.storage.url, settings.storage.data_dir)
    return f"{'PostgreSQL at ' if address.engine is Engine.POSTGRESQL else ''}{address.place}"


def own_name() -> str:
    """How this program is called: by its name where the shell finds it, else by its path from here."""
    if shutil.which("weighbridge") is not None:
        return "weighbridge"
    script = Path(sys.argv[0])
    return os.path.relpath(script) if script.name == "weighbridge" else f"{sys.executable} -m gateway"


def _whereabouts(config: Path | None, changes: Mapping[str, Any], url: str) -> str:
    """Options for what other commands can't know by themselves."""
    if changes:
        return f" --url {url}"
    return f" --config {config}" if config is not None else ""


def why(error: OSError, settings: Settings) -> tuple[str, str]:
    """What kept the gateway from starting, and what to do."""
    server = settings.server
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {server.port} of {server.host} is in use",
            "Another gateway may run already ('weighbridge calls' tells); or choose another with --port",
        )
    if error.errno in (errno.EACCES, errno.EPERM) and error.filename is None:
        return f"port {server.port} needs more rights", "Choose one above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{server.host} is not an address of this machine", "Choose another with --host"
    if isinstance(error, socket.gaierror):
        return f"{server.host} is not a name this machine knows", "Choose another with --host"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"there is no room in {settings.storage.data_dir}",
            "Free some, or name another folder with --data-dir",
        )
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}", "Look at server.host, server.port and storage.data_dir"


def settings_or_error(config: Path | None, changes: dict[str, Any]) -> Settings:
    """Reads the settings again; raises :class:`SettingsError` also for what ``weighbridge check`` calls an error."""
    settings = load(config, changes)
    errors = [problem for problem in lint(settings, os.environ) if problem.severity is Severity.ERROR]
    if errors:
        raise SettingsError(errors)
    return settings


def _refuse_or_warn(settings: Settings) -> None:
    problems = lint(settings, os.environ)
    for problem in problems:
        show_problem(problem)
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise SystemExit(Exit.USAGE)


def _changes(**sections: dict[str, Any]) -> dict[str, Any]:
    """Only what was given on the command line."""
    given = {
        name: {key: value for key, value in section.items() if value is not None}
        for name, section in sections.items()
    }
    return {name: section for name, section in given.items() if section}


COMMAND: Final = serve
