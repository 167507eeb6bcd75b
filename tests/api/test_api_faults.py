"""What people send wrong: always a 400 that names the field, says what is allowed and how to mend it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.api.app import ControlDeps
from gateway.api.budget_models import BudgetIn, said_of
from gateway.api.fit import Known, Unfit, fit
from gateway.api.key_models import KeyIn, TokenIn
from pricing.cost import format_usd
from storage.budgets.model import decode, encode
from storage.store import Store

from .conftest import Connect
from .control import ADMIN, ADMIN_TOKEN, NOW_S, ask, control_at

KNOWN = Known(NOW_S * 1000, ("anthropic", "openai"))
BUDGET: dict[str, Any] = {"name": "b", "limit": "500.00"}


@pytest.fixture
async def client(connect: Connect, tmp_path: Path, store: Store) -> AsyncIterator[Any]:
    control: ControlDeps = control_at(tmp_path)
    yield await connect(control=control, admin_token=ADMIN_TOKEN)
    await control.close()


FAULTS = [
    ("keys", {}, "name", "is missing"),
    ("keys", {"name": ""}, "name", "at least 1 character"),
    ("keys", {"name": "a\nb"}, "name", "not one line of text"),
    ("keys", {"name": "x" * 101}, "name", "at most 100"),
    ("keys", {"name": "a", "tem": "x"}, "tem", "Did you mean team?"),
    ("keys", {"name": "a", "user": 7}, "user", "valid string"),
    ("keys", {"name": "a", "providers": ["opnai"]}, "providers", "Did you mean openai? Allowed: anthropic, openai"),
    ("keys", {"name": "a", "required": ["seson"]}, "required", "Did you mean session? Allowed: tenant, "),
    ("keys", {"name": "a", "required": ["key_id"]}, "required", "not known"),
    ("keys", {"name": "a", "models": ["gpt 4"]}, "models.0", "not a model's name"),
    ("keys", {"name": "a", "calls_per_minute": 0}, "calls_per_minute", "greater than or equal to 1"),
    ("keys", {"name": "a", "concurrent": 1.5}, "concurrent", "valid integer"),
    ("keys", {"name": "a", "tags": {"a": 1}}, "tags.a", "valid string"),
    ("keys", {"name": "a", "expires_at": "2026-09-27T11:59:59Z"}, "expires_at", "in the past. Write a time to come"),
    ("keys", {"name": "a", "expires_at": "0d"}, "expires_at", "in the past"),
    ("keys", {"name": "a", "expires_at": "soon"}, "expires_at", "'soon' is not a time"),
    ("keys", {"name": "a", "expires_at": 7}, "expires_at", "'7' is not a time"),
    ("keys", {"name": "a", "expires_at": "999999w"}, "expires_at", "hundred years"),
    ("tokens", {"name": "a"}, "everything", "Name tenant, team or user"),
    ("tokens", {"name": "a", "team": "x", "everything": True}, "everything", "stands beside"),
    ("tokens", {"name": "a", "tennant": "x"}, "tennant", "Did you mean tenant?"),
    ("budgets", {**BUDGET, "limit": None}, "limit", "is not a number"),
    ("budgets", {"name": "b"}, "limit", "is missing"),
    ("budgets", {**BUDGET, "limt": 1}, "limt", "Did you mean limit?"),
    ("budgets", {**BUDGET, "limit": "0.0000000001"}, "limit", "more than 9 decimals"),
    ("budgets", {**BUDGET, "limit": "1.00000000000000000000000000001"}, "limit", "more than 9 decimals"),
    ("budgets", {**BUDGET, "limit": "-0.01"}, "limit", "below 0"),
    ("budgets", {**BUDGET, "limit": "NaN"}, "limit", "'NaN' is not a number"),
    ("budgets", {**BUDGET, "limit": "Infinity"}, "limit", "is not a number"),
    ("budgets", {**BUDGET, "limit": "1e3"}, "limit", "is not a number"),
    ("budgets", {**BUDGET, "limit": "12,50"}, "limit", 'such as "500.00"'),
    ("budgets", {**BUDGET, "limit": "1000000000.000000001"}, "limit", "above 1000000000 USD"),
    ("budgets", {**BUDGET, "limit": True}, "limit", "is not a number"),
    ("budgets", {**BUDGET, "unit": "tokens", "limit": "1.5"}, "limit", "whole number of tokens"),
    ("budgets", {**BUDGET, "unit": "slots"}, "unit", "Allowed: usd, tokens, calls"),
    ("budgets", {**BUDGET, "timezone": "Berlin"}, "timezone", "Did you mean Europe/Berlin?"),
    ("budgets", {**BUDGET, "timezone": "../../etc/passwd"}, "timezone", "IANA name"),
    ("budgets", {**BUDGET, "timezone": ""}, "timezone", "IANA name"),
    ("budgets", {**BUDGET, "thresholds": [50]}, "thresholds", "at most 10 (1000 %)"),
    ("budgets", {**BUDGET, "thresholds": [0]}, "thresholds", "above 0"),
    ("budgets", {**BUDGET, "thresholds": ["-10%"]}, "thresholds", "above 0"),
    ("budgets", {**BUDGET, "thresholds": 0.5}, "thresholds", "list of shares"),
    ("budgets", {**BUDGET, "thresholds": [{}]}, "thresholds", "is not a number"),
    ("budgets", {**BUDGET, "week_start": "mon"}, "week_start", "Did you mean monday? Allowed: monday, tuesday, "),
    ("budgets", {**BUDGET, "window": "weekly"}, "window", "Did you mean week? Allowed: minute, hour, day, "),
    ("budgets", {**BUDGET, "mode": "block"}, "mode", "Allowed: watch, soft, hard, shadow"),
    ("budgets", {**BUDGET, "scope": {"tem": "x"}}, "scope", "Did you mean team? Allowed: tenant, team, "),
    ("budgets", {**BUDGET, "scope": {"tag:a b": "x"}}, "scope", "letters, digits"),
    ("budgets", {**BUDGET, "scope": {"tag:": "x"}}, "scope", "names no tag"),
    ("budgets", {**BUDGET, "scope": {f"tag:{'x' * 65}": "x"}}, "scope", "64 at most"),
    ("budgets", {**BUDGET, "scope": {"team": ""}}, "scope", "no usable value"),
    ("budgets", {**BUDGET, "scope": {"team": ["a"]}}, "scope", "no usable value"),
    ("budgets", {**BUDGET, "scope": {"provider": "opnai"}}, "scope", "Did you mean openai?"),
    ("budgets", {**BUDGET, "scope": ["team"]}, "scope", "not a table"),
    ("budgets", {**BUDGET, "unpriced": "ceiling"}, "ceiling_usd_per_mtok", "is missing"),
    ("budgets", {**BUDGET, "unpriced": "ceiling", "ceiling_usd_per_mtok": "0"}, "ceiling_usd_per_mtok", "above 0"),
    ("budgets", {**BUDGET, "unpriced": "celing"}, "unpriced", "Did you mean ceiling?"),
    ("budgets", {**BUDGET, "unit": "calls", "limit": 9, "unpriced": "block"}, "unpriced", "Only a budget of USD"),
    ("budgets", {**BUDGET, "assumed_output_tokens": 0}, "assumed_output_tokens", "greater than or equal to 1"),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "body", "param", "told"), FAULTS)
async def test_the_field_is_named_and_how_to_mend_it(
    client: Any, resource: str, body: dict[str, Any], param: str, told: str
) -> None:
    error = (await ask(client, "POST", f"/api/{resource}", body, 400))["error"]
    assert (error["code"], error["param"]) == ("invalid_body", param)
    assert error["message"].startswith(f"{param}: ")
    assert told in error["message"]
    assert "Value error" not in error["message"]
    assert (await ask(client, "GET", f"/api/{resource}"))["items"] == []


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "name: is missing"),
        (b"[]", "not a JSON object"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"limit": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b'{"name": "a", "name": "b"}', "name is given twice"),
        (b'{"name": "a", "limit": 1, "scope": {"team": "a", "team": "b"}}', "team is given twice"),
        (b'{"name": "a", "limit": NaN}', "limit: 'NaN' is not a number"),
        (b'{"name": "a", "limit": 1e999999999}', "limit: "),
        (b'{"name": "a", "limit": 1e-999999999}', "more than 9 decimals"),
        (b'{"name": "a", "limit": 1e1000000000000000000}', "not JSON"),
        (b'{"name": "a", "limit": 1, "thresholds": [1e999999999999999999]}', "thresholds: "),
        (b'{"name": "a", "unit": "calls", "limit": 1e999999999999999999}', "limit: "),
    ],
)
async def test_what_is_no_json_is_refused(client: Any, raw: bytes, told: str) -> None:
    answer = await client.post("/api/budgets", data=raw, headers=ADMIN)
    assert answer.status == 400, await answer.text()
    assert told in (await answer.json())["error"]["message"]


async def test_a_number_is_taken_as_it_is_written(client: Any) -> None:
    body = b'{"name": "a", "limit": 0.1, "thresholds": [0.3, "45%", 1]}'
    answer = await client.post("/api/budgets", data=body, headers=ADMIN)
    made = await answer.json()
    assert (made["limit"], made["thresholds"]) == ("0.1", [0.3, 0.45, 1])


@pytest.mark.parametrize(
    ("path", "param", "told"),
    [
        ("/api/keys?limt=3", "limt", "Did you mean limit?"),
        ("/api/keys?limit=0", "limit", "greater than or equal to 1"),
        ("/api/keys?limit=3&limit=4", "limit", "given twice"),
        ("/api/keys?cursor=no", "cursor", "not one of ours"),
        ("/api/tokens?cursor=IiI", "cursor", "not one of ours"),
        ("/api/budgets?cursor=WzEsMV0", "cursor", "not one of ours"),
        ("/api/audit?actor=%00", "actor", "not one line of text"),
    ],
)
async def test_parameters_too(client: Any, path: str, param: str, told: str) -> None:
    error = (await ask(client, "GET", path, status=400))["error"]
    assert error["param"] == param
    assert told in error["message"]


async def test_rotation_says_what_a_grace_is(client: Any) -> None:
    key = (await ask(client, "POST", "/api/keys", {"name": "a"}, 201))["key"]
    for grace in ("a day", "91d", -1, None):
        error = (await ask(client, "POST", f"/api/keys/{key['id']}/rotate", {"grace": grace}, 400))["error"]
        assert error["param"] == "grace"
        assert "24h" in error["message"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("model", [KeyIn, TokenIn, BudgetIn])
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_sent_fits_or_is_explained(model: Any, data: st.DataObject) -> None:
    fields = st.sampled_from([*model.model_fields, "other"])
    sent = {"name": "a", "limit": "1"} if model is BudgetIn else {"name": "a"}
    sent |= data.draw(st.dictionaries(fields, ANY, max_size=4))
    with contextlib.suppress(Unfit):
        fit(model, sent, KNOWN)


@given(
    st.integers(0, 10**18),
    st.sampled_from(["minute", "day", "total"]),
    st.lists(st.integers(1, 10**7), max_size=5),
)
def test_a_budget_that_is_read_can_be_sent_back(nano: int, window: str, ppm: list[int]) -> None:
    sent = {"name": "a", "limit": format_usd(nano), "window": window, "scope": {"team": "x", "user": "*"}}
    budget = fit(BudgetIn, {**sent, "thresholds": [one / 10**6 for one in ppm]}, KNOWN).to_budget("b")
    assert budget.limit == nano
    assert set(budget.thresholds_ppm) == set(ppm)
    assert fit(BudgetIn, said_of(budget), KNOWN).to_budget("b") == budget == decode(encode(budget))
