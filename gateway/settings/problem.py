"""What is wrong with a configuration: the key, what is wrong with its value, how to mend it."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable

import msgspec


class Severity(enum.StrEnum):
    """``ERROR`` keeps the gateway from starting."""

    ERROR = "error"
    WARNING = "warning"


class Problem(msgspec.Struct, frozen=True):
    """One thing to mend. ``what`` never shows the value of a secret."""

    key: str
    """Dotted name (``server.port``, ``[n]`` for elements of a list), or the name of an unreadable file."""
    what: str
    how: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.key}: {self.what}. {self.how}"


class SettingsError(Exception):
    """The configuration can't be used; ``problems`` is never empty."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def listed(names: Iterable[str]) -> str:
    """``a, b and c``."""
    items = list(names)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``Did you mean x? `` or nothing."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}? " if close else ""
