"""What others do changes nothing in a scoped reader's answers: no figure, no count, no suggestion."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from rig.analytics import Asker, analytics, judged
from rig.ledger import STARTED_MS, record
from rig.rollups import HOUR_MS, engine_of, written

from gateway.api.viewer import Viewer
from storage.rollups.compaction import compact
from telemetry.outcome import Outcome
from telemetry.quality import Opinion, Scale, Source
from telemetry.record import CallRecord

SCOPES = {
    "tenant": {"tenant": "acme"},
    "team": {"tenant": "acme", "team": "ops"},
    "team anywhere": {"team": "ops"},
    "user": {"tenant": "acme", "user": "eve"},
    "user anywhere": {"user": "eve"},
}
OTHERS = {
    "tenant": {"tenant": "rival", "team": "ops", "user": "eve"},
    "team": {"tenant": "acme", "team": "ads", "user": "eve"},
    "team anywhere": {"tenant": "acme", "team": "ads", "user": "eve"},
    "user": {"tenant": "acme", "team": "ops", "user": "bob"},
    "user anywhere": {"tenant": "acme", "team": "ops", "user": "bob"},
}
ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {"group_by": "team,model"}),
    ("", {"period": "30d", "tz": "Asia/Kolkata"}),
    ("/costs", {"group_by": ["tenant", "feature"]}),
    ("/models", {}),
    ("/models", {"period": "30d", "tz": "America/New_York"}),
    ("/router", {}),
    ("/users", {}),
    ("/users", {"period": "7d", "feature": "chat"}),
    ("/performance", {"group_by": "provider"}),
    ("/quality", {"group_by": "model"}),
    ("/sessions", {}),
    ("/sessions", {"period": "24h", "order": "cost"}),
    ("/realtime", {}),
    ("/anomalies", {"group_by": "team"}),
    ("/anomalies", {"period": "7d", "bucket": "hour", "measure": "calls"}),
    ("/recommendations", {}),
    ("/health-score", {"by": "team"}),
)
UP = Opinion(Source.USER, Scale.THUMBS, 1_000_000)


def calls(who: dict[str, str], mark: str, every: int) -> Iterator[CallRecord]:
    """Calls of 40 days, dense at the end; of others there are more, in the same hours and sessions of the same name."""
    for number in range(120):
        yield record(
            ms=STARTED_MS - (number * number // every) * HOUR_MS // 15 - 1000,
            outcome=Outcome.PROVIDER_ERROR if number % 7 == 0 else Outcome.COMPLETED,
            who={**who, "feature": "chat", "session": f"s{number % 9}"},
            what={"model": f"{mark}-{number % 3}"},
            answer={"model": f"{mark}-{number % 3}"},
            route={"policy": "best", "reason": mark, "confidence_ppm": 900_000},
        )


async def told(ask: Asker, *, suggests: bool) -> list[Any]:
    answers = [await ask(path, token="reader", **asked) for path, asked in ASKED]
    return [
        *answers,
        await ask("/models", status=400 if suggests else 200, token="reader", model="mine-9", period="7d"),
    ]


@pytest.mark.parametrize("scope", SCOPES)
async def test_what_others_do_changes_nothing(database: str, scope: str) -> None:
    mine = list(calls({"tenant": "acme", "team": "ops", "user": "eve"}, "mine", 1))
    others = list(calls(OTHERS[scope], "theirs", 2))
    await written(database, mine)
    await judged(database, [(one, UP) for one in mine[::5]])
    suggests = "user" not in SCOPES[scope]  # of a user's own models there is no list
    viewers = {"reader": Viewer("reader", **SCOPES[scope])}
    async with analytics(database, viewers=viewers) as ask:
        alone = await told(ask, suggests=suggests)
        await written(database, others)
        await judged(database, [(one, UP) for one in others[::8]])
        assert await told(ask, suggests=suggests) == alone
        async with engine_of(database) as engine:
            await compact(engine, datetime.fromtimestamp(STARTED_MS / 1000, UTC))
        assert await told(ask, suggests=suggests) == alone
    assert len({str(answer) for answer in alone}) > 10
