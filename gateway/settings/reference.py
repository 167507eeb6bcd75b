"""``python -m gateway.settings.reference``: the settings as Markdown (``docs/settings.md``; a test keeps it true)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final, get_args

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

A file for several workers on PostgreSQL behind a load balancer, as an example; secrets are in the environment:

```toml
[server]
host = "0.0.0.0"                      # WEIGHBRIDGE_ADMIN_TOKEN opens the API
workers = 4
drain_seconds = 60

[storage]                             # WEIGHBRIDGE_STORAGE__URL = postgresql://...
data_dir = "/var/lib/weighbridge"     # a disk of its own: the spool lives here
spool_max_mb = 4096
migrate = "manual"                    # "weighbridge db migrate" before the new version starts

[auth]
mode = "keys"                         # apps hold gateway keys: "weighbridge keys create NAME"

[providers.openai]
api_key_env = "OPENAI_API_KEY"

[providers.house]                     # a server of your own, asked like OpenAI and priced below
base_url = "http://llm.internal:8000"
kind = "openai"
price_as = "house"

[[pricing.price]]
provider = "house"
models = ["yard-coder-7b"]
rates = { input = 0.1, output = 0.4 } # USD per million tokens

[telemetry]
endpoint = "http://collector:4318"

[alerts.channels.ops]
kind = "slack"
url_env = "SLACK_WEBHOOK_URL"

[[alerts.rule]]
name = "errors"
kind = "error_rate"
above = 0.05
```
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
        yield f"| `{key}` | {_default(info)} | {info.description}{_choices(info)} |"
    example = variable((*table.split("."), next(iter(model.model_fields))))
    yield f"\nIn the environment: `{example}`, and so on.\n"


def _choices(info: FieldInfo) -> str:
    """What may stand there, where the description does not say it."""
    kinds = (info.annotation, *get_args(info.annotation))
    known = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, enum.Enum)), None)
    if known is None or all(str(one.value) in (info.description or "") for one in known):
        return ""
    return f" One of {', '.join(f'`{one.value}`' for one in known)}."


def _default(info: FieldInfo) -> str:
    return "" if info.default in _EMPTY else f"`{default_text(info.default)}`"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
