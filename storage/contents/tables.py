"""The table of contents as SQLModel sees it: who was erased goes, a person is told what is kept. Writing does without."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from storage.contents.model import TABLE


class ContentRow(SQLModel, table=True):
    """Prompt and answer of one call. Sizes are bytes, ``started_ms`` milliseconds since 1970 (UTC)."""

    __tablename__ = TABLE

    tenant_id: str = Field(primary_key=True)
    call_id: str = Field(primary_key=True)
    started_ms: int = Field(sa_type=BigInteger)
    team: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    request_mode: str
    request_size: int = Field(sa_type=BigInteger)
    request_text: str | None = None
    request_digest: str | None = None
    request_cut: bool
    request_absent: str | None = None
    answer_mode: str
    answer_size: int = Field(sa_type=BigInteger)
    answer_text: str | None = None
    answer_digest: str | None = None
    answer_cut: bool
    answer_absent: str | None = None


CONTENTS = ContentRow.__table__  # type: ignore[attr-defined]
