"""What people type first, mistype, and read: the version, near misses, help that says all of it, empty stores."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator

import click
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.cli import costs
from gateway.cli.exits import Exit
from gateway.cli.group import main
from gateway.version import VERSION

from .conftest import Weighbridge, put_records
from .test_cli_commands import record

Serving = Callable[..., Awaitable[str]]


def every_command(command: click.Command, name: str) -> Iterator[tuple[click.Command, click.Context]]:
    """Depth first, each with a context of an 80-column terminal."""
    context = click.Context(command, info_name=name, terminal_width=80, **command.context_settings)
    yield command, context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from every_command(found, inner)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_an_option_too(weighbridge: Weighbridge, option: str) -> None:
    result = weighbridge(option)
    assert (result.exit_code, result.output) == (0, f"weighbridge {VERSION}\n")


@pytest.mark.parametrize("lacking", ["posix_fallocate", "fdatasync"])
def test_another_system_is_told_before_anything_breaks(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    monkeypatch.delattr(os, lacking)
    result = weighbridge("serve")
    assert result.exit_code == Exit.PROBLEM
    assert f"has no {lacking}." in result.output
    assert weighbridge("--help").exit_code == 0


@pytest.mark.parametrize(
    ("typed", "meant"), [("cals", "'calls'"), ("budget", "'budgets'"), ("prices shwo", "'show'")]
)
def test_a_mistyped_command_is_guessed(weighbridge: Weighbridge, typed: str, meant: str) -> None:
    result = weighbridge(*typed.split())
    assert result.exit_code == Exit.USAGE
    assert "Did you mean" in result.output
    assert meant in result.output


def test_no_help_is_cut_off_and_every_option_says_something() -> None:
    for command, context in every_command(main, "weighbridge"):
        text = command.get_help(context)
        listed = text.partition("\nCommands:\n")[2].splitlines()
        assert [line for line in listed if line.endswith("...")] == [], command.name
        assert "9007199254740992" not in text
        silent = [
            one.name
            for one in command.params
            if isinstance(one, click.Option) and not (one.help or one.hidden)
        ]
        assert silent == [], command.name


async def test_where_nothing_was_called_yet_the_address_that_was_asked_is_told(
    weighbridge: Weighbridge, serving: Serving
) -> None:
    url = await serving()
    result = await asyncio.to_thread(weighbridge, "calls", "--url", f"{url}/")
    assert f"export OPENAI_BASE_URL={url}/openai/v1\n" in result.output
    latest = await asyncio.to_thread(weighbridge, "explain", "--url", url)
    assert latest.exit_code == Exit.PROBLEM
    assert "there are no calls yet" in latest.output
    assert "id's end" not in latest.output


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["calls", "--team", ""], "'--team': it is empty"),
        (["calls", "--status", "ok"], "'--status'"),
        (["export", "--outcome", "fine"], "'fine' is not one of 'completed'"),
        (["prices", "unpriced", "--since", "yesterday"], "'yesterday' is not an ISO 8601 time"),
        (["rollups", "verify", "--since", "soon"], "'soon' is not an ISO 8601 time"),
        (["costs", "--until", "2026-11-01"], "Give --since as well"),
        (["costs", "--period", "7d", "--since", "2026-11-01"], "--period 7d ends now"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_the_words_that_were_typed(
    weighbridge: Weighbridge, typed: list[str], said: str
) -> None:
    put_records(record())
    result = weighbridge(*typed)
    assert result.exit_code == Exit.USAGE
    assert said in result.output


@pytest.mark.parametrize("typed", ["2026-11-20", "2026-11-20T12:00:00Z", "90d"])
def test_prices_know_the_times_that_calls_know(weighbridge: Weighbridge, typed: str) -> None:
    assert weighbridge("prices", "show", "gpt-4o", "--at", typed).exit_code == 0


def test_what_a_provider_reported_is_one_line_in_a_pipe(weighbridge: Weighbridge) -> None:
    usage = b'{"prompt_tokens":1200' + b',"x":1' * 100 + b"}"
    put_records(msgspec.structs.replace(record(), usage_raw=usage))
    assert f"  {usage.decode()}\n" in weighbridge("explain").output


@pytest.mark.parametrize("name", ["[/red]", "[bold]gpt[/bold]", "a:smile:b", "[link=x]y"])
def test_a_name_is_no_markup(weighbridge: Weighbridge, name: str) -> None:
    put_records(record(model=name), record(1, model="[[pricing.price]]"))
    for command in (
        "calls",
        "prices unpriced",
        "prices reprice --dry-run",
        "costs --by model --since 2026-09-20 --until 2026-09-23",
        "explain",
    ):
        result = weighbridge(*command.split())
        assert result.exit_code == 0, result.output
        assert "[[pricing.price]]" in result.output
        assert name in result.output or command == "explain"
    assert "Add [alerts.channels.NAME]" in weighbridge("alerts", "channels").output
    assert "under [pricing.alias.PROVIDER]" in weighbridge("prices", "unpriced").output


def test_a_share_that_is_there_is_not_nothing(weighbridge: Weighbridge) -> None:
    assert costs._share(0) == "0 %"
    assert costs._share(4_999) == "< 1 %"
    assert costs._share(5_000) == "1 %"
    assert costs._share(1_000_000) == "100 %"


@pytest.mark.parametrize("answer", ["{}", "[]", "null", '{"items": [{"id": 1}]}', "<html>", '"x"'])
@pytest.mark.parametrize("command", ["calls", "explain", "content 01a1fbbb-a696-74d7-b512-21da7157005d"])
async def test_another_server_at_the_address_is_told(
    weighbridge: Weighbridge, answer: str, command: str
) -> None:
    async def reply(request: web.Request) -> web.Response:
        return web.Response(text=answer, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", reply)
    async with TestServer(app) as server:
        url = str(server.make_url(""))
        result = await asyncio.to_thread(weighbridge, *command.split(), "--url", url)
    assert isinstance(result.exception, SystemExit), result.exception
    nothing = answer == "null" and command.startswith("content")  # which is how nothing is told
    assert result.exit_code == (Exit.PROBLEM if nothing else Exit.UNREACHABLE)
    assert result.output.startswith("error  ")
