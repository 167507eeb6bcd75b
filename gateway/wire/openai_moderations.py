"""OpenAI moderations. Free at OpenAI; others (Mistral) report and bill usage on the same path."""

from __future__ import annotations

import msgspec

from gateway.wire.asking import read_body
from gateway.wire.contract import Reading, Wire
from gateway.wire.errors import openai_error
from gateway.wire.openai_chat import ChatReader
from gateway.wire.paths import ends


class ModerationReader(ChatReader):
    __slots__ = ()

    def reading(self) -> Reading:
        read = super().reading()
        return (
            read if read.usage is not None or read.invalid else msgspec.structs.replace(read, billable=False)
        )


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/moderations", "/classifications")


WIRE = Wire("openai_moderations", "moderation", matches, read_body, ModerationReader, openai_error)
