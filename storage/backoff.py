"""How long to wait before asking a failing database again."""

from __future__ import annotations

import random


class Backoff:
    """Doubling delays with jitter, in seconds: each is between half of and the whole current step."""

    def __init__(self, first_s: float, longest_s: float, rng: random.Random | None = None) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._step_s = first_s
        self._rng = rng or random.Random()

    def next_s(self) -> float:
        """The next delay."""
        delay = self._step_s * self._rng.uniform(0.5, 1.0)
        self._step_s = min(self._step_s * 2, self._longest_s)
        return delay

    def reset(self) -> None:
        """It works again."""
        self._step_s = self._first_s
