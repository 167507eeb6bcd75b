"""What the README lists is what there is."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import files
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
HOUSE = ("pricing", "telemetry", "storage", "gateway", "weighbridge")
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
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            assert link.startswith("http") or (path.parent / link).exists(), f"{path.name}: {link}"


def test_every_page_is_linked() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "ARCHITECTURE.md"]
    told = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *pages])
    assert [page.name for page in pages if f"{page.name})" not in told] == []


def test_the_architecture_names_every_room_and_no_file_that_is_gone() -> None:
    told = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    files = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.suffix in (".py", ".toml", ".md")
    }
    named = set(re.findall(r"`([\w./]+\.(?:py|toml|md))`", told))
    gone = [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)]
    assert [name for name in gone if not name.endswith("NAME.py")] == []
    rooms = {path.parent.relative_to(ROOT) for package in HOUSE for path in (ROOT / package).rglob("*.py")}
    unnamed = [
        room.as_posix()
        for room in rooms
        if f"`{room.as_posix()}/" not in told and f"`{room.name}/" not in told and room.name != "versions"
    ]
    assert unnamed == []


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION
    assert f"weighbridge {VERSION} is listening" in README


def test_what_is_shipped_of_others_is_named() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    shipped = {path.name for path in (ROOT / "pricing/data").iterdir()} - {"corrections.toml"}
    assert shipped == set(re.findall(r"pricing/data/(\S+)", notice))
    for name in ("genai-prices", "tiktoken"):
        (text,) = [str(path.read_text()) for path in files(name) or () if path.name == "LICENSE"]
        holder = re.search(r"Copyright .+", text)
        assert holder is not None
        assert holder[0] in notice
        assert " ".join(text.partition("Permission is hereby")[2].split()) in " ".join(notice.split())
