"""``python -m gateway.settings.reference``: the settings as Markdown (``docs/settings.md``; a test keeps it true)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.settings.explain import default_text, variable
from gateway.settings.sections import ProviderSection, Settings

_INTRODUCTION = """\
# Settings

Read from the file named with `--config`, else from `weighbridge.toml` in the working directory. Every key can also be
set in the environment as `WEIGHBRIDGE_SECTION__KEY` (two underscores; lists and tables as JSON), which goes over the
file; options of the command line go over both. `weighbridge check` looks a configuration over without starting it.

Durations are seconds (fractions are fine) unless the name says `_ms`; sizes are bytes or text such as `"8 MiB"`.
This page is made from the settings themselves: `python -m gateway.settings.reference > docs/settings.md`.
"""
_EMPTY: Final[tuple[object, ...]] = (None, (), {})


def reference() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for name, info in Settings.model_fields.items():
        model = ProviderSection if name == "providers" else info.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        table = "providers.NAME" if name == "providers" else name
        parts.append("\n".join(_section(table, model)))
    return "\n".join(parts)


def _section(table: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## `[{table}]`\n"
    yield f"{(model.__doc__ or '').strip().replace('``', '`')}\n"
    yield "| key | default | |"
    yield "| --- | --- | --- |"
    for key, info in model.model_fields.items():
        yield f"| `{key}` | {_default(info)} | {info.description} |"
    example = variable((*table.split("."), next(iter(model.model_fields))))
    yield f"\nIn the environment: `{example}`, and so on.\n"


def _default(info: FieldInfo) -> str:
    return "" if info.default in _EMPTY else f"`{default_text(info.default)}`"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
