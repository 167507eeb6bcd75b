"""Options that several commands share, and how their errors are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from gateway.cli.exits import Exit
from gateway.settings import Problem, Settings, SettingsError, load
from gateway.settings.problem import Severity

F = TypeVar("F", bound=Callable[..., object])


def config_option(function: F) -> F:
    """``--config FILE``, handed over as ``config: Path | None``."""
    return click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="WEIGHBRIDGE_CONFIG",
        help="Settings file; ./weighbridge.toml if there is one.",
    )(function)


def url_option(function: F) -> F:
    """``--url URL`` of a running gateway, handed over as ``url: str | None``."""
    return click.option(
        "--url",
        metavar="URL",
        envvar="WEIGHBRIDGE_URL",
        help="A running gateway, such as http://127.0.0.1:8707; else the one the settings describe.",
    )(function)


def passed_on(ctx: click.Context, config: Path | None, bare: click.Command) -> None:
    """For a group that is a command by itself: does ``bare``, or hands its ``--config`` to the command behind it."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(bare, config=config)
    elif config is not None and isinstance(ctx.command, click.Group):
        ctx.default_map = {name: {"config": config} for name in ctx.command.commands}


def settings_from(config: Path | None, changes: Mapping[str, Any] | None = None) -> Settings:
    """The settings, or every problem on stderr and exit code 2."""
    try:
        return load(config, changes)
    except SettingsError as error:
        fail_with(error)


def fail_with(error: SettingsError) -> NoReturn:
    """Shows what is wrong with the settings and ends with exit code 2."""
    for problem in error.problems:
        show_problem(problem)
    raise SystemExit(Exit.USAGE)


def show_problem(problem: Problem) -> None:
    """Key, what is wrong, and below it how to mend it; on stderr."""
    colour = "red" if problem.severity is Severity.ERROR else "yellow"
    label = click.style(problem.severity.value, fg=colour, bold=True)
    click.echo(f"{label}  {click.style(problem.key, bold=True)}: {problem.what}", err=True)
    click.echo(f"{' ' * len(problem.severity.value)}  {problem.how}", err=True)


def fail(message: str, hint: str = "", code: Exit = Exit.PROBLEM) -> NoReturn:
    """A message and what to do next on stderr, then the exit code."""
    click.echo(f"{click.style('error', fg='red', bold=True)}  {message}", err=True)
    if hint:
        click.echo(f"       {hint}", err=True)
    raise SystemExit(code)
