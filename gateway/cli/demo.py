"""Start the gateway with a demo provider and sample traffic."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import click

from gateway.app import running
from gateway.cli.exits import Exit
from gateway.cli.options import fail, settings_from
from gateway.cli.serve import own_name, settings_or_error, why
from gateway.demo.run import run_demo, with_demo_provider_of
from gateway.demo.traffic import Plan
from gateway.presence import Presence
from gateway.reloads import Reloads
from gateway.settings import Settings
from telemetry.redact import Redactor

DATA_DIR: Final = Path("weighbridge-demo")
"""Apart from the real records."""
FAREWELL_S: Final = 2.0
"""How long calls of the demo may go on after Ctrl-C."""


@click.command()
@click.option("--port", "-p", type=click.IntRange(0, 65_535), help="Port to listen on [8707].")
@click.option(
    "--calls", type=click.IntRange(1, 100_000), default=80, show_default=True, help="Sample calls to make."
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=DATA_DIR,
    show_default=True,
    help="Folder for the records.",
)
def demo(port: int | None, calls: int, data_dir: Path) -> None:
    """Start the gateway with a demo provider and sample traffic of several teams.

    Everything stays on this machine and no provider key is needed. The records go into a folder of their own.
    Runs until Ctrl-C.
    """
    server = {} if port is None else {"port": port}
    changes = {"server": server, "storage": {"data_dir": data_dir, "url": None}}
    settings = settings_from(None, changes)
    try:
        asyncio.run(_run(settings, lambda: settings_or_error(None, changes), calls))
    except OSError as error:
        fail(*why(error, settings), Exit.UNREACHABLE)


async def _run(settings: Settings, reread: Callable[[], Settings], calls: int) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    stop = asyncio.create_task(stopped.wait())
    plan = Plan(calls=calls)
    work = asyncio.create_task(
        run_demo(
            settings, partial(_serve, reread=reread), click.echo, plan=plan, until=stop, program=own_name()
        )
    )
    await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        await asyncio.wait((work,), timeout=FAREWELL_S)
        work.cancel()  # the samples are still on their way
    with suppress(asyncio.CancelledError):
        await work


@asynccontextmanager
async def _serve(settings: Settings, reread: Callable[[], Settings]) -> AsyncIterator[str]:
    """Reloads as ``weighbridge serve`` does; the demo's provider stays where it is."""
    async with running(settings) as gateway:

        def reload() -> None:
            reloads.into(gateway)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        presence = Presence.claim(settings.storage.data_dir)  # from here on it may be sent
        reloads = Reloads(lambda: with_demo_provider_of(reread(), settings), Redactor(), presence)
        try:
            yield gateway.url
        finally:
            if presence is not None:
                presence.release()


COMMAND: Final = demo
