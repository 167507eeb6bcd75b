"""Bedrock ``invoke`` and ``invoke-with-response-stream``: the body is the model family's own.

Counts come from the body where the family reports them (Anthropic, Nova, Llama, OpenAI shapes), else from the
response headers, else (Titan) from the body's text counts. An answer of Nova's that a guardrail rewrote has lost its
output count; the headers still tell it. A stream ends with ``amazon-bedrock-invocationMetrics``, which count where the
family's own events do not: the two can disagree, and the family's own are billed. Without either, a guardrail answered
in place of the model. Guardrails have a fee of their own, which is not told.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from gateway.wire.anthropic_messages import MessagesReader
from gateway.wire.anthropic_usage import anthropic_usage, apart, refused
from gateway.wire.asking import first_count, of_body
from gateway.wire.bedrock_usage import (
    bedrock_usage,
    header_counts,
    header_error,
    header_tier,
    model_of,
)
from gateway.wire.contract import AskFields, Exchanged, Reading, Wire
from gateway.wire.counts import Counts, plus
from gateway.wire.errors import aws_error
from gateway.wire.eventstream import EXCEPTION
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import ends
from gateway.wire.shapes import Shape, exact_object, text
from pricing.usage import Part


class _Envelope(msgspec.Struct):
    data: object = msgspec.field(name="bytes", default=None)


class _Result(msgspec.Struct):
    tokens: object = msgspec.field(name="tokenCount", default=None)
    reason: object = msgspec.field(name="completionReason", default=None)
    finish_reason: object = None
    stop_reason: object = None
    text: object = None


class _Metadata(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"")


class _Stop(msgspec.Struct):
    reason: object = msgspec.field(name="stopReason", default=None)


class _Body(msgspec.Struct):
    """What the families put at the top of a body or of an event."""

    type: object = None
    id: object = None
    model: object = None
    generation_id: object = None
    response_id: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    prompt_token_count: object = None
    generation_token_count: object = None
    stop_reason: object = None
    finish_reason: object = None
    nova_stop: object = msgspec.field(name="stopReason", default=None)
    titan_input: object = msgspec.field(name="inputTextTokenCount", default=None)
    titan_reason: object = msgspec.field(name="completionReason", default=None)
    results: list[_Result] | None = None
    outputs: list[_Result] | None = None
    generations: list[_Result] | None = None
    choices: list[_Result] | None = None
    completions: list[msgspec.Raw] | None = None
    metadata: _Metadata | None = None
    message_stop: _Stop | None = msgspec.field(name="messageStop", default=None)
    metrics: msgspec.Raw = msgspec.field(name="amazon-bedrock-invocationMetrics", default=msgspec.Raw(b""))
    guardrail: object = msgspec.field(name="amazon-bedrock-guardrailAction", default=None)
    service_tier: object = None
    generation: object = None
    output_text: object = msgspec.field(name="outputText", default=None)


class _Reason(msgspec.Struct):
    reason: object = None


class _Completion(msgspec.Struct):
    finish: _Reason | None = msgspec.field(name="finishReason", default=None)


_ENVELOPE = Shape(_Envelope)
_BODY = Shape(_Body)
_COMPLETION = Shape(_Completion)
_VERBS = ("/invoke-with-response-stream", "/invoke")


class InvokeReader(MessagesReader):
    """Claude's bodies are Anthropic messages; the rest of the families is read beside them."""

    __slots__ = ("_counted", "_metrics")

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._counted: dict[str, object] = {}
        """Counts of a body that has no usage object."""
        self._metrics: dict[str, object] | None = None

    def event(self, name: bytes, data: bytes) -> None:
        if name.startswith(EXCEPTION):
            self._seen.error(name[len(EXCEPTION) :].decode("latin-1")[:128])
            self.finished = True
            return
        envelope = _ENVELOPE.read(data)
        if envelope is None or type(envelope.data) is not str:
            return
        try:
            inner = base64.b64decode(envelope.data)
        except (binascii.Error, ValueError):
            return
        self._seen.began = True
        super().event(b"", inner)
        if b'"content_block_' not in inner[:40]:
            self._take(inner, streamed=True)

    def document(self, body: bytes) -> None:
        super().document(body)
        if self._call.status >= 400:
            self._seen.error_code = header_error(self._call) or self._seen.error_code
        else:
            self._take(body)

    def _take(self, data: bytes, *, streamed: bool = False) -> None:
        body = _BODY.read(data)
        if body is None:
            return
        seen = self._seen
        if streamed and body.type is None:  # one with a type was read as a message's event
            seen.identity(body.model, body.id)
            seen.usage_adds(body.usage)
        seen.identity(None, body.generation_id or body.response_id)
        if body.service_tier:
            seen.service_tier = text(body.service_tier, 64) or seen.service_tier
        if body.guardrail is not None:
            seen.fees_unseen = True
        if body.metadata is not None:
            seen.usage_adds(body.metadata.usage)
        if body.message_stop is not None:
            seen.finished_with(body.message_stop.reason)
        seen.finished_with(body.nova_stop)
        seen.finished_with(body.titan_reason)
        seen.finished_with(body.finish_reason)
        if body.stop_reason not in seen.finish:  # of a whole body it was read with the message
            seen.finished_with(body.stop_reason)
        for result in body.results or body.outputs or body.generations or body.choices or ():
            seen.finished_with(result.reason or result.finish_reason or result.stop_reason)
        for raw in body.completions or ():
            completion = _COMPLETION.read(raw)
            if completion is not None and completion.finish is not None:
                seen.finished_with(completion.finish.reason)
        if self.text is not None:
            self.text.add(body.generation)
            self.text.add(body.output_text)
        self._count(body)

    def _count(self, body: _Body) -> None:
        metrics = exact_object(body.metrics)
        if metrics is not None:
            self._metrics = metrics
            self.finished = True
        if body.generation_token_count is not None:
            self._counted["outputTokenCount"] = body.generation_token_count
        if body.prompt_token_count is not None:
            self._counted["inputTokenCount"] = body.prompt_token_count
        if body.titan_input is not None and body.output_text is None:
            self._counted["inputTokenCount"] = body.titan_input
            made = [result.tokens for result in body.results or ()]
            if made:
                checked = Counts()
                self._counted["outputTokenCount"] = plus(*(checked.value(tokens) for tokens in made))

    def reading(self) -> Reading:
        seen, counts = self._seen, Counts()
        also: tuple[Part, ...] = ()
        found = seen.usage
        if found is None:
            found = self._metrics or header_counts(self._call) or self._counted or None
            usage = bedrock_usage(found, counts) if found is not None else None
            if found is not None:
                seen.usage_is(found, None)
        elif "inputTokens" in found or "outputTokens" in found:
            if found.get("inputTokens") is None or found.get("outputTokens") is None:
                found = {**(self._metrics or header_counts(self._call)), **found}
                seen.usage_is(found, None)
            usage = bedrock_usage(found, counts)
        elif "prompt_tokens" in found:
            usage = openai_usage("bedrock", found, counts)
        else:
            usage = anthropic_usage(found, counts)
            also = apart(found, seen.model or self._call.ask.model, counts, self._declined)
            if "refusal" in seen.finish:
                usage = refused(usage, self._why)
        seen.service_tier = header_tier(self._call) or seen.service_tier
        return seen.with_usage(self._call, usage, counts, also=also)


class _Limits(msgspec.Struct):
    nova: object = msgspec.field(name="max_new_tokens", default=None)
    nova_as_converse: object = msgspec.field(name="maxTokens", default=None)
    titan: object = msgspec.field(name="maxTokenCount", default=None)


class _Ask(msgspec.Struct):
    llama: object = msgspec.field(name="max_gen_len", default=None)
    claude: object = msgspec.field(name="max_tokens_to_sample", default=None)
    ai21: object = msgspec.field(name="maxTokens", default=None)
    nova: _Limits | None = msgspec.field(name="inferenceConfig", default=None)
    titan: _Limits | None = msgspec.field(name="textGenerationConfig", default=None)


_ASK = Shape(_Ask)


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """Model and streaming are told by the path; each family names its token limit differently."""
    del query
    streamed = ends(path, "/invoke-with-response-stream")
    asked = of_body(body, model=model_of(path, *_VERBS), stream=streamed)
    found = _ASK.read(body)
    if found is None or asked.max_tokens is not None:
        return asked
    limits = (
        found.llama,
        found.claude,
        found.ai21,
        found.nova.nova if found.nova is not None else None,
        found.nova.nova_as_converse if found.nova is not None else None,
        found.titan.titan if found.titan is not None else None,
    )
    return msgspec.structs.replace(asked, max_tokens=first_count(limits))


def matches(method: str, path: str) -> bool:
    return method == "POST" and "/model/" in path and ends(path, *_VERBS)


WIRE = Wire("bedrock_invoke", "chat", matches, read_ask, InvokeReader, aws_error)
