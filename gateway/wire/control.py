"""Everything that manages rather than generates: listings, look-ups, files, threads, deletions. Costs nothing.

Asked last. ``GET`` never generates (realtime sockets aside), neither do ``DELETE`` and ``HEAD``; of the ``POST``
and ``PATCH`` only those are meant whose path is known to manage something.
"""

from __future__ import annotations

import re

from gateway.wire.answer import AnswerReader
from gateway.wire.contract import AskFields, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import openai_error
from gateway.wire.openai_realtime import SOCKETS
from gateway.wire.paths import plain
from pricing.usage import Usage
from telemetry.record import FREE_METHODS

_MANAGES = re.compile(
    r"/(?:files|uploads(?:/[^/]+/(?:parts|complete|cancel))?|assistants(?:/[^/]+)?|threads(?:/[^/]+)?"
    r"|threads/[^/]+/messages(?:/[^/]+)?|vector_stores(?:/.*)?|conversations(?:/.*)?"
    r"|cachedContents(?:/[^/]+)?|fileSearchStores(?:/[^/:]+)?|models/[^/]+:fetchPredictOperation|auth_tokens"
    r"|chat/completions/[^/]+|realtime/(?:sessions|transcription_sessions|(?:translations/)?client_secrets)"
    r"|chatkit/sessions(?:/[^/]+/cancel)?|evals(?:/[^/]+)?|skills(?:/[^/]+(?:/versions(?:/[^/]+)?)?)?"
    r"|agents(?:/[^/]+(?:/(?:archive|aliases|versions?))?)?|libraries(?:/.*)?"
    r"|organizations?/(?:(?:admin_)?api_keys|certificates|groups|invites|projects|roles|users|workspaces)(?:/.*)?"
    r"|check-api-key|api/(?:show|pull|push|copy|create|blobs/[^/]+)"
    r"|traces/ingest|(?:oidc|identity|oauth2(?:/v[0-9.]+)?)/token)$"
    r"|^/token$"
)
"""Gemini's ``fileSearchStores/NAME:VERB`` is not among them: what is put into a store is embedded, at a price.

SDKs trade keys for tokens at hosts of their own (IBM's, Google's) and OpenAI's agents send their traces home: an app
may send all of it through one gateway. The model calls that such traces tell of are not made again."""


class ControlReader(AnswerReader):
    __slots__ = ()

    billable = False

    def take(self, name: bytes, data: bytes) -> None:
        self.seen.began = True

    def usage(self, counts: Counts) -> Usage | None:
        return None


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    del path, query, body
    return AskFields()


def matches(method: str, path: str) -> bool:
    short = plain(path)
    if method in FREE_METHODS:
        return not short.endswith(SOCKETS)
    return method in ("POST", "PATCH") and _MANAGES.search(short) is not None


WIRE = Wire("control", "control", matches, read_ask, ControlReader, openai_error, fallback=True, free=True)
