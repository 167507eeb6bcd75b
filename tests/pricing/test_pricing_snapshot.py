"""Snapshots: reading, compiling, reviewing a new one; suggestions for unpriced names."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from pricing import catalogue
from pricing.book import PriceBook
from pricing.catalogue import CatalogueError
from pricing.corrections import CORRECTIONS_PATH, apply_corrections
from pricing.rates import Catalogue, Entry, Period, ProviderPrices, Rates
from pricing.snapshot import Concern, review
from pricing.suggest import suggest
from pricing.table import PriceTableError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return catalogue.load()


@pytest.fixture(scope="module")
def compiler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tools_catalogue", ROOT / "tools" / "catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shipped_snapshot_is_what_source_and_corrections_compile_to(
    compiler: ModuleType, shipped: Catalogue
) -> None:
    compiled = compiler.compile_catalogue(CORRECTIONS_PATH.read_text(encoding="utf-8"))
    assert catalogue.encode(compiled) == catalogue.CATALOGUE_PATH.read_bytes()
    assert shipped == compiled


def test_every_correction_reached_the_snapshot_and_names_its_source(shipped: Catalogue) -> None:
    corrected = {
        f"{prices.id}/{entry.id}": entry
        for prices in shipped.providers
        for entry in prices.entries
        if entry.corrected
    }
    assert {"deepseek/deepseek-chat", "openai/ft:gpt-4.1", "cohere/rerank-v3.5"} <= corrected.keys()
    assert all(entry.periods[0].always for entry in corrected.values())


def test_the_first_period_of_every_entry_is_unconditional(shipped: Catalogue) -> None:
    entries = [entry for prices in shipped.providers for entry in prices.entries]
    assert len(entries) > 2_300
    assert all(entry.periods[0].always for entry in entries)


def test_factors_keep_rates_whole(shipped: Catalogue) -> None:
    checked = 0
    for prices in shipped.providers:
        for factor in prices.adjustments:
            for entry in prices.entries:
                for period in entry.periods:
                    for unit, rate in msgspec.structs.asdict(period.rates).items():
                        if rate and unit in factor.units:
                            assert rate * factor.numerator % factor.denominator == 0, (prices.id, entry.id)
                            checked += 1
    assert checked > 500


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema":1}',
        b'{"schema":1,"snapshot":"x","source":"","date":"","providers":[[1]]}',
    ],
)
def test_a_broken_snapshot_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(data)
    with pytest.raises(CatalogueError, match="not a price snapshot"):
        PriceBook.load(snapshot_path=path)


def test_a_snapshot_of_another_schema_or_none_is_refused(tmp_path: Path, shipped: Catalogue) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(catalogue.encode(msgspec.structs.replace(shipped, schema=2)))
    with pytest.raises(CatalogueError, match="schema 2"):
        catalogue.load(path)
    with pytest.raises(CatalogueError, match="cannot read"):
        catalogue.load(tmp_path / "missing.json")


def test_a_snapshot_survives_writing_and_reading(tmp_path: Path, shipped: Catalogue) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(catalogue.encode(shipped))
    assert catalogue.load(path) == shipped
    assert PriceBook.load(snapshot_path=path).snapshot == shipped.snapshot


def snapshot(**rates: int) -> Catalogue:
    """Ten models ``m0``...; ``rates`` sets the input rate of some."""
    entries = tuple(
        Entry(name, (name,), (), (Period(Rates(input=rates.get(name, 1_000), output=5)),))
        for name in (f"m{number}" for number in range(10))
        if rates.get(name, 1) >= 0
    )
    return Catalogue(1, "s", "test", "2026-01-01", (ProviderPrices("p", (), entries),))


def test_an_unchanged_snapshot_is_acceptable() -> None:
    result = review(snapshot(), snapshot())
    assert result.acceptable
    assert (result.added, result.removed, result.moved) == ((), (), ())


@pytest.mark.parametrize(("lost", "acceptable"), [(2, True), (3, False)])
def test_at_least_eighty_percent_of_the_models_stay(lost: int, acceptable: bool) -> None:
    result = review(snapshot(), snapshot(**{f"m{number}": -1 for number in range(lost)}))
    assert result.acceptable is acceptable
    assert len(result.removed) == lost
    assert acceptable or result.problems[0].concern is Concern.MODELS_LOST


@pytest.mark.parametrize(
    ("rate", "acceptable"),
    [(10_000, True), (10_001, False), (100, True), (99, False), (0, False), (1_001, True)],
)
def test_no_rate_moves_more_than_tenfold(rate: int, acceptable: bool) -> None:
    result = review(snapshot(), snapshot(m3=rate))
    assert result.acceptable is acceptable
    assert result.moved == (f"p/m3 input: 1000 -> {rate} atto-USD",)
    assert acceptable or result.problems[0].concern is Concern.RATE_MOVED


def test_an_empty_snapshot_is_refused() -> None:
    empty = Catalogue(1, "s", "test", "2026-01-01", ())
    assert [problem.concern for problem in review(snapshot(), empty).problems] == [Concern.EMPTY]


def test_suggestions(book: PriceBook) -> None:
    assert suggest(book.matcher, "openai", "gpt4o-mini")[0] == "openai/gpt-4o-mini"
    assert suggest(book.matcher, "anthropic", "claude-sonet-4-5")[0] == "anthropic/claude-sonnet-4-5"
    assert "openai/gpt-4o" in suggest(book.matcher, "my-own", "gpt-4o")
    assert suggest(book.matcher, "openai", "") == ()
    assert suggest(book.matcher, "openai", "zzzzzzzzzzzz") == ()
    assert len(suggest(book.matcher, "openai", "gpt-4o" + "x" * 5_000)) <= 3


BASE = '[[price]]\nprovider = "p"\nmodels = ["m1"]\nrates = { input = 1 }\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BASE, "price[0].source: a correction needs its source"),
        (BASE.replace('"p"', '"q"') + 'source = "s"', "price[0].provider: the catalogue has no 'q'"),
        ('[[price]]\nprovider = "p"\nstarts_with = ["a"]\nfree = true\nsource = "s"', "price[0].models"),
        (
            '[[factor]]\nprovider = "q"\nwhen = { geo = "us" }\nratio = [1, 2]\nsource = "s"',
            "factor[0].provider",
        ),
    ],
)
def test_corrections_are_checked(text: str, says: str) -> None:
    with pytest.raises(PriceTableError) as caught:
        apply_corrections(snapshot().providers, text)
    assert says in str(caught.value)


def test_a_new_entry_takes_its_names_away_from_others() -> None:
    text = '[[price]]\nprovider = "p"\nmodels = ["new", "m1"]\nrates = { input = 1 }\nsource = "s"'
    (prices,) = apply_corrections(snapshot().providers, text)
    assert prices.entries[0].names == ("new", "m1")
    assert [entry.names for entry in prices.entries if entry.id == "m1"] == [()]
