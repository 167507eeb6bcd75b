"""Personal data taken out of text: e-mail addresses, phone and card numbers, IBANs, IP addresses become typed marks.

For text that is kept on purpose (:mod:`gateway.capturing`). Found by shape, and by check digits where there are some;
names and street addresses are not found. It errs on the side of marking too much. Time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from telemetry.addresses import replaced

EMAIL: Final = "[EMAIL]"
PHONE: Final = "[PHONE]"
CARD: Final = "[CARD]"
IBAN: Final = "[IBAN]"
IP: Final = "[IP]"

_AT: Final = re.compile(r"(?:@|%40)(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}")
_LOCAL: Final = re.compile(r"[\w.+%'&*/=?^`{|}~!#$-]+")
_MOST_LOCAL: Final = 256
_IBAN_START: Final = re.compile(r"(?<![^\W_])[A-Za-z]{2}[0-9]{2}(?=[ \-\u00a0]?[A-Za-z0-9])")
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in (
        (15, "NO"),
        (16, "BE"),
        (18, "DK FK FI FO GL NL SD"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU MN XK"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ OM SO TL"),
        (24, "AD CZ DZ ES HN MD PK RO SA SE SK TN VG"),
        (25, "LY PT ST"),
        (26, "IS TR"),
        (27, "BF BI CM DJ FR GR IT MC MG MR SM"),
        (28, "AL AZ BJ BY CI CY DO GT HU LB ML NI PL SN SV TD TG"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU YE"),
        (31, "MT SC"),
        (32, "LC"),
        (33, "RU"),
    )
    for country in countries.split()
}
_SEPARATORS: Final = " -\u00a0"
_DIGITS: Final = re.compile(r"(?<!\d)(?<!\d[ \-\u00a0])\d(?:[ \-\u00a0]?\d){12,}+")
_GROUP: Final = re.compile(r"\d+")
_CARD_DIGITS: Final = range(13, 20)
_CARD_GROUPS: Final = 6
_CARD_BEGINS: Final = "23456"
_PHONE: Final = re.compile(
    r"(?:\+|(?<!\d)00)(?:[\s().\-/]{0,3}\d){7,15}"  # with the country
    r"|(?<![\w.,])(?:\(0\d{1,5}\)|0\d{1,5})(?:[\s./-]{1,2}\d{2,8}){1,4}(?!\w)"
    r"|(?<![\w.,])(?:\(\d{2,5}\)[\s-]?|\d{3}[\s.-])\d{3,4}[\s.-]\d{3,4}(?!\w)"
    r"|(?<![\w.,-])\d{3}-\d{4}(?![\w-])"
    r"|(?<![\w.,])\d{10,13}(?!\w|\.\d)"
)
_PHONE_DIGITS: Final = range(7, 16)
_DATE: Final = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}\b|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2})\b")


def without_personal(text: str) -> str:
    """The text with marks in place of personal data."""
    text = _emails(text)
    text = _ibans(text)
    text = _DIGITS.sub(_cards, text)
    text = replaced(text, lambda address: IP)
    return _PHONE.sub(_phone, text)


def _put(text: str, found: Iterator[tuple[int, int]], mark: str) -> str:
    """The mark in place of each stretch; of two that overlap the first counts."""
    parts: list[str] = []
    at = 0
    for start, end in found:
        if start >= at:
            parts += (text[at:start], mark)
            at = end
    return "".join((*parts, text[at:])) if parts else text


def _emails(text: str) -> str:
    return _put(text, _addresses(text), EMAIL)


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    last = 0
    for found in _AT.finditer(text):
        before = text[max(last, found.start() - _MOST_LOCAL) : found.start()]
        local = _LOCAL.match(before[::-1])
        if local is not None:
            last = found.end()
            yield found.start() - local.end(), last


def _ibans(text: str) -> str:
    return _put(text, _accounts(text), IBAN)


def _accounts(text: str) -> Iterator[tuple[int, int]]:
    for found in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(found[0][:2].upper())
        if length is None:
            continue
        signs: list[str] = []
        at = found.start()
        while len(signs) < length and at < len(text):
            sign = text[at]
            if sign.isascii() and sign.isalnum():
                signs.append(sign)
            elif sign not in _SEPARATORS or text[at - 1] in _SEPARATORS:
                break
            at += 1
        if len(signs) == length and not text[at : at + 1].isalnum() and _is_iban("".join(signs)):
            yield found.start(), at


def _is_iban(signs: str) -> bool:
    number = "".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])
    return int(number) % 97 == 1


def _cards(found: re.Match[str]) -> str:
    """A run of digits in groups: a card number in it begins and ends where a group does."""
    return _put(found[0], _in_run(found[0]), CARD)


def _in_run(run: str) -> Iterator[tuple[int, int]]:
    groups = [(group.start(), group.end(), group[0]) for group in _GROUP.finditer(run)]
    for index, (start, _, first) in enumerate(groups):
        digits = ""
        for _, end, more in groups[index : index + _CARD_GROUPS] if first[0] in _CARD_BEGINS else ():
            digits += more
            if len(digits) in _CARD_DIGITS and _luhn([int(digit) for digit in digits]):
                yield start, end
                break


def _luhn(numbers: list[int]) -> bool:
    doubled = [sum(divmod(2 * number, 10)) for number in numbers[-2::-2]]
    return (sum(doubled) + sum(numbers[-1::-2])) % 10 == 0


def _phone(found: re.Match[str]) -> str:
    said = found[0]
    if _DATE.match(said) or sum(sign.isdigit() for sign in said) not in _PHONE_DIGITS:
        return said
    return PHONE
