"""The Anthropic SDK, unmodified: only its base URL is set."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import anthropic
import pytest

MESSAGES: Any = [{"role": "user", "content": "How heavy is it?"}]
TOOL: Any = {
    "name": "weigh",
    "description": "Weighs a truck",
    "input_schema": {"type": "object", "properties": {"gate": {"type": "string"}}, "required": ["gate"]},
}
ASK: Any = {"model": "claude-sonnet-5", "max_tokens": 500, "messages": MESSAGES}


class Bases(Protocol):
    anthropic: str


@pytest.fixture
def sync(bases: Bases) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=bases.anthropic, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
async def client(bases: Bases) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=bases.anthropic, api_key="k", max_retries=0) as client:
        yield client


def test_messages_sync_streamed_and_not_say_the_same(sync: anthropic.Anthropic) -> None:
    whole = sync.messages.create(**ASK)
    assert whole.stop_reason == "end_turn"
    with sync.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert [block.to_dict() for block in final.content] == [block.to_dict() for block in whole.content]
    assert text == whole.content[0].to_dict()["text"]
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens


async def test_messages_async_streamed_and_not_say_the_same(client: anthropic.AsyncAnthropic) -> None:
    whole = await client.messages.create(**ASK)
    events = [event async for event in await client.messages.create(**ASK, stream=True)]
    assert events[0].type == "message_start"
    assert events[-1].type == "message_stop"
    async with client.messages.stream(**ASK) as stream:
        final = await stream.get_final_message()
    assert final.content[0].to_dict()["text"] == whole.content[0].to_dict()["text"]


def test_tool_use_and_its_result_sync(sync: anthropic.Anthropic) -> None:
    asked = sync.messages.create(**ASK, tools=[TOOL])
    assert asked.stop_reason == "tool_use"
    call: Any = asked.content[0]
    assert (call.name, set(call.input)) == ("weigh", {"gate"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "38.4"}
    told = [
        *MESSAGES,
        {"role": "assistant", "content": [call.to_dict()]},
        {"role": "user", "content": [result]},
    ]
    final = sync.messages.create(**{**ASK, "messages": told}, tools=[TOOL])
    assert final.stop_reason == "end_turn"


async def test_tool_use_streamed_async(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(**ASK, tools=[TOOL]) as stream:
        final = await stream.get_final_message()
    call: Any = final.content[0]
    assert (call.type, call.input) == ("tool_use", {"gate": "gate 2"})


async def test_counting_and_models(sync: anthropic.Anthropic, client: anthropic.AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model="claude-sonnet-5", messages=MESSAGES)
    assert counted.input_tokens == sync.messages.count_tokens(model="x", messages=MESSAGES).input_tokens > 0
    assert "claude-haiku-4-5" in {model.id for model in sync.models.list()}


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_sync(
    sync: anthropic.Anthropic, status: int, kind: type[anthropic.APIStatusError], name: str, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        sync.messages.create(**{**ASK, "model": f"demo-error-{status}"}, stream=stream)
    assert caught.value.status_code == status
    body: Any = caught.value.body
    assert body["error"]["type"] == name


async def test_a_wrong_key_async(bases: Bases) -> None:
    async with anthropic.AsyncAnthropic(
        base_url=bases.anthropic, api_key="wrong-key", max_retries=0
    ) as client:
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(**ASK)
