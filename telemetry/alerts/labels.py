"""What an alert is about: dimensions of calls and their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Labels = tuple[tuple[str, str], ...]
"""(dimension, value), in the order of the rule; an empty value: the calls name none."""

DIMENSIONS: Final[Mapping[str, str]] = {
    "tenant": "tenant_id",
    "team": "team",
    "user": "user_id",
    "project": "project",
    "feature": "feature",
    "session": "session_id",
    "environment": "environment",
    "agent": "agent",
    "app": "app",
    "key_id": "key_id",
    "provider": "provider",
    "model": "model",
}
"""Dimension of a rule -> column of ``model_requests``; ``model`` is the one that answered, else the one asked for."""


def told(labels: Labels) -> str:
    """``team search, model gpt-4o``; empty without labels."""
    return ", ".join(f"{name} {value or '(none)'}" for name, value in labels)
