"""What docs/telemetry.md lists is what is exported, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.api.metrics import exposition
from storage.store import RollupAudit
from telemetry import names
from telemetry.config import TelemetryConfig
from telemetry.metrics import MAX_LABEL_VALUES, MAX_SERIES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8")
ELSEWHERE = {
    names.SCOPE_NAME,
    names.SCHEMA_URL,
    names.TAG_PREFIX,
    names.OTHER,
    names.ERROR_OTHER,
    names.COMPAT_COST_MLFLOW,
    names.COMPAT_COST_OPENINFERENCE_TOTAL,
    names.COMPAT_COST_OPENINFERENCE_PROMPT,
    names.COMPAT_COST_OPENINFERENCE_COMPLETION,
}
"""No names of attributes or metrics, and names that no setting switches on."""


def told() -> set[str]:
    """Every name in backticks; one that begins with a dot or an underscore goes on from the last whole one."""
    found: set[str] = set()
    whole = ""
    for name in re.findall(r"`([\w.]+)`", TEXT):
        if not name.startswith((".", "_")):
            whole = name
            found.add(name)
            continue
        parts = re.split(r"(?<=.)(?=[._])", whole)
        found |= {"".join(parts[:count]) + name for count in range(1, len(parts) + 1)}
    return found


def test_every_attribute_and_metric_is_told() -> None:
    exported = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    assert sorted(exported - ELSEWHERE - told()) == []
    assert f"`{names.TAG_PREFIX}NAME`".replace("weighbridge", "") in TEXT


def test_what_prometheus_fetches_is_told() -> None:
    audit = RollupAudit(None, 0)
    fetched = set(re.findall(r"^# TYPE (\w+)", exposition([], audit), re.MULTILINE))
    assert sorted(fetched - told()) == []


def test_figures() -> None:
    assert f"beyond {MAX_LABEL_VALUES} values" in TEXT
    assert f"beyond {MAX_SERIES:,}" in TEXT
    assert f"wait in {TelemetryConfig().backlog_bytes >> 20} MiB" in TEXT
