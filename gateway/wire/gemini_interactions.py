"""Gemini interactions: created, streamed, in the background, and polled.

Counts are named otherwise than in ``usageMetadata`` and mean the same: thoughts and tool use are apart. They are
cumulative and replaced whole; in a stream they stand in an interaction, in an event or in its ``metadata``. Only the
call that creates an interaction may be billed. One that works on after that and is not named a background job is
unpriced: a poll does not say whether it was billed already. Deep research is a background job, named so or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gateway.wire.answer import AnswerReader
from gateway.wire.asking import of_agent
from gateway.wire.contract import AskFields, Exchanged, Reading, Wire
from gateway.wire.counts import Counts, plus
from gateway.wire.errors import body_code, code_in, google_error
from gateway.wire.gemini_generate import grounded
from gateway.wire.gemini_usage import answered_tokens, by_modality, gemini_normal
from gateway.wire.paths import plain
from gateway.wire.shapes import Shape, exact_object, text
from gateway.wire.words import words
from pricing.usage import Usage


class _Interaction(msgspec.Struct):
    id: object = None
    model: object = None
    agent: object = None
    status: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    service_tier: object = None
    created: object = None
    background: object = None
    errors: object = None
    steps: object = None


class _Delta(msgspec.Struct):
    text: object = None


class _Metadata(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"")


class _Piece(_Interaction):
    """An interaction, or an event that may hold one."""

    event_type: object = None
    interaction: _Interaction | None = None
    error: object = None
    delta: _Delta | None = None
    metadata: _Metadata | None = None


class _Limits(msgspec.Struct):
    max_output_tokens: object = None


class _Ask(msgspec.Struct):
    agent: object = None
    generation_config: _Limits | None = None


_NOTHING = msgspec.Raw(b"")
_PIECE = Shape(_Piece)
_ASK = Shape(_Ask)
_MARKS = (b"interaction.", b'"usage"', b'"error"', b"[DONE]")
_OPEN = (None, "", "in_progress", "queued", "requires_continuation")
_ENDS = ("interaction.completed", "interaction.complete")
_ONE = re.compile(r"/interactions/[^/]+(/cancel)?$")


class InteractionReader(AnswerReader):
    __slots__ = ("_background", "_open")

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._background = False
        self._open = False
        """A whole answer came before the work was done."""

    def take(self, name: bytes, data: bytes) -> None:
        del name
        piece = _PIECE.read(data)
        if piece is None:
            return
        seen = self.seen
        if piece.error:
            seen.error(body_code(data))
            return
        seen.began = True
        found = piece if piece.interaction is None else piece.interaction
        self._identify(found)
        for usage in (piece.metadata.usage if piece.metadata is not None else _NOTHING, found.usage):
            told = exact_object(usage)
            if told:
                seen.usage_is(told, bytes(usage))
        if found.status not in _OPEN and piece.event_type != "interaction.status_update":
            seen.finish.clear()
            seen.finished_with(found.status)
        if found.status == "failed":
            seen.error(code_in(found.errors))
        self._open = piece.event_type is None and found.status in _OPEN and bool(found.status)
        if piece.event_type in _ENDS:
            self.finished = True
        if self.text is not None:
            said = [piece.delta.text] if piece.delta is not None else []
            for one in said if piece.event_type is not None else words(found.steps):
                self.text.add(one)
        elif piece.event_type is not None:
            self.marks = _MARKS

    def _identify(self, found: _Interaction) -> None:
        seen = self.seen
        seen.identity(found.model or found.agent, found.id)
        if found.service_tier:
            seen.service_tier = text(found.service_tier, 64) or seen.service_tier
        seen.created_at(found.created)
        self._background = self._background or found.background is True or _is_research(found.agent)

    def usage(self, counts: Counts) -> Usage | None:
        found = self.seen.usage
        return interaction_usage(found, counts) if found is not None else None

    def reading(self) -> Reading:
        counts = Counts()
        usage = self.usage(counts)
        self.seen.fees_unseen = _has_fees(self.seen.usage)
        if self._background:
            return self.seen.with_job(self.call, usage, counts, begins=True)
        if self.call.method != "POST" or plain(self.call.path).endswith("/cancel"):
            return self.seen.with_usage(self.call, None, counts, billable=False)
        read = self.seen.with_usage(self.call, usage, counts)
        return msgspec.structs.replace(read, goes_on=self._open) if self._open else read


def _is_research(agent: object) -> bool:
    """Deep research runs in the background only, and its answers need not say so."""
    return isinstance(agent, str) and agent.startswith("deep-research")


def interaction_usage(found: Mapping[str, object], counts: Counts) -> Usage:
    """Normal form of an interaction's ``usage``."""
    prompt, answered = counts.take(found, "total_input_tokens"), counts.take(found, "total_output_tokens")
    tools, thoughts = counts.take(found, "total_tool_use_tokens"), counts.take(found, "total_thought_tokens")
    asked = plus(prompt, tools)
    usage = gemini_normal(
        asked,
        answered_tokens(answered, thoughts, asked, counts.take(found, "total_tokens")),
        cached=counts.take(found, "total_cached_tokens"),
        thoughts=thoughts,
        tools=tools,
        asked_by=by_modality(
            found, counts, "tokens", "input_tokens_by_modality", "tool_use_tokens_by_modality"
        ),
        cached_by=by_modality(found, counts, "tokens", "cached_tokens_by_modality"),
        made_by=by_modality(found, counts, "tokens", "output_tokens_by_modality"),
    )
    uses = counts.rows(found, "grounding_tool_count")
    searches = plus(*(counts.take(row, "count") for row in uses if row.get("type") == "google_search"))
    maps = any(row.get("type") == "google_maps" and row.get("count") for row in uses)
    return grounded(usage, searches) if searches or maps else usage


def _has_fees(found: Mapping[str, object] | None) -> bool:
    """Were tools used whose fees nothing tells of?"""
    rows = (found or {}).get("grounding_tool_count")
    return any(
        isinstance(row, dict) and row.get("type") != "google_search" and row.get("count")
        for row in (rows if isinstance(rows, list) else ())
    )


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """An agent stands for its model where none is named."""
    del path, query
    found = _ASK.read(body) or _Ask()
    return of_agent(body, found.agent, (found.generation_config or _Limits()).max_output_tokens)


def matches(method: str, path: str) -> bool:
    if "/interactions" not in path:
        return False
    short = plain(path)
    if method == "POST":
        return short.endswith("/interactions") or (
            short.endswith("/cancel") and _ONE.search(short) is not None
        )
    return method == "GET" and _ONE.search(short) is not None


WIRE = Wire("gemini_interactions", "generate_content", matches, read_ask, InteractionReader, google_error)
