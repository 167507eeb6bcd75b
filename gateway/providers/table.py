"""Where calls go: the known providers with the settings laid over them, looked up by request path."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

import msgspec
from pydantic import SecretStr

from gateway.errors import Code, Refusal
from gateway.providers.contract import Credential, Provider
from gateway.providers.paths import climbs, printable, split_target
from gateway.providers.registry import PROVIDERS
from gateway.settings import Problem, Settings, SettingsError
from gateway.settings.choices import StreamUsage
from gateway.settings.problem import did_you_mean
from gateway.settings.sections import ProviderSection
from gateway.signing import Signer
from gateway.upstream import Origin

RESERVED: Final = frozenset(
    (
        "api",
        "dashboard",
        "healthz",
        "metrics",
        "model",
        "readyz",
        "upload",
        "v1",
        "v1alpha",
        "v1beta",
        "v1beta1",
    )
)
"""First path segments that are the gateway's own or bare forms: no provider may have such a name."""

_SEGMENT: Final = re.compile(r"/([^/]*)(.*)", re.DOTALL)


class Destination(msgspec.Struct, frozen=True):
    """A provider as it is configured."""

    provider: Provider
    """With the overrides of its settings section."""
    origin: Origin | None
    """``None``: no base URL is known."""
    base_path: str
    """What stands before every path at the provider: empty, or ``/x`` without a slash at the end."""
    key: SecretStr | None
    """The key the gateway sends; ``None``: it holds none."""
    stream_usage: StreamUsage
    connect_timeout: float
    """Seconds, as the three below."""
    header_timeout: float
    idle_timeout: float
    total_timeout: float
    drain_seconds: float
    signer: Signer | None = None
    """Signs calls for AWS."""
    secrets: tuple[SecretStr, ...] = ()
    """What must not be seen anywhere, beside the key."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where one call goes."""

    destination: Destination
    origin: Origin
    path: str
    """Raw path at the provider, its base path included, without the query. Latin-1 text of the very bytes."""
    query: str


class ProviderTable:
    """Every destination by name; immutable once built."""

    def __init__(self, destinations: Mapping[str, Destination], default: str) -> None:
        self.destinations: Final = MappingProxyType(dict(destinations))
        bare = [
            (prefix, destination)
            for destination in self.destinations.values()
            if destination.provider.name in PROVIDERS
            for prefix in destination.provider.bare
        ]
        bare.append(("/v1", self.destinations[default]))
        self._bare: Final = tuple(sorted(bare, key=lambda pair: -len(pair[0])))

    @classmethod
    def build(cls, settings: Settings, environ: Mapping[str, str] = os.environ) -> ProviderTable:
        """Known providers plus those of the settings; raises :class:`SettingsError`."""
        problems: list[Problem] = []
        destinations = {
            name: _destination(provider, ProviderSection(), settings, environ)
            for name, provider in PROVIDERS.items()
        }
        for name, section in settings.providers.items():
            found = list(_complaints(name, section))
            problems.extend(found)
            if not found:
                destinations[name] = _destination(_provider(name, section), section, settings, environ)
        default = settings.proxy.default_provider
        if default not in destinations:
            hint = did_you_mean(default, destinations)
            problems.append(
                Problem("proxy.default_provider", f"{default!r} is not a provider", f"{hint}Name a provider")
            )
        if problems:
            raise SettingsError(problems)
        return cls(destinations, default)

    def resolve(self, target: bytes) -> Place:
        """Where a request target (raw path and query) goes; raises :class:`Refusal`.

        The path stays as it is: escapes, double slashes, trailing slashes. Nothing but the path's beginning
        and the settings choose the host.
        """
        path, query = split_target(target)
        if not printable(path) or not path.startswith("/"):
            raise Refusal(400, Code.BAD_PATH, "The request path is not a plain path beginning with a slash.")
        destination, rest = self._split(path)
        if climbs(rest):
            raise Refusal(
                400, Code.BAD_PATH, "The request path climbs out of the provider's base path with '..'."
            )
        if destination.origin is None:
            name = destination.provider.name
            raise Refusal(
                404,
                Code.PROVIDER_NOT_CONFIGURED,
                f"{destination.provider.title} has no fixed address: set base_url under [providers.{name}].",
            )
        return Place(destination, destination.origin, destination.base_path + rest or "/", query)

    def price_as(self, name: str) -> str:
        """A provider's id in the price book; a name that is no longer configured stands for itself."""
        destination = self.destinations.get(name)
        return name if destination is None else destination.provider.price_as

    def _split(self, path: str) -> tuple[Destination, str]:
        """Destination, and what of the path goes behind its base path."""
        match = _SEGMENT.match(path)
        name, rest = match.groups() if match is not None else ("", "")
        destination = self.destinations.get(name)
        if destination is not None:
            return destination, rest
        for prefix, candidate in self._bare:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/", ":"):
                return candidate, path
        raise Refusal(404, Code.UNKNOWN_PROVIDER, self._unknown(name))

    def _unknown(self, name: str) -> str:
        how = "Paths begin with the provider's name (/openai/v1/...)"
        if not name:
            return f"The path names no provider. {how}; a second slash before it is one too many."
        plain = len(name) <= 64 and name.isascii() and name.isprintable()
        what = f"No provider is called {name!r}." if plain else "This path begins with no provider's name."
        hint = did_you_mean(name[:64], self.destinations)
        return f"{what} {hint}{how}; add one with [providers.NAME] and its base_url."


def _complaints(name: str, section: ProviderSection) -> Iterator[Problem]:
    key = f"providers.{name}"
    if name in RESERVED:
        yield Problem(key, f"/{name} is a path of the gateway itself", "Choose another name")
    if section.kind is not None and section.kind not in PROVIDERS:
        hint = did_you_mean(section.kind, PROVIDERS)
        yield Problem(
            f"{key}.kind",
            f"{section.kind!r} is not a known provider",
            f"{hint}Known: {', '.join(PROVIDERS)}. Leave it out for a plain pass-through",
        )
    if name not in PROVIDERS and section.base_url is None:
        hint = did_you_mean(name, PROVIDERS)
        yield Problem(
            f"{key}.base_url",
            "is missing, and this is not a known provider",
            f"{hint}Set base_url to its address",
        )


def _provider(name: str, section: ProviderSection) -> Provider:
    """The known provider of that name or kind, or a plain pass-through, under its configured name."""
    known = PROVIDERS.get(section.kind or name)
    if known is None:
        return Provider(name, name, name, name, None, sdk_base=f"/{name}")
    if known.name == name:
        return known
    return msgspec.structs.replace(
        known,
        name=name,
        kind=known.name,
        title=f"{name} ({known.title})",
        base_url=None,
        bare=(),
        sdk_base=f"/{name}{known.sdk_base.removeprefix(f'/{known.name}')}",
    )


def _destination(
    provider: Provider, section: ProviderSection, settings: Settings, environ: Mapping[str, str]
) -> Destination:
    base_url = section.base_url or provider.base_url
    header = section.key_header or provider.credential.header
    prefix = section.key_prefix if section.key_prefix is not None else provider.credential.prefix
    origin, base_path = _origin(base_url) if base_url is not None else (None, "")
    key = section.api_key
    if key is None and section.api_key_env is not None and environ.get(section.api_key_env):
        key = SecretStr(environ[section.api_key_env])
    timeouts = settings.timeouts
    signer, secrets = _signing(provider, section, environ)
    return Destination(
        provider=msgspec.structs.replace(
            provider,
            base_url=base_url,
            price_as=section.price_as or provider.price_as,
            credential=Credential(header, prefix, section.api_key_env, provider.credential.query),
        ),
        origin=origin,
        base_path=base_path,
        key=key,
        stream_usage=section.stream_usage
        or (StreamUsage.NEVER if provider.reports_stream_usage else settings.proxy.stream_usage),
        connect_timeout=section.connect_timeout or timeouts.connect,
        header_timeout=section.header_timeout or timeouts.response_head,
        idle_timeout=section.idle_timeout or timeouts.idle,
        total_timeout=section.total_timeout or timeouts.total,
        signer=signer,
        secrets=secrets,
        drain_seconds=settings.proxy.drain_seconds
        if section.drain_seconds is None
        else section.drain_seconds,
    )


def _signing(
    provider: Provider, section: ProviderSection, environ: Mapping[str, str]
) -> tuple[Signer | None, tuple[SecretStr, ...]]:
    """Who signs for AWS, and with what secrets."""
    if section.aws_region is None:
        return None, ()
    key_id = environ.get(section.aws_access_key_id_env)
    secret = environ.get(section.aws_secret_access_key_env)
    missing = section.aws_secret_access_key_env if key_id else section.aws_access_key_id_env
    problem = None
    if provider.aws_service is None:
        problem = (
            "is set, but this provider's calls are not signed",
            'Use it with kind = "bedrock" or "sagemaker"',
        )
    elif not key_id or not secret:
        problem = (
            f"is set, but {missing} is not in the environment",
            "Set the credentials, or leave aws_region out",
        )
    if problem is not None:
        raise SettingsError([Problem(f"providers.{provider.name}.aws_region", *problem)])
    assert key_id
    assert secret
    assert provider.aws_service
    token = environ.get(section.aws_session_token_env)
    secrets = tuple(SecretStr(value) for value in (secret, token) if value)
    signer = Signer(
        key_id,
        secrets[0],
        SecretStr(token) if token else None,
        region=section.aws_region,
        service=provider.aws_service,
    )
    return signer, secrets


def _origin(base_url: str) -> tuple[Origin, str]:
    parts = urlsplit(base_url)
    tls = parts.scheme == "https"
    return Origin(parts.hostname or "", parts.port or (443 if tls else 80), tls), parts.path
