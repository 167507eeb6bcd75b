"""Reads what a request says of itself: the fields that nearly every wire spells alike.

A body that cannot be decoded (broken off, invalid) is read as far as its beginning goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gateway.wire import multipart, prefix
from gateway.wire.contract import AskFields
from gateway.wire.paths import after
from gateway.wire.shapes import Shape, anything, text

MOST_TAGS = 16
MOST_TAG_NAME = 64
MOST_TAG_VALUE = 512
MOST_TOKENS = 2**31
MOST_ANSWERS = 128


_NO_RAW = msgspec.Raw(b"")
"""Stands for a member that the body does not have."""


class Asked(msgspec.Struct):
    """Members of a request body, whatever their type; nested ones are decoded only when needed."""

    model: object = None
    stream: object = None
    max_tokens: object = None
    max_completion_tokens: object = None
    max_output_tokens: object = None
    n: object = None
    best_of: object = None
    user: object = None
    safety_identifier: object = None
    service_tier: object = None
    session_id: object = None
    prompt_cache_key: object = None
    metadata: msgspec.Raw = _NO_RAW
    stream_options: msgspec.Raw = _NO_RAW
    conversation: msgspec.Raw = _NO_RAW


_ASKED = Shape(Asked)
_NO_LIMITS = (None, None, None)
_NOTHING_SAID: tuple[tuple[tuple[str, str], ...], None, None] = ((), None, None)
_PREFIX_NAMES = frozenset(
    b"model stream max_tokens max_completion_tokens max_output_tokens n best_of".split()
    + b"user safety_identifier service_tier session_id".split()
)
_ATTRIBUTES = ("user_id", "session_id")
"""Members of ``metadata`` that have a field of their own."""
_FORM_NAMES = frozenset({"model", "stream", "user"})


def read_body(path: str, query: str, body: bytes) -> AskFields:
    """The OpenAI family's request fields; also those of wires that spell them alike. A model that the body does not
    name may be told by the path. Raises nothing."""
    del query
    asked = of_body(body)
    if asked.model is None:
        # Azure, and OpenAI's first interface
        named = after(path, "/deployments/") or after(path, "/engines/")
        if named is not None:
            return msgspec.structs.replace(asked, model=named)
    return asked


def of_body(body: bytes, *, model: str | None = None, stream: bool | None = None) -> AskFields:
    """As :func:`read_body`; ``model`` and ``stream`` win over the body where the path tells them."""
    if not body:
        return AskFields(model, bool(stream))
    asked = _ASKED.read(body)
    if asked is None:
        asked = _from_part(body)
    metadata, options, talk = asked.metadata, asked.stream_options, asked.conversation
    tags, session, user = _NOTHING_SAID if metadata is _NO_RAW else _metadata(metadata)
    if asked.user is not None or asked.safety_identifier is not None:
        user = text(asked.user) or text(asked.safety_identifier) or user
    tier, named, n, best_of = asked.service_tier, asked.session_id, asked.n, asked.best_of
    limits = asked.max_completion_tokens, asked.max_output_tokens, asked.max_tokens
    return AskFields(
        model or text(asked.model),
        asked.stream is True if stream is None else stream,
        None if limits == _NO_LIMITS else first_count(limits),
        user,
        session if named is None else text(named) or session,
        tags,
        None if tier is None else text(tier, 64),
        options is not _NO_RAW and _wants_usage(options),
        None if talk is _NO_RAW else _conversation(talk),
        1 if n is None and best_of is None else answers(n, best_of),
    )


def of_agent(body: bytes, agent: object, limit: object) -> AskFields:
    """As :func:`read_body` where an agent may stand for the model, and ``limit`` of output tokens stands apart."""
    asked = of_body(body)
    return msgspec.structs.replace(
        asked, model=asked.model or text(agent), max_tokens=first_count((limit, asked.max_tokens))
    )


def first_count(values: Iterable[object]) -> int | None:
    """The first value that is a sensible token limit."""
    for value in values:
        if value is not None and type(value) is int and 0 <= value <= MOST_TOKENS:
            return value
    return None


def answers(*values: object) -> int:
    """The most of the values that are sensible numbers of answers; 1 where none is."""
    return max([1, *(min(value, MOST_ANSWERS) for value in values if type(value) is int)])


def _from_part(body: bytes) -> Asked:
    """Of a body that is no whole JSON object: a form, or the beginning of an object."""
    if multipart.is_multipart(body):
        form = multipart.fields(body, _FORM_NAMES)
        return Asked(model=form.get("model"), stream=form.get("stream") == "true", user=form.get("user"))
    found = prefix.scalars(body, _PREFIX_NAMES)
    asked = Asked()
    for name, value in found.items():
        setattr(asked, name.decode("ascii"), value)
    return asked


def _metadata(raw: msgspec.Raw) -> tuple[tuple[tuple[str, str], ...], str | None, str | None]:
    """``(tags, session, user)`` of the body's ``metadata``."""
    if len(memoryview(raw)) <= 2:
        return (), None, None
    value = anything(memoryview(raw))
    if not isinstance(value, Mapping):
        return (), None, None
    tags: list[tuple[str, str]] = []
    for name, entry in value.items():
        short = text(name, MOST_TAG_NAME)
        content = text(entry, MOST_TAG_VALUE)
        if short and content and name not in _ATTRIBUTES and len(tags) < MOST_TAGS:
            tags.append((short, content))
    session = text(value.get("session_id")) or text(value.get("trace_id"))
    return tuple(tags), session, text(value.get("user_id"))


def _wants_usage(raw: msgspec.Raw) -> bool:
    if len(memoryview(raw)) <= 2:
        return False
    value = anything(memoryview(raw))
    return isinstance(value, Mapping) and value.get("include_usage") is True


def _conversation(raw: msgspec.Raw) -> str | None:
    if len(memoryview(raw)) <= 2:
        return None
    value = anything(memoryview(raw))
    return text(value.get("id")) if isinstance(value, Mapping) else text(value)
