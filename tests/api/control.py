"""The small tables behind the API: a client that may change them, and a clock that stands still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient
from pydantic import SecretStr

from gateway.api.app import ControlDeps
from storage.address import parse
from storage.control import control_of

ADMIN_TOKEN = SecretStr("correct horse")
ADMIN = {"Authorization": "Bearer correct horse"}
NOW_S = 1_790_510_400
"""2026-09-27 12:00:00 UTC, a Sunday."""
PROVIDERS = ("anthropic", "openai")


def control_at(folder: Path, **changed: Any) -> ControlDeps:
    """On the SQLite file of ``folder``. To be closed."""
    given: dict[str, Any] = {"providers": lambda: PROVIDERS, "clock": lambda: float(NOW_S), **changed}
    return ControlDeps(control_of(parse(None, folder)), **given)


async def ask(
    client: TestClient[Any, Any],
    method: str,
    path: str,
    body: Any = None,
    status: int = 200,
    headers: dict[str, str] = ADMIN,
) -> Any:
    """The answer's JSON; fails for another status than ``status``."""
    answer = await client.request(method, path, json=body, headers=headers)
    assert answer.status == status, await answer.text()
    return await answer.json()
