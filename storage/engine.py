"""Connections for reading: SQLAlchemy over the asynchronous drivers."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from typing import Any, Final

from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from storage.address import Address, Engine
from storage.sqlite_file import OVERWRITE

_DEADLINE: Final = "deadline"
_STEPS: Final = 1_000_000
"""Of SQLite's machine between two looks at the clock: some hundredths of a second."""


class TookTooLong(TimeoutError):  # noqa: N818
    """A statement was broken off: it asked for more than is found in its time."""


def reading_engine(address: Address, *, timeout_s: float = 10.0, pool_size: int = 5) -> AsyncEngine:
    """An engine that cannot write. Connects on first use; ``timeout_s`` bounds connecting and every statement.

    A statement that takes longer raises :class:`TookTooLong`.
    """
    if address.engine is Engine.SQLITE:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///file:{escaped(address.dsn)}?mode=ro&uri=true",
            pool_size=pool_size,
            connect_args={"timeout": timeout_s},
        )
        expect_file(engine, address)
        event.listen(engine.sync_engine, "connect", _read_only)
        _bound_statements(engine, timeout_s)
    else:
        session = {"default_transaction_read_only": "on", "application_name": "weighbridge-read"}
        engine = _postgres(address, timeout_s, pool_size, session)
    _tell_what_took_too_long(engine, timeout_s)
    return engine


def writing_engine(address: Address, *, timeout_s: float = 10.0, pool_size: int = 2) -> AsyncEngine:
    """An engine that can write; ``timeout_s`` as above. A transaction in SQLite has the write lock from its begin.

    (One that reads first and asks for the lock later is refused at once when another has written in between.) There
    they take turns on one connection: between connections SQLite keeps no order, and the unlucky wait till they fail.
    """
    if address.engine is Engine.SQLITE:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///file:{escaped(address.dsn)}?mode=rw&uri=true",
            pool_size=1,
            max_overflow=0,
            pool_timeout=timeout_s,
            connect_args={"timeout": timeout_s, "isolation_level": None},
        )
        expect_file(engine, address)
        event.listen(engine.sync_engine, "begin", _begin_immediate)
        event.listen(engine.sync_engine, "connect", overwriting)
        return engine
    return _postgres(address, timeout_s, pool_size, {"application_name": "weighbridge-api"})


def _postgres(address: Address, timeout_s: float, pool_size: int, session: dict[str, str]) -> AsyncEngine:
    return create_async_engine(
        address.sqlalchemy_url,
        pool_size=pool_size,
        pool_pre_ping=True,
        pool_timeout=timeout_s,
        connect_args={"timeout": timeout_s, "command_timeout": timeout_s, "server_settings": session},
    )


def expect_file(engine: AsyncEngine, address: Address) -> None:
    """Say that there is no SQLite file to read before a connection is tried.

    Where the driver cannot connect it does not wait for the thread it began, which then answers to a loop that may be
    closed by then: a traceback on stderr, at the end of a command.
    """

    def connecting(_dialect: object, _record: object, _args: object, _options: object) -> None:
        if not os.path.isfile(address.dsn):  # which is quiet about folders that may not be looked into
            raise sqlite3.OperationalError("unable to open database file")
        if not os.access(address.dsn, os.R_OK):
            raise sqlite3.OperationalError("unable to open database file (permission denied)")

    event.listen(engine.sync_engine, "do_connect", connecting)


def overwriting(connection: Any, _record: object) -> None:
    """For connections to SQLite that write."""
    cursor = connection.cursor()
    cursor.execute(OVERWRITE)
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _read_only(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _bound_statements(engine: AsyncEngine, timeout_s: float) -> None:
    """SQLite has no limit of its own: it is asked now and then whether to go on."""

    def connected(connection: Any, record: Any) -> None:
        info = record.info

        def too_late() -> bool:
            return time.monotonic() > float(info.get(_DEADLINE, math.inf))

        connection.run_async(lambda driver: driver.set_progress_handler(too_late, _STEPS))

    def begins(connection: Connection, *_statement: object) -> None:
        connection.info[_DEADLINE] = time.monotonic() + timeout_s

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "before_cursor_execute", begins)


def _tell_what_took_too_long(engine: AsyncEngine, timeout_s: float) -> None:
    """A statement that was broken off, and not a connection that was waited for in vain."""

    def failed(context: ExceptionContext) -> TookTooLong | None:
        error = context.original_exception
        broken_off = isinstance(error, TimeoutError) or (
            isinstance(error, sqlite3.Error)
            and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        )
        if context.statement is None or not broken_off:
            return None
        return TookTooLong(f"a statement was not done in {timeout_s:g} s")

    event.listen(engine.sync_engine, "handle_error", failed, retval=True)


def escaped(path: str) -> str:
    """A path as part of a SQLite URI."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
