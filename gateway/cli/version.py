"""Show the version."""

from __future__ import annotations

import platform
from typing import Final

import click

from gateway.version import VERSION


@click.command()
def show() -> None:
    """Show the version of weighbridge and of Python."""
    click.echo(f"weighbridge {VERSION} (Python {platform.python_version()})")


COMMAND: Final = show
