"""Show what was kept of the prompt and the answer of a call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from gateway.api.content_models import ContentOut, PieceOut
from gateway.cli.choose_source import open_source
from gateway.cli.find_call import RECENT, WHOLE, find_call
from gateway.cli.options import config_option, fail, settings_from, url_option
from gateway.cli.screen import console
from gateway.cli.source import CallSource, SourceError

_ABSENT: Final = {
    "omitted": "not kept: the settings, the key or a header of the app say so",
    "empty": "there was none",
    "not_text": "not kept: it is no text (sound, a picture, a file, or compressed and too large)",
    "vectors": "not kept: embeddings are no text",
    "unread": "not kept: this kind of answer is read by nobody here, or none came",
}


@click.command()
@click.argument("call_id", metavar="ID")
@config_option
@url_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def content(call_id: str, config: Path | None, url: str | None, as_json: bool) -> None:
    """Show what was kept of the prompt and the answer of a call. That somebody looked is written to the log of changes.

    ID is a whole call id or its end (the last 8 characters, as 'weighbridge calls' shows them). What is kept is
    decided by [capture] in the settings: by default nothing.
    """
    settings = settings_from(config)

    async def run() -> ContentOut | None:
        async with open_source(settings, url) as source:
            return await _find(source, call_id)

    try:
        found = asyncio.run(run())
    except SourceError as error:
        fail(str(error), error.hint, error.code)
    if found is None:
        fail(
            f"no content of call {call_id} is kept",
            f"[capture] decides what is kept; an id's end is looked for among the latest {RECENT} calls",
        )
    if as_json:
        click.echo(found.model_dump_json())
        return
    screen = console()
    _show("Request", found.request, screen)
    _show("Answer", found.answer, screen)


async def _find(source: CallSource, call_id: str) -> ContentOut | None:
    if len(call_id) == WHOLE:
        return await source.content(call_id.lower())
    call = await find_call(source, call_id)
    return None if call is None else await source.content(call.id)


def _show(title: str, piece: PieceOut, screen: Console) -> None:
    cut = ", cut" if piece.cut else ""
    screen.print(Text.assemble((title, "bold"), (f"  {piece.mode}, {piece.bytes:,} bytes{cut}", "dim")))
    if piece.absent is not None:
        screen.print(Text(f"  {_ABSENT.get(piece.absent, piece.absent)}", "yellow"))
    if piece.digest is not None:
        screen.print(Text(f"  digest {piece.digest}", "dim"))
    if piece.text is not None:
        click.echo(_visible(piece.text))
    screen.print()


def _visible(text: str) -> str:
    """Without the signs that would steer a terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)


COMMAND: Final = content
