"""The OpenAI SDK, unmodified: only its base URL is set."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import openai
import pytest

MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How heavy is it?"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weigh",
        "description": "Weighs a truck",
        "parameters": {
            "type": "object",
            "properties": {"gate": {"type": "string"}, "lane": {"type": "integer"}},
            "required": ["gate", "lane"],
        },
    },
}
RESPONSES_TOOL: Any = {"type": "function", "strict": False, **TOOL["function"]}


class Bases(Protocol):
    openai: str


@pytest.fixture
def sync(bases: Bases) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=bases.openai, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
async def client(bases: Bases) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=bases.openai, api_key="k", max_retries=0) as client:
        yield client


def test_chat_sync_streamed_and_not_say_the_same(sync: openai.OpenAI) -> None:
    whole = sync.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert whole.model == "gpt-4o-2024-08-06"
    assert whole.choices[0].finish_reason == "stop"
    chunks = list(sync.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert all(chunk.usage is None for chunk in chunks)
    asked: Any = {"include_usage": True}
    counted = list(
        sync.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True, stream_options=asked)
    )
    assert len(counted) == len(chunks) + 1
    assert counted[-1].usage == whole.usage


async def test_chat_async_streamed_and_not_say_the_same(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    stream = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == whole.choices[0].message.content


def test_tool_call_and_its_result_sync(sync: openai.OpenAI) -> None:
    asked = sync.chat.completions.create(model="gpt-4o", messages=MESSAGES, tools=[TOOL])
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    call: Any = message.tool_calls[0]
    assert call.function.name == "weigh"
    assert set(json.loads(call.function.arguments)) == {"gate", "lane"}
    told = [*MESSAGES, message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "38.4"}]
    final = sync.chat.completions.create(model="gpt-4o", messages=told, tools=[TOOL])
    assert final.choices[0].message.content


async def test_tool_call_streamed_async(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=MESSAGES, tools=[TOOL], stream=True
    )
    calls = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
    assert calls[0].function is not None
    assert calls[0].function.name == "weigh"
    arguments = "".join((call.function.arguments or "") for call in calls if call.function)
    assert set(json.loads(arguments)) == {"gate", "lane"}


def test_responses_sync(sync: openai.OpenAI) -> None:
    whole = sync.responses.create(model="gpt-5.5", input="How heavy is it?")
    assert whole.output_text
    assert whole.usage
    events = list(sync.responses.create(model="gpt-5.5", input="How heavy is it?", stream=True))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == whole.output_text
    assert last.response.usage == whole.usage
    asked = sync.responses.create(model="gpt-5.5", input="How heavy is it?", tools=[RESPONSES_TOOL])
    assert [item.type for item in asked.output] == ["function_call"]


async def test_responses_async_through_the_stream_helper(client: openai.AsyncOpenAI) -> None:
    async with client.responses.stream(model="gpt-5.5", input="How heavy is it?") as stream:
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert "".join(deltas) == final.output_text


async def test_embeddings_and_models(client: openai.AsyncOpenAI, sync: openai.OpenAI) -> None:
    vectors = await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert [len(item.embedding) for item in vectors.data] == [16, 16]
    assert vectors.usage.prompt_tokens == 2
    assert "gpt-4o" in {model.id for model in sync.models.list()}


def test_a_raw_response_keeps_the_providers_headers(sync: openai.OpenAI) -> None:
    raw = sync.chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
    assert raw.headers["x-request-id"] == "req_demo"
    assert raw.headers["x-ratelimit-limit-requests"] == "10000"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_sync(
    sync: openai.OpenAI, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        sync.chat.completions.create(model=f"demo-error-{status}", messages=MESSAGES, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.response.headers["x-request-id"] == "req_demo"
    if status == 429:
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.response.headers["retry-after"] == "1"


async def test_a_wrong_key_async(bases: Bases) -> None:
    async with openai.AsyncOpenAI(base_url=bases.openai, api_key="wrong-key", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.responses.create(model="gpt-5.5", input="x")
    assert caught.value.code == "invalid_api_key"
