"""Deployments of the settings price as the models they stand for."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.prices import book_of
from gateway.settings import load
from pricing.book import PriceBook, PriceQuery
from pricing.cost import CostStatus
from pricing.usage import Usage

AT = 1_790_000_000_000_000_000


def book(settings: dict[str, Any]) -> PriceBook:
    return book_of(load(None, settings))


def cost(book: PriceBook, provider: str, model: str) -> int | None:
    return book.price(PriceQuery(provider, model, None, Usage(1000, 0), AT)).total


@pytest.mark.parametrize("name", ["azure", "house"])
def test_a_deployment_costs_what_its_model_costs(name: str) -> None:
    section = {"base_url": "https://x.test", "kind": "azure", "deployments": {"prod-chat": "gpt-4o"}}
    made = book({"providers": {name: section}})
    assert cost(made, "azure", "prod-chat") == cost(made, "azure", "gpt-4o") == 1000 * 2_500
    assert cost(book({}), "azure", "prod-chat") is None


def test_an_alias_of_the_prices_goes_before_it() -> None:
    section = {"base_url": "https://x.test", "deployments": {"prod": "gpt-4o"}}
    settings = {"providers": {"azure": section}, "pricing": {"alias": {"azure": {"prod": "gpt-4o-mini"}}}}
    assert cost(book(settings), "azure", "prod") == 1000 * 150


def test_a_deployment_of_an_unknown_model_stays_unpriced() -> None:
    section = {"base_url": "https://x.test", "deployments": {"prod": "never-heard-of"}}
    made = book({"providers": {"azure": section}})
    status = made.price(PriceQuery("azure", "prod", None, Usage(1000, 0), AT)).status
    assert status is CostStatus.UNPRICED
