"""``weighbridge demo``: provider, gateway and sample traffic in one process."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from gateway.demo import provider, traffic
from gateway.demo.provider import Pace
from gateway.demo.traffic import Plan, Tally
from gateway.settings import Settings
from gateway.settings.sections import ProviderSection, Server

SPOKEN: Final = ("openai", "anthropic", "gemini")
"""Providers whose wire the demo provider speaks."""

DEFAULT_URL: Final = f"http://{Server().host}:{Server().port}"
"""Where the commands look when they are not told."""

Serve = Callable[[Settings], AbstractAsyncContextManager[str]]
"""Runs a gateway with these settings for as long as the context lasts; gives its URL, ``http://host:port``."""


def with_demo_provider(settings: Settings, base_url: str) -> Settings:
    """The same settings, with the providers the demo speaks for pointed at it."""
    demo = {name: ProviderSection(base_url=base_url) for name in SPOKEN}
    return settings.model_copy(update={"providers": {**settings.providers, **demo}})


def with_demo_provider_of(settings: Settings, demo: Settings) -> Settings:
    """The same settings, pointed at the provider of a demo that runs."""
    ours = {name: demo.providers[name] for name in SPOKEN}
    return settings.model_copy(update={"providers": {**settings.providers, **ours}})


async def run_demo(
    settings: Settings,
    serve: Serve,
    show: Callable[[str], None],
    *,
    pace: Pace = provider.REALISTIC,
    plan: Plan | None = None,
    until: Awaitable[object] | None = None,
    program: str = "weighbridge",
) -> Tally:
    """Starts the demo provider and a gateway in front of it, plays the plan, and shows what to look at next.

    ``show`` prints a line; ``program`` is how the user calls the commands. The gateway stays up until ``until`` is over
    (the command passes "interrupted").
    """
    runner, base_url = await provider.start(pace)
    try:
        async with serve(with_demo_provider(settings, base_url)) as gateway:
            plan = plan or Plan()
            show(f"Demo provider on {base_url}, gateway on {gateway}.")
            show(f"Sending {plan.calls} sample calls of several teams through the gateway ...")
            tally = await traffic.send(gateway, plan)
            for line in _summary(gateway, tally, program, settings):
                show(line)
            if until is not None:
                await until
            return tally
    finally:
        await runner.cleanup()


def _summary(gateway: str, tally: Tally, program: str, settings: Settings) -> list[str]:
    where = "" if gateway == DEFAULT_URL else f" --url {gateway}"
    return [
        f"Done: {tally.ok} answered, {tally.failed} failed (the demo provider fails now and then),"
        f" {tally.left} left by the app half-way.",
        "",
        "Look at them from another terminal; Ctrl-C ends the demo:",
        f"  {program} calls{where}",
        "      every call with model, tokens, time and cost",
        f"  {program} explain{where}",
        "      how the latest cost came about; any other with the ID of its call",
        f"  WEIGHBRIDGE_STORAGE__DATA_DIR={shlex.quote(str(settings.storage.data_dir))} {program} costs --by team",
        "      what was spent; with that variable every command looks at the demo's records",
        f"  curl {gateway}/api/calls",
        "      the same as JSON",
        f"  curl '{gateway}/api/analytics?period=24h'",
        "      sums of all of them: cost, speed, users, models, quality",
        f"  {gateway}/api/docs",
        "      in a browser: all there is to ask",
        "",
        "Call it yourself, with any key:",
        f"  export OPENAI_BASE_URL={gateway}/openai/v1 OPENAI_API_KEY=demo",
        f"  export ANTHROPIC_BASE_URL={gateway}/anthropic ANTHROPIC_API_KEY=demo",
        f"  export GOOGLE_GEMINI_BASE_URL={gateway}/gemini GEMINI_API_KEY=demo",
    ]
