"""The terminal: its width and colours, and plain wide text where output goes into a pipe."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_WIDTH = 240
"""Cells of a line that nobody reads on a screen: wide enough that nothing is cut."""


def console() -> Console:
    """A console on stdout. Brackets and colons are what they are: names of models may hold any."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, highlight=False, soft_wrap=False, markup=False, emoji=False)
