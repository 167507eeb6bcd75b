"""What is to be kept of a call: settings, tenant, key, headers. Whoever comes later may only take away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capturing.rules import NO_CAPTURE, CaptureRules, Wanted, narrower
from gateway.settings.choices import Capture
from storage.keys.model import Key
from telemetry.record import Who

NONE, HASH, REDACTED, FULL = Capture
MODES = st.sampled_from(list(Capture))
ORDER = list(Capture)


def wanted(
    rules: CaptureRules,
    tenant: str | None = None,
    key: Key | None = None,
    labels: dict[bytes, bytes] | None = None,
    seen: dict[bytes, bytes] | None = None,
) -> Wanted | None:
    return rules.wanted(labels or {}, seen or {}, Who(tenant=tenant), key)


def key(capture: Capture | None = None, tenant: str | None = None) -> Key:
    return Key(id="k", name="k", tenant=tenant, capture=capture)


def mode(found: Wanted | None) -> Capture:
    return NONE if found is None else found.request


def test_by_default_nothing_is_kept_and_nobody_is_asked() -> None:
    assert NO_CAPTURE.never
    assert CaptureRules(tenants={"acme": NONE}).never
    assert not CaptureRules(tenants={"acme": HASH}).never
    assert not CaptureRules(keys_may_widen=True).never
    assert wanted(NO_CAPTURE, "acme", key(FULL), {b"x-weighbridge-capture": b"full"}) is None


def test_a_tenant_widens_only_where_a_key_binds_it() -> None:
    rules = CaptureRules(HASH, {"acme": FULL, "quiet": NONE})
    assert mode(wanted(rules, "acme", key(tenant="acme"))) is FULL
    assert mode(wanted(rules, "acme")) is HASH, "whoever merely says to be of a tenant"
    assert mode(wanted(rules, "acme", key())) is HASH
    assert mode(wanted(rules, "quiet")) is NONE
    assert mode(wanted(rules, "other")) is HASH


def test_a_key_narrows_and_widens_only_where_that_is_set() -> None:
    assert mode(wanted(CaptureRules(REDACTED), key=key(HASH))) is HASH
    assert mode(wanted(CaptureRules(REDACTED), key=key(FULL))) is REDACTED
    assert mode(wanted(CaptureRules(NONE, keys_may_widen=True), key=key(FULL))) is FULL
    assert mode(wanted(CaptureRules(FULL, keys_may_widen=True), key=key(NONE))) is NONE
    assert mode(wanted(CaptureRules(NONE, keys_may_widen=True), key=key())) is NONE


@given(MODES, st.sampled_from([*(m.value for m in Capture), "FULL", "off", "", "redacted "]))
def test_a_header_only_narrows(content: Capture, said: str) -> None:
    found = mode(wanted(CaptureRules(content), labels={b"x-weighbridge-capture": said.encode()}))
    understood = said.lower() in set(Capture)
    assert found is (narrower(content, Capture(said.lower())) if understood else NONE)
    assert ORDER.index(found) <= ORDER.index(content)


@pytest.mark.parametrize(
    ("name", "value", "request_", "answer"),
    [
        ("helicone-omit-request", "true", NONE, FULL),
        ("helicone-omit-response", "True", FULL, NONE),
        ("cf-aig-collect-log-payload", "false", NONE, NONE),
        ("cf-aig-collect-log", "false", NONE, NONE),
        ("x-litellm-enable-message-redaction", "true", NONE, NONE),
        ("x-portkey-debug", "false", NONE, NONE),
        ("helicone-omit-request", "false", FULL, FULL),
        ("cf-aig-collect-log-payload", "true", FULL, FULL),
    ],
)
def test_the_words_of_other_gateways(name: str, value: str, request_: Capture, answer: Capture) -> None:
    found = wanted(CaptureRules(FULL), labels={name.encode(): value.encode()})
    assert (NONE, NONE) if found is None else (found.request, found.answer) == (request_, answer)
    assert (found is None) == (request_ is answer is NONE)


@pytest.mark.parametrize(
    ("seen", "is_text"),
    [
        ({}, True),
        ({b"content-type": b"Application/JSON; charset=utf-8"}, True),
        ({b"content-type": b"application/vnd.api+json"}, True),
        ({b"content-type": b"text/plain"}, True),
        ({b"content-type": b"multipart/form-data; boundary=x"}, False),
        ({b"content-type": b"audio/wav"}, False),
        ({b"content-encoding": b"gzip"}, True),
        ({b"content-encoding": b"gzip", b"content-type": b"audio/wav"}, False),
    ],
)
def test_only_text_is_content(seen: dict[bytes, bytes], is_text: bool) -> None:
    found = wanted(CaptureRules(FULL), seen=seen)
    assert found is not None
    assert found.is_text is is_text
    assert found.encoding == ("gzip" if b"content-encoding" in seen else "")


def test_an_encoding_that_is_none_needs_no_inflating() -> None:
    for said in (b"identity", b" Identity ", b""):
        found = wanted(CaptureRules(FULL), seen={b"content-encoding": said})
        assert found is not None
        assert found.encoding == ""
