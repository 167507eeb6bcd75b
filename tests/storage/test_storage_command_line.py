"""Keys and budgets on the command line with PostgreSQL: also the first thing that is ever done to a database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.exits import Exit
from gateway.cli.group import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_postgres: str) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__URL", empty_postgres)
    return lambda *arguments: CliRunner().invoke(main, arguments, prog_name="weighbridge")


def test_an_empty_database_is_made_ready_by_the_first_key(run: Any) -> None:
    before = run("keys")
    assert before.exit_code == Exit.PROBLEM
    assert "weighbridge db migrate" in before.stderr
    made = run("keys", "create", "search", "--team", "search")
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("wbk_")
    budget = run("budgets", "create", "each", "--limit", "5", "--per", "user", "--json")
    assert json.loads(budget.stdout)["scope"] == {"user": "*"}
    assert run("keys", "revoke", "search").exit_code == 0
    actions = [json.loads(line)["action"] for line in run("audit", "--json").stdout.splitlines()]
    assert actions == ["key.revoke", "budget.create", "key.create"]


def test_a_database_that_does_not_answer_is_told_without_its_password(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__URL", "postgresql://me:secretive@127.0.0.1:9/nothing")
    for command in (("keys",), ("tokens",), ("budgets",), ("audit",), ("db", "reader", "list")):
        result = run(*command)
        assert (result.exit_code, result.stdout) == (Exit.UNREACHABLE, "")
        assert "PostgreSQL at 127.0.0.1:9/nothing: is it up" in result.stderr
        assert "connection refused" in result.stderr
        assert "secretive" not in result.output
