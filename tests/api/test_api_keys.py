"""Keys and tokens over HTTP: made, shown, changed, rotated, ended; and their secrets, which are nowhere else."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.api.app import ControlDeps
from gateway.attribution import hashed
from gateway.keyring import KeyRing, Snapshot
from storage.keys import admin
from storage.keys.model import digest
from storage.store import Store

from .conftest import Connect
from .control import ADMIN, ADMIN_TOKEN, NOW_S, ask, control_at

DAY_MS = 86_400_000


@pytest.fixture
async def control(tmp_path: Path, store: Store) -> AsyncIterator[ControlDeps]:
    opened = control_at(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def client(connect: Connect, control: ControlDeps) -> Any:
    return await connect(control=control, admin_token=ADMIN_TOKEN)


FULL = {
    "name": "search in production",
    "tenant": "acme",
    "team": "search",
    "user": "ann",
    "project": "shop",
    "environment": "prod",
    "tags": {"tier": "gold"},
    "providers": ["openai"],
    "models": ["gpt-4o*"],
    "required": ["session", "feature"],
    "calls_per_minute": 60,
    "tokens_per_minute": 100_000,
    "concurrent": 4,
    "trusts_prices": True,
    "traced": True,
    "expires_at": "2027-01-01T00:00:00Z",
}


async def test_a_key_is_shown_as_it_was_made(client: Any, control: ControlDeps) -> None:
    made = await ask(client, "POST", "/api/keys", FULL, 201)
    key = made["key"]
    assert {**key, **FULL} == key
    assert (key["state"], key["created_at"], key["revoked_at"]) == ("active", "2026-09-27T12:00:00Z", None)
    assert made["secret"].startswith("wbk_")
    assert await ask(client, "GET", f"/api/keys/{key['id']}") == key
    assert await ask(client, "GET", "/api/keys") == {"items": [key], "next_cursor": None}
    row = await admin.key_of(control.db, key["id"])
    assert row is not None
    assert row.digest == digest(made["secret"])
    least = await ask(client, "POST", "/api/keys", {"name": "least"}, 201)
    assert least["key"]["expires_at"] is None


async def test_a_change_leaves_alone_what_it_does_not_name(client: Any) -> None:
    key = (await ask(client, "POST", "/api/keys", FULL, 201))["key"]
    path = f"/api/keys/{key['id']}"
    changed = await ask(client, "PATCH", path, {"team": None, "concurrent": 9, "tags": {}})
    assert changed == {**key, "team": None, "concurrent": 9, "tags": {}}
    assert await ask(client, "GET", path) == changed
    lines = (await ask(client, "GET", f"/api/audit?subject={key['id']}"))["items"]
    assert [(line["action"], line["actor"]) for line in lines] == [
        ("key.update", "admin"),
        ("key.create", "admin"),
    ]
    assert lines[0]["detail"]["changes"] == {
        "team": {"before": "search", "after": None},
        "tags": {"before": [["tier", "gold"]], "after": []},
        "concurrent": {"before": 4, "after": 9},
    }  # fmt: skip
    assert await ask(client, "PATCH", path, {"concurrent": 9}) == changed
    assert len((await ask(client, "GET", f"/api/audit?subject={key['id']}"))["items"]) == 2


async def test_a_provider_that_is_gone_from_the_settings_does_not_block_a_change(
    connect: Connect, tmp_path: Path, store: Store
) -> None:
    names = ["house", "openai"]
    control = control_at(tmp_path, providers=lambda: names)
    client = await connect(control=control, admin_token=ADMIN_TOKEN)
    key = (await ask(client, "POST", "/api/keys", {"name": "a", "providers": ["house"]}, 201))["key"]
    names.remove("house")
    changed = await ask(client, "PATCH", f"/api/keys/{key['id']}", {"name": "b"})
    assert (changed["name"], changed["providers"]) == ("b", ["house"])
    await control.close()


async def test_rotation_leaves_both_secrets_good_for_the_grace(
    client: Any, control: ControlDeps, tmp_path: Path
) -> None:
    first = await ask(client, "POST", "/api/keys", {"name": "a"}, 201)
    path = f"/api/keys/{first['key']['id']}"
    second = await ask(client, "POST", f"{path}/rotate")
    assert second["secret"] != first["secret"]
    assert second["key"]["replaced_secret_until"] == "2026-09-28T12:00:00Z"
    ring = KeyRing(tmp_path)
    ring.take(Snapshot(1, await admin.keys(control.db), []))
    now_ms = NOW_S * 1000
    for secret, until in ((first["secret"], now_ms + DAY_MS), (second["secret"], None)):
        known = ring.find(secret.encode(), now_ms)
        assert known is not None
        assert known.until_ms == until
    third = await ask(client, "POST", f"{path}/rotate", {"grace": "0"})
    assert third["key"]["replaced_secret_until"] is None
    ring.take(Snapshot(2, await admin.keys(control.db), []))
    assert [ring.find(made["secret"].encode(), now_ms) is not None for made in (first, second, third)] == [False, False, True]  # fmt: skip


async def test_a_revoked_key_stays_revoked(client: Any) -> None:
    key = (await ask(client, "POST", "/api/keys", {"name": "a"}, 201))["key"]
    path = f"/api/keys/{key['id']}"
    gone = await ask(client, "DELETE", path)
    assert gone == {**key, "state": "revoked", "revoked_at": "2026-09-27T12:00:00Z"}
    assert await ask(client, "DELETE", path) == gone
    for method, at, body in (("PATCH", path, {"name": "b"}), ("POST", f"{path}/rotate", None)):
        error = (await ask(client, method, at, body, 409))["error"]
        assert error["code"] == "key_revoked"
    actions = [line["action"] for line in (await ask(client, "GET", "/api/audit"))["items"]]
    assert actions == ["key.revoke", "key.create"]


@pytest.mark.parametrize("id_", ["key_0123456789abcdef", "nothing", "%00", "%ED%A0%80", "a.b", "%27"])
async def test_an_id_that_is_none_is_not_found(client: Any, id_: str) -> None:
    for method, path in (
        ("GET", f"/api/keys/{id_}"),
        ("PATCH", f"/api/keys/{id_}"),
        ("DELETE", f"/api/keys/{id_}"),
        ("POST", f"/api/keys/{id_}/rotate"),
        ("DELETE", f"/api/tokens/{id_}"),
        ("GET", f"/api/budgets/{id_}"),
        ("PATCH", f"/api/budgets/{id_}"),
        ("DELETE", f"/api/budgets/{id_}"),
        ("GET", f"/api/budgets/{id_}/accounts"),
    ):
        error = (await ask(client, method, path, status=404))["error"]
        assert error["code"] == "not_found"
        assert "lists what there is" in error["message"]


@pytest.mark.parametrize("resource", ["keys", "tokens"])
async def test_lists_are_paged_newest_first(
    connect: Connect, tmp_path: Path, store: Store, resource: str
) -> None:
    moments = iter(range(NOW_S, NOW_S + 1000))
    control = control_at(tmp_path, clock=lambda: float(next(moments) // 4))  # some made in the same second
    client = await connect(control=control, admin_token=ADMIN_TOKEN)
    body = {} if resource == "keys" else {"everything": True}
    for number in range(7):
        await ask(client, "POST", f"/api/{resource}", {"name": f"n{number}", **body}, 201)
    whole = (await ask(client, "GET", f"/api/{resource}"))["items"]
    assert len(whole) == 7
    assert [one["created_at"] for one in whole] == sorted((one["created_at"] for one in whole), reverse=True)
    found: list[str] = []
    cursor = ""
    while True:
        page = await ask(client, "GET", f"/api/{resource}?limit=3{cursor}")
        found += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == [one["id"] for one in whole]
    await control.close()


async def test_tokens_are_made_and_ended(client: Any) -> None:
    body = {"name": "finance", "tenant": "acme", "team": "search", "expires_at": "30d"}
    made = await ask(client, "POST", "/api/tokens", body, 201)
    token = made["token"]
    assert {**token, **body, "expires_at": "2026-10-27T12:00:00Z"} == token
    assert made["secret"].startswith("wbt_")
    assert (await ask(client, "GET", "/api/tokens"))["items"] == [token]
    gone = await ask(client, "DELETE", f"/api/tokens/{token['id']}")
    assert (gone["state"], gone["revoked_at"]) == ("revoked", "2026-09-27T12:00:00Z")
    assert await ask(client, "DELETE", f"/api/tokens/{token['id']}") == gone


async def test_user_ids_are_kept_as_calls_keep_them(connect: Connect, tmp_path: Path, store: Store) -> None:
    control = control_at(tmp_path, salt=lambda: ADMIN_TOKEN)
    client = await connect(control=control, admin_token=ADMIN_TOKEN)
    kept = hashed("ann", ADMIN_TOKEN)
    for user in ("ann", kept):
        token = (await ask(client, "POST", "/api/tokens", {"name": "a", "user": user}, 201))["token"]
        assert token["user"] == kept
        body = {"name": f"of {user}", "limit": 1, "scope": {"user": user}}
        assert (await ask(client, "POST", "/api/budgets", body, 201))["scope"] == {"user": kept}
    each = {"name": "each", "limit": 1, "scope": {"user": "*"}}
    assert (await ask(client, "POST", "/api/budgets", each, 201))["scope"] == {"user": "*"}
    await control.close()


async def test_secrets_are_in_the_answer_that_makes_them_and_nowhere_else(
    client: Any, tmp_path: Path, control: ControlDeps, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets, seen = [], b""
    for path, body in (("/api/keys", {"name": "a"}), ("/api/tokens", {"name": "a", "tenant": "t"})):
        answer = await client.post(path, json=body, headers=ADMIN)
        assert answer.headers["Cache-Control"] == "no-store"
        secrets.append((await answer.json())["secret"])
    (key,) = (await ask(client, "GET", "/api/keys"))["items"]
    answer = await client.post(f"/api/keys/{key['id']}/rotate", headers=ADMIN)
    assert answer.headers["Cache-Control"] == "no-store"
    secrets.append((await answer.json())["secret"])
    requests = [
        ("GET", "/api/keys", None),
        ("GET", f"/api/keys/{key['id']}", None),
        ("PATCH", f"/api/keys/{key['id']}", {"name": "b"}),
        ("PATCH", f"/api/keys/{key['id']}", {"name": 7, "secret": secrets[0]}),
        ("GET", "/api/tokens", None),
        ("GET", "/api/audit", None),
        ("DELETE", f"/api/keys/{key['id']}", None),
    ]
    for method, path, sent in requests:
        answer = await client.request(method, path, json=sent, headers=ADMIN)
        seen += await answer.read()
    ring = KeyRing(tmp_path)
    ring.save(Snapshot(1, await admin.keys(control.db), await admin.tokens(control.db)))
    places = {str(file): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert any(digest(secrets[2]).encode() in data for data in places.values())
    places |= {"answers": seen, "log": caplog.text.encode()}
    assert len(set(secrets)) == 3
    for secret in secrets:
        core = secret[4:].encode()
        assert [place for place, data in places.items() if core in data] == []
