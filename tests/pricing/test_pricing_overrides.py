"""What users set: prices, names, resale; and the errors they get."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pricing import catalogue
from pricing.book import PriceBook, PriceQuery
from pricing.cost import Cost, CostSource, CostStatus
from pricing.overrides import Overrides, OverridesFile, parse_overrides
from pricing.table import PriceTableError, convert_rates
from pricing.units import UNITS
from pricing.usage import Usage

TEXT = Usage(input=1_000, output=100)

OVERRIDES = """
[[price]]
provider = "openai"
models = ["gpt-4o"]
rates = { input = 2, output = "8.5", cache_read = 1 }
tiers = [{ above = 5000, rates = { input = 4 } }]
source = "contract of 2026"

[[price]]
provider = "openai"
models = ["gpt-5"]
from = 2026-02-01
until = 2026-03-01T12:00:00Z
rates = { input = 1 , output = 1}

[[price]]
provider = "openai"
models = ["gpt-4o"]
when = { processing = "batch" }
rates = { input = 1, output = 4 }

[[price]]
provider = "openai"
starts_with = ["ft:gpt-4o-2024-08-06:acme"]
rates = { input = 9, output = 9 }

[[price]]
provider = "ollama"
models = ["*"]
free = true

[[price]]
provider = "ollama"
models = ["llama3:70b"]
rates = { input = 0.7, output = 0.7 }

[[price]]
provider = "studio"
models = ["painter"]
rates = { image = 40, audio_hour = 0.36, character = 15, page = 2, search_unit = 2, request = 1 }

[[price]]
provider = "openrouter"
models = ["openai/gpt-4o"]
rates = { input = 1, output = 1 }

[alias.azure]
"prod-chat" = "gpt-4o"
"tuned" = "openai/ft:gpt-4o-2024-08-06:x::y"

[alias.bedrock]
"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2" = "global.anthropic.claude-opus-4-8"

[alias.my-gateway]
"fast" = "openai/gpt-4o-mini"

[serves]
my-proxy = ["openai", "anthropic"]
"""


@pytest.fixture(scope="module")
def own() -> PriceBook:
    return PriceBook.load(OVERRIDES)


def cost_of(book: PriceBook, provider: str, model: str | None, usage: Usage = TEXT, **more: Any) -> Cost:
    moment = more.pop("at", datetime(2026, 11, 20, tzinfo=UTC))
    asked = more.pop("asked", None)
    return book.price(PriceQuery(provider, model, asked, usage, int(moment.timestamp()) * 10**9, **more))


def test_an_override_beats_the_catalogue_and_the_reported_charge(own: PriceBook) -> None:
    cost = cost_of(own, "openai", "gpt-4o")
    assert (cost.source, cost.total) == (CostSource.OVERRIDE, 1_000 * 2_000 + 100 * 8_500)
    charged = cost_of(own, "openrouter", "openai/gpt-4o", charge=5)
    assert (charged.source, charged.total) == (CostSource.OVERRIDE, 1_100_000)


def test_an_override_holds_for_the_dated_names_of_the_same_entry(own: PriceBook) -> None:
    assert cost_of(own, "openai", "gpt-4o-2024-08-06").source is CostSource.OVERRIDE
    assert cost_of(own, "openai", "gpt-4o-mini").source is CostSource.CATALOGUE


def test_an_override_has_tiers_conditions_and_a_source(own: PriceBook) -> None:
    assert cost_of(own, "openai", "gpt-4o", Usage(input=5_001, output=0)).total == 5_001 * 4_000
    assert cost_of(own, "openai", "gpt-4o", batch=True).total == 1_000 * 1_000 + 100 * 4_000
    told = own.explain(PriceQuery("openai", "gpt-4o", None, TEXT, 10**18))
    assert told.rates_source == "contract of 2026"


@pytest.mark.parametrize(
    ("at", "source"),
    [
        (datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), CostSource.CATALOGUE),
        (datetime(2026, 2, 1, tzinfo=UTC), CostSource.OVERRIDE),
        (datetime(2026, 3, 1, 11, 59, 59, tzinfo=UTC), CostSource.OVERRIDE),
        (datetime(2026, 3, 1, 12, 0, tzinfo=UTC), CostSource.CATALOGUE),
    ],
)
def test_an_override_holds_between_its_dates(own: PriceBook, at: datetime, source: CostSource) -> None:
    assert cost_of(own, "openai", "gpt-5", at=at).source is source


def test_own_fine_tunes_by_the_start_of_their_name(own: PriceBook) -> None:
    assert cost_of(own, "openai", "ft:gpt-4o-2024-08-06:acme::1").total == 1_100 * 9_000
    assert cost_of(own, "openai", "ft:gpt-4o-2024-08-06:other::1").source is CostSource.CATALOGUE


def test_self_hosted_models_are_free_unless_named(own: PriceBook) -> None:
    free = cost_of(own, "ollama", "qwen3:8b", Usage(input=5, output=5, web_searches=1))
    assert (free.status, free.source, free.total) == (CostStatus.PRICED, CostSource.OVERRIDE, 0)
    assert cost_of(own, "ollama", "llama3:70b").total == 1_100 * 700
    assert cost_of(own, "ollama", None).total == 0


def test_every_unit_can_be_priced(own: PriceBook) -> None:
    usage = Usage(images=2, audio_ms=1_000, characters=3, pages=4, search_units=5)
    cost = cost_of(own, "studio", "painter", usage)
    assert cost.status is CostStatus.PRICED
    assert cost.other == cost.total == 80_000_000 + 100_000 + 45_000 + 8_000_000 + 10_000_000 + 1_000_000


def test_aliases_name_deployments_and_profiles(own: PriceBook) -> None:
    def entry(provider: str, model: str | None, asked: str | None = None) -> str | None:
        hit = own.find(provider, model, asked).hit
        return hit and f"{hit.owner}/{hit.entry.id}"

    assert entry("azure", None, "prod-chat") == "openai/gpt-4o"
    assert entry("azure", "gpt-4o-mini", "prod-chat") == "openai/gpt-4o"
    assert entry("azure", "tuned") == "openai/ft:gpt-4o"
    profile = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2"
    assert entry("aws", profile) == "aws/global.anthropic.claude-opus-4-8-v1:0"
    assert entry("my-gateway", "fast") == "openai/gpt-4o-mini"
    assert entry("my-gateway", "gpt-4o") is None


def test_resale_has_to_be_said(own: PriceBook, book: PriceBook) -> None:
    assert cost_of(own, "my-proxy", "claude-opus-4-8").status is CostStatus.PRICED
    assert cost_of(own, "my-proxy", "openai/gpt-4o-mini").rule == "openai/gpt-4o-mini via my-proxy"
    assert cost_of(book, "my-proxy", "claude-opus-4-8").status is CostStatus.UNPRICED


ONE = '[[price]]\nprovider = "x"\nmodels = ["a"]\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("price = 3", "price: expected a list, got a whole number"),
        ("[[prices]]", "prices"),
        ('[[price]]\nprovidr = "x"', "price[0].providr: unknown key; known are provider"),
        ('[[price]]\nprovider = "x"\nmodels = "a"\nfree = true', "price[0].models"),
        ('[[price]]\nprovider = "x"\nfree = true', "price[0]: name the models"),
        ('[[price]]\nprovider = ""\nmodels = ["a"]\nfree = true', "price[0].provider"),
        (ONE, "price[0]: give either `rates` or `free = true`"),
        (ONE + "free = true\nrates = { input = 1 }", "price[0]: give either"),
        (ONE + "rates = { inptu = 1 }", "price[0].rates.inptu: unknown unit; known are input"),
        (ONE + "rates = { input = -1 }", "price[0].rates.input: -1 is not a price"),
        (ONE + 'rates = { input = "cheap" }', "price[0].rates.input: 'cheap' is not a number"),
        (ONE + "rates = { input = true }", "price[0].rates.input: True is not a number"),
        (ONE + "rates = { input = nan }", "price[0].rates.input"),
        (ONE + "rates = { input = inf }", "price[0].rates.input"),
        (ONE + "rates = { input = 1e40 }", "price[0].rates.input"),
        (ONE + "rates = { input = 0.0000000000001 }", "price[0].rates.input: 1E-13 has more digits"),
        (ONE + "free = true\nfrom = 3", "price[0].from: 3 is not a date"),
        (ONE + 'free = true\nuntil = "soon"', "price[0].until: 'soon' is not a date"),
        (ONE + "free = true\nfrom = 2026-02-01\nuntil = 2026-01-01", "price[0].until: must be later"),
        (ONE + 'free = true\nhours = "nine to five"', "price[0].hours"),
        (ONE + 'free = true\nweekdays = ["monday"]', "price[0].weekdays: 'monday' is not one of mon"),
        (ONE + 'free = true\nwhen = { service_tier = "quick" }', "price[0].when.service_tier"),
        (ONE + 'free = true\nwhen = { moon = "full" }', "price[0].when.moon"),
        (
            ONE + "rates = { input = 1 }\ntiers = [{ above = 9, rates = { x = 1 } }]",
            "price[0].tiers[0].rates.x",
        ),
        (
            ONE + "rates = { input = 1 }\ntiers = [{ above = 9, rates = {} }, { above = 9, rates = {} }]",
            "price[0].tiers: `above` must rise",
        ),
        ("[alias.azure]\nprod = 3", "alias.azure.prod: 3 is not a name"),
        ('[serves]\nmine = "openai"', "serves.mine: 'openai' is not a list"),
        ("[serves]\nmine = [3]", "serves.mine: 3 is not a name"),
        ("x =", "not valid TOML"),
        ("x = 1e1000000000000000000", "not valid TOML: a number"),
    ],
)
def test_errors_name_the_key(text: str, says: str) -> None:
    with pytest.raises(PriceTableError) as caught:
        parse_overrides(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("written", [2, 2.5, 0.1, 0.0028, 1e-7, "0.30", Decimal("4.05")])
def test_figures_of_any_kind_are_taken_as_written(written: Any) -> None:
    rate = convert_rates({"input": written}, "rates").input
    assert rate == Decimal(str(written)) * 10**12


def test_later_tables_win(book: PriceBook) -> None:
    table = '[[price]]\nprovider = "openai"\nmodels = ["gpt-4o"]\nrates = {{ input = {}, output = 0 }}\n'
    own = PriceBook.load(table.format(1) + table.format(2))
    assert cost_of(own, "openai", "gpt-4o").total == 1_000 * 2_000


def test_tables_may_come_from_settings_instead_of_text() -> None:
    file = OverridesFile(serves={"mine": ("openai",)}, alias={"mine": {"fast": "gpt-4o"}})
    own = PriceBook(catalogue.load(), Overrides(file))
    assert cost_of(own, "mine", "fast").rule == "openai/gpt-4o via mine"


def test_the_guide_shows_prices_that_work() -> None:
    guide = Path(__file__).parents[2].joinpath("docs", "prices.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(# prices\.toml\n.*?)```", guide, re.DOTALL)
    assert len(examples) == 1
    own = PriceBook.load(examples[0])
    assert cost_of(own, "openai", "gpt-4o", batch=True).total == 1_000 * 1_000 + 100 * 4_000
    assert cost_of(own, "azure", "prod-chat").status is CostStatus.PRICED
    assert cost_of(own, "my-proxy", "claude-opus-4-8").status is CostStatus.PRICED
    units = set(re.findall(r"`([a-z_0-9]+)`", guide.partition("| units |")[2].partition("\n\n")[0]))
    assert units == set(UNITS)
