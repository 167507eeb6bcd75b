"""Sample traffic: teams, users and features call several models through the gateway, a bounded number."""

from __future__ import annotations

import asyncio
import enum
import random
from typing import Any

import aiohttp
import msgspec

from gateway.demo.texts import HANDBOOK, QUESTIONS, TEAMS, USERS


class Shape(enum.StrEnum):
    """The wire a sample call uses."""

    CHAT = "chat"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    GEMINI = "gemini"


class Sample(msgspec.Struct, frozen=True):
    """One call of the sample traffic."""

    path: str
    """Path on the gateway."""
    body: dict[str, Any]
    headers: dict[str, str]
    stream: bool
    leave_early: bool = False
    """The app goes away in the middle of the answer."""


class Plan(msgspec.Struct, frozen=True):
    """How much traffic. The same seed gives the same calls in the same order."""

    calls: int = 80
    at_once: int = 8
    seed: int = 1


class Tally(msgspec.Struct):
    """What came of it, as the apps saw it."""

    ok: int = 0
    failed: int = 0
    left: int = 0


MODELS: dict[str, tuple[tuple[Shape, str], ...]] = {
    "chat-assistant": (
        (Shape.CHAT, "gpt-5.5"),
        (Shape.CHAT, "gpt-5.4-mini"),
        (Shape.MESSAGES, "claude-sonnet-5"),
        (Shape.GEMINI, "gemini-3.5-flash"),
    ),
    "ticket-triage": ((Shape.CHAT, "gpt-4o-mini"), (Shape.MESSAGES, "claude-haiku-4-5")),
    "document-summary": (
        (Shape.RESPONSES, "gpt-5.5"),
        (Shape.GEMINI, "gemini-2.5-pro"),
        (Shape.MESSAGES, "claude-sonnet-5"),
    ),
    "code-review": ((Shape.RESPONSES, "gpt-5.5"), (Shape.CHAT, "o4-mini"), (Shape.CHAT, "yard-coder-7b")),
    "search-index": ((Shape.EMBEDDINGS, "text-embedding-3-small"),),
}
"""Feature -> the models it is tried on. ``yard-coder-7b`` is nobody's: its calls stay unpriced, visibly."""

_BUILD_PATHS = {
    Shape.CHAT: "/openai/v1/chat/completions",
    Shape.RESPONSES: "/openai/v1/responses",
    Shape.EMBEDDINGS: "/openai/v1/embeddings",
    Shape.MESSAGES: "/anthropic/v1/messages",
}


def samples(plan: Plan) -> list[Sample]:
    """The calls of a plan, in order."""
    chance = random.Random(plan.seed)
    return [_sample(chance) for _ in range(plan.calls)]


def _sample(chance: random.Random) -> Sample:
    team = chance.choice(tuple(TEAMS))
    feature = chance.choice(TEAMS[team])
    shape, model = chance.choice(MODELS[feature])
    stream = shape is not Shape.EMBEDDINGS and chance.random() < 0.5
    system = HANDBOOK if feature == "chat-assistant" else f"You help the {team} team."
    body = _body(shape, model, system, chance.choice(QUESTIONS[feature]), stream)
    if shape is Shape.CHAT and stream and chance.random() < 0.5:
        body["stream_options"] = {"include_usage": True}
    path = _BUILD_PATHS.get(shape) or _gemini_path(model, stream)
    headers = {
        "x-weighbridge-team": team,
        "x-weighbridge-user": chance.choice(USERS),
        "x-weighbridge-feature": feature,
        "x-weighbridge-project": "yard" if feature != "code-review" else "tooling",
        "x-weighbridge-session": f"demo-{chance.randrange(20):02d}",
        "x-weighbridge-environment": chance.choice(("production", "production", "staging")),
    }
    return Sample(path, body, headers, stream, leave_early=stream and chance.random() < 0.06)


def _gemini_path(model: str, stream: bool) -> str:
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/gemini/v1beta/models/{model}:{verb}"


def _body(shape: Shape, model: str, system: str, question: str, stream: bool) -> dict[str, Any]:
    asked = {"role": "user", "content": question}
    if shape is Shape.EMBEDDINGS:
        return {"model": model, "input": [question]}
    if shape is Shape.GEMINI:
        turn = {"role": "user", "parts": [{"text": question}]}
        return {"systemInstruction": {"parts": [{"text": system}]}, "contents": [turn]}
    if shape is Shape.RESPONSES:
        return {"model": model, "instructions": system, "input": question, "stream": stream}
    if shape is Shape.MESSAGES:
        return {"model": model, "system": system, "messages": [asked], "max_tokens": 300, "stream": stream}
    return {"model": model, "messages": [{"role": "system", "content": system}, asked], "stream": stream}


async def send(gateway: str, plan: Plan) -> Tally:
    """Plays the plan against ``gateway`` (``http://host:port``) and returns what the apps saw."""
    tally, todo = Tally(), iter(samples(plan))
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def app() -> None:
            for sample in todo:
                await _call(session, gateway, sample, tally)

        await asyncio.gather(*(app() for _ in range(plan.at_once)))
    return tally


async def _call(session: aiohttp.ClientSession, gateway: str, sample: Sample, tally: Tally) -> None:
    headers = {**sample.headers, **_credential(sample.path)}
    try:
        async with session.post(gateway + sample.path, json=sample.body, headers=headers) as answer:
            async for _ in answer.content.iter_any():
                if sample.leave_early:
                    answer.close()
                    tally.left += 1
                    return
            if answer.status < 400:
                tally.ok += 1
            else:
                tally.failed += 1
    except (aiohttp.ClientError, TimeoutError):
        tally.failed += 1


def _credential(path: str) -> dict[str, str]:
    """What the SDKs would send; the demo provider takes any key."""
    if path.startswith("/anthropic/"):
        return {"x-api-key": "demo-key", "anthropic-version": "2023-06-01"}
    if path.startswith("/gemini/"):
        return {"x-goog-api-key": "demo-key"}
    return {"authorization": "Bearer demo-key"}
