"""What a provider tells back of what it was sent: keys and prompts are kept out of the error codes we record."""

from __future__ import annotations

import re
from typing import Final

UNTOLD: Final = "error"
"""Stands for a code that is not fit to be kept."""
_CODE: Final = re.compile(r"[\w.:/#-]{1,96}", re.ASCII)
"""Codes are single words; anything longer is a message, and messages quote what was sent."""
_LONG_WORD: Final = re.compile(rb"[\w.~+/-]{12,}")
"""What may be a key."""


def without_echo(code: str, request: bytes) -> str:
    """``code`` of an error as it may be kept; ``request`` is what the provider was sent, head first.

    A code that holds a long word of a header's value or of the query is taken for an echo of a key.
    """
    if _CODE.fullmatch(code) is None:
        return UNTOLD
    told = code.encode("ascii")
    target, *lines = request[: request.find(b"\r\n\r\n")].split(b"\r\n")
    values = [target.partition(b"?")[2], *(line.partition(b":")[2] for line in lines)]
    for value in values:
        if any(word in told for word in _LONG_WORD.findall(value)):
            return UNTOLD
    return code
