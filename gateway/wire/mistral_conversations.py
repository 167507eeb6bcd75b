"""Mistral conversations: begun, continued and restarted, streamed or not. Each such call is billed.

What connectors (search, libraries, code) put into the prompt is apart from ``prompt_tokens``, unless the total shows
that it is not. Searches are counted; other connectors have fees that no count tells of.

OpenAI has conversations on the same paths, which cost nothing: the provider's rules choose between the two.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_agent
from gateway.wire.contract import AskFields, Wire
from gateway.wire.counts import Counts, plus
from gateway.wire.errors import body_code, message_error
from gateway.wire.openai_usage import openai_usage
from gateway.wire.paths import plain
from gateway.wire.shapes import Shape, text
from pricing.usage import Usage


class _Output(msgspec.Struct):
    model: object = None
    content: object = None


class _Piece(msgspec.Struct):
    type: object = None
    model: object = None
    conversation_id: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    outputs: list[_Output] | None = None
    content: object = None
    code: object = None


class _Limits(msgspec.Struct):
    max_tokens: object = None


class _Ask(msgspec.Struct):
    agent_id: object = None
    completion_args: _Limits | None = None


_PIECE = Shape(_Piece)
_ASK = Shape(_Ask)
_MARKS = (b'"usage"', b"response.error", b"[DONE]")
_SEARCHES = ("web_search", "web_search_premium")


class ConversationReader(AnswerReader):
    __slots__ = ()

    def take(self, name: bytes, data: bytes) -> None:
        piece = _PIECE.read(data)
        if piece is None:
            return
        seen = self.seen
        if piece.type == "conversation.response.error" or name == b"error":
            seen.error(text(piece.code, 128) or body_code(data))
            self.finished = True
            return
        seen.began = True
        seen.identity(piece.model, piece.conversation_id)
        for output in piece.outputs or ():
            seen.identity(output.model, None)
            if self.text is not None:
                self.text.add(output.content)
        seen.usage_adds(piece.usage)
        if piece.type == "conversation.response.done":
            self.finished = True
        if self.text is not None:
            self.text.add(piece.content)
        elif seen.model is not None:
            self.marks = _MARKS

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage
        if found is None:
            return None
        used = found.get("connectors")
        if isinstance(used, Mapping) and any(used[name] for name in used if name not in _SEARCHES):
            self.seen.fees_unseen = True
        return conversation_usage(found, counts)


def conversation_usage(found: Mapping[str, object], counts: Counts) -> Usage:
    """Normal form of a conversation's ``usage``."""
    usage = openai_usage("mistral", found, counts)
    fetched = counts.take(found, "connector_tokens")
    used = counts.part(found, "connectors")
    searches = plus(*(counts.take(used, name) for name in _SEARCHES))
    if fetched and counts.take(found, "total_tokens") != plus(usage.input, usage.output):
        usage = msgspec.structs.replace(usage, input=plus(usage.input, fetched), tool_input=fetched)
    return msgspec.structs.replace(usage, web_searches=searches or None)


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """An agent stands for its model where none is named."""
    del path, query
    found = _ASK.read(body) or _Ask()
    return of_agent(body, found.agent_id, (found.completion_args or _Limits()).max_tokens)


def matches(method: str, path: str) -> bool:
    return method == "POST" and "/conversations/" in path and plain(path).endswith("/restart")


WIRE = Wire("mistral_conversations", "chat", matches, read_ask, ConversationReader, message_error)
