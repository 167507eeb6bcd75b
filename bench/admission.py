"""What admission costs per call, in memory, with many keys and budgets. Run with ``python -m bench.admission``."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from gateway.admission import Admission
from gateway.call import Call
from gateway.keyring import KeyRing, KnownKey, Snapshot
from gateway.providers.table import ProviderTable
from gateway.recording import what_of
from gateway.settings import load
from gateway.targets import ProviderTargets
from gateway.wire.contract import AskFields
from gateway.wire.registry import WIRES
from pricing.book import PriceBook
from pricing.cost import Cost, CostSource, CostStatus
from pricing.usage import Usage
from storage.budgets.leases import Grant
from storage.budgets.model import EVERY, Budget, Mode, Unit, Window
from storage.budgets.scopes import Scopes
from storage.keys.model import Key, KeyRow, digest
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, Who

KEYS: Final = 10_000
BUDGETS: Final = 1_000
CALLS: Final = 20_000
ROUNDS: Final = 5
BODY: Final = b'{"model":"gpt-4o","max_tokens":100,"messages":[{"role":"user","content":"%b"}]}' % (
    b"x" * 400
)


def budgets() -> list[Budget]:
    """For teams, users, projects, models, and a few over everything; hard ones among them."""
    made = [
        Budget(
            id=f"team{n}", name=f"team{n}", limit=10**15, scope=(("team", f"team{n}"),),
            mode=Mode.HARD if n % 2 else Mode.WATCH,
        )
        for n in range(BUDGETS - 60)
    ]  # fmt: skip
    made += [
        Budget(
            id=f"project{n}", name=f"p{n}", limit=10**15, scope=(("project", f"p{n}"),), timezone="Asia/Tokyo"
        )
        for n in range(50)
    ]
    made += [
        Budget(id="all", name="all", limit=10**15, mode=Mode.HARD, timezone="Pacific/Auckland"),
        Budget(
            id="users",
            name="users",
            limit=10**12,
            scope=(("user", EVERY),),
            mode=Mode.HARD,
            window=Window.DAY,
        ),
        Budget(
            id="sessions",
            name="s",
            limit=10**9,
            unit=Unit.TOKENS,
            scope=(("session", EVERY),),
            window=Window.TOTAL,
        ),
        Budget(id="models", name="m", limit=10**15, scope=(("model", "gpt-4o"),), window=Window.WEEK),
        *(
            Budget(
                id=f"soft{n}",
                name=f"soft{n}",
                limit=10**15,
                scope=(("environment", f"e{n}"),),
                mode=Mode.SOFT,
            )
            for n in range(6)
        ),
    ]
    return made


def calls() -> list[Call]:
    target = ProviderTargets(ProviderTable.build(load(None, {})), WIRES).resolve(
        "POST", b"/openai/v1/chat/completions"
    )
    ask = AskFields("gpt-4o", max_tokens=100)
    what = what_of("POST", target, ask, len(BODY))
    now = time.time_ns()
    return [
        Call(
            f"call{n}", now, "POST", target, ask, what,
            Who(team=f"team{n % 900}", user=f"user{n % 500}", project=f"p{n % 50}", session=f"s{n % 700}", environment=f"e{n % 6}"),
            Route(), None, b"", BODY, True,
        )
        for n in range(CALLS)
    ]  # fmt: skip


def record_of(call: Call) -> CallRecord:
    cost = Cost(CostStatus.PRICED, CostSource.CATALOGUE, 1_000_000, 500_000, 500_000, 0, 0, 0)
    usage = Usage(input=100, output=100)
    return CallRecord(
        call.id, Outcome.COMPLETED, call.who, call.what, call.route, Timing(call.started_ns), Answer(200), usage,
        UsageSource.PROVIDER, cost,
    )  # fmt: skip


def ring(folder: Path) -> tuple[KeyRing, list[bytes]]:
    secrets = [f"wbk_{n:043d}".encode() for n in range(KEYS)]
    rows = [
        KeyRow(
            Key(id=f"key_{n}", name=f"key {n}", team=f"team{n % 900}"), digest(secret), None, None, 0, None
        )
        for n, secret in enumerate(secrets)
    ]
    made = KeyRing(folder)
    made.take(Snapshot(1, rows, []))
    return made, secrets


def best(work: list[float]) -> float:
    return min(work) / CALLS * 1e6


def measure() -> dict[str, float]:
    """Microseconds per call, the best of several rounds."""
    admission = Admission(PriceBook.load(), time.monotonic)
    admission.adopt(Scopes(budgets()))
    every = calls()
    for call in every:  # every account is opened and has been lent something
        admission.admit(call, None)
    for purse in admission.purses.values():
        purse.take(Grant(10**12, 0, 10**12))
    records = [record_of(call) for call in every]
    for call in every:
        admission.release(call.id)
    admitting, settling, finding = [], [], []
    gc.disable()
    for _ in range(ROUNDS):
        begin = time.process_time()
        for call in every:
            admitted = admission.admit(call, None)
            assert admitted.waiting is None
        admitting.append(time.process_time() - begin)
        begin = time.process_time()
        for record in records:
            admission.settle(record)
        settling.append(time.process_time() - begin)
        gc.collect()
    with TemporaryDirectory() as folder:
        keys, secrets = ring(Path(folder))
        for _ in range(ROUNDS):
            begin = time.process_time()
            for n in range(CALLS):
                found: KnownKey | None = keys.find(secrets[n % KEYS], 1)
                assert found is not None
            finding.append(time.process_time() - begin)
    gc.enable()
    bare = Admission(PriceBook.load(), time.monotonic)
    nothing = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for call in every:
            bare.admit(call, None)
        nothing.append(time.process_time() - begin)
    accounts = sum(len(admission._accounts(call, None)) for call in every[:100]) / 100
    return {
        "accounts per call": accounts,
        "admit": best(admitting),
        "settle": best(settling),
        "find a key": best(finding),
        "admit, no budgets": best(nothing),
    }


def main() -> None:
    for name, value in measure().items():
        print(f"{name:<20} {value:8.2f}{'' if name.startswith('accounts') else ' us'}")


if __name__ == "__main__":
    main()
