"""``weighbridge``: finds its commands by scan and loads only the one that is called."""

from __future__ import annotations

import ast
import errno
import importlib
import os
import pkgutil
import re
import signal
import sys
from pathlib import Path
from typing import Final

import click

import gateway.cli as package
from gateway.version import VERSION

LINUX: Final = frozenset(("fdatasync", "posix_fallocate", "sigtimedwait"))
"""What records and workers rest on, and neither macOS nor Windows has."""
_HAS_COMMAND: Final = re.compile(r"^COMMAND\b", re.MULTILINE)


class Commands(click.Group):
    """A group whose commands are the modules of this package that export ``COMMAND``.

    The help text of the list is the first line of each module's docstring, read without importing it.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._files())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._files():
            return None
        lacking = sorted(name for name in LINUX if not (hasattr(os, name) or hasattr(signal, name)))
        if lacking:
            raise click.ClickException(
                f"Weighbridge runs on Linux; this system ({sys.platform}) has no {', '.join(lacking)}. "
                "Use a Linux machine, or a container (docker-compose.yml)."
            )
        command = importlib.import_module(f"{package.__name__}.{self._files()[cmd_name].stem}").COMMAND
        if not isinstance(command, click.Command):
            raise TypeError(f"{package.__name__}.{cmd_name}.COMMAND is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:  # which knows only commands that are loaded
            raise click.NoSuchCommand(error.command_name, possibilities=self._files(), ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> object:
        try:
            found: object = super().invoke(ctx)
            sys.stdout.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise  # a pipe nobody reads any more is click's
            raise click.ClickException(f"what is told here can't be written: {error.strerror}") from None
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(path)) for name, path in sorted(self._files().items())])

    def _files(self) -> dict[str, Path]:
        found = {}
        for info in pkgutil.iter_modules(package.__path__):
            path = Path(package.__path__[0], f"{info.name}.py")
            if not info.ispkg and _HAS_COMMAND.search(path.read_text(encoding="utf-8")):
                found[info.name.replace("_", "-")] = path
        return found


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(
    VERSION, "-V", "--version", message="%(prog)s %(version)s", help="Show the version and exit."
)
def main() -> None:
    """LLM gateway that passes every call through unchanged and keeps one priced record of it.

    Start it with 'weighbridge serve', point an SDK's base URL at it, and look with 'weighbridge calls'.

    Exit codes: 0 fine; 1 nothing found, or a check found a problem; 2 bad command line or settings; 3 the
    server or the database does not answer.
    """
