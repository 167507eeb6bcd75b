"""Gateway keys and read tokens at the edge: what people may say of one, and what they are shown."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from gateway.api.fit import known_of, not_one_of, wrong
from gateway.api.values import Coming, Grace, ModelPattern, Positive, Title, Value, moment_text
from gateway.attribution import HASHED, MAX_TAGS, hashed
from gateway.settings.choices import Capture
from storage.keys.model import Key, KeyRow, Token, TokenRow
from telemetry.record import Who

REQUIRABLE: Final = tuple(name for name in Who.__struct_fields__ if name not in ("key_id", "tags", "sources"))
"""Attributes a key may insist on."""
MOST_LISTED: Final = 200
DAY_MS: Final = 86_400_000
State = Literal["active", "expired", "revoked"]


def kept_user(value: str | None, info: ValidationInfo) -> str | None:
    """A user id as it is kept with calls: hashed where the settings say so; one that is hashed already stays."""
    known = known_of(info)
    if value is None or known.salt is None or HASHED.fullmatch(value):
        return value
    return hashed(value, known.salt)


User = Annotated[Value, AfterValidator(kept_user)]


class KeyIn(BaseModel):
    """A gateway key. What it binds goes before anything a request says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Title = Field(description="What it is called; need not be unique.")
    tenant: Value | None = Field(default=None, description="Calls with it are this tenant's.")
    team: Value | None = Field(default=None, description="Calls with it are this team's.")
    user: Value | None = Field(default=None, description="Calls with it are this user's.")
    project: Value | None = Field(default=None, description="Calls with it are for this project.")
    environment: Value | None = Field(default=None, description="Calls with it are from this environment.")
    tags: dict[Value, Value] = Field(default={}, description="Tags its calls have.", max_length=MAX_TAGS)
    providers: list[str] = Field(
        default=[], description="Providers it may call; empty: all.", max_length=MOST_LISTED
    )
    models: list[ModelPattern] = Field(
        default=[],
        description="Models it may use, * stands for anything; empty: all.",
        max_length=MOST_LISTED,
    )
    required: list[str] = Field(
        default=[], description="Attributes every request has to name.", max_length=len(REQUIRABLE)
    )
    calls_per_minute: Positive | None = Field(default=None, description="Most calls in a minute.")
    tokens_per_minute: Positive | None = Field(
        default=None, description="Most tokens in a minute, input and output together."
    )
    concurrent: Positive | None = Field(default=None, description="Most calls at the same time.")
    trusts_prices: bool = Field(default=False, description="Believe what the app says its calls cost.")
    traced: bool = Field(
        default=False, description="The app exports spans of its calls itself: export none of ours."
    )
    capture: Capture | None = Field(
        default=None,
        description="What of prompts and answers is kept at most: none, hash, redacted or full (more than is set only "
        "with capture.keys_may_widen).",
    )
    expires_at: Coming = Field(
        default=None, description="When it ends: a time (UTC if it does not say) or a span such as 90d."
    )

    @field_validator("providers")
    @classmethod
    def _providers(cls, names: list[str], info: ValidationInfo) -> list[str]:
        return _all_known(names, sorted(known_of(info).providers))

    @field_validator("required")
    @classmethod
    def _required(cls, names: list[str]) -> list[str]:
        return _all_known(names, REQUIRABLE)

    def to_key(self, key_id: str) -> Key:
        return Key(
            id=key_id,
            name=self.name,
            tenant=self.tenant,
            team=self.team,
            user=self.user,
            project=self.project,
            environment=self.environment,
            tags=tuple(self.tags.items()),
            providers=tuple(self.providers),
            models=tuple(self.models),
            required=tuple(self.required),
            calls_per_minute=self.calls_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            concurrent=self.concurrent,
            trusts_prices=self.trusts_prices,
            traced=self.traced,
            capture=None if self.capture is None else self.capture.value,
            expires_ms=self.expires_at,
        )


class KeyChangeIn(KeyIn):
    """What is to change; what is left out stays, ``null`` takes away."""

    name: Title = Field(default="", description="What it is called.")


class RotateIn(BaseModel):
    """How a key is given another secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grace: Grace = Field(
        default=DAY_MS, description="How long the secret of before is good as well: 24h, 7d, 0."
    )


class KeyOut(BaseModel):
    """A gateway key; its secret is not kept."""

    id: str = Field(examples=["key_0123456789abcdef"])
    name: str
    state: State
    tenant: str | None = None
    team: str | None = None
    user: str | None = None
    project: str | None = None
    environment: str | None = None
    tags: dict[str, str] = {}
    providers: list[str] = []
    models: list[str] = []
    required: list[str] = []
    calls_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    trusts_prices: bool = False
    traced: bool = False
    capture: str | None = None
    expires_at: str | None = Field(default=None, examples=["2027-01-01T00:00:00Z"])
    created_at: str
    revoked_at: str | None = None
    replaced_secret_until: str | None = Field(
        default=None, description="The secret before the last rotation is good until then."
    )


class KeysOut(BaseModel):
    """A page of keys, the newest first; ``next_cursor`` is ``null`` on the last one."""

    items: list[KeyOut]
    next_cursor: str | None = None


class KeyMadeOut(BaseModel):
    """A key and its secret, which is shown here and never again."""

    key: KeyOut
    secret: str = Field(description="Send it as the API key of the SDK, or in the header x-weighbridge-key.")


class TokenIn(BaseModel):
    """A token that may read the calls where every attribute that is set matches."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Title = Field(description="What it is called; need not be unique.")
    tenant: Value | None = Field(default=None, description="It sees this tenant only.")
    team: Value | None = Field(default=None, description="It sees this team only.")
    user: User | None = Field(default=None, description="It sees this user only.")
    content: bool = Field(default=False, description="It may also read prompts and answers that were kept.")
    everything: bool = Field(
        default=False,
        description="Set it to true for a token without tenant, team and user, which sees all.",
        validate_default=True,
    )
    expires_at: Coming = Field(
        default=None, description="When it ends: a time (UTC if it does not say) or a span such as 90d."
    )

    @field_validator("everything")
    @classmethod
    def _everything(cls, everything: bool, info: ValidationInfo) -> bool:
        said = info.data
        narrowed = any(said.get(name) is not None for name in ("tenant", "team", "user"))
        broken = not {"tenant", "team", "user"} <= set(said)
        if everything and narrowed:
            raise wrong("stands beside tenant, team or user", "Leave it out: the token sees only them")
        if not (everything or narrowed or broken):
            how = "Name tenant, team or user, or set everything to true for a token that sees all calls"
            raise wrong("is false, and the token is for nobody", how)
        return everything

    def to_token(self, token_id: str) -> Token:
        return Token(
            id=token_id,
            name=self.name,
            tenant=self.tenant,
            team=self.team,
            user=self.user,
            content=self.content,
            expires_ms=self.expires_at,
        )


class TokenOut(BaseModel):
    """A token that may read; its secret is not kept."""

    id: str = Field(examples=["tok_0123456789abcdef"])
    name: str
    state: State
    tenant: str | None = None
    team: str | None = None
    user: str | None = None
    content: bool = False
    expires_at: str | None = None
    created_at: str
    revoked_at: str | None = None


class TokensOut(BaseModel):
    """A page of tokens, the newest first; ``next_cursor`` is ``null`` on the last one."""

    items: list[TokenOut]
    next_cursor: str | None = None


class TokenMadeOut(BaseModel):
    """A token and its secret, which is shown here and never again."""

    token: TokenOut
    secret: str = Field(description="Send it to the API as Authorization: Bearer.")


def said_of(key: Key) -> dict[str, Any]:
    """A key in the form of :class:`KeyIn`."""
    said = msgspec.structs.asdict(key)
    del said["id"]
    said["tags"] = dict(key.tags)
    said["expires_at"] = moment_text(said.pop("expires_ms"))
    for name in ("providers", "models", "required"):
        said[name] = list(said[name])
    return said


def key_out(row: KeyRow, now_ms: int) -> KeyOut:
    """As the API shows it."""
    until = row.previous_until_ms
    replaced = until is not None and until > now_ms and row.revoked_ms is None
    return KeyOut(
        id=row.key.id,
        state=state_of(row.revoked_ms, row.key.expires_ms, now_ms),
        created_at=moment_text(row.created_ms) or "",
        revoked_at=moment_text(row.revoked_ms),
        replaced_secret_until=moment_text(until) if replaced else None,
        **said_of(row.key),
    )


def token_out(row: TokenRow, now_ms: int) -> TokenOut:
    """As the API shows it."""
    token = row.token
    return TokenOut(
        id=token.id,
        name=token.name,
        state=state_of(row.revoked_ms, token.expires_ms, now_ms),
        tenant=token.tenant,
        team=token.team,
        user=token.user,
        content=token.content,
        expires_at=moment_text(token.expires_ms),
        created_at=moment_text(row.created_ms) or "",
        revoked_at=moment_text(row.revoked_ms),
    )


def state_of(revoked_ms: int | None, expires_ms: int | None, now_ms: int) -> State:
    if revoked_ms is not None:
        return "revoked"
    return "expired" if expires_ms is not None and expires_ms <= now_ms else "active"


def _all_known(names: list[str], known: tuple[str, ...] | list[str]) -> list[str]:
    for name in names:
        if name not in known:
            raise not_one_of(name, known)
    return list(dict.fromkeys(names))
