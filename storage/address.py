"""Where the database is: the ``storage.url`` setting taken apart."""

from __future__ import annotations

import enum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

SQLITE_NAME = "weighbridge.db"


class Engine(enum.StrEnum):
    """The two databases we keep records in."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class AddressError(ValueError):
    """The url names no database we know. The message never repeats the url: it may hold a password."""


class Address(msgspec.Struct, frozen=True):
    """A database. ``dsn`` is a file path for SQLite and a ``postgresql://`` url (with its password) for PostgreSQL."""

    engine: Engine
    dsn: str

    def __repr__(self) -> str:
        return f"Address({self.engine.value})"

    @property
    def place(self) -> str:
        """Where it is, as people may read it: the file, or ``host:port/database`` without who asks and how."""
        if self.engine is Engine.SQLITE:
            return self.dsn
        parts = urlsplit(self.dsn)
        host = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", ["localhost"])[0]
        return f"{host}{parts.path}"

    @property
    def sqlalchemy_url(self) -> str:
        """The same for SQLAlchemy's asynchronous drivers."""
        if self.engine is Engine.SQLITE:
            return f"sqlite+aiosqlite:///{self.dsn}"
        return "postgresql+asyncpg" + self.dsn.removeprefix("postgresql")


def parse(url: str | None, data_dir: Path) -> Address:
    """The address of ``url``; none means a SQLite file in the data folder. Raises :class:`AddressError`.

    Accepted: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://...``, ``postgres://...``, each
    also with a driver (``+aiosqlite``, ``+asyncpg``), which is ignored.
    """
    if not url:
        return Address(Engine.SQLITE, str(data_dir / SQLITE_NAME))
    scheme, colon, rest = url.partition("://")
    kind = scheme.split("+")[0].lower()
    if colon and kind == "sqlite":
        path = rest.partition("?")[0].removeprefix("/")
        if not path or path == ":memory:":
            raise AddressError("storage.url: SQLite needs a file, as in sqlite:///weighbridge.db")
        return Address(Engine.SQLITE, path)
    if colon and kind in ("postgresql", "postgres"):
        dsn = f"postgresql://{rest}"
        if not urlsplit(dsn).path.strip("/"):
            raise AddressError("storage.url: name the database, as in postgresql://user@host/weighbridge")
        return Address(Engine.POSTGRESQL, dsn)
    raise AddressError("storage.url: expected sqlite:///FILE or postgresql://USER@HOST/DATABASE")
