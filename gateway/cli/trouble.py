"""A database that does not do as asked: what is wrong, where it is, and what to do; ends with exit code 3."""

from __future__ import annotations

import os
import re
from typing import Final, NoReturn

from gateway.cli.exits import Exit
from gateway.cli.options import fail
from gateway.settings import Settings
from storage.address import Engine, parse

_LACKS: Final = re.compile(r"no such (table|column)|(relation|column) \S+ does not exist|\bschema\b")


def has_database(settings: Settings) -> bool:
    """Whether there is one to look into (a server is asked, a file looked for). Ends the process where nobody may look."""
    address = parse(settings.storage.url, settings.storage.data_dir)
    if address.engine is not Engine.SQLITE:
        return True
    try:
        os.stat(address.dsn)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        what = f"{address.dsn} cannot be looked at: {(error.strerror or type(error).__name__).lower()}"
        fail(what, "Do it as the user the gateway runs as", Exit.UNREACHABLE)
    return True


def needs_database(settings: Settings) -> None:
    """Ends the process with exit code 3 where there is none."""
    if not has_database(settings):
        fail(
            f"there are no records in {settings.storage.data_dir}",
            "Start a gateway with 'weighbridge serve' (or 'weighbridge demo'), or name its settings with --config",
            Exit.UNREACHABLE,
        )


def no_database(settings: Settings, error: Exception | str) -> NoReturn:
    """Shows it."""
    fail(str(error), where_to_look(settings, str(error)), Exit.UNREACHABLE)


def where_to_look(settings: Settings, trouble: str) -> str:
    """Where the database is, without its password, and what may be the matter with it."""
    address = parse(settings.storage.url, settings.storage.data_dir)
    if _LACKS.search(trouble):
        return "Its schema may be that of another version: 'weighbridge db check' tells what to do"
    if address.engine is Engine.SQLITE:
        return f"It is the file {address.place}: 'weighbridge db check' looks into it"
    return f"It is PostgreSQL at {address.place}: is it up, and is storage.url right?"
