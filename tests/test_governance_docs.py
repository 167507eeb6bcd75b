"""What docs/keys.md and docs/budgets.md name exists, and their figures are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from gateway import headers
from gateway.admission import SETTLING_S
from gateway.api.budget_models import BudgetIn
from gateway.api.budget_views import EARLY
from gateway.api.key_models import DAY_MS, KeyIn
from gateway.api.values import MOST_GRACE_MS
from gateway.cli.group import main
from gateway.errors import LONGEST_RETRY_S, Code
from gateway.identity import ALIASES, OWN_HEADER
from gateway.keyring import FILE
from gateway.settings import Settings
from gateway.settings.choices import AuthMode
from storage.budgets.leases import LEASE_S, SLICES
from storage.budgets.model import DIMENSIONS, Mode, Unpriced, Window

DOCS = Path(__file__).parent.parent / "docs"
KEYS = (DOCS / "keys.md").read_text(encoding="utf-8")
BUDGETS = (DOCS / "budgets.md").read_text(encoding="utf-8")


def options(*path: str) -> set[str]:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None, path
        command = found
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def rows(text: str, heading: str) -> list[str]:
    """First cells of the table behind a heading."""
    table = text.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    cells = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]
    assert len(cells) > 2, heading
    return cells[2:] if set(cells[1]) <= set("-| ") else cells[1:]


@pytest.mark.parametrize("text", [KEYS, BUDGETS])
def test_commands_and_their_options(text: str) -> None:
    typed = re.findall(r"weighbridge (db reader \w+|(?:keys|tokens|budgets) [a-z]+)([^`\n]*)", text)
    assert len(typed) > 1
    for words, rest in typed:
        assert set(re.findall(r"--[a-z-]+", rest)) <= options(*words.split()), words


def test_what_a_key_says() -> None:
    told = {option for cell in rows(KEYS, "## What a key says") for option in re.findall(r"--[a-z-]+", cell)}
    hidden = {"--help", "--config", "-c", "-h", "--json", "--no-traced", "--no-trusts-prices"}
    assert told == options("keys", "create") - hidden - {"name"}
    assert len(KeyIn.model_fields) == len(told) + 1


def test_where_a_key_may_stand() -> None:
    told = KEYS.partition("## Where a key may stand")[2].partition("## ")[0]
    names = [name.decode() for name in (OWN_HEADER, *ALIASES, *headers.CREDENTIALS_ORDER)]
    listed = [name for name in re.findall(r"`([a-z-]+)`", told) if "-" in name or name == "authorization"]
    assert listed == names


def test_modes_and_codes() -> None:
    assert [cell.split("`")[1] for cell in rows(KEYS, "## Modes")] == [
        AuthMode.PASSTHROUGH.value,
        AuthMode.BOTH.value,
        AuthMode.KEYS.value,
    ]
    for text in (KEYS, BUDGETS):
        assert set(re.findall(r"weighbridge_[a-z_]+(?=[`\"])", text)) <= {code.value for code in Code}
    for section, key in re.findall(r"`(auth|storage|budgets|attribution)\.(\w+)", KEYS + BUDGETS):
        assert key in type(getattr(Settings(), section)).model_fields, f"{section}.{key}"


def test_fields_of_a_budget() -> None:
    cells = rows(BUDGETS, "## What a budget says")
    assert {cell.split("`")[1] for cell in cells} == set(BudgetIn.model_fields) - {"name"}
    typed = {option for cell in cells for option in re.findall(r"--[a-z-]+", cell)}
    assert typed <= options("budgets", "create")
    assert (
        [cell.strip("` ") for cell in rows(BUDGETS, "## Modes")]
        == ["watch", "soft", "hard", "shadow"]
        == [mode.value for mode in Mode]
    )
    told = BUDGETS.partition("Dimensions:")[2].partition(", and")[0]
    assert tuple(re.findall(r"`(\w+)`", told)) == DIMENSIONS
    assert all(f"`{window.value}`" in BUDGETS for window in Window)
    assert all(f"`{kind.value}`" in BUDGETS for kind in Unpriced)


def test_figures() -> None:
    assert f"first {100 // EARLY} %" in BUDGETS
    assert (SLICES, LEASE_S, SETTLING_S, LONGEST_RETRY_S) == (20, 600, 2.0, 60)
    assert "a twentieth of what is left" in BUDGETS
    assert "ten minutes" in BUDGETS
    assert "two seconds" in BUDGETS
    assert "more than a minute" in BUDGETS
    assert f"`{FILE}`" in KEYS
    assert (DAY_MS, MOST_GRACE_MS) == (86_400_000, 90 * 86_400_000)
    assert "(24 h unless\nsaid otherwise, 0 for not at all, 90 days at most)" in KEYS
