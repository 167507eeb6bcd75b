"""What the exit codes mean."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """Documented in the README."""

    OK = 0
    PROBLEM = 1
    """What was asked for was not found, or a check found something."""
    USAGE = 2
    """The command line or the settings can't be used."""
    UNREACHABLE = 3
    """The server or the database does not answer."""
