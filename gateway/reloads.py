"""Settings that are read again: whether they can be used, and how that is told in the log and to whoever asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from gateway.app import Gateway
from gateway.open_files import raise_limit
from gateway.presence import RESTART, Presence, Reloaded
from gateway.settings import Settings, SettingsError
from telemetry.redact import Redactor

Reread = Callable[[], Settings]
"""Reads the settings again; raises :class:`SettingsError`."""

_logger = logging.getLogger("gateway")


class Reloads:
    """The reloads of one process. ``presence``: where whoever asks looks for the outcome; ``None``: nobody does."""

    def __init__(self, reread: Reread, redactor: Redactor, presence: Presence | None = None) -> None:
        self._reread = reread
        self._redactor = redactor
        self._presence = presence

    def read(self, use: Callable[[Settings], Gateway]) -> Gateway | None:
        """What ``use`` makes of the settings as they are now; ``None``, and told, where they can't be used."""
        try:
            fresh = self._reread()
            raise_limit(fresh.limits.connections)  # the gateway takes no more than fit
            gateway = use(fresh)
        except SettingsError as error:
            _logger.error("reload refused, the old settings stay: %s", error)
            self._note(problems=tuple(str(problem) for problem in error.problems))
            return None
        self._redactor.register(*secrets_of(gateway))
        return gateway

    def into(self, gateway: Gateway, *, tells_waits: bool = True) -> None:
        """Give a running gateway the settings as they are now. ``tells_waits``: nobody else tells what is not taken over."""
        if self.read(gateway.adopt) is not None:
            self.done(gateway.waits.names if tells_waits else ())

    def done(self, waits: tuple[str, ...] = (), workers: tuple[str, ...] = ()) -> None:
        """The settings are taken over, but for ``waits``; for ``workers`` the workers were replaced."""
        _logger.info("settings reloaded%s", ", workers replaced" if workers else "")
        if waits:
            _logger.warning("%s: not taken over by a reload; to have it, %s", ", ".join(waits), RESTART)
        self._note(waits=waits, workers=workers)

    def replacing(self, workers: tuple[str, ...]) -> None:
        """The settings are good; workers are replaced for these."""
        _logger.info("replacing the workers for %s", ", ".join(workers))
        self._note(workers=workers, ended=False)

    def failed(self, problem: str, workers: tuple[str, ...]) -> None:
        """The settings are good, and yet no worker starts with them that was to have these."""
        _logger.error("reload failed: %s", problem)
        self._note(problems=(problem,), workers=workers)

    def _note(
        self,
        problems: tuple[str, ...] = (),
        waits: tuple[str, ...] = (),
        workers: tuple[str, ...] = (),
        *,
        ended: bool = True,
    ) -> None:
        if self._presence is None:
            return
        try:
            self._presence.note_reload(Reloaded(time.time_ns(), problems, waits, workers, ended))
        except OSError as error:
            _logger.warning("the outcome of the reload could not be noted: %s", error)


def secrets_of(gateway: Gateway) -> set[str]:
    """Every secret value this gateway was given, from the settings or the environment."""
    settings, plan = gateway.settings, gateway.telemetry.plan
    found = {one.key.get_secret_value() for one in gateway.table.destinations.values() if one.key is not None}
    found |= {
        secret.get_secret_value() for one in gateway.table.destinations.values() for secret in one.secrets
    }
    found |= {
        value
        for signal_ in (plan.traces, plan.metrics)
        if signal_ is not None
        for _, value in signal_.headers
    }
    found |= gateway.alerts.secrets()
    if settings.auth.admin_secret is not None:
        found.add(settings.auth.admin_secret.get_secret_value())
    if settings.storage.url is not None:
        found.add(unquote(urlsplit(settings.storage.url).password or ""))
    return found - {""}
