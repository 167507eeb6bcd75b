"""The settings page says what the settings are."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import load
from gateway.settings.lint import lint
from gateway.settings.problem import Severity
from gateway.settings.reference import reference
from gateway.settings.sections import ProviderSection, Settings

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    written = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m gateway.settings.reference > docs/settings.md"


def test_the_example_is_one_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = tmp_path / "weighbridge.toml"
    text = reference().partition("```toml\n")[2].partition("```")[0]
    example.write_text(text.replace("/var/lib/weighbridge", str(tmp_path)))
    environ = {
        "WEIGHBRIDGE_ADMIN_TOKEN": "x",
        "OPENAI_API_KEY": "sk-1",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/X",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    problems = lint(load(example), environ)
    assert {problem.severity for problem in problems} <= {Severity.WARNING}
    # One is meant: who holds the provider's key has to know who reaches the port.
    assert [problem.key for problem in problems] == ["providers.openai"]


def test_choices_and_lists_are_told_as_they_are_written() -> None:
    page = reference()
    assert (
        '| `spool_full` | `"refuse"` | What a full spool does. One of `refuse`, `drop_oldest_payload`. |'
        in page
    )
    assert '| `["helicone", "litellm", ' in page


def test_every_key_is_described() -> None:
    models = [type(getattr(Settings(), name)) for name in Settings.model_fields if name != "providers"]
    for model in (*models, ProviderSection):
        for key, info in model.model_fields.items():
            assert info.description, f"{model.__name__}.{key}"
