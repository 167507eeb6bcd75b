"""Tell the gateway what happened beside the calls: events, feedback, outcomes, and calls that did not pass it.

    from weighbridge.client import Client

    client = Client("http://127.0.0.1:8707")
    client.track("report opened", user="ada", properties={"pages": 3})
    client.feedback(call_id=answer.headers["x-weighbridge-request-id"], rating=1, user="ada")
    client.close()

Every method returns at once and none raises because of what it is given or because the gateway is away: events wait in
a bounded queue and go in batches (:attr:`Client.stats` tells what became of them). ``AsyncClient`` sends from the event
loop it is used on, ``Client`` from a thread of its own, started again in a forked process.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import CancelledError
from datetime import datetime
from decimal import Decimal
from typing import Any

from weighbridge.messages import Event, encoded, envelope, filled
from weighbridge.sending import Options, Queue, Sender, Stats, log

__all__ = ["AsyncClient", "Client", "Stats"]

DEFAULT_URL = "http://127.0.0.1:8707"


class _Telling:
    """The methods that tell, on top of :meth:`_put`."""

    def __init__(self, url: str | None, token: str | None, options: Mapping[str, Any]) -> None:
        environ = os.environ
        self._options = Options(
            (url or environ.get("WEIGHBRIDGE_URL") or DEFAULT_URL).rstrip("/"),
            token or environ.get("WEIGHBRIDGE_TOKEN") or environ.get("WEIGHBRIDGE_ADMIN_TOKEN"),
            **options,
        )
        self._queue = Queue(self._options)

    @property
    def stats(self) -> Stats:
        """What became of the events so far."""
        return self._queue.stats

    def track(
        self,
        event: str,
        user: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        anonymous: str | None = None,
        session: str | None = None,
        tenant: str | None = None,
        message_id: str | None = None,
        timestamp: datetime | None = None,
    ) -> None:
        """Somebody did something: ``user``, or somebody known by ``anonymous`` only."""
        said = envelope(
            "track",
            message_id=message_id,
            timestamp=timestamp,
            user=user,
            anonymous=anonymous,
            session=session,
            tenant=tenant,
        )
        self._tell({**said, "event": event, "properties": {} if properties is None else properties})

    def identify(
        self,
        user: str,
        traits: Mapping[str, Any] | None = None,
        *,
        anonymous: str | None = None,
        tenant: str | None = None,
        message_id: str | None = None,
        timestamp: datetime | None = None,
    ) -> None:
        """``anonymous`` is ``user`` from now on. Traits are dropped unless the gateway is told to keep them."""
        said = envelope(
            "identify",
            message_id=message_id,
            timestamp=timestamp,
            user=user,
            anonymous=anonymous,
            tenant=tenant,
        )
        self._tell({**said, "traits": {} if traits is None else traits})

    def feedback(
        self,
        *,
        call_id: str | None = None,
        response_id: str | None = None,
        trace_id: str | None = None,
        rating: int | None = None,
        stars: int | None = None,
        score: float | Decimal | None = None,
        source: str = "user",
        user: str | None = None,
        label: str | None = None,
        comment: str | None = None,
        feedback_id: str | None = None,
    ) -> None:
        """What an answer was worth: ``rating`` -1 or 1, ``stars`` 1 to 5, or ``score`` 0 to 1."""
        said = {
            "call_id": call_id,
            "response_id": response_id,
            "trace_id": trace_id,
            "rating": rating,
            "stars": stars,
            "score": score,
            "source": source,
            "user": user,
            "label": label,
            "comment": comment,
            "id": feedback_id,
        }
        self._tell({**envelope("feedback", message_id=None, timestamp=None), "feedback": filled(said)})

    def outcome(
        self,
        outcome: str,
        *,
        call_id: str | None = None,
        response_id: str | None = None,
        trace_id: str | None = None,
        value: str | Decimal | None = None,
        user: str | None = None,
        outcome_id: str | None = None,
    ) -> None:
        """What came of an answer: accepted, rejected, resolved, escalated, or converted with a ``value`` in USD."""
        said = {
            "outcome": outcome,
            "call_id": call_id,
            "response_id": response_id,
            "trace_id": trace_id,
            "value": value,
            "user": user,
            "id": outcome_id,
        }
        self._tell({**envelope("outcome", message_id=None, timestamp=None), "outcome": filled(said)})

    def track_ai_request(
        self,
        provider: str,
        model: str,
        usage: Mapping[str, int] | None = None,
        *,
        user: str | None = None,
        session: str | None = None,
        tenant: str | None = None,
        message_id: str | None = None,
        timestamp: datetime | None = None,
        **call: Any,
    ) -> None:
        """A model call that did not pass the gateway: it is priced and becomes a record like any other.

        ``usage`` counts as the gateway does: ``input`` and ``output`` include everything, ``cache_read``,
        ``cache_write_5m``, ``reasoning`` and so on are parts of them. ``timestamp`` is when the call began. Further
        fields: ``response_model``, ``response_id``, ``duration_ms``, ``ttft_ms``, ``status``, ``error``, ``stream``,
        ``team``, ``project``, ``feature``, ``tags``... (``AiCallIn`` in ``/api/openapi.json``).
        """
        said = envelope(
            "ai_request",
            message_id=message_id,
            timestamp=timestamp,
            user=user,
            session=session,
            tenant=tenant,
        )
        told = {"provider": provider, "model": model, "usage": usage, **call}
        self._tell({**said, "call": filled(told)})

    def _tell(self, event: Event) -> None:
        try:
            data = encoded(event)
        except Exception as error:  # a sink: whatever an app hands over must not come back at it
            self._queue.count(dropped=1)
            log.warning("an event is no JSON: %s", type(error).__name__)
            return
        if self._queue.put(data):
            self._wake()

    def _wake(self) -> None:
        try:
            self._nudge()
        except Exception as error:  # a sink, as above: the event waits
            log.warning("events are not sent now: %s", type(error).__name__)

    def _nudge(self) -> None:
        raise NotImplementedError


class AsyncClient(_Telling):
    """Sends from the running event loop. ``async with AsyncClient(...)``, or :meth:`close` at the end.

    Used on another loop after its own has ended, it goes on there. ``options``: :class:`weighbridge.sending.Options`.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, **options: Any) -> None:
        super().__init__(url, token, options)
        self._sender: Sender | None = None

    def _nudge(self) -> None:
        if self._sender is None or not self._sender.alive:
            self._sender = Sender(self._queue, self._options)
        self._sender.nudge()

    async def flush(self, timeout: float | None = 10.0) -> bool:
        """Send what is waiting now; False if time ran out first (it goes on waiting)."""
        if self._queue.stats.waiting:
            self._wake()
        return self._sender is None or await self._sender.flush(timeout)

    async def close(self, timeout: float = 5.0) -> None:
        """Send what is waiting, for at most so many seconds, and end."""
        if self._queue.stats.waiting:
            self._wake()
        if self._sender is not None:
            await self._sender.close(timeout)
            self._sender = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


class Client(_Telling):
    """Sends from a thread of its own. Thread-safe; ``with Client(...)``, or :meth:`close` at the end.

    A client that was not closed gets a few seconds when the process ends. ``options``:
    :class:`weighbridge.sending.Options`.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, **options: Any) -> None:
        super().__init__(url, token, options)
        self._forget()
        itself = weakref.ref(self)
        atexit.register(_close, itself)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: _forget(itself))

    def _forget(self) -> None:
        """Nothing runs yet: at first, and in a forked process, which has none of its parent's threads."""
        self._lock = threading.Lock()
        self._queue = Queue(self._options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: Sender | None = None

    def _nudge(self) -> None:
        if self._sender is None:
            self._start()
        if self._sender is not None:
            self._sender.nudge()

    def _start(self) -> None:
        with self._lock:
            if self._sender is not None:
                return
            ready = threading.Event()
            threading.Thread(target=self._run, args=(ready,), name="weighbridge-client", daemon=True).start()
            ready.wait()

    def _run(self, ready: threading.Event) -> None:
        try:
            loop = asyncio.new_event_loop()
        except OSError as error:  # no file descriptor is left: events wait, and the next one tries again
            log.warning("events are not sent now: %s", type(error).__name__)
            ready.set()
            return

        async def begin() -> None:
            self._loop, self._sender = loop, Sender(self._queue, self._options)
            ready.set()

        loop.run_until_complete(begin())
        loop.run_forever()
        loop.run_until_complete(_broken_off())  # whoever waits for a flush in another thread
        loop.close()

    def flush(self, timeout: float | None = 10.0) -> bool:
        """Send what is waiting now; False if time ran out first (it goes on waiting)."""
        if self._queue.stats.waiting:
            self._wake()
        with self._lock:  # so that closing comes before or after
            loop, sender = self._loop, self._sender
            if loop is None or sender is None:
                return not self._queue.stats.waiting
            flushing = asyncio.run_coroutine_threadsafe(sender.flush(timeout), loop)
        try:
            return flushing.result()
        except CancelledError:  # closed meanwhile
            return False

    def close(self, timeout: float = 5.0) -> None:
        """Send what is waiting, for at most so many seconds, and end the thread."""
        with self._lock:
            loop, sender = self._loop, self._sender
            self._loop = self._sender = None
        if loop is not None and sender is not None:
            asyncio.run_coroutine_threadsafe(sender.close(timeout), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


async def _broken_off() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _forget(client: weakref.ref[Client]) -> None:
    alive = client()
    if alive is not None:
        alive._forget()


def _close(client: weakref.ref[Client]) -> None:
    alive = client()
    if alive is not None:
        with contextlib.suppress(Exception):  # the interpreter is on its way out
            alive.close(3.0)
