"""The words in a request: every text of it but names, ids and embedded data."""

from __future__ import annotations

from typing import Final

LONGEST_WORD: Final = 2_000
"""A string without a space that is longer is data (an image, a file), not text."""
SAID: Final = frozenset(
    (
        *("messages", "message", "input", "inputs", "prompt", "contents"),
        *("system", "systemInstruction", "system_instruction", "instructions"),
    )
)
"""Where requests of the wires hold what is said to the model."""
_NOT_TEXT: Final = frozenset(
    ("model", "role", "type", "id", "tool_call_id", "data", "url", "file_data", "bytes")
)


def words(value: object) -> list[str]:
    """Every text in a piece of a request, in its order."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if is_text(one):
                found.append(one)
        elif isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, dict):
            waiting += [inner for name, inner in reversed(one.items()) if name not in _NOT_TEXT]
    return found


def is_text(one: str) -> bool:
    """Is it text, and not embedded data?"""
    return len(one) <= LONGEST_WORD or " " in one[:LONGEST_WORD]
