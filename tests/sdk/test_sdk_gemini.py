"""The Google Gen AI SDK, unmodified: only its base URL is set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest
from google import genai
from google.genai import errors, types

MODEL = "gemini-2.5-pro"
QUESTION = "How heavy is it?"
WEIGH = types.FunctionDeclaration(
    name="weigh",
    description="Weighs a truck",
    parameters=types.Schema(
        type=types.Type.OBJECT, properties={"gate": types.Schema(type=types.Type.STRING)}, required=["gate"]
    ),
)
WITH_TOOL = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[WEIGH])])


class Bases(Protocol):
    gemini: str


def make(bases: Bases, key: str = "k") -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=bases.gemini))


@pytest.fixture
def client(bases: Bases) -> Iterator[genai.Client]:
    client = make(bases)
    yield client
    client.close()


def test_content_sync_streamed_and_not_say_the_same(client: genai.Client) -> None:
    whole = client.models.generate_content(model=MODEL, contents=QUESTION)
    parts = list(client.models.generate_content_stream(model=MODEL, contents=QUESTION))
    assert "".join(part.text or "" for part in parts) == whole.text
    assert parts[-1].usage_metadata == whole.usage_metadata
    assert whole.usage_metadata
    assert whole.usage_metadata.thoughts_token_count


async def test_content_async_streamed_and_not_say_the_same(client: genai.Client) -> None:
    whole = await client.aio.models.generate_content(model=MODEL, contents=QUESTION)
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents=QUESTION)
    assert "".join([part.text or "" async for part in stream]) == whole.text
    await client.aio.aclose()


def test_function_call_and_its_result_sync(client: genai.Client) -> None:
    asked = client.models.generate_content(model=MODEL, contents=QUESTION, config=WITH_TOOL)
    assert asked.function_calls
    call = asked.function_calls[0]
    assert (call.name, call.args) == ("weigh", {"gate": "gate 2"})
    assert asked.candidates
    assert asked.candidates[0].content
    result = types.Part.from_function_response(name="weigh", response={"tonnes": 38.4})
    turns = [
        types.Content(role="user", parts=[types.Part(text=QUESTION)]),
        asked.candidates[0].content,
        types.Content(role="user", parts=[result]),
    ]
    final = client.models.generate_content(model=MODEL, contents=turns, config=WITH_TOOL)
    assert final.text


async def test_function_call_streamed_async(client: genai.Client) -> None:
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents=QUESTION, config=WITH_TOOL)
    calls = [call async for part in stream for call in part.function_calls or []]
    assert [call.name for call in calls] == ["weigh"]
    await client.aio.aclose()


def test_counting(client: genai.Client) -> None:
    assert client.models.count_tokens(model=MODEL, contents=QUESTION).total_tokens == len(QUESTION) // 4


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        (400, errors.ClientError, "INVALID_ARGUMENT"),
        (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (500, errors.ServerError, "INTERNAL"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_sync(
    client: genai.Client, status: int, kind: type[errors.APIError], name: str, stream: bool
) -> None:
    ask = client.models.generate_content_stream if stream else client.models.generate_content
    with pytest.raises(kind) as caught:
        list(ask(model=f"demo-error-{status}", contents=QUESTION))
    assert (caught.value.code, caught.value.status) == (status, name)


async def test_a_wrong_key_async(bases: Bases) -> None:
    client = make(bases, "wrong-key")
    with pytest.raises(errors.ClientError) as caught:
        await client.aio.models.generate_content(model=MODEL, contents=QUESTION)
    assert caught.value.code == 401
    await client.aio.aclose()
