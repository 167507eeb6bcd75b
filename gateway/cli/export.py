"""Write calls to a file: CSV, JSON Lines, Parquet, FOCUS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from multidict import MultiDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.api.problems import ApiError
from gateway.api.query import parse_calls_query
from gateway.cli.calls import filter_options
from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail, settings_from
from gateway.cli.trouble import needs_database, no_database
from gateway.cli.wording import call_count
from gateway.settings import Settings
from storage.address import parse
from storage.engine import reading_engine
from storage.export.columns import Shape
from storage.export.encoders import Encoder, Format
from storage.export.files import EXPORTS, SHAPES, NoParquet, encoder_of, exported
from storage.export.read import CallPages, Extent
from storage.queries.calls import CallFilter
from storage.store import StoreUnavailable

TIMEOUT_S: Final = 600.0
STDOUT: Final = "-"


@click.command()
@config_option
@click.option(
    "--format",
    "-f",
    "kind",
    type=click.Choice([kind.value for kind in Format]),
    help="Kind of file; else what the name of the file ends in, else csv.",
)
@click.option("--focus", is_flag=True, help="In the columns of FOCUS 1.2, one row for each part of a cost.")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="Where to; - is the terminal or pipe. Else a new file in DATA_DIR/exports.",
)
@filter_options
def export(config: Path | None, kind: str | None, focus: bool, output: str | None, **filters: Any) -> None:
    """Write calls to a file, oldest first.

    Reads the database itself, in slices: the gateway does not notice, and memory does not grow. Money is exact decimal
    text. 'weighbridge erase-user' deletes what is in DATA_DIR/exports; files elsewhere are yours to look after.
    """
    settings = settings_from(config)
    query = {name: str(value).lower() if value is True else value for name, value in filters.items() if value}
    try:
        wanted = parse_calls_query(MultiDict(query))[1]
    except ApiError as error:
        fail(error.detail.message, code=Exit.USAGE)
    shape = SHAPES["focus" if focus else "calls"]
    chosen = _format(kind, output)
    try:
        encoder = encoder_of(chosen, shape)
    except NoParquet as error:
        fail(str(error), "pip install pyarrow", Exit.USAGE)
    needs_database(settings)
    try:
        asyncio.run(_write(settings, wanted, shape, encoder, _target(settings, shape, chosen, output)))
    except StoreUnavailable as error:
        no_database(settings, error)
    except BrokenPipeError:
        raise  # who reads the pipe has had enough
    except OSError as error:
        fail(f"the file can't be written: {error.strerror or error}", "Name another one with --output")


def _format(kind: str | None, output: str | None) -> Format:
    if kind is not None:
        return Format(kind)
    suffix = Path(output or "").suffix.removeprefix(".").lower()
    return Format(suffix) if suffix in set(Format) else Format.CSV


def _target(settings: Settings, shape: Shape, kind: Format, output: str | None) -> Path | None:
    """``None``: stdout."""
    if output == STDOUT:
        if kind is Format.PARQUET and sys.stdout.isatty():
            fail("Parquet is nothing for a terminal", "Name a file with --output", Exit.USAGE)
        return None
    if output is not None:
        return Path(output)
    name = f"{shape.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{kind.value}"
    return settings.storage.data_dir / EXPORTS / name


async def _write(
    settings: Settings, wanted: CallFilter, shape: Shape, encoder: Encoder, target: Path | None
) -> None:
    address = parse(settings.storage.url, settings.storage.data_dir)
    pages = CallPages(reading_engine(address, timeout_s=TIMEOUT_S))
    try:
        extent = await pages.extent(wanted)
        with _opened(target) as file, _progress(extent) as advance:
            async for piece in exported(pages, wanted, shape, encoder, advance):
                file.write(piece)
    finally:
        await pages.close()
    _tell(extent, shape, target)


@contextlib.contextmanager
def _opened(target: Path | None) -> Iterator[BinaryIO]:
    """A file of ours alone that has its name only when it is whole."""
    if target is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Two exports of the same second have the same name: each writes its own part.
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    fd = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            yield file
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(extent: Extent) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal."""
    columns = (TextColumn("calls"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("calls", total=extent.calls)
        yield lambda calls: progress.advance(task, calls)


def _tell(extent: Extent, shape: Shape, target: Path | None) -> None:
    size = "" if target is None else f"{target}: {target.stat().st_size:,} bytes, "
    click.echo(f"{size}{call_count(extent.calls)}", err=True)
    if extent.unpriced and shape.leaves_out_unpriced:
        click.echo(
            f"{extent.unpriced:,} of them left out: their cost is not known ('weighbridge prices unpriced')",
            err=True,
        )


COMMAND: Final = export
