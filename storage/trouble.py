"""Why a database does not do as asked: in words that hold no value, no url and no secret."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from typing import Final

_TELLING: Final = frozenset({"08", "25", "28", "3D", "40", "42", "53", "55", "57", "58"})
"""Classes of SQLSTATE whose messages name users, databases and tables, but never a value."""
_VALUE: Final = " with text '"
"""Of SQLite's texts only that on a column that is no UTF-8 repeats a value, behind this."""
_SEVERAL: Final = re.compile(r"\[Errno (\d+)\]")
"""An address with several hosts: asyncpg puts all their errors into one text."""


def trouble_of(error: BaseException) -> str:
    """``connection refused``, ``file is not a database``, ``password authentication failed for user "x"``.

    The error of the driver is looked for behind what wraps it. Where its text could repeat a value, its name has to do.
    """
    chain = list(_chain(error))
    for one in reversed(chain):
        words = _words(one)
        if words is not None:
            return words
    return type(chain[-1]).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = getattr(one, "orig", None) or one.__cause__


def _words(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None)
    if isinstance(error, sqlite3.Error):
        return str(error).partition(_VALUE)[0] or type(error).__name__
    if isinstance(state, str):
        first = str(error).partition("\n")[0]
        return first if state[:2] in _TELLING else type(error).__name__
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the name of its host is not known"
    if isinstance(error, OSError):
        several = _SEVERAL.search(str(error))
        number = error.errno or (int(several[1]) if several else None)
        return os.strerror(number).lower() if number else type(error).__name__
    return None
