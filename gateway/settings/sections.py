"""The tables of ``weighbridge.toml``. Durations are seconds, sizes are bytes (or text such as ``8 MiB``)."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ByteSize, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.settings.choices import (
    AuthMode,
    Durability,
    IncomingTrace,
    MetricNames,
    Migrate,
    Protocol,
    StreamUsage,
    WhenFull,
)
from gateway.settings.keeping import CaptureSection, Quality, Retention
from gateway.settings.section import EnvName, Section, wrong
from storage.address import AddressError
from storage.address import parse as parse_address

ENV_PREFIX = "WEIGHBRIDGE_"
ENV_DELIMITER = "__"
_MIB = 1024 * 1024
_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _http_url(value: str) -> str:
    """An ``http(s)://host[:port][/path]`` without user, query or fragment; a trailing slash is dropped."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise wrong("is not a URL", "Write it like https://host:443/path") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong("is not an http or https URL", "Write it like https://host:443/path")
    if parts.username is not None or parts.password is not None:
        raise wrong("holds a user name or password", "Keep credentials out of it; use api_key_env")
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise wrong("holds a query or fragment", "Keep scheme, host, port and path only")
    if port == 0 or not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
        raise wrong("is not a usable URL", "Write it like https://host:443/path, in ASCII")
    return value.rstrip("/")


def _provider_name(value: str) -> str:
    if not _PROVIDER_NAME.fullmatch(value):
        raise wrong(
            f"{value!r} can't be a path prefix",
            "Use lower-case letters, digits, - and _ (it becomes http://host:port/NAME/...)",
        )
    return value


def _header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise wrong("is not a header name", "Write it like x-api-key")
    return value.lower()


def _database_url(value: str) -> str:
    try:
        parse_address(value, Path())
    except AddressError as error:
        hint = str(error).removeprefix("storage.url: ")
        raise wrong("can't be used", hint[:1].upper() + hint[1:]) from None
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
ProviderName = Annotated[str, AfterValidator(_provider_name)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
Family = Literal["helicone", "litellm", "portkey", "cloudflare", "bifrost"]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Server(Section):
    """Where the gateway listens."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8707, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(default=1, ge=1, le=256, description="Processes that share the port.")
    drain_seconds: float = Field(
        default=30,
        ge=0,
        le=3_600,
        allow_inf_nan=False,
        description="How long running calls may finish after SIGTERM.",
    )
    uvloop: bool = Field(default=True, description="Use uvloop where it is installed.")

    @property
    def loopback(self) -> bool:
        """Reachable from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Storage(Section):
    """Where records are kept."""

    url: DatabaseUrl | None = Field(
        default=None,
        repr=False,
        description="Database; without it SQLite in data_dir. postgresql://... for PostgreSQL.",
    )
    data_dir: Path = Field(
        default=Path("weighbridge-data"), description="Folder of the spool and of the SQLite file."
    )
    durability: Durability = Field(
        default=Durability.GROUP, description="What a record survives when the app has its last byte."
    )
    fsync_interval_ms: int = Field(
        default=50, ge=1, le=60_000, description="Longest wait for the fsync with group."
    )
    spool_max_mb: int = Field(default=1024, ge=16, le=1_048_576, description="Largest size of the spool.")
    spool_full: WhenFull = Field(default=WhenFull.REFUSE, description="What a full spool does.")
    migrate: Migrate = Field(
        default=Migrate.AUTO,
        description="auto: bring the schema up to date at start; manual: weighbridge db migrate.",
    )
    batch_rows: int = Field(
        default=2_000, ge=1, le=10_000, description="Most records written to the database at once."
    )
    batch_ms: int = Field(default=250, ge=1, le=60_000, description="Longest wait before a batch is written.")


class ProviderSection(Section):
    """One provider: changes to a known one, or a new one."""

    base_url: HttpUrl | None = Field(
        default=None, description="Scheme, host, port and path prefix of the provider."
    )
    kind: str | None = Field(
        default=None, description="Known provider whose paths, key header and prices it follows."
    )
    api_key_env: EnvName | None = Field(
        default=None, description="Environment variable with the key that the gateway sends."
    )
    api_key: SecretStr | None = Field(default=None, description="The key itself; prefer api_key_env.")
    key_header: HeaderName | None = Field(default=None, description="Header that carries the key.")
    key_prefix: str | None = Field(default=None, description="What stands before the key in that header.")
    price_as: str | None = Field(default=None, description="Provider id in the price book.")
    aws_region: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]{4,32}$",
        description="Sign calls for AWS in this region (Bedrock, SageMaker) with the credentials of the environment.",
    )
    aws_access_key_id_env: EnvName = Field(
        default="AWS_ACCESS_KEY_ID", description="Environment variable with the access key id."
    )
    aws_secret_access_key_env: EnvName = Field(
        default="AWS_SECRET_ACCESS_KEY", description="Environment variable with the secret access key."
    )
    aws_session_token_env: EnvName = Field(
        default="AWS_SESSION_TOKEN",
        description="Environment variable with the session token, if there is one.",
    )
    deployments: dict[str, str] = Field(
        default={}, description='Your names for its models: deployments = { "my-deployment" = "gpt-4o" }.'
    )
    stream_usage: StreamUsage | None = Field(default=None, description="Overrides proxy.stream_usage.")
    connect_timeout: Seconds | None = Field(default=None, description="Overrides timeouts.connect.")
    header_timeout: Seconds | None = Field(default=None, description="Overrides timeouts.response_head.")
    idle_timeout: Seconds | None = Field(default=None, description="Overrides timeouts.idle.")
    total_timeout: Seconds | None = Field(default=None, description="Overrides timeouts.total.")
    drain_seconds: float | None = Field(
        default=None, ge=0, le=3_600, allow_inf_nan=False, description="Overrides proxy.drain_seconds."
    )


class Proxy(Section):
    """How calls are passed on."""

    stream_usage: StreamUsage = Field(
        default=StreamUsage.INJECT,
        description="inject: ask streams that would not report their usage for it, and hide the extra chunk; never.",
    )
    drain_seconds: float = Field(
        default=0,
        ge=0,
        le=3_600,
        allow_inf_nan=False,
        description="How long an answer is read on for its usage when the app has gone; 0: the provider's work is "
        "cancelled at once and the cost estimated.",
    )
    default_provider: ProviderName = Field(default="openai", description="Who gets bare /v1/... paths.")
    forward_traceparent: bool = Field(
        default=False, description="Send traceparent and tracestate to the provider."
    )


class Attribution(Section):
    """Whose words are understood, and how user ids are kept."""

    aliases: tuple[Family, ...] = Field(
        default=("helicone", "litellm", "portkey", "cloudflare", "bifrost"),
        description="Gateways whose headers are read and end here; take one out when a provider is that gateway.",
    )
    baggage: tuple[str, ...] = Field(
        default=("user.id", "session.id"),
        description="Keys of W3C baggage that are read; unknown ones become tags.",
    )
    hash_users_salt_env: EnvName | None = Field(
        default=None, description="Environment variable with a salt: user ids are then kept hashed."
    )

    @property
    def salt(self) -> SecretStr | None:
        """The salt, if user ids are to be hashed."""
        value = os.environ.get(self.hash_users_salt_env) if self.hash_users_salt_env else None
        return SecretStr(value) if value else None


class Budgets(Section):
    """How budgets are kept; they themselves are in the database (weighbridge budgets)."""

    strict: bool = Field(
        default=False,
        description="Refuse calls that a hard budget cannot be asked for because the database does not answer; "
        "else they pass and are counted.",
    )


class Alerts(Section):
    """Who is told of what (docs/alerts.md)."""

    channels: dict[str, dict[str, Any]] = Field(
        default={},
        repr=False,
        description="Where messages go: [alerts.channels.NAME] with a kind and its keys.",
    )
    rule: tuple[dict[str, Any], ...] = Field(
        default=(), description="What is watched: [[alerts.rule]] with a name, a kind and its keys."
    )


class Reports(Section):
    """Reports that are sent by themselves (docs/reports.md)."""

    weekly: str | None = Field(default=None, description='When the week\'s is sent: "monday 08:00".')
    monthly: str | None = Field(
        default=None, description='When the month\'s is sent: "1 08:00", a day from 1 to 28 and a time.'
    )
    tz: str = Field(default="UTC", description="Time zone of their days and of those times (IANA name).")
    channels: tuple[str, ...] = Field(default=(), description="Names of [alerts.channels] that get them.")


class Auth(Section):
    """Who may call, and whose key goes to the provider."""

    mode: AuthMode = Field(default=AuthMode.PASSTHROUGH, description="Whose key goes to the provider.")
    admin_token: SecretStr | None = Field(
        default=None, description="Token of the admin API; prefer admin_token_env."
    )
    admin_token_env: EnvName = Field(
        default="WEIGHBRIDGE_ADMIN_TOKEN", description="Environment variable with the token of the admin API."
    )

    @property
    def admin_secret(self) -> SecretStr | None:
        """The admin token, from the setting or the environment; ``None`` when neither is set."""
        if self.admin_token is not None:
            return self.admin_token
        value = os.environ.get(self.admin_token_env)
        return SecretStr(value) if value else None


class Limits(Section):
    """What is too much."""

    header_bytes: ByteSize = Field(
        default=ByteSize(64 * 1024), ge=1024, description="All request headers together."
    )
    headers: int = Field(default=128, ge=8, le=10_000, description="Number of request headers.")
    url_bytes: ByteSize = Field(default=ByteSize(16 * 1024), ge=256, description="Path and query.")
    body_bytes: ByteSize = Field(default=ByteSize(1024 * _MIB), ge=1024, description="Largest request body.")
    hold_body_bytes: ByteSize = Field(
        default=ByteSize(16 * _MIB),
        ge=0,
        description="Above this a request body is streamed through and not read.",
    )
    tap_bytes: ByteSize = Field(
        default=ByteSize(4 * _MIB),
        ge=1024,
        description="Most of one answer, or of one event of a stream, that is held to be read (inflated); "
        "of a larger answer both ends are read.",
    )
    connections: int = Field(default=20_000, ge=1, description="Open connections from apps, per worker.")


class Timeouts(Section):
    """When waiting ends. Each is a deadline for the whole step, not for one read."""

    connect: Seconds = Field(default=10, description="Name lookup, connection and TLS to the provider.")
    response_head: Seconds = Field(
        default=600, description="From the sent request to the provider's response head."
    )
    idle: Seconds = Field(default=300, description="Longest pause inside the provider's answer.")
    total: Seconds = Field(default=3_600, description="The whole call.")
    client_head: Seconds = Field(default=15, description="For an app to send its request head.")
    client_body: Seconds = Field(default=60, description="Longest pause while an app sends its body.")
    keepalive: Seconds = Field(default=75, description="Idle connections of apps are closed after it.")


class Pricing(Section):
    """Where prices come from."""

    overrides: Path | None = Field(default=None, description="TOML file with your own prices and aliases.")
    snapshot: Path | None = Field(default=None, description="Price book used instead of the built-in one.")
    trust_headers: bool = Field(
        default=False,
        description="Believe what apps say their calls cost (cf-aig-custom-cost, helicone-model-override).",
    )
    price: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="Your own prices, as [[pricing.price]] tables of the same form as in that file.",
    )
    alias: dict[str, dict[str, str]] = Field(
        default={}, description='Your model names: [pricing.alias.azure] "my-deployment" = "gpt-4o".'
    )
    serves: dict[str, tuple[str, ...]] = Field(
        default={}, description="Providers whose models a server of yours resells at their list price."
    )


class Telemetry(Section):
    """What is told to OpenTelemetry. A setting goes before the ``OTEL_*`` variable of the same meaning."""

    endpoint: HttpUrl | None = Field(
        default=None, description="OTLP endpoint; without one, here or in OTEL_*, nothing is exported."
    )
    headers: dict[str, SecretStr] = Field(default={}, description="Headers sent to the endpoint.")
    protocol: Protocol | None = Field(default=None, description="http/protobuf (the default) or grpc.")
    service_name: str | None = Field(
        default=None,
        min_length=1,
        description="OpenTelemetry service.name; weighbridge if nothing names one.",
    )
    incoming_trace: IncomingTrace = Field(
        default=IncomingTrace.PARENT, description="What an incoming traceparent is to our span."
    )
    metrics_names: MetricNames = Field(
        default=MetricNames.V1_41, description="Generation of the metric names."
    )
    sample_ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of traces begun here that are exported.",
    )
    compat_cost: bool = Field(
        default=True, description="Also write the cost as gen_ai.usage.cost, where backends look for it."
    )


class Settings(BaseSettings):
    """The whole configuration. :func:`gateway.settings.load` builds it; the class itself reads nothing."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
    )

    server: Server = Server()
    storage: Storage = Storage()
    providers: dict[ProviderName, ProviderSection] = {}
    proxy: Proxy = Proxy()
    attribution: Attribution = Attribution()
    auth: Auth = Auth()
    budgets: Budgets = Budgets()
    alerts: Alerts = Alerts()
    reports: Reports = Reports()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    pricing: Pricing = Pricing()
    telemetry: Telemetry = Telemetry()
    capture: CaptureSection = CaptureSection()
    quality: Quality = Quality()
    retention: Retention = Retention()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: ``load`` merges file, environment and command line itself."""
        return (init_settings,)
