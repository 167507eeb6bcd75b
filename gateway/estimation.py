"""Counts tokens where the provider reported none: off the loop, offline, and always marked as an estimate.

The prompt is counted from the held request, the answer from the text the tap kept a sample of. A count takes a few
milliseconds in a thread of its own; the app's last bytes wait for it at most :data:`PATIENCE_S`, then a ratio of
bytes has to do. Now and then a call whose usage was reported is counted too, so that the ratio between our
vocabulary and the model's is learned. No text outlives the count.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from gateway.call import Call, Progress
from gateway.wire.contract import Reading
from gateway.wire.shapes import anything
from gateway.wire.tap import Sample, Witness, text_of
from gateway.wire.words import SAID, words
from pricing.tokens import Ratios, TokenCounter
from pricing.usage import Usage
from telemetry.outcome import Outcome

PATIENCE_S: Final = 0.25
"""Longest wait for a count; the first one loads a vocabulary, which takes about as long."""
PROMPT_PATIENCE_S: Final = 5.0
"""Longest wait for the count of a prompt near the limit of a budget; the first one may wait for the vocabulary."""
BYTES_PER_TOKEN: Final = 4
"""Where there is no time to count."""
LEARN_EVERY: Final = 128
"""One reported call in so many is counted to learn from."""
MOST_TEXT: Final = 1_000_000
"""Characters of one prompt or answer that are looked at."""
TEXTUAL: Final = frozenset(("chat", "text_completion", "generate_content", "embeddings"))
"""Operations that are billed by tokens of text."""
_WITHOUT_OUTPUT: Final = frozenset(("embeddings",))
_UNSENT: Final = frozenset((Outcome.REFUSED, Outcome.CONNECT_FAILED))
_COMPLETED: Final = Outcome.COMPLETED
_LATER: Final = frozenset(("tools", "functions", "response_format"))


class Estimator:
    """Made once per worker. Methods run on the event loop unless they say otherwise."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        defect: Callable[[BaseException], None],
        counter: TokenCounter | None = None,
    ) -> None:
        self._loop = loop
        self._defect = defect
        self._thread: ThreadPoolExecutor | None = None
        self._counter = counter or TokenCounter()
        self._ratios = Ratios()
        self._turns = itertools.count(1)
        self._warm = False
        self._under_way: set[asyncio.Future[Reading]] = set()
        self.estimated = 0
        """Calls whose usage we counted."""
        self.hurried = 0
        """... of these, those for which there was no time to count."""

    def wants(self, call: Call, progress: Progress, outcome: Outcome, reading: Reading) -> bool:
        """Does the usage of this call have to be counted, wholly or in part?"""
        wire = call.target.wire
        if wire is None or wire.operation not in TEXTUAL or call.method != "POST" or not progress.sent_at:
            return False
        status = progress.status
        if status is not None and status >= 300 and not progress.unanswered:
            return False
        if reading.invalid or not reading.billable or reading.goes_on:
            return False
        if reading.charge is not None or outcome in _UNSENT:
            return False
        if outcome is _COMPLETED or progress.read_whole:
            return reading.usage is None and reading.model is not None
        return True

    def estimate(
        self, call: Call, progress: Progress, outcome: Outcome, reading: Reading, witness: Witness | None
    ) -> asyncio.Future[Reading]:
        """The reading with counts of ours where the provider's are missing; the future never fails."""
        self.estimated += 1
        found: asyncio.Future[Reading] = self._loop.create_future()
        sample = witness.sample if witness is not None else None
        received = progress.response_bytes
        counting = self._loop.run_in_executor(self._worker(), self._count, call, reading, sample, received)
        hurry = self._loop.call_later(PATIENCE_S, self._hurry, found, call, reading, received)

        def counted(done: asyncio.Future[Reading]) -> None:
            hurry.cancel()
            if found.done():
                return
            if done.cancelled() or done.exception() is not None:
                self._hurry(found, call, reading, received)
            else:
                found.set_result(done.result())

        counting.add_done_callback(counted)
        self._under_way.add(found)
        found.add_done_callback(self._under_way.discard)
        return found

    def warm(self) -> None:
        """Load the vocabulary that most models are counted with before somebody waits for it (70 MB, 0.3 s)."""
        if not self._warm:
            self._warm = True
            loading = self._loop.run_in_executor(self._worker(), self._counter.count, "x", None)
            loading.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def prompt_tokens(self, call: Call) -> int:
        """Tokens of a request's prompt; its size in bytes where there is no time to count, which is never less."""
        counting = self._loop.run_in_executor(self._worker(), self._prompt_of, call)
        try:
            return await asyncio.wait_for(counting, PROMPT_PATIENCE_S)
        except TimeoutError:
            return len(call.body)

    def watch(self, call: Call, reading: Reading, witness: Witness) -> None:
        """A call whose usage was reported: now and then one is counted to learn from.

        Not before the first estimate was needed: a vocabulary takes some 70 MB that most gateways never need.
        """
        if not self.estimated or next(self._turns) % LEARN_EVERY:  # nothing to learn for, or not its turn
            return
        if reading.usage is None or not witness.sample_is_whole:
            return
        learning = self._loop.run_in_executor(self._worker(), self._learn, call, reading, witness.sample)
        learning.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def idle(self) -> None:
        """Wait until nothing is being counted."""
        while self._under_way:
            await asyncio.wait(list(self._under_way))

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _worker(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "token-count")
        return self._thread

    def _hurry(self, found: asyncio.Future[Reading], call: Call, reading: Reading, received: int) -> None:
        if not found.done():
            self.hurried += 1
            made = received // (BYTES_PER_TOKEN * (16 if call.ask.stream else 1))
            found.set_result(_completed(call, reading, len(call.body) // BYTES_PER_TOKEN, made))

    # ---- in the thread

    def _count(self, call: Call, reading: Reading, sample: Sample | None, received: int) -> Reading:
        try:
            model = reading.model or call.ask.model
            provider = call.target.provider.canonical
            asked = made = 0
            if reading.usage is None or reading.usage.input is None:
                asked = self._ratios.estimate(provider, model, self._prompt(call, model))
            text = _text_of(sample)
            if text:
                made = self._ratios.estimate(provider, model, self._counter.count(text, model))
                if sample is not None and 0 < sample.size < received:
                    made = made * received // sample.size
            return _completed(call, reading, asked, made)
        except Exception as error:  # an estimate is ours: it may fail, the call may not
            self._loop.call_soon_threadsafe(self._defect, error)
            raise

    def _prompt_of(self, call: Call) -> int:
        try:
            model = call.ask.model
            return self._ratios.estimate(call.target.provider.canonical, model, self._prompt(call, model))
        except Exception as error:  # as above
            self._loop.call_soon_threadsafe(self._defect, error)
            return len(call.body)

    def _prompt(self, call: Call, model: str | None) -> int:
        """Tokens of the request: messages with their overhead, and whatever else is said in it."""
        body = anything(call.body)
        if not isinstance(body, dict):
            return len(call.body) // BYTES_PER_TOKEN
        texts: list[str] = []
        for name, value in body.items():
            if name == "messages" and isinstance(value, list):
                texts += [" ".join(words(message)) for message in value[:10_000]]
            elif name in _LATER:
                texts.append(msgspec.json.encode(value).decode())
            elif name in SAID:
                texts.append("\n".join(words(value)))
        return self._counter.count_chat([text[:MOST_TEXT] for text in texts if text], model)

    def _learn(self, call: Call, reading: Reading, sample: Sample | None) -> None:
        try:
            usage = reading.usage
            assert usage is not None
            text = _text_of(sample)
            if text and usage.output and reading.model:
                said = usage.output - (usage.reasoning or 0)
                counted = self._counter.count(text, reading.model)
                self._ratios.learn(call.target.provider.canonical, reading.model, said, counted)
        except Exception as error:  # as above
            self._loop.call_soon_threadsafe(self._defect, error)


def _text_of(sample: Sample | None) -> str:
    return "" if sample is None else text_of(sample, MOST_TEXT)[0]


def _completed(call: Call, reading: Reading, asked: int, made: int) -> Reading:
    """The reading with our counts in place of those that are missing; what was reported stays."""
    usage = reading.usage or Usage()
    wire = call.target.wire
    output = usage.output
    if wire is None or wire.operation not in _WITHOUT_OUTPUT:
        output = max(output or 0, made)
    counted = msgspec.structs.replace(
        usage, input=asked if usage.input is None else usage.input, output=output
    )
    return msgspec.structs.replace(reading, usage=counted, estimated=True)
