"""Token counting by the provider (Anthropic, Gemini, Vertex, OpenAI, Bedrock, Cohere): free, and no usage."""

from __future__ import annotations

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_body
from gateway.wire.bedrock_usage import model_of as bedrock_model
from gateway.wire.contract import AskFields, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import anthropic_error
from gateway.wire.gemini_generate import model_of
from gateway.wire.paths import ends
from pricing.usage import Usage

_GOOGLE = (":countTokens", ":computeTokens", "/count-tokens:rawPredict")
_OTHERS = (
    "/messages/count_tokens",
    "/responses/input_tokens",
    "/tokenize",
    "/detokenize",
    "/text/tokenization",
)


class CountReader(AnswerReader):
    __slots__ = ()

    billable = False

    def take(self, name: bytes, data: bytes) -> None:
        self.seen.began = True

    def usage(self, counts: Counts) -> Usage | None:
        return None


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    del query
    model = None
    if ends(path, "/count-tokens"):
        model = bedrock_model(path, "/count-tokens")
    elif ends(path, *_GOOGLE[:2]):
        model = model_of(path)
    return of_body(body, model=model, stream=False)


def matches(method: str, path: str) -> bool:
    if method != "POST":
        return False
    return ends(path, *_GOOGLE, *_OTHERS) or ("/model/" in path and ends(path, "/count-tokens"))


WIRE = Wire("count_tokens", "count_tokens", matches, read_ask, CountReader, anthropic_error, free=True)
