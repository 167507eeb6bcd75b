"""Look the settings over without starting anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from gateway.cli.exits import Exit
from gateway.cli.integrity import show_integrity
from gateway.cli.keyless import keyless
from gateway.cli.options import config_option, settings_from, show_problem
from gateway.settings.lint import lint
from gateway.settings.load import find_file
from gateway.settings.problem import Severity
from gateway.settings.sections import ENV_DELIMITER, ENV_PREFIX


@click.command()
@config_option
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--integrity", is_flag=True, help="Instead: is every accepted call accounted for?")
def check(config: Path | None, strict: bool, integrity: bool) -> None:
    """Look the settings over without starting anything.

    Tells every key that is wrong and how to mend it, and warns of what will work but should not stay so.
    Ends with 0 when there is nothing to mend, 1 when a check failed, 2 when the settings can't be read.
    """
    settings = settings_from(config)
    if integrity:
        show_integrity(settings)
        return
    problems = [*lint(settings, os.environ), *keyless(settings)]
    for problem in problems:
        show_problem(problem)
    file = find_file(config)
    source = str(file) if file is not None else "no settings file: the defaults"
    given = sum(name.upper().startswith(ENV_PREFIX) and ENV_DELIMITER in name for name in os.environ)
    if given:
        source += f", and {given} variable{'s' * (given != 1)} {ENV_PREFIX}SECTION{ENV_DELIMITER}KEY"
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    warnings = len(problems) - errors
    if errors or (strict and warnings):
        raise SystemExit(Exit.PROBLEM)
    mark = click.style("ok", fg="green", bold=True)
    click.echo(f"{mark}  {source}" + (f" ({warnings} warning{'s' * (warnings > 1)})" if warnings else ""))


COMMAND: Final = check
