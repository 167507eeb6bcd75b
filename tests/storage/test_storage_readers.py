"""Readers of PostgreSQL: whatever SQL they try, they see their own calls and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

from gateway.cli.exits import Exit
from gateway.cli.group import main
from gateway.ids import call_id
from pricing.cost import Cost, CostSource, CostStatus
from storage import audit, readers
from storage.address import parse
from storage.control import ControlDatabase, control_of
from storage.readers import Reader, ReaderError
from storage.retention_postgres import make_months
from storage.schema import Migrate
from storage.targets import open_target
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PASSWORD = "a password of many letters"
_numbers = itertools.count(1)
Connection = asyncpg.Connection
PEOPLE = [
    (tenant, team, user)
    for tenant in ("acme", "rival", None)
    for team in ("search", "ads", None)
    for user in ("ann", "bob", None)
]


def record(tenant: str | None, team: str | None, user: str | None, days: int) -> CallRecord:
    at = int(NOW.timestamp()) * 10**9 - days * 86_400 * 10**9
    return CallRecord(
        call_id(at),
        Outcome.COMPLETED,
        Who(tenant, team, user),
        What("openai", "openai_chat", "chat", "POST", "/v1/x", "gpt-4o", False, None, 10),
        Route(),
        Timing(at),
        Answer(200),
        None,
        UsageSource.NONE,
        Cost(CostStatus.PRICED, CostSource.CATALOGUE, 1_000),
    )


@pytest.fixture
def filled(postgres: str) -> str:
    """Calls of everybody, in the partitions of two months and in the default one."""
    address = parse(postgres, Path())
    asyncio.run(make_months(address.dsn, NOW))
    target = open_target(address, migrate=Migrate.MANUAL, timeout_s=10, power_safe=False)
    target.connect()
    target.write([record(*who, days) for who in PEOPLE for days in (0, -20, 400)])
    target.close()
    return postgres


@pytest.fixture
async def db(filled: str) -> AsyncIterator[ControlDatabase]:
    opened = control_of(parse(filled, Path()))
    yield opened
    for row in await readers.readers(opened):
        await readers.drop(opened, row.reader.name, "test")
    await opened.close()


def named() -> str:
    """Roles are those of the whole server."""
    return f"reader_{next(_numbers)}"


async def connect(url: str, user: str | None = None, **more: Any) -> Connection:
    return await asyncpg.connect(parse(url, Path()).dsn, **({} if user is None else {"user": user}), **more)


SCOPES: list[tuple[Reader, Callable[[tuple[str | None, ...]], bool]]] = [
    (Reader("", "acme"), lambda who: who[0] == "acme"),
    (Reader("", "default"), lambda who: who[0] is None),
    (Reader("", "acme", "search"), lambda who: who[:2] == ("acme", "search")),
    (Reader("", "acme", None, "bob"), lambda who: (who[0], who[2]) == ("acme", "bob")),
    (Reader("", "acme", "ads", "ann"), lambda who: who == ("acme", "ads", "ann")),
    (Reader("", "nobody"), lambda who: False),
]


@pytest.mark.parametrize(("scope", "sees"), SCOPES)
async def test_a_reader_sees_its_own_calls(
    filled: str, db: ControlDatabase, scope: Reader, sees: Callable[[tuple[str | None, ...]], bool]
) -> None:
    """Connected as it, and where somebody takes its role."""
    one = Reader(named(), scope.tenant, scope.team, scope.user)
    assert await readers.create(db, one, PASSWORD, "ann") == []
    expected = sorted(
        (tenant or "default", team or "", user or "")
        for tenant, team, user in PEOPLE
        if sees((tenant, team, user))
        for _ in range(3)
    )
    query = "SELECT tenant_id, team, user_id FROM model_requests"
    direct = await connect(filled, one.name)
    owner = await connect(filled)
    await owner.execute(f"SET ROLE {one.name}")
    for connection in (direct, owner):
        found = await connection.fetch(query)
        assert sorted((row[0], row[1] or "", row[2] or "") for row in found) == expected
        counted = await connection.fetchval(
            "SELECT count(*) FROM model_requests WHERE tenant_id <> $1", one.tenant
        )
        assert counted == 0
        await connection.close()
    everything = await connect(filled)
    assert await everything.fetchval("SELECT count(*) FROM model_requests") == len(PEOPLE) * 3
    await everything.close()


@pytest.fixture
async def reader(filled: str, db: ControlDatabase) -> AsyncIterator[Connection]:
    """Connected as a reader of acme's search, beside one of rival's."""
    await readers.create(db, Reader(OTHER, "rival"), PASSWORD, "ann")
    await readers.create(db, Reader(ONE, "acme", "search"), PASSWORD, "ann")
    connection = await connect(filled, ONE)
    yield connection
    await connection.close()


ONE, OTHER = "reader_of_acme", "reader_of_rival"
DENIED = (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError)


async def test_nothing_else_can_be_read_or_changed(filled: str, reader: Connection) -> None:
    owner = await connect(filled)
    tables = [
        row[0]
        for row in await owner.fetch(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE n.nspname = 'public' AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')"
        )
    ]
    await owner.close()
    allowed = {"model_requests", "database_readers"}
    assert len([name for name in tables if re.fullmatch(r"model_requests_(default|\w*\d+)", name)]) >= 3
    assert {"gateway_keys", "api_tokens", "budgets", "audit_log"} <= set(tables)
    for name in set(tables) - allowed:
        with pytest.raises(DENIED):
            await reader.fetch(f"SELECT * FROM {name}")
    for name in tables:
        for statement in (
            f"DELETE FROM {name}",
            f"TRUNCATE {name}",
            f"DROP TABLE {name}",
            f"ALTER TABLE {name} ADD x int",
        ):
            with pytest.raises((*DENIED, asyncpg.WrongObjectTypeError)):
                await reader.execute(statement)
    for statement in (
        f"UPDATE database_readers SET tenant_id = 'rival' WHERE role_name = '{ONE}'",
        f"INSERT INTO database_readers VALUES ('{ONE}2', 'rival', NULL, NULL)",
        f"INSERT INTO database_readers VALUES ('{ONE}', 'rival') ON CONFLICT (role_name) DO UPDATE SET tenant_id = 'rival'",
        "UPDATE model_requests SET tenant_id = 'acme', team = 'search'",
        "CREATE TABLE mine AS SELECT * FROM model_requests",
        "COPY model_requests TO PROGRAM 'cat'",
        "COPY model_requests TO '/dev/null'",
    ):
        with pytest.raises(DENIED):
            await reader.execute(statement)


async def test_it_cannot_become_somebody_else(reader: Connection) -> None:
    for statement in (
        f"SET ROLE {OTHER}",
        f"SET LOCAL ROLE {OTHER}",
        f"SET SESSION AUTHORIZATION {OTHER}",
        "SET SESSION AUTHORIZATION postgres",
        "SET ROLE postgres",
        f"ALTER ROLE {ONE} RENAME TO {OTHER}2",
        f"ALTER ROLE {OTHER} RENAME TO somebody",
        f"ALTER ROLE {ONE} BYPASSRLS",
        f"ALTER ROLE {ONE} SUPERUSER",
        f"ALTER ROLE {ONE} NOINHERIT",
        f"GRANT {OTHER} TO {ONE}",
        "CREATE ROLE another LOGIN",
        "DROP POLICY own_calls ON model_requests",
        "CREATE POLICY mine ON model_requests USING (true)",
        "ALTER TABLE model_requests DISABLE ROW LEVEL SECURITY",
        "SET session_replication_role = replica",
    ):
        with pytest.raises((*DENIED, asyncpg.FeatureNotSupportedError)):
            await reader.execute(statement)
    rows = await reader.fetch("SELECT DISTINCT tenant_id, team FROM model_requests")
    assert [tuple(row) for row in rows] == [("acme", "search")]


async def test_what_it_may_set_does_not_widen_it(filled: str, reader: Connection) -> None:
    line = (ONE, "acme", "search", None)
    assert [tuple(row) for row in await reader.fetch("SELECT * FROM database_readers")] == [line]
    await reader.execute("SET row_security = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.fetch("SELECT count(*) FROM model_requests")
    await reader.execute("RESET row_security")
    await reader.execute("SET ROLE weighbridge_reader")
    assert await reader.fetchval("SELECT count(*) FROM model_requests") == 0
    assert await reader.fetchval("SELECT count(*) FROM database_readers") == 0
    await reader.execute("RESET ROLE")
    seen: list[str] = []
    reader.add_log_listener(lambda _, message: seen.append(str(message)))
    await reader.execute(
        "CREATE FUNCTION pg_temp.leak(tenant text) RETURNS boolean COST 0.0000001 LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE NOTICE 'seen %', tenant; RETURN true; END $$"
    )
    await reader.fetch("SELECT count(*) FROM model_requests WHERE pg_temp.leak(tenant_id)")
    assert seen
    assert not [line for line in seen if "rival" in line or "default" in line]
    await reader.execute(
        "CREATE TEMP TABLE database_readers (role_name text, tenant_id text, team text, user_id text)"
    )
    await reader.execute(f"INSERT INTO pg_temp.database_readers VALUES ('{ONE}', 'rival', NULL, NULL)")
    assert await reader.fetchval("SELECT count(*) FROM model_requests WHERE tenant_id = 'rival'") == 0
    owner = await connect(filled)
    await owner.execute("ANALYZE")
    assert await owner.fetchval("SELECT count(*) FROM pg_stats WHERE tablename LIKE 'model_requests%'") > 100
    await owner.close()
    stats = await reader.fetch("SELECT tablename FROM pg_stats WHERE tablename LIKE 'model_requests%'")
    assert stats == []


async def test_the_password_is_the_one_that_was_given(filled: str, db: ControlDatabase) -> None:
    name = named()
    await readers.create(db, Reader(name, "acme"), PASSWORD, "ann")
    owner = await connect(filled)
    path = Path(await owner.fetchval("SHOW hba_file"))
    before = path.read_text()
    path.write_text(f"local all {name} scram-sha-256\n{before}")
    await owner.execute("SELECT pg_reload_conf()")
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    await (await connect(filled, name, password="another")).close()
                except asyncpg.InvalidPasswordError:
                    break
                await asyncio.sleep(0.02)
        right = await connect(filled, name, password=PASSWORD)
        assert await right.fetchval("SELECT count(*) FROM model_requests") == 27
        await right.close()
    finally:
        path.write_text(before)
        await owner.execute("SELECT pg_reload_conf()")
        await owner.close()


async def test_a_reader_that_is_dropped_sees_nothing_more(filled: str, db: ControlDatabase) -> None:
    name = named()
    await readers.create(db, Reader(name, "acme", "search"), PASSWORD, "ann")
    connection = await connect(filled, name)
    assert await connection.fetchval("SELECT count(*) FROM model_requests") == 9
    assert await readers.drop(db, name, "bob")
    with pytest.raises(asyncpg.PostgresError):
        await connection.fetchval("SELECT count(*) FROM model_requests")
    await connection.close()
    assert not await readers.drop(db, name, "bob")
    assert not await readers.drop(db, 'x"; DROP TABLE budgets; --', "bob")
    with pytest.raises(asyncpg.PostgresError):
        await connect(filled, name)
    lines = await audit.lines(db, action="reader")
    assert [(line.actor, line.action, line.subject) for line in lines] == [
        ("bob", "reader.drop", name),
        ("ann", "reader.create", name),
    ]
    assert all(PASSWORD not in line.detail and "SCRAM" not in line.detail for line in lines)


@pytest.mark.parametrize(
    ("name", "password", "told"),
    [
        ("Upper", PASSWORD, "can't be the name"),
        ("pg_x", PASSWORD, "can't be the name"),
        ("weighbridge_reader", PASSWORD, "can't be the name"),
        ('x"; DROP TABLE budgets; --', PASSWORD, "can't be the name"),
        ("x" * 64, PASSWORD, "can't be the name"),
        ("short", "short", "password is not usable"),
        ("accent", "mot de passe élaboré", "password is not usable"),
        ("postgres", PASSWORD, "there is a database user 'postgres' already"),
    ],
)
async def test_what_makes_no_reader_is_refused(
    db: ControlDatabase, name: str, password: str, told: str
) -> None:
    with pytest.raises(ReaderError, match=re.escape(told)) as caught:
        await readers.create(db, Reader(name, "acme"), password, "ann")
    assert caught.value.hint
    assert await readers.readers(db) == []
    assert await audit.lines(db) == []


async def test_policies_are_made_where_the_migration_could_not(filled: str, db: ControlDatabase) -> None:
    owner = await connect(filled)
    for policy, table in (("own_calls", "model_requests"), ("own_line", "database_readers"), ("everybody", "model_requests"), ("everybody", "database_readers")):  # fmt: skip
        await owner.execute(f"DROP POLICY {policy} ON {table}")
    await owner.execute("REVOKE SELECT ON model_requests, database_readers FROM weighbridge_reader")
    await owner.close()
    name = named()
    await readers.create(db, Reader(name, "acme"), PASSWORD, "ann")
    connection = await connect(filled, name)
    assert await connection.fetchval("SELECT count(*) FROM model_requests") == 27
    await connection.close()


async def test_a_database_user_without_the_right_is_told_so(filled: str) -> None:
    owner = await connect(filled)
    name = named()
    await owner.execute(f"CREATE ROLE {name} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    limited = control_of(parse(filled.replace("//postgres:@", f"//{name}:@"), Path()))
    with pytest.raises(ReaderError, match="may not do this") as caught:
        await readers.create(limited, Reader("nobody", "acme"), PASSWORD, "ann")
    assert "CREATEROLE" in caught.value.hint
    assert await readers.readers(limited) == []
    await limited.close()
    await owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
    await owner.close()


async def test_what_it_lacks_is_told(filled: str, db: ControlDatabase) -> None:
    owner = await connect(filled)
    database = await owner.fetchval("SELECT current_database()")
    await owner.execute(
        f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC; REVOKE USAGE ON SCHEMA public FROM PUBLIC"
    )
    advice = await readers.create(db, Reader(named(), "acme"), PASSWORD, "ann")
    assert [line.partition(":")[2].strip() for line in advice] == [
        f'GRANT CONNECT ON DATABASE "{database}" TO weighbridge_reader',
        'GRANT USAGE ON SCHEMA "public" TO weighbridge_reader',
    ]
    await owner.execute("GRANT USAGE, CREATE ON SCHEMA public TO PUBLIC")
    (_, makes) = await readers.create(db, Reader(named(), "acme"), PASSWORD, "ann")
    assert "REVOKE CREATE" in makes
    await owner.close()


def test_readers_on_the_command_line(filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__URL", filled)
    monkeypatch.setenv("READER_PASSWORD", PASSWORD)
    first, second = named(), named()

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, ("db", "reader", *arguments), prog_name="weighbridge")

    assert "No readers yet" in run("list").output
    made = run("create", first, "--tenant", "acme", "--team", "search")
    assert made.exit_code == 0, made.output
    assert re.fullmatch(r"[\w-]{32}\n", made.stdout)
    assert f"-U {first}" in made.stderr
    given = run("create", second, "--tenant", "acme", "--password-env", "READER_PASSWORD")
    assert (given.exit_code, given.stdout) == (0, "")
    assert PASSWORD not in given.output
    assert re.search(rf"{first} +acme +search +–", run("list").stdout)
    assert [json.loads(line)["exists"] for line in run("list", "--json").stdout.splitlines()] == [True, True]
    assert run("create", first, "--tenant", "acme").exit_code == Exit.PROBLEM
    assert run("create", "x", "--tenant", "a", "--password-env", "NOT_SET").exit_code == Exit.USAGE
    for name in (first, second):
        assert "is no more" in run("drop", name).output
    assert run("drop", first).exit_code == Exit.PROBLEM
    monkeypatch.delenv("WEIGHBRIDGE_STORAGE__URL")
    refused = run("list")
    assert (refused.exit_code, "Readers need PostgreSQL" in refused.output) == (Exit.PROBLEM, True)
