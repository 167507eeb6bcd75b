"""A message sent from this machine and at once, past the outbox."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from gateway.alerting.plan import look_at
from gateway.cli.alerts_desk import plan_from
from gateway.cli.exits import Exit
from gateway.cli.options import fail, show_problem
from telemetry.alerts.channels.contract import Parcel, Post, Reply
from telemetry.alerts.channels.retry import Fate, Trouble

_HINTS: Final = {
    Trouble.STATUS: "The answer came from the receiver: look there",
    Trouble.TIMEOUT: "It did not answer in time; the channel's timeout is a setting",
    Trouble.UNKNOWN_HOST: "The host's name can't be resolved: is it spelled right?",
    Trouble.CONNECT: "Nobody listens there, or a firewall is in between",
    Trouble.TLS: "Its certificate is not trusted by this machine",
    Trouble.RESET: "The connection broke before there was an answer",
    Trouble.PROTOCOL: "What came back is no answer of the kind this channel expects",
    Trouble.PRIVATE_TARGET: "It is not a public address: set allow_private = true if it is meant to be in your network",
    Trouble.LOGIN: "Check username and password_env",
    Trouble.REFUSED: "The mail server refused sender or recipient",
    Trouble.DEFECT: "This should not happen: the log says more",
}


def post_from(config: Path | None, channel: str) -> Post:
    """The channel of that name, or what is wrong with it and exit code 2."""
    _, plan = plan_from(config, look_at)
    if channel in plan.unread:
        show_problem(plan.unread[channel])
        raise SystemExit(Exit.USAGE)
    posts = {post.name: post for post in plan.posts}
    if channel not in posts:
        fail(f"{channel} is not a channel", plan.meant(channel), Exit.USAGE)
    return posts[channel]


def post_now(post: Post, body: str) -> None:
    """Try once, and tell what came of it; exit code 1 if it was not taken."""
    began = time.monotonic()
    reply = asyncio.run(post.send(Parcel(f"msg_{uuid.uuid4().hex}", body), datetime.now(UTC)))
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    if reply.fate is Fate.SENT:
        mark = click.style("ok", fg="green", bold=True)
        click.echo(f"{mark}  {post.name} took it ({_said(reply)}, {took})")
        return
    assert reply.trouble is not None
    fail(f"{post.name} did not take it ({_said(reply)}, {took})", _HINTS[reply.trouble])


def _said(reply: Reply) -> str:
    if reply.status is not None:
        return str(reply.status)
    return reply.trouble.value.replace("_", " ") if reply.trouble else "sent"
