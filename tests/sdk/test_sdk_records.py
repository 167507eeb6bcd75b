"""What the SDKs did is what was recorded: one record per call, with the tokens the SDK was told."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any, Protocol

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

MESSAGES: Any = [{"role": "user", "content": "How heavy is it?"}]


class Bases(Protocol):
    openai: str
    anthropic: str
    gemini: str
    gateway: str


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def records(bases: Bases, feature: str, count: int) -> list[dict[str, Any]]:
    """The records of one test, newest first, once there are ``count``: they may still be on their way."""
    deadline = time.monotonic() + 10
    while len(found := get(f"{bases.gateway}/api/calls?limit=100&feature={feature}")["items"]) < count:
        assert time.monotonic() < deadline, f"{count} calls, {len(found)} records"
        time.sleep(0.02)
    items: list[dict[str, Any]] = found
    return items


def headers(feature: str) -> dict[str, str]:
    """Whose calls these are."""
    return {"x-weighbridge-team": "yard", "x-weighbridge-user": "ada", "x-weighbridge-feature": feature}


@pytest.mark.parametrize("stream", [False, True])
def test_openai_chat(recording: Bases, stream: bool) -> None:
    feature = f"chat-{stream}"
    with openai.OpenAI(base_url=recording.openai, api_key="k", max_retries=0) as client:
        whole = client.chat.completions.create(model="gpt-5.5", messages=MESSAGES)
        raw = client.chat.completions.with_raw_response.create(
            model="gpt-5.5", messages=MESSAGES, stream=stream, extra_headers=headers(feature)
        )
        call_id = raw.headers["x-weighbridge-request-id"]
        answer: Any = raw.parse()
        if stream:
            chunks = list(answer)
            assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    (kept,) = records(recording, feature, 1)
    assert kept["id"] == call_id
    assert whole.usage
    counts = kept["usage"]["counts"]
    assert (counts["input"], counts["output"]) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    assert kept["usage"]["source"] == "provider"
    assert (kept["outcome"], kept["what"]["stream"]) == ("completed", stream)
    assert (kept["who"]["team"], kept["who"]["user"]) == ("yard", "ada")
    assert kept["cost"]["status"] == "priced"
    assert kept["cost"]["total"]["nano_usd"] > 0
    if not stream:
        assert raw.headers["x-weighbridge-cost-usd"] == kept["cost"]["total"]["usd"]


def test_anthropic_messages(recording: Bases) -> None:
    with anthropic.Anthropic(base_url=recording.anthropic, api_key="k", max_retries=0) as client:
        ask: Any = {"model": "claude-sonnet-5", "max_tokens": 300, "messages": MESSAGES}
        with client.messages.stream(**ask, extra_headers=headers("messages")) as stream:
            call_id = stream.response.headers["x-weighbridge-request-id"]
            final = stream.get_final_message()
    (kept,) = records(recording, "messages", 1)
    assert kept["id"] == call_id
    counts = kept["usage"]["counts"]
    assert (counts["input"], counts["output"]) == (final.usage.input_tokens, final.usage.output_tokens)
    assert (kept["what"]["provider"], kept["what"]["wire"]) == ("anthropic", "anthropic_messages")
    assert kept["answer"]["model"] == "claude-sonnet-5"


def test_gemini_content(recording: Bases) -> None:
    options = types.HttpOptions(base_url=recording.gemini, headers=headers("content"))
    client = genai.Client(api_key="k", http_options=options)
    parts = list(client.models.generate_content_stream(model="gemini-2.5-pro", contents="How heavy?"))
    client.close()
    told = parts[-1].usage_metadata
    assert told
    assert told.thoughts_token_count
    assert told.candidates_token_count
    (kept,) = records(recording, "content", 1)
    assert kept["what"]["wire"] == "gemini_generate"
    assert kept["usage"]["counts"]["reasoning"] == told.thoughts_token_count
    assert kept["usage"]["counts"]["output"] == told.candidates_token_count + told.thoughts_token_count


def test_an_error_is_one_record_without_cost(recording: Bases) -> None:
    with (
        openai.OpenAI(base_url=recording.openai, api_key="k", max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(
            model="demo-error-429", messages=MESSAGES, extra_headers=headers("error")
        )
    (kept,) = records(recording, "error", 1)
    assert kept["id"] == caught.value.response.headers["x-weighbridge-request-id"]
    assert (kept["outcome"], kept["answer"]["status"]) == ("provider_error", 429)
    assert kept["answer"]["error_code"] == "rate_limit_exceeded"
    assert kept["cost"]["status"] == "not_billable"


def test_a_retry_of_the_sdk_is_a_call_of_its_own(recording: Bases) -> None:
    with (
        anthropic.Anthropic(base_url=recording.anthropic, api_key="k", max_retries=1) as client,
        pytest.raises(anthropic.InternalServerError),
    ):
        client.messages.create(
            model="demo-error-500", max_tokens=5, messages=MESSAGES, extra_headers=headers("retries")
        )
    kept = records(recording, "retries", 2)
    assert [one["answer"]["status"] for one in kept] == [500, 500]
    assert len({one["id"] for one in kept}) == 2
