"""The OpenAPI document against the gateway that serves it: whatever is asked, no 5xx, no status and no answer it does
not describe. Schemathesis makes up the requests, from a fixed seed."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema_rs import Draft202012Validator
from rig.ledger import record
from rig.process import eventually, serving
from rig.rollups import written

from telemetry.outcome import Outcome

ADMIN = {"Authorization": "Bearer the-admins-own-token"}
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)
ENDLESS = "/api/analytics/live"
"""Goes on until the listener goes; test_analytics_live.py has it."""
CONFIG = """
[dictionaries.times]
values = ["1d", "2h", "2026-11-01", "2026-11-18T10:00:00Z", "2020-01-01", "tomorrow"]
[dictionaries.zones]
values = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Los_Angeles"]

[parameters]
"query.since" = { dictionary = "times", probability = 0.8 }
"query.until" = { dictionary = "times", probability = 0.8 }
"query.tz" = { dictionary = "zones", probability = 0.9 }
"""
"""What is asked for by names that have to exist: random ones would all be refused."""


ASKED: list[dict[str, str]] = [
    {},
    {"since": "3d", "tz": "Asia/Kathmandu"},
    {"since": "2020-01-01", "until": "2020-02-01"},
    {"period": "24h", "compare": "false", "team": ""},
    {"group_by": "feature,model", "limit": "1", "period": "7d"},
    {"period": "7d", "tenant": "acme", "tz": "America/Los_Angeles"},
    {"model": "gpt-4o-mini-2024-07-18"},
]


class Served:
    """A running gateway with something in it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] = ADMIN) -> Any:
        answer = requests.request(method, self.url + path, json=body, headers=headers, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def fuzzed(self, headers: dict[str, str], *options: str) -> str:
        """What Schemathesis says; fails where something is not as the document says, and tells how to see it again."""
        config = self.folder / "schemathesis.toml"
        config.write_text(CONFIG)
        told = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
        run = subprocess.run(
            [
                *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
                *("--config-file", str(config), "run", f"{self.url}/api/openapi.json", *told),
                *("--exclude-path", ENDLESS, "--checks", CHECKS, "--generation-deterministic", "--no-shrink"),
                *("--no-color", "--continue-on-failure", "--request-timeout", "30", *options),
            ],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
        )
        assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2000:]
        return run.stdout


@pytest.fixture
def served(database: str, tmp_path: Path) -> Iterator[Served]:
    now = int(time.time() * 1000)
    calls = [
        record(
            ms=now - number * 3_600_000 - 5000,
            who={"user": f"user{number % 3}", "session": f"s{number % 4}"},
            route={"policy": "cheapest", "reason": "short", "confidence_ppm": 100_000 * (number % 10)},
            outcome=Outcome.TIMEOUT if number % 7 == 3 else Outcome.COMPLETED,
        )
        for number in range(40)
    ]
    asyncio.run(written(database, calls))
    environ = {
        "WEIGHBRIDGE_STORAGE__URL": database,
        "WEIGHBRIDGE_ADMIN_TOKEN": "the-admins-own-token",
    }
    with serving(tmp_path, "http://127.0.0.1:9", environ=environ) as process:
        gateway = Served(f"http://127.0.0.1:{process.started()}", tmp_path)
        for call in calls[::4]:
            gateway.send("POST", "/api/feedback", {"call_id": call.id, "stars": 4})
        gateway.send("POST", "/api/budgets", {"name": "all", "limit": "9", "scope": {"team": "*"}})
        gateway.send("POST", "/api/keys", {"name": "app", "team": "search"})
        yield gateway


def reader(served: Served) -> dict[str, str]:
    """Headers of somebody who may read what is of one team."""
    made = served.send("POST", "/api/tokens", {"name": "reader", "tenant": "acme", "team": "search"})
    headers = {"Authorization": f"Bearer {made['secret']}"}
    eventually(
        lambda: requests.get(f"{served.url}/api/calls", headers=headers, timeout=30).ok,
        "a gateway that knows the token",
    )
    return headers


def test_answers_are_as_the_document_says(served: Served) -> None:
    document = served.send("GET", "/api/openapi.json")
    referred = set(re.findall(r"#/components/schemas/([^\"']+)", str(document)))
    assert referred == set(document["components"]["schemas"])
    # Two types of one name would be told apart by their modules.
    assert [name for name in referred if "__" in name] == []
    operations = sum(map(len, document["paths"].values())) - 2  # the document itself, and what never ends
    for headers, examples in ((reader(served), "1"), (ADMIN, "3")):
        good = [one for path in document["paths"] for one in good_answers(served, document, path, headers)]
        assert len(good) > (100 if headers is ADMIN else 50)
        said = served.fuzzed(headers, "--phases", "fuzzing", "--max-examples", examples)
        tested = re.search(r"Tested: (\d+)", said)
        assert tested is not None
        assert int(tested[1]) == operations
        cases = re.search(r"(\d+) generated, (\d+) passed", said)
        assert cases is not None
        assert int(cases[1]) == int(cases[2]) > operations * int(examples) // 2


def good_answers(
    served: Served, document: dict[str, Any], path: str, headers: dict[str, str]
) -> Iterator[dict[str, str]]:
    """What can be asked of the analytics: most of what is made up at random is refused. Looks at each answer."""
    operation = document["paths"][path].get("get")
    if not path.startswith("/api/analytics") or path == ENDLESS or operation is None:
        return
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**schema, "components": document["components"]})
    known = {one["name"]: one["schema"] for one in operation["parameters"]}
    asked: list[dict[str, str]] = [one for one in ASKED if one.keys() <= known.keys()]
    for name, kind in known.items() if headers is ADMIN else ():
        values = kind.get("enum", kind.get("items", {}).get("enum", []))
        values = values[:: len(values) // 4 or 1]
        asked += [{name: value, **({"since": "2d"} if value == "custom" else {})} for value in values]
    for params in asked:
        answer = requests.get(served.url + path, params=params, headers=headers, timeout=30)
        if answer.status_code == 400 and params not in ASKED:
            assert answer.json()["error"]["allowed" if "group_by" in params else "param"], (path, params)
            continue
        assert answer.status_code == 200, (path, params, answer.text)
        validator.validate(answer.json())
        yield params


@pytest.mark.soak
def test_answers_are_as_the_document_says_at_length(served: Served) -> None:
    """Also at the bounds of every parameter, and in chains of requests."""
    served.fuzzed(reader(served), "--phases", "coverage,fuzzing", "--max-examples", "30")
    served.fuzzed(ADMIN, "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "150")
