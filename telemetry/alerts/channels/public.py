"""Which addresses a message may go to: public ones, unless the channel says otherwise.

The address is looked at when the socket is made, after the name was resolved, and for every address that is tried:
a name that changes its meaning in between gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final

_EMBEDDING: Final = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (("::ffff:0:0/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))
)
"""IPv6 addresses that lead to an IPv4 address, and how many bits to its right the IPv4 address stands."""
_SET_ASIDE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",    # protocols
        "64:ff9b:1::/48",  # to IPv4 within a network
        "100:0:0:1::/64",  # dummies
        "2001::/23",       # protocols, Teredo among them
        "3fff::/20",       # examples
        "5f00::/16",       # segment routing
        "fec0::/10",       # once: of a site
    )
)  # fmt: skip
"""Not everybody's, by IANA's registries of special-purpose addresses. Every version of Python knows others of them."""


class PrivateTargetError(OSError):
    """The address is not a public one. Names neither the address nor the host."""

    def __init__(self) -> None:
        super().__init__("the target is not a public address")


def is_public(address: str) -> bool:
    """Reachable for everybody: not private, loopback, link-local (cloud metadata), shared, reserved or multicast."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        for network, shift in _EMBEDDING:
            if found in network:
                found = ipaddress.IPv4Address(int(found) >> shift & 0xFFFF_FFFF)
                break
    if any(found in network for network in _SET_ASIDE):
        return False
    return found.is_global and not found.is_multicast


class Doorkeeper:
    """Makes the sockets of one request; ``refused``: an address was turned away."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self.refused = False

    def __call__(self, found: Any) -> socket.socket:
        """``found`` is an entry of ``getaddrinfo``. Raises :class:`PrivateTargetError`."""
        family, kind, protocol, _, address = found
        if not self._allow_private and not is_public(str(address[0])):
            self.refused = True
            raise PrivateTargetError
        return socket.socket(family, kind, protocol)
