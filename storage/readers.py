"""Database users that may read the calls of one tenant, team or user: PostgreSQL only.

A password reaches the server as a SCRAM verifier, so that no log of statements holds it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from itertools import chain
from typing import Final

import asyncpg
import msgspec

from storage import audit
from storage.control.contract import ControlDatabase, ControlUnavailable
from storage.reader_policies import (
    GROUP,
    HAS_CONTENT_POLICIES,
    HAS_GROUP,
    HAS_POLICIES,
    MAKE_CONTENT_POLICIES,
    MAKE_GROUP,
    MAKE_POLICIES,
)

NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
SHORTEST: Final = 12
"""Characters of a password."""
MOST_CONNECTIONS: Final = 10
_ITERATIONS: Final = 4096
_COLUMNS: Final = "role_name, tenant_id, team, user_id"
_POLICIES: Final = {HAS_POLICIES: MAKE_POLICIES, HAS_CONTENT_POLICIES: MAKE_CONTENT_POLICIES}
"""What finds policies, and what makes them."""
_OPEN: Final = (
    "SELECT has_database_privilege(rolname, current_database(), 'CONNECT'),"
    " has_schema_privilege(rolname, current_schema(), 'USAGE'),"
    " has_schema_privilege(rolname, current_schema(), 'CREATE'), current_database(), current_schema()"
    " FROM pg_roles WHERE rolname = ?"
)


class ReaderError(Exception):
    """It cannot be done; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Reader(msgspec.Struct, frozen=True):
    """A database user and whose calls it sees."""

    name: str
    tenant: str
    team: str | None = None
    user: str | None = None


class ReaderRow(msgspec.Struct, frozen=True):
    """A reader as it is kept."""

    reader: Reader
    exists: bool
    """Is there a database user of that name that may log in?"""


async def create(db: ControlDatabase, reader: Reader, password: str, actor: str) -> list[str]:
    """Make the user; what it still lacks in the database, as advice. Raises :class:`ReaderError`."""
    if NAME.fullmatch(reader.name) is None or reader.name == GROUP:
        raise ReaderError(
            f"{reader.name[:64]!r} can't be the name of a reader",
            "Use lower-case letters, digits and _, 63 at most, not beginning with a digit or pg_",
        )
    if len(password) < SHORTEST or not password.isascii() or not password.isprintable():
        raise ReaderError(
            "the password is not usable", f"Take at least {SHORTEST} printable ASCII characters"
        )
    await _prepare(db)
    insert = f"INSERT INTO database_readers ({_COLUMNS}) VALUES (?, ?, ?, ?)"
    role = (
        f'CREATE ROLE "{reader.name}" LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS'
        f" CONNECTION LIMIT {MOST_CONNECTIONS} IN ROLE {GROUP} PASSWORD '{scram_verifier(password)}'"
    )
    try:
        async with db.transaction() as tx:
            await tx.run(role)
            await tx.run(insert, reader.name, reader.tenant, reader.team, reader.user)
            await audit.write(tx, actor, "reader.create", reader.name, _detail(reader))
    except ControlUnavailable as error:
        raise _explained(error, reader.name) from error
    return await _advice(db, reader.name)


async def drop(db: ControlDatabase, name: str, actor: str) -> bool:
    """End a reader and its database user; whether there was one. Raises :class:`ReaderError`."""
    if NAME.fullmatch(name) is None:
        return False
    try:
        async with db.transaction() as tx:
            gone = await tx.fetch(
                f"DELETE FROM database_readers WHERE role_name = ? RETURNING {_COLUMNS}", name
            )
            if not gone:
                return False
            await tx.run(f'DROP ROLE IF EXISTS "{name}"')
            await audit.write(tx, actor, "reader.drop", name, _detail(Reader(*gone[0])))
    except ControlUnavailable as error:
        raise _explained(error, name) from error
    return True


async def readers(db: ControlDatabase) -> list[ReaderRow]:
    """By name."""
    query = (
        f"SELECT {_COLUMNS}, EXISTS (SELECT FROM pg_roles WHERE rolname = role_name AND rolcanlogin)"
        " FROM database_readers ORDER BY role_name"
    )
    return [ReaderRow(Reader(*row[:4]), row[4]) for row in await db.fetch(query)]


def new_password() -> str:
    """192 random bits."""
    return secrets.token_urlsafe(24)


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL keeps of an ASCII password (RFC 5803)."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored, told = (base64.b64encode(part).decode() for part in (hashlib.sha256(client).digest(), server))
    return f"SCRAM-SHA-256${_ITERATIONS}:{base64.b64encode(salt).decode()}${stored}:{told}"


async def _prepare(db: ControlDatabase) -> None:
    """The group and the policies, where the migration could not make them."""
    try:
        missing = [made for found, made in _POLICIES.items() if not await db.fetch(found)]
        if not missing:
            return
        async with db.transaction() as tx:
            await tx.run(MAKE_GROUP)
        if not await db.fetch(HAS_GROUP):
            raise ReaderError(
                f"the database has no role {GROUP}, and this database user may not make roles",
                f"As one that may: CREATE ROLE {GROUP} NOLOGIN; GRANT {GROUP} TO this user WITH ADMIN OPTION",
            )
        async with db.transaction() as tx:
            for statement in chain(*missing):
                await tx.run(statement)
    except ControlUnavailable as error:
        raise _explained(error, GROUP) from error


async def _advice(db: ControlDatabase, name: str) -> list[str]:
    ((connects, uses, makes, database, schema),) = await db.fetch(_OPEN, name)
    advice = []
    if not connects:
        advice.append(f'It may not connect: GRANT CONNECT ON DATABASE "{database}" TO {GROUP}')
    if not uses:
        advice.append(f'It may not look into the schema: GRANT USAGE ON SCHEMA "{schema}" TO {GROUP}')
    if makes:
        advice.append(
            f"Everybody may make tables and functions in this schema (PostgreSQL before 15 allows it): "
            f'REVOKE CREATE ON SCHEMA "{schema}" FROM PUBLIC'
        )
    return advice


def _explained(error: ControlUnavailable, name: str) -> Exception:
    cause = error.__cause__
    if isinstance(cause, asyncpg.DuplicateObjectError | asyncpg.UniqueViolationError):
        return ReaderError(f"there is a database user {name!r} already", "Choose another name")
    if isinstance(cause, asyncpg.InsufficientPrivilegeError):
        return ReaderError(
            "the gateway's database user may not do this",
            "Let it make roles: ALTER ROLE ... CREATEROLE (and be the owner of the tables)",
        )
    if isinstance(cause, asyncpg.DependentObjectsStillExistError):
        return ReaderError(f"{name!r} owns something in a database", f'As its owner: DROP OWNED BY "{name}"')
    return error


def _detail(reader: Reader) -> dict[str, object]:
    said = msgspec.structs.asdict(reader)
    return {name: value for name, value in said.items() if value is not None}
