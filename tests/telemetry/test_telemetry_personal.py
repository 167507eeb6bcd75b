"""What is marked does not remain; what is nobody's is left alone; hostile text is only text."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.personal import CARD, EMAIL, IBAN, IP, PHONE, without_personal


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mail ada@lovelace.example now", "mail [EMAIL] now"),
        ("<ada.b+c@x.co.uk>, é.ü@exämple.de; ada%40x.com", "<[EMAIL]>, [EMAIL]; [EMAIL]"),
        ("a@b.example@c.example", "[EMAIL]@c.example"),
        ("DE89 3704 0044 0532 0130 00 and more", "[IBAN] and more"),
        ("iban:de89370400440532013000.", "iban:[IBAN]."),
        ("GB82-WEST-1234-5698-7654-32", "[IBAN]"),
        ("4111 1111 1111 1111 ok, 5500-0000-0000-0004", "[CARD] ok, [CARD]"),
        ("1234 4111 1111 1111 1111 and 378282246310005", "1234 [CARD] and [CARD]"),
        ("from 10.0.0.1, 1.2.3.4. and 1.2.3.4:80", "from [IP], [IP]. and [IP]:80"),
        ("fe80::1%eth0 ip:2001:db8::1 [::1]:443 ::ffff:1.2.3.4.", "[IP]%eth0 ip:[IP] [[IP]]:443 [IP]."),
        ("+49 (0)151 123 4567, 0049 30 1234567", "[PHONE], [PHONE]"),
        (
            "(555) 123-4567 or 555-1234 or 030/1234567 or 01511234567",
            "[PHONE] or [PHONE] or [PHONE] or [PHONE]",
        ),
    ],
)
def test_what_is_personal_is_marked(text: str, kept: str) -> None:
    assert without_personal(text) == kept
    assert without_personal(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21 10:15:30, 21.11.2026, 1/2/2026",
        "1,234,567 and 3.14159265 and 10 20 30 40 and 4096",
        "version 1.2.3 of std::vector, x::y, ::",
        "model gpt-4o-2024-08-06, 12345678 tokens",
        "4111 1111 1111 1112 has a wrong check digit: 4-4-4-4",
        "DE00 3704 0044 0532 0130 00",
        "999.1.2.3 @ home, user@localhost",
    ],
)
def test_what_is_not_stays(text: str) -> None:
    assert without_personal(text) == text


def digits(least: int, most: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=least, max_size=most)


@st.composite
def cards(draw: st.DrawFn) -> str:
    number = draw(st.sampled_from("3456")) + draw(digits(11, 17))
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in number[::-2]]
    number += str(-(sum(doubled) + sum(int(digit) for digit in number[-2::-2])) % 10)
    groups = [number[at : at + 4] for at in range(0, len(number), 4)]
    return draw(st.sampled_from(["", " ", "-"])).join(groups)


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country, length = draw(st.sampled_from([("DE", 22), ("NL", 18), ("MT", 31), ("NO", 15)]))
    account = draw(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=length - 4, max_size=length - 4))
    number = int("".join(str(int(sign, 36)) for sign in account + country + "00"))
    whole = f"{country}{98 - number % 97:02d}{account}"
    return draw(st.sampled_from([whole, " ".join(whole[at : at + 4] for at in range(0, length, 4))]))


NAME = st.text("abcdefghijklmnopqrstuvwxyzäéß0123456789._+-", min_size=1, max_size=64)
LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=2, max_size=20)
EMAILS = st.builds(lambda name, one, two: f"{name}@{one}.{two}", NAME, LABEL, LABEL)
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).filter(lambda one: one != ipaddress.IPv6Address("::")).map(str),
)
PHONES = st.builds(
    lambda country, rest, gap: f"+{country}{gap}{gap.join(rest)}",
    st.sampled_from(["1", "44", "49", "353"]),
    st.lists(digits(3, 4), min_size=2, max_size=3),
    st.sampled_from(["", " ", "-", "."]),
)
PERSONAL = st.one_of(
    EMAILS.map(lambda one: (one, EMAIL)),
    cards().map(lambda one: (one, CARD)),
    ibans().map(lambda one: (one, IBAN)),
    ADDRESSES.map(lambda one: (one, IP)),
    PHONES.map(lambda one: (one, PHONE)),
)
AROUND = st.text(alphabet=st.sampled_from("abc ÄÖ\n\t,;()<>\"'=!?"), max_size=30)


@given(PERSONAL, AROUND, AROUND)
def test_what_was_marked_does_not_remain(found: tuple[str, str], before: str, after: str) -> None:
    secret, mark = found
    kept = without_personal(f"{before} {secret} {after}")
    assert secret not in kept
    assert kept.count("[") == 1, "marked once"
    assert mark in kept or mark in (CARD, PHONE), "a card may look like a telephone"
    assert without_personal(kept) == kept


@given(st.text())
def test_any_text_is_only_text(text: str) -> None:
    kept = without_personal(text)
    assert without_personal(kept) == kept


HOSTILE = (
    "@",
    "@a.",
    "a@",
    "a",
    "+1",
    "00",
    "4-",
    "4444-",
    "AA11 ",
    "DE89 ",
    ":",
    "::1 ",
    "1.1.1.",
    "0 ",
    "(11) ",
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_work_grows_with_the_text_and_no_faster(piece: str) -> None:
    """A pattern that backtracks over all of it would not come back from this."""
    text = (piece * 262_144)[:262_144]
    assert len(without_personal(text)) <= 8 * len(text)
