"""What the README lists is what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click

from gateway.cli.exits import Exit
from gateway.cli.group import main
from gateway.headers import HOP_BY_HOP
from gateway.providers.registry import PROVIDERS
from gateway.settings import Settings
from gateway.settings.sections import ProviderSection
from gateway.version import VERSION

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_providers() -> None:
    listed = README.partition("Known providers:")[2].partition(". ")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(PROVIDERS)
    assert f"of {len(PROVIDERS)} providers" in CHANGELOG
    without = {name for name, provider in PROVIDERS.items() if provider.base_url is None}
    told = README.partition(". ")[2]
    assert all(f"`{name}`" in told for name in without)


def test_commands() -> None:
    table = README.partition("## Commands")[2].partition("## ")[0]
    commands = {name for name in main.list_commands(click.Context(main)) if name != "version"}
    told = {
        words
        for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        for words in re.findall(r"`([\w-]+)", row)
    }
    assert told == commands
    for code in Exit:
        assert re.search(rf"\b{code.value} \w+", table), code


def test_settings_keys() -> None:
    table = README.partition("| key | default | |")[2].partition("\n\n")[0]
    for section, key in re.findall(r"`(\w+)\.(\w+)`", table):
        assert key in type(getattr(Settings(), section)).model_fields, f"{section}.{key}"
    provider = next(line for line in table.splitlines() if "providers.NAME" in line)
    for key in re.findall(r"`(\w+)`", provider.partition("|")[2]):
        assert key in ProviderSection.model_fields


def test_hop_by_hop_headers() -> None:
    told = README.partition("**Hop-by-hop headers**")[2].partition("\n2.")[0]
    assert all(f"`{name.decode()}`" in told for name in HOP_BY_HOP)


def test_providers_whose_streams_are_left_alone() -> None:
    told = README.partition("report their usage unasked (")[2].partition(")")[0]
    assert set(re.findall(r"`(\w+)`", told)) == {
        name for name, provider in PROVIDERS.items() if provider.reports_stream_usage
    }


def test_make_targets() -> None:
    for target in re.findall(r"`make (\w+)[`\s]", README):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_links_lead_somewhere() -> None:
    for document in (README, (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")):
        for link in re.findall(r"\]\(([^)#]+)\)", document):
            assert link.startswith("http") or (ROOT / link).exists(), link


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION
    assert f"weighbridge {VERSION} is listening" in README
