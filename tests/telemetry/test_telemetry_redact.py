"""No credential leaves as text: by its looks, by where it stands, by being registered."""

from __future__ import annotations

import io
import json
import logging
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from otel.records import PATIENT

from telemetry.redact import MASK, RedactingFilter, Redactor, install

REDACTOR = Redactor()
ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

body = st.text(ALNUM + "_-", min_size=16, max_size=60)
upper = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=16)
shaped = st.one_of(
    st.builds(
        str.__add__,
        st.sampled_from(
            ["sk-", "sk-ant-api03-", "sk-proj-", "sk-or-v1-", "wbk_", "gsk_", "pplx-", "xai-", "csk-", "fw_", "hf_",
             "r8_", "nvapi-", "AIzaSy", "ya29.", "whsec_", "ghp_"]
        ),
        body,
    ),
    st.builds(str.__add__, st.sampled_from(["AKIA", "ASIA"]), upper),
    st.builds("eyJ{0}.eyJ{1}.{2}".format, body, body, body),
)  # fmt: skip
"""Credentials known by their looks, wherever they stand."""

surroundings = st.text(
    st.characters(exclude_characters="\"'\\", exclude_categories=("L", "N", "Cs")), max_size=10
)

CARRIERS = [
    "Authorization: Bearer {0}",
    "authorization: {0}",
    "proxy-authorization: Basic {0}",
    "x-api-key: {0}\r\nhost: a",
    "api-key={0}",
    "x-goog-api-key : {0}",
    "Helicone-Auth: Bearer {0}",
    "x-portkey-api-key: {0}",
    "x-litellm-api-key: {0}",
    "x-bf-vk: {0}",
    "x-amz-security-token: {0}",
    "x-weighbridge-key: {0}",
    "{{'x-api-key': '{0}'}}",
    "{{'Authorization': 'Bearer {0}', 'a': 1}}",
    "[(b'x-api-key', b'{0}'), (b'host', b'a')]",
    "(b'Authorization', b'Bearer {0}')",
    '{{"api_key": "{0}", "model": "m"}}',
    '{{"apiKey":"{0}"}}',
    'body="{{\\"api_key\\": \\"{0}\\"}}"',
    '{{"access_token": "{0}',
    "OPENAI_API_KEY={0}",
    "AWS_SECRET_ACCESS_KEY={0}",
    "client_secret={0}&grant_type=x",
    "password: {0}",
    "Cookie: a=1; session={0}; b=2",
    "Set-Cookie: s={0}; Path=/",
    "GET /v1beta/models/m:generateContent?key={0}&alt=sse HTTP/1.1",
    "https://h/x?alt=sse&api_key={0}#f",
    "/x?api-version=1&sig={0}",
    "https://h/?X-Amz-Signature={0}&X-Amz-Credential={0}",
    "postgresql+asyncpg://user:{0}@db:5432/x",
    "redis://:{0}@h",
    "Bearer {0}",
    "got bearer {0} from",
    "AWS4-HMAC-SHA256 Credential={0}/20260101/us-east-1/bedrock/aws4_request, Signature={0}",
    "-----BEGIN PRIVATE KEY-----\n{0}\n-----END PRIVATE KEY-----",
]


@PATIENT
@given(shaped, surroundings, surroundings)
def test_known_shapes_are_masked_anywhere(secret: str, before: str, after: str) -> None:
    text = REDACTOR.text(f"{before}{secret}{after}")
    assert secret not in text
    assert MASK in text


@PATIENT
@given(st.sampled_from(CARRIERS), body.filter(lambda text: text.strip("_-")))
def test_whatever_stands_where_credentials_stand_is_masked(carrier: str, secret: str) -> None:
    assume(secret not in carrier.replace("{0}", ""))  # the words around it stay
    assert secret not in REDACTOR.text(carrier.format(secret))


@PATIENT
@given(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=6, max_size=40), surroundings, surroundings
)
def test_registered_values_are_masked(secret: str, before: str, after: str) -> None:
    redactor = Redactor([secret])
    for form in (secret, quote(secret, safe=""), repr(secret)[1:-1]):
        assert form not in redactor.text(f"{before} {form} {after}").replace(MASK, "")


@PATIENT
@given(
    st.lists(
        st.one_of(
            shaped, body, st.sampled_from(CARRIERS), st.text(max_size=20), st.sampled_from("\"'\\:=&?@ \n")
        ),
        max_size=8,
    )
)
def test_masking_twice_is_masking_once(parts: list[str]) -> None:
    once = REDACTOR.text(" ".join(parts))
    assert REDACTOR.text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "POST /openai/v1/chat/completions 200 in 1.2 s provider=openai model=gpt-4o-mini tokens=1234",
        "input_tokens: 123, output_tokens=456 max_tokens: 50 token 12 of 20",
        "the basic understanding of token budgets; monkey: banana; the secretary: hello",
        "http://127.0.0.1:8707/openai/v1 is not https://h/x?alt=sse&page=2",
        "upstream api.openai.com:443 refused the connection",
        '{"model": "gpt-4o-mini", "usage": {"prompt_tokens": 9, "total_tokens": 12}}',
        "[providers.openai] api_key_env names a variable that is not set",
        "task-sk-it disk-usage asking",
        "",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_what_stays_still_tells_what_it_was() -> None:
    assert REDACTOR.text("invalid key sk-proj-abcdefghijklmnop given") == "invalid key sk-*** given"
    assert REDACTOR.text("x-api-key: abc") == "x-api-key: ***"
    assert REDACTOR.text("/v1?key=AIzaSyA0123456789&alt=sse") == "/v1?key=***&alt=sse"
    assert REDACTOR.text("postgresql://u:p@h/db") == "postgresql://***@h/db"


def test_very_short_values_are_not_registered() -> None:
    assert Redactor(["abc", "", "     "]).text("abc def") == "abc def"


def test_a_longer_secret_wins_over_its_beginning() -> None:
    assert Redactor(["secret-1", "secret-1-extended"]).text("<secret-1-extended>") == "<***>"


def logged(
    redactor: Redactor, formatter: logging.Formatter | None = None
) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter or logging.Formatter("%(levelname)s %(message)s"))
    install(redactor, [handler])
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, stream


KEY = "sk-proj-0123456789abcdefXYZ"


class UpstreamError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(f"rejected {key}")
        self.key = key


def fail(key: str) -> None:
    try:
        raise ValueError(f"header x-api-key: {key}")
    except ValueError as error:
        raise UpstreamError(key) from error


def test_messages_and_arguments_are_masked() -> None:
    logger, stream = logged(Redactor(["plain-registered-value"]))
    logger.error("refused %s for %r and %s", KEY, {"authorization": KEY}, "plain-registered-value")
    assert stream.getvalue() == "ERROR refused sk-*** for {'authorization': '***'} and ***\n"


def test_exceptions_are_masked_with_their_causes() -> None:
    logger, stream = logged(REDACTOR)
    try:
        fail(KEY)
    except UpstreamError:
        logger.exception("call failed")
    text = stream.getvalue()
    assert "0123456789" not in text
    assert "UpstreamError: rejected sk-***" in text
    assert "ValueError: header x-api-key: ***" in text
    assert "Traceback" in text


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {name: str(value) for name, value in record.__dict__.items()}
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def test_a_formatter_that_prints_everything_finds_nothing() -> None:
    logger, stream = logged(REDACTOR, JsonFormatter())
    extra = {"headers": {"x-api-key": "abcdef123456"}, "key": KEY, "count": 3, "none": None}
    try:
        fail(KEY)
    except UpstreamError:
        logger.exception("failed %s", KEY, extra=extra, stack_info=True)
    text = stream.getvalue()
    assert "0123456789" not in text
    assert "abcdef123456" not in text
    fields = json.loads(text)
    assert (fields["count"], fields["none"]) == ("3", "None")
    assert "Stack" in fields["stack_info"]


def test_two_handlers_print_the_same() -> None:
    logger, first = logged(REDACTOR)
    _, second = logged(REDACTOR)
    handler = logging.StreamHandler(second)
    install(REDACTOR, [handler])
    logger.addHandler(handler)
    try:
        fail(KEY)
    except UpstreamError:
        logger.exception("x %s", KEY)
    assert first.getvalue() == "ERROR " + second.getvalue()


def test_a_record_that_cannot_be_formatted_is_still_logged() -> None:
    guard = RedactingFilter(REDACTOR)
    broken = logging.LogRecord("n", logging.ERROR, "p", 1, "%d apples for %s", (KEY,), None)
    assert guard.filter(broken) is True
    assert "0123456789" not in broken.getMessage()
    assert "apples" in broken.getMessage()
