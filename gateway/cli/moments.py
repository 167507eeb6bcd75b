"""Times on the command line: the same words as in the API, whatever the command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import click

from gateway.api.parameters import TIME_HELP, moment_of
from gateway.api.problems import ApiError

EXAMPLES: Final = "15m, 2h, 7d, 2026-11-20, 2026-11-20T12:00:00Z"


class When(click.ParamType[datetime]):
    """``7d``, ``2026-11-20``, ``2026-11-20T12:00:00Z`` as a ``datetime`` of UTC."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return moment_of("", str(value), datetime.now(UTC)).astimezone(UTC)
        except ApiError:
            self.fail(f"{str(value)[:60]!r} is not {TIME_HELP}.", param, ctx)


class WhenText(click.ParamType[str]):
    """The same, checked and handed over as it was typed: who answers knows their own time and zone."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        WHEN.convert(value, param, ctx)
        return str(value)


WHEN: Final = When()
WHEN_TEXT: Final = WhenText()
