"""A call of which the provider takes too long."""

from __future__ import annotations

from rig.client import Answer, RawClient
from rig.core import Core
from rig.upstream import ScriptedUpstream


async def answer_after(
    core: Core, upstream: ScriptedUpstream, path: str, ask: object, seconds: float, status: int
) -> Answer:
    """What the app is told once so many seconds have passed with the provider as its script left it.

    ``status``: of that answer; with 200 the time runs from when the app has the head.
    """
    client = await RawClient.open(core.port)
    client.request("POST", path, json=ask)
    await upstream.seen(1)
    if status == 200:
        await client.until(b"\r\n\r\n")
    if seconds:
        core.advance(seconds)
    answer = await client.answer()
    assert answer.status == status
    return answer
