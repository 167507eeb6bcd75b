"""The settings page says what the settings are."""

from __future__ import annotations

from pathlib import Path

from gateway.settings.reference import reference
from gateway.settings.sections import ProviderSection, Settings

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    written = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m gateway.settings.reference > docs/settings.md"


def test_every_key_is_described() -> None:
    models = [type(getattr(Settings(), name)) for name in Settings.model_fields if name != "providers"]
    for model in (*models, ProviderSection):
        for key, info in model.model_fields.items():
            assert info.description, f"{model.__name__}.{key}"
