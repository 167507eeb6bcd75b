"""Budgets over HTTP: made, changed and ended, and how their accounts stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.api.app import ControlDeps
from gateway.api.budget_views import projected, seen_by
from gateway.api.viewer import ADMIN as EVERYBODY
from gateway.api.viewer import Viewer
from gateway.ids import call_id
from pricing.cost import Cost, CostSource, CostStatus
from storage.address import parse
from storage.budgets import leases
from storage.budgets.companion import BudgetCompanion
from storage.budgets.leases import Ask, Told
from storage.budgets.model import Budget, Window, account_of, decode
from storage.budgets.windows import span_of
from storage.schema import Migrate
from storage.store import Store
from storage.targets import open_target
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

from .conftest import Connect
from .control import ADMIN_TOKEN, NOW_S, ask, control_at

USD = 1_000_000_000
TOKENS = {
    "search": Viewer("search", team="search"),
    "ann": Viewer("ann", tenant="acme", user="ann"),
    "acme": Viewer("acme", tenant="acme"),
    "all": Viewer("all"),
}
Write = Callable[..., None]


async def tokens(told: str) -> Viewer | None:
    return TOKENS.get(told)


@pytest.fixture
async def control(tmp_path: Path, store: Store) -> AsyncIterator[ControlDeps]:
    opened = control_at(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def client(connect: Connect, control: ControlDeps) -> Any:
    return await connect(control=control, admin_token=ADMIN_TOKEN, tokens=tokens)


def spent(nano: int | None, at_s: int = NOW_S - 3600, **who: str) -> CallRecord:
    status = CostStatus.UNPRICED if nano is None else CostStatus.PRICED
    return CallRecord(
        call_id(at_s * USD),
        Outcome.COMPLETED,
        Who(**who),
        What("openai", "openai_chat", "chat", "POST", "/v1/chat/completions", "gpt-4o", False, None, 10),
        Route(),
        Timing(at_s * USD),
        Answer(200),
        None,
        UsageSource.NONE,
        Cost(status, CostSource.CATALOGUE, nano),
    )


@pytest.fixture
def write(tmp_path: Path, store: Store) -> Write:
    """Rows of calls, as the writer makes them."""

    def put(*records: CallRecord) -> None:
        target = open_target(
            parse(None, tmp_path), migrate=Migrate.MANUAL, timeout_s=10, power_safe=False, companions=(BudgetCompanion(),)
        )  # fmt: skip
        target.connect()
        target.write(records)
        target.close()

    return put


def reading(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


async def test_a_budget_tells_how_it_stands(client: Any, control: ControlDeps, write: Write) -> None:
    write(spent(2 * USD, team="search"), spent(30 * USD, team="ads"))  # before it is made: counts as well
    body = {"name": "search", "limit": "10", "mode": "hard", "scope": {"team": "search"}}
    made = await ask(client, "POST", "/api/budgets", body, 201)
    write(spent(3 * USD + 1, team="search"), spent(None, team="search"))
    (budget,) = [decode(row[0]) for row in await control.db.fetch("SELECT definition FROM budgets")]
    account = account_of(budget, "", span_of(budget.window, "UTC", 1, NOW_S))
    await leases.grant(control.db, "w", [Ask(account, USD)], NOW_S * 1000, 1)
    await leases.tell(control.db, "w", [Told(account, denied=4)], NOW_S * 1000, 2)
    found = await ask(client, "GET", f"/api/budgets/{made['id']}")
    month, elapsed = 30 * 86_400, NOW_S - account.start_s
    ahead = (5 * USD + 1) * month // elapsed
    assert found == {
        "id": budget.id,
        "name": "search",
        "unit": "usd",
        "limit": "10",
        "window": "month",
        "timezone": "UTC",
        "week_start": "monday",
        "scope": {"team": "search"},
        "mode": "hard",
        "thresholds": [0.5, 0.75, 0.9, 1.0],
        "unpriced": "ignore",
        "ceiling_usd_per_mtok": None,
        "assumed_output_tokens": 1024,
        "accounts_count": 1,
        "accounts": [
            {
                "of": {"team": "search"},
                "window": "month:2026-09-01T00:00:00Z",
                "window_start": "2026-09-01T00:00:00Z",
                "window_end": "2026-10-01T00:00:00Z",
                "spent": {"usd": "5.000000001", "nano_usd": 5 * USD + 1, "count": None},
                "reserved": {"usd": "1", "nano_usd": USD, "count": None},
                "remaining": {"usd": "3.999999999", "nano_usd": 4 * USD - 1, "count": None},
                "used": 0.5,
                "projected": {
                    "usd": f"{ahead // USD}.{ahead % USD:09d}".rstrip("0"),
                    "nano_usd": ahead,
                    "count": None,
                },
                "crossed": [0.5],
                "calls": 3,
                "unpriced": 1,
                "denied": 4,
            }
        ],
        "notes": [],
    }
    assert (await ask(client, "GET", "/api/budgets"))["items"] == [found]


async def test_what_a_budget_would_not_hold_is_told_to_who_makes_it(client: Any, write: Write) -> None:
    body = {"name": "early", "limit": "10", "mode": "hard", "scope": {"model": "gpt4o"}}
    assert (await ask(client, "POST", "/api/budgets", body, 201))["notes"] == []  # there are no calls yet
    write(spent(USD, team="search"), spent(None, team="search"))
    made = await ask(client, "POST", "/api/budgets", {**body, "name": "late"}, 201)
    assert made["notes"] == [
        "scope: no call asks for gpt4o, of the latest 2. Did you mean gpt-4o? Until one does, the budget counts nothing"
    ]
    changed = await ask(client, "PATCH", f"/api/budgets/{made['id']}", {"scope": {"model": "gpt-4o"}})
    (note,) = changed["notes"]
    assert note.startswith("unpriced: 1 call has no known price and counts as nothing")
    for rest in ({"mode": "soft"}, {"mode": "hard", "unpriced": "block"}):
        assert (await ask(client, "PATCH", f"/api/budgets/{made['id']}", rest))["notes"] == []


async def test_other_units_are_counted(client: Any, write: Write) -> None:
    body = {"name": "calls", "limit": 0, "unit": "calls", "window": "total"}
    made = await ask(client, "POST", "/api/budgets", body, 201)
    write(spent(1), spent(1))
    (account,) = (await ask(client, "GET", f"/api/budgets/{made['id']}"))["accounts"]
    assert account["spent"] == {"usd": None, "nano_usd": None, "count": 2}
    assert account["remaining"]["count"] == 0
    assert (account["window"], account["window_start"], account["window_end"]) == ("total", None, None)
    assert (account["used"], account["projected"], account["crossed"]) == (None, None, [])


async def test_a_change_keeps_what_was_spent_unless_it_counts_otherwise(client: Any, write: Write) -> None:
    write(spent(2 * USD, team="search", user="ann"), spent(USD, at_s=NOW_S - 40 * 86_400, team="search"))
    made = await ask(client, "POST", "/api/budgets", {"name": "b", "limit": "10"}, 201)
    path = f"/api/budgets/{made['id']}"
    assert made["accounts"][0]["spent"]["usd"] == "2"
    changed = await ask(client, "PATCH", path, {"limit": "4", "mode": "hard", "thresholds": ["50%"]})
    assert changed["accounts"][0]["crossed"] == [0.5]
    assert (changed["mode"], changed["accounts"][0]["spent"]["usd"]) == ("hard", "2")
    changed = await ask(client, "PATCH", path, {"window": "total"})
    assert changed["accounts"][0]["spent"]["usd"] == "3"
    changed = await ask(client, "PATCH", path, {"scope": {"user": "*"}})
    assert [one["of"] for one in changed["accounts"]] == [{"user": "ann"}]
    error = (await ask(client, "PATCH", path, {"unpriced": "ceiling"}, 400))["error"]
    assert error["param"] == "ceiling_usd_per_mtok"
    assert await ask(client, "GET", path) == changed


async def test_names_are_taken_once(client: Any) -> None:
    first = await ask(client, "POST", "/api/budgets", {"name": "b", "limit": "10"}, 201)
    second = await ask(client, "POST", "/api/budgets", {"name": "c", "limit": "10"}, 201)
    for method, path, body in (
        ("POST", "/api/budgets", {"name": "b", "limit": 1}),
        ("PATCH", f"/api/budgets/{second['id']}", {"name": "b"}),
    ):
        error = (await ask(client, method, path, body, 409))["error"]
        assert (error["code"], error["param"]) == ("name_taken", "name")
    assert await ask(client, "DELETE", f"/api/budgets/{first['id']}") == {"id": first["id"], "deleted": True}
    await ask(client, "DELETE", f"/api/budgets/{first['id']}", status=404)
    await ask(client, "PATCH", f"/api/budgets/{second['id']}", {"name": "b"})


async def test_changes_that_meet_are_both_there(client: Any) -> None:
    made = await ask(client, "POST", "/api/budgets", {"name": "b", "limit": "10"}, 201)
    changes = [{"limit": "20"}, {"mode": "soft"}, {"week_start": "sunday"}, {"assumed_output_tokens": 7}]
    await asyncio.gather(*(ask(client, "PATCH", f"/api/budgets/{made['id']}", one) for one in changes))
    found = await ask(client, "GET", f"/api/budgets/{made['id']}")
    for one in changes:
        assert {**found, **one} == found


async def test_accounts_are_found_by_value_and_paged(client: Any, write: Write) -> None:
    body = {"name": "each", "limit": "9", "scope": {"team": "*", "user": "*", "tenant": "acme"}}
    made = await ask(client, "POST", "/api/budgets", body, 201)
    path = f"/api/budgets/{made['id']}/accounts"
    users = ["ann", 'b"ob', "ça", "x%", "", "*"]
    write(*(spent(n * USD, tenant="acme", team=team, user=user) for n, user in enumerate(users) if user for team in ("search", "ads")))  # fmt: skip
    shown = await ask(client, "GET", f"/api/budgets/{made['id']}")
    assert (len(shown["accounts"]), shown["accounts_count"]) == (5, 10)
    whole = (await ask(client, "GET", path))["items"]
    amounts = [one["spent"]["nano_usd"] for one in whole]
    assert len(whole) == 10
    assert amounts == sorted(amounts, reverse=True)
    found: list[Any] = []
    cursor = ""
    while True:
        page = await ask(client, "GET", f"{path}?limit=3{cursor}")
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == whole
    for user in users:
        if user:
            some = (await client.get(path, params={"user": user}, headers=reading("all"))).json()
            assert [one["of"]["user"] for one in (await some)["items"]] == [user, user]
    one = await client.get(path, params={"user": 'b"ob', "team": "ads"}, headers=reading("all"))
    assert [one["of"] for one in (await one.json())["items"]] == [
        {"tenant": "acme", "team": "ads", "user": 'b"ob'}
    ]
    error = (await ask(client, "GET", f"{path}?project=x", status=400))["error"]
    assert error["param"] == "project"
    assert "It has one for each team, user." in error["message"]


SCOPES: dict[str, dict[str, str]] = {
    "everything": {},
    "acme": {"tenant": "acme"},
    "rival": {"tenant": "rival"},
    "search": {"team": "search"},
    "acme search": {"tenant": "acme", "team": "search"},
    "ann": {"user": "ann"},
    "acme ann": {"tenant": "acme", "user": "ann"},
    "each tenant": {"tenant": "*"},
    "each team": {"team": "*"},
    "each user of acme": {"tenant": "acme", "user": "*"},
    "each user of each tenant": {"tenant": "*", "user": "*"},
    "model": {"model": "gpt-4o"},
}
SEEN = {
    "all": set(SCOPES),
    "search": {"search", "acme search", "each team"},
    "acme": {"acme", "acme search", "acme ann", "each tenant", "each user of acme", "each user of each tenant"},
    "ann": {"acme ann", "each user of acme", "each user of each tenant"},
}  # fmt: skip


@pytest.mark.parametrize("who", SEEN)
async def test_a_reader_sees_the_accounts_of_its_calls_alone(client: Any, write: Write, who: str) -> None:
    ids = {}
    for name, scope in SCOPES.items():
        made = await ask(client, "POST", "/api/budgets", {"name": name, "limit": "9", "scope": scope}, 201)
        ids[name] = made["id"]
    write(*(spent(USD, tenant=tenant, team=team, user=user) for tenant in ("acme", "rival") for team in ("search", "ads") for user in ("ann", "bob")))  # fmt: skip
    viewer = TOKENS[who]
    own = {name: value for name in ("tenant", "team", "user") if (value := getattr(viewer, name))}
    shown = {
        one["name"]: one for one in (await ask(client, "GET", "/api/budgets", headers=reading(who)))["items"]
    }
    assert set(shown) == SEEN[who]
    for name, id_ in ids.items():
        path = f"/api/budgets/{id_}"
        if name not in shown:
            await ask(client, "GET", path, status=404, headers=reading(who))
            await ask(client, "GET", f"{path}/accounts", status=404, headers=reading(who))
            continue
        assert await ask(client, "GET", path, headers=reading(who)) == shown[name]
        accounts = (await ask(client, "GET", f"{path}/accounts", headers=reading(who)))["items"]
        assert len(accounts) == shown[name]["accounts_count"]
        for account in accounts:
            assert {**account["of"], **own} == account["of"]
    if who in ("acme", "ann"):
        path = f"/api/budgets/{ids['each user of each tenant']}/accounts?tenant=rival&user=ann"
        assert await ask(client, "GET", path, headers=reading(who)) == {"items": [], "next_cursor": None}
    one = f"/api/budgets/{ids['ann']}"
    for method, path in (("POST", "/api/budgets"), ("PATCH", one), ("DELETE", one)):
        await ask(client, method, path, {}, 403, reading(who))


def test_who_sees_what_is_decided_by_what_is_named() -> None:
    budget = Budget(id="b", name="b", limit=1, scope=(("team", "*"), ("tenant", "acme")))
    assert seen_by(EVERYBODY, budget) == ()
    assert seen_by(Viewer("a", tenant="acme"), budget) == ()
    assert seen_by(Viewer("a", tenant="acme", team="x"), budget) == (("team", "x"),)
    assert seen_by(Viewer("a", tenant="rival"), budget) is None
    assert seen_by(Viewer("a", tenant="acme", user="ann"), budget) is None


@pytest.mark.parametrize(
    ("passed", "expected"), [(0, None), (4_319, None), (4_320, 2_000), (43_200, 200), (86_400, 100)]
)
def test_the_end_of_a_window_is_guessed_when_a_part_is_over(passed: int, expected: int | None) -> None:
    budget = Budget(id="b", name="b", limit=1, window=Window.DAY)
    account = account_of(budget, "", span_of(Window.DAY, "UTC", 1, NOW_S))
    assert projected(account, 100, account.start_s + passed) == expected


async def test_lists_are_paged_by_name(client: Any) -> None:
    names = ["b", "A", "ä", "c 2", "c 10"]
    for name in names:
        await ask(client, "POST", "/api/budgets", {"name": name, "limit": "1"}, 201)
    found: list[str] = []
    cursor = ""
    while True:
        page = await ask(client, "GET", f"/api/budgets?limit=2{cursor}")
        found += [one["name"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == sorted(names)


async def test_without_the_database_the_api_says_so(connect: Connect, tmp_path: Path, store: Store) -> None:
    control = control_at(tmp_path / "nothing")
    client = await connect(control=control, admin_token=SecretStr("correct horse"))
    for path in ("/api/keys", "/api/tokens", "/api/budgets", "/api/audit"):
        error = (await ask(client, "GET", path, status=503))["error"]
        assert error["code"] == "store_unavailable"
    await control.close()
