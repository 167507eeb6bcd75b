"""Show the version."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

import click


@click.command()
def show() -> None:
    """Show the version of weighbridge and of Python."""
    click.echo(f"weighbridge {version('weighbridge')} (Python {platform.python_version()})")


COMMAND: Final = show
