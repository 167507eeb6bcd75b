"""Commands with commands of their own, listed with their whole first sentence."""

from __future__ import annotations

import re
from typing import Final

import click

_SENTENCE: Final = re.compile(r"(.*?)\.?(?:\n\n|\.\s|$)", re.DOTALL)


class Section(click.Group):
    """A group whose list wraps what its commands say where click would cut it off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_sentence(one)) for name, one in sorted(self.commands.items())])


def _first_sentence(command: click.Command) -> str:
    found = _SENTENCE.match(command.help or "")
    return " ".join(found[1].split()) if found else ""
