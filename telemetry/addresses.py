"""IP addresses in text: found, and shortened to their network (/24, /48), which names no person."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_IPV6: Final = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{1,4})?:[0-9A-Fa-f:.]{1,44}")
_IPV4: Final = re.compile(r"(?<!\d)(?<!\d\.)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\d)(?!\.\d)")
_MAYBE: Final = re.compile(r"[0-9A-Fa-f:.]{3,45}\Z")
_KEPT_BITS: Final = {4: 24, 6: 48}


def replaced(text: str, put: Callable[[Address], str]) -> str:
    """The text with what ``put`` makes of each address in its place."""

    def six(found: re.Match[str]) -> str:
        return _six(found[0], put)

    def four(found: re.Match[str]) -> str:
        whole = found[0]
        if any(int(part) > 255 for part in whole.split(".")):
            return whole
        return put(ipaddress.IPv4Address(".".join(str(int(part)) for part in whole.split("."))))

    return _IPV4.sub(four, _IPV6.sub(six, text))


def shortened_in(text: str) -> str:
    """The text with every address shortened: ``203.0.113.7`` becomes ``203.0.113.0``."""
    return replaced(text, shortened)


def shortened_value(value: str) -> str:
    """The value, shortened if it is nothing but an address."""
    return value if _MAYBE.match(value) is None else shortened_in(value)


def shortened(address: Address) -> str:
    """The first address of its network."""
    bits = address.max_prefixlen - _KEPT_BITS[address.version]
    return str(type(address)(int(address) >> bits << bits))


def _six(whole: str, put: Callable[[Address], str]) -> str:
    said = whole.rstrip(".")
    if said.endswith(":") and not said.endswith("::"):
        said = said[:-1]
    if len(said.strip(":")) == 0:
        return whole
    try:
        return put(ipaddress.IPv6Address(said)) + whole[len(said) :]
    except ValueError:
        return whole
