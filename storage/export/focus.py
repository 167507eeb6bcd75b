"""Calls in the columns of FOCUS 1.2 (FinOps Open Cost and Usage Specification): one row for each part of a cost.

The parts of a call add up to its cost, so the file's ``BilledCost`` adds up to what the calls cost. A charge there must
have an amount: calls whose cost is not known are left out, and whoever exports says how many.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from storage.export.columns import Cells, Column, Kind, Shape

VERSION = "1.2"
_TOKENS, _CALLS = "Tokens", "Calls"

_COLUMNS = (
    Column("BilledCost", Kind.MONEY),
    Column("BillingAccountId", Kind.TEXT),
    Column("BillingAccountName", Kind.TEXT),
    Column("BillingCurrency", Kind.TEXT),
    Column("BillingPeriodEnd", Kind.TIME),
    Column("BillingPeriodStart", Kind.TIME),
    Column("ChargeCategory", Kind.TEXT),
    Column("ChargeClass", Kind.TEXT),
    Column("ChargeDescription", Kind.TEXT),
    Column("ChargeFrequency", Kind.TEXT),
    Column("ChargePeriodEnd", Kind.TIME),
    Column("ChargePeriodStart", Kind.TIME),
    Column("ConsumedQuantity", Kind.NUMBER),
    Column("ConsumedUnit", Kind.TEXT),
    Column("ContractedCost", Kind.MONEY),
    Column("EffectiveCost", Kind.MONEY),
    Column("InvoiceIssuerName", Kind.TEXT),
    Column("ListCost", Kind.MONEY),
    Column("PricingCategory", Kind.TEXT),
    Column("PricingQuantity", Kind.NUMBER),
    Column("PricingUnit", Kind.TEXT),
    Column("ProviderName", Kind.TEXT),
    Column("PublisherName", Kind.TEXT),
    Column("ResourceId", Kind.TEXT),
    Column("ResourceName", Kind.TEXT),
    Column("ResourceType", Kind.TEXT),
    Column("ServiceCategory", Kind.TEXT),
    Column("ServiceName", Kind.TEXT),
    Column("ServiceSubcategory", Kind.TEXT),
    Column("SkuId", Kind.TEXT),
    Column("SkuMeter", Kind.TEXT),
    Column("SubAccountId", Kind.TEXT),
    Column("SubAccountName", Kind.TEXT),
    Column("Tags", Kind.JSON),
    # Columns of our own have this prefix, as FOCUS asks.
    Column("x_CallId", Kind.TEXT),
    Column("x_CostStatus", Kind.TEXT),
    Column("x_Outcome", Kind.TEXT),
    Column("x_PriceSnapshot", Kind.TEXT),
)
_TAGS = ("team", "project", "feature", "environment", "user_id", "session_id", "agent", "app", "key_id")
"""Attributes that become tags, under a prefix of ours: those without one are the app's own."""
_PREFIX = "weighbridge/"
_SELECTS = (
    *("id", "started_ns", "duration_us", "tenant_id", "tags", "provider", "operation", "outcome"),
    *("request_model", "response_model", "price_snapshot", "cost_status", "cost_nano"),
    *("cost_input_nano", "cost_output_nano", "cost_cache_read_nano", "cost_cache_write_nano"),
    *("cost_other_nano", "input_tokens", "output_tokens", "cache_read_tokens"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens", "billed_input_tokens", "billed_output_tokens"),
    *_TAGS,
)


def _rows(row: Row[Any]) -> Iterator[Cells]:
    if row.cost_nano is None:
        return
    start = datetime.fromtimestamp(row.started_ns // 1_000_000_000, UTC)
    end = start + timedelta(seconds=max(1, math.ceil(row.duration_us / 1_000_000)))
    month = start.replace(day=1, hour=0, minute=0, second=0)
    next_month = (month + timedelta(days=32)).replace(day=1)
    model = row.response_model or row.request_model
    tags = dict(row.tags or {})
    tags |= {_PREFIX + name: value for name in _TAGS if (value := getattr(row, name)) is not None}
    for meter, nano, quantity, unit in _parts(row):
        yield (
            nano,
            row.tenant_id,
            row.tenant_id,
            "USD",
            next_month,
            month,
            "Usage",
            None,
            f"{model or row.provider}: {meter}",
            "Usage-Based",
            end,
            start,
            quantity,
            unit,
            nano,
            nano,
            row.provider,
            nano,
            "Standard",
            quantity,
            unit,
            row.provider,
            row.provider,
            model,
            model,
            None if model is None else "Model",
            "AI and Machine Learning",
            f"{row.provider} {row.operation or 'API'}",
            "Generative AI",
            f"{row.provider}/{model or ''}/{meter}",
            meter,
            row.team,
            row.team,
            tags or None,
            str(row.id),
            row.cost_status,
            row.outcome,
            row.price_snapshot,
        )


def _parts(row: Row[Any]) -> Iterable[tuple[str, int, int, str]]:
    """Meter, nano-USD, quantity and unit of each part of the cost that was used or paid for."""
    written = (row.cache_write_5m_tokens or 0) + (row.cache_write_1h_tokens or 0)
    read = row.cache_read_tokens or 0
    fresh = (row.input_tokens or 0) - read - written
    new = fresh if row.billed_input_tokens is None else row.billed_input_tokens
    made = row.output_tokens if row.billed_output_tokens is None else row.billed_output_tokens
    known = (
        ("Input Tokens", row.cost_input_nano or 0, new),
        ("Output Tokens", row.cost_output_nano or 0, made or 0),
        ("Cached Input Tokens", row.cost_cache_read_nano or 0, read),
        ("Cache Write Tokens", row.cost_cache_write_nano or 0, written),
    )
    for meter, nano, tokens in known:
        if tokens > 0:
            yield meter, nano, tokens, _TOKENS
        elif nano:
            # Paid for, and not by a count of tokens that was reported.
            yield meter, nano, 1, _CALLS
    # Searches, pages, images, minutes, fees; and whatever of the total no part explains.
    rest = row.cost_nano - sum(nano for _, nano, _ in known)
    if rest:
        yield "Other Usage", rest, 1, _CALLS


FOCUS_SHAPE = Shape("focus", _COLUMNS, _SELECTS, _rows, leaves_out_unpriced=True)
