"""What is wrong, or will be, with settings that are well formed."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.alerting.plan import plan_of
from gateway.prices import book_of
from gateway.providers.registry import PROVIDERS
from gateway.providers.table import Destination, ProviderTable
from gateway.reporting.plan import report_plan
from gateway.settings.choices import AuthMode, Protocol
from gateway.settings.explain import misspelt_variables, variable
from gateway.settings.lint_prices import doubtful_prices
from gateway.settings.problem import Problem, SettingsError, Severity
from gateway.settings.sections import Settings
from pricing.book import PriceBook
from pricing.names import canonical_provider

_OTLP_PORTS = {Protocol.HTTP: 4317, Protocol.GRPC: 4318}
"""The other protocol's usual port."""


def lint(settings: Settings, environ: Mapping[str, str]) -> list[Problem]:
    """Everything there is to mend, errors first. Starts nothing and writes nothing."""
    problems: list[Problem] = []
    table: ProviderTable | None = None
    book: PriceBook | None = None
    try:
        table = ProviderTable.build(settings, environ)
    except SettingsError as error:
        problems.extend(error.problems)
    try:
        book = book_of(settings)
    except SettingsError as error:
        problems.extend(error.problems)
    try:
        report_plan(settings, plan_of(settings, environ))
    except SettingsError as error:
        problems.extend(error.problems)
    if table is not None:
        problems.extend(_providers(settings, table, environ))
        problems.extend(_prices(settings, table, book))
        if book is not None:
            problems.extend(doubtful_prices(settings, table, book, int(time.time())))
    for check in (_variables, _exposure, _secrets, _storage, _telemetry, _waiting, _alerts):
        problems.extend(check(settings, environ))
    return sorted(problems, key=lambda problem: problem.severity is Severity.WARNING)


def _warning(key: str, what: str, how: str) -> Problem:
    return Problem(key, what, how, Severity.WARNING)


def _providers(settings: Settings, table: ProviderTable, environ: Mapping[str, str]) -> Iterator[Problem]:
    for name, section in settings.providers.items():
        key = f"providers.{name}"
        destination = table.destinations[name]
        version = _doubled_version(name, section.kind, destination)
        if version is not None:
            yield _warning(
                f"{key}.base_url",
                f"ends in {version}, and paths are passed on as they are: /{name}{version}/... would become "
                f"{version}{version}/...",
                f"Take {version} off the end",
            )
        if section.api_key_env is not None and not environ.get(section.api_key_env):
            yield _warning(
                f"{key}.api_key_env",
                f"{section.api_key_env} is not set in this environment",
                "Set it where the gateway runs, or apps must bring a key of their own",
            )
        if section.api_key is not None and section.api_key_env is not None:
            yield _warning(f"{key}.api_key_env", "is not used: api_key is set too", "Keep one of the two")
        if destination.origin is None:
            yield _warning(
                f"{key}.base_url",
                "is missing, and this provider has no fixed address",
                "Set it to your endpoint",
            )
        elif not destination.origin.tls and not _is_near(destination.origin.host):
            yield _warning(f"{key}.base_url", "sends keys and prompts over plain http", "Use https")


def _doubled_version(name: str, kind: str | None, destination: Destination) -> str | None:
    """``/v1`` where base URL and SDK path both bring it."""
    known = PROVIDERS.get(kind or name)
    if known is None or not destination.base_path:
        return None
    last = "/" + destination.base_path.rsplit("/", 1)[-1]
    versioned = last[1:2] == "v" and last[2:3].isdigit()
    return last if versioned else None


def _is_near(host: str) -> bool:
    """On this machine or in a private network: a private address, or a name without a dot."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal"))


def _variables(settings: Settings, environ: Mapping[str, str]) -> Iterator[Problem]:
    named = {settings.auth.admin_token_env, *(one.api_key_env for one in settings.providers.values())}
    for name, meant in misspelt_variables(environ):
        if name not in named:
            yield _warning(name, "is not read", f"Write {meant}: two underscores before the key")


def _prices(settings: Settings, table: ProviderTable, book: PriceBook | None) -> Iterator[Problem]:
    if book is None:
        return
    own = {str(price.get("provider")) for price in settings.pricing.price} | set(settings.pricing.serves)
    for name, section in settings.providers.items():
        price_as = table.destinations[name].provider.price_as
        listed = book.matcher.prices(canonical_provider(price_as)) is not None
        if listed or price_as in own or (name in PROVIDERS and section.price_as is None):
            continue
        yield _warning(
            f"providers.{name}.price_as",
            f"{price_as!r} is not a provider of the price book: calls stay unpriced",
            "Set price_as or kind to a provider whose prices apply, or give prices under [[pricing.price]]",
        )


def _exposure(settings: Settings, environ: Mapping[str, str]) -> Iterator[Problem]:
    if settings.auth.mode is AuthMode.KEYS and not any(
        section.api_key_env or section.api_key for section in settings.providers.values()
    ):
        yield _warning(
            "auth.mode",
            "apps hold gateway keys, and the settings name no key of any provider: calls go out without one",
            "Set providers.NAME.api_key_env for the providers your apps use",
        )
    if settings.server.loopback:
        return
    if settings.auth.admin_token is None and not environ.get(settings.auth.admin_token_env):
        yield _warning(
            "auth.admin_token_env",
            f"no admin token is set and the server listens on {settings.server.host}: the admin API stays closed",
            f"Set {settings.auth.admin_token_env} to a long random text",
        )
    for name, section in settings.providers.items():
        if section.api_key is not None or section.api_key_env is not None:
            yield _warning(
                f"providers.{name}",
                f"the gateway adds its key to calls that bring none, and listens on {settings.server.host}",
                "Let only apps you trust reach the port, or leave the key with the apps",
            )


def _secrets(settings: Settings, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Secrets that came from the file: a variable of the same setting, where set, has gone over it."""

    def from_file(*location: str) -> bool:
        return variable(location) not in {name.upper() for name in environ}

    for name, section in settings.providers.items():
        if section.api_key is not None and from_file("providers", name, "api_key"):
            yield _warning(
                f"providers.{name}.api_key",
                "is a key in the file",
                "Name its variable in api_key_env instead",
            )
    if settings.auth.admin_token is not None and from_file("auth", "admin_token"):
        yield _warning(
            "auth.admin_token", "is a secret in the file", f"Set {settings.auth.admin_token_env} instead"
        )
    if settings.telemetry.headers and from_file("telemetry", "headers"):
        yield _warning(
            "telemetry.headers", "may be a secret in the file", "Set OTEL_EXPORTER_OTLP_HEADERS instead"
        )
    if settings.storage.url and urlsplit(settings.storage.url).password and from_file("storage", "url"):
        yield _warning(
            "storage.url", "holds a password in the file", f"Set {variable(('storage', 'url'))} instead"
        )


def _storage(settings: Settings, environ: Mapping[str, str]) -> Iterator[Problem]:
    existing = Path(os.path.abspath(settings.storage.data_dir))
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        yield Problem("storage.data_dir", f"{existing} is not a folder", "Name a folder")
        return
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Problem(
            "storage.data_dir",
            f"{existing} can't be written to",
            "Give the gateway's user the right, or move it",
        )


def _telemetry(settings: Settings, environ: Mapping[str, str]) -> Iterator[Problem]:
    telemetry = settings.telemetry
    protocol = telemetry.protocol or Protocol.HTTP
    if telemetry.endpoint and urlsplit(telemetry.endpoint).port == _OTLP_PORTS[protocol]:
        usual = 4318 if protocol is Protocol.HTTP else 4317
        yield _warning(
            "telemetry.endpoint",
            f"has the usual port of the other protocol than {protocol.value}",
            f"{protocol.value} is usually on port {usual}",
        )


def _waiting(settings: Settings, environ: Mapping[str, str]) -> Iterator[Problem]:
    timeouts = settings.timeouts
    for name in ("connect", "response_head", "idle"):
        if getattr(timeouts, name) > timeouts.total:
            yield _warning(
                f"timeouts.{name}", f"is longer than timeouts.total ({timeouts.total:g} s)", "Raise total"
            )
    if settings.limits.hold_body_bytes > settings.limits.body_bytes:
        yield _warning("limits.hold_body_bytes", "is larger than limits.body_bytes", "Lower it")
    if settings.server.workers > 1 and settings.server.port == 0:
        yield Problem(
            "server.port", "0 gives every worker a port of its own", "Name a port, or use one worker"
        )


def _alerts(settings: Settings, environ: Mapping[str, str]) -> Iterator[Problem]:
    for name, table in settings.alerts.channels.items():
        url, key = str(table.get("url") or ""), f"alerts.channels.{name}.url"
        if url and table.get("kind") in ("slack", "teams"):
            yield _warning(key, "is a secret in the file", "Name its variable in url_env instead")
        if url.startswith("http://") and not _is_near(urlsplit(url).hostname or ""):
            yield _warning(key, "sends alerts over plain http", "Use https")
    if settings.alerts.rule and not settings.alerts.channels:
        how = "Add [alerts.channels.NAME]; until then 'weighbridge alerts list' shows what fires"
        yield _warning("alerts.rule", "tells nobody: there is no channel", how)
