"""The private parts of aiohttp that ``gateway/server.py`` builds on: an upgrade that moves them fails here first."""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from gateway import server
from gateway.version import VERSION

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCE = Path(server.__file__).read_text(encoding="utf-8")


def test_the_version_is_told_once() -> None:
    assert PROJECT["version"] == VERSION


def test_the_tested_minor_version_is_the_only_one_allowed() -> None:
    bound = next(one for one in PROJECT["dependencies"] if one.startswith("aiohttp"))
    found = re.fullmatch(r"aiohttp>=(\d+)\.(\d+),<(\d+)\.(\d+)", bound)
    assert found is not None, bound
    major, minor, next_major, next_minor = map(int, found.groups())
    assert (next_major, next_minor) == (major, minor + 1)
    assert version("aiohttp").startswith(f"{major}.{minor}.")


def test_fields_of_a_response_that_count_as_sent() -> None:
    """``start`` looks at ``_eof_sent`` and ``_keep_alive``; the response is otherwise left alone."""
    response = web.StreamResponse()
    assert response._eof_sent is False
    assert response._keep_alive is None
    assert "_eof_sent" in inspect.getsource(web.StreamResponse)
    assert "keep_alive" in inspect.getsource(RequestHandler.start) + inspect.getsource(
        RequestHandler.finish_response
    )
    assert "write_eof" in inspect.getsource(RequestHandler.finish_response)
    assert "prepare" in inspect.getsource(RequestHandler.finish_response)
    relayed = server.Relayed(keep_alive=True)
    assert (relayed._eof_sent, relayed.keep_alive) == (True, True)


def test_fields_of_a_connection() -> None:
    slots = {name for kind in RequestHandler.__mro__ for name in getattr(kind, "__slots__", ())}
    private = set(re.findall(r"\bself\.(_[a-z_]+)", SOURCE[SOURCE.index("class AppConnection") :]))
    ours = set(server.AppConnection.__slots__) | {
        "_proxy",
        "_api",
        "_limits",
        "_notices",
        "_serve",
        "_route",
        "_hold",
        "_upload",
    }
    borrowed = private - ours - {"_connections", "_kwargs", "_keep_alive", "_eof_sent"}
    assert borrowed == {"_loop", "_message_tail", "_request_count"}
    assert borrowed <= slots | {"_loop"}
    assert "self._request_count += 1" in inspect.getsource(RequestHandler.data_received)
    for method in ("handle_error", "force_close", "connection_lost", "pause_writing", "resume_writing"):
        assert callable(getattr(RequestHandler, method))
    assert list(inspect.signature(RequestHandler.handle_error).parameters) == [
        "self", "request", "status", "exc", "message",
    ]  # fmt: skip


async def test_fields_of_a_server() -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError

    plain = web.Server(handler)
    assert plain._connections == {}
    assert plain._kwargs == {}
    assert list(inspect.signature(plain._make_request).parameters) == [
        "message", "payload", "protocol", "writer", "task",
    ]  # fmt: skip
    assert "self._kwargs" in inspect.getsource(web.Server.__call__)


def test_fields_of_a_request() -> None:
    assert "_message" in inspect.getsource(web.BaseRequest.__init__)
    used = ("method", "path", "version", "raw_headers", "should_close", "chunked")
    assert all(hasattr(RawRequestMessage, name) for name in used)
