"""From file, environment and command line to :class:`Settings`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError as SourceError

from gateway.settings.explain import explain, unknown_variables
from gateway.settings.problem import Problem, SettingsError
from gateway.settings.sections import Settings

DEFAULT_FILE = Path("weighbridge.toml")


def find_file(path: Path | None) -> Path | None:
    """``path`` if given (it must exist), else ``weighbridge.toml`` here if there is one."""
    if path is not None:
        return path
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def load(path: Path | None = None, changes: Mapping[str, Any] | None = None) -> Settings:
    """Settings of a file, over it ``WEIGHBRIDGE_SECTION__KEY``, over both ``changes`` (nested dicts).

    Raises :class:`SettingsError` with every problem found.
    """
    file = find_file(path)
    data = _read(file) if file is not None else {}
    problems = unknown_variables(os.environ)
    merged = _merged(_merged(data, _environment()), changes or {})
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise SettingsError([*problems, *explain(error, merged, os.environ)]) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key, everything else is replaced."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(below, value)
        else:
            result[key] = value
    return result


def _environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(Settings)()
    except SourceError as error:
        name = str(error).split('"')[1] if '"' in str(error) else "environment"
        raise SettingsError(
            [Problem(name, "is not JSON", "Lists and tables in an environment variable are written as JSON")]
        ) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            [
                Problem(
                    str(file), "there is no such file", "Name an existing file with --config, or leave it out"
                )
            ]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(
            [Problem(str(file), f"can't be read: {reason}", "Check the path and its permissions")]
        ) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            [
                Problem(
                    str(file),
                    f"is not valid TOML: {error}",
                    'Text needs quotes (host = "127.0.0.1"), tables stand in brackets ([server])',
                )
            ]
        ) from None
