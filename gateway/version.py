"""The version, as a constant: asking the package metadata costs a tenth of the start-up budget."""

from typing import Final

VERSION: Final = "0.1.0"
"""Held against ``pyproject.toml`` by a test."""
