"""Which addresses may be dialled: asked for every connection, after DNS, so rebinding finds no gap."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BlockedAddressError(OSError):
    """The endpoint's address is not one that is delivered to."""


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one carries (mapped, 6to4, Teredo, NAT64), else the address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def allowed(host: str, *, private: bool) -> bool:
    """Tell whether an IP literal may be dialled; `private` also allows loopback and private networks."""
    address = unwrapped(ipaddress.ip_address(host.partition("%")[0]))
    if address.is_multicast or address.is_unspecified:
        return False
    inner = address.is_private and not address.is_link_local and not address.is_reserved
    if private and (address.is_loopback or inner):
        return True
    return address.is_global and not address.is_reserved


def socket_factory(*, private: bool) -> Callable[[Any], socket.socket]:
    """Return a factory for aiohttp's connector that refuses forbidden addresses.

    The factory raises `BlockedAddressError`, which aiohttp reports as `ClientConnectorError.os_error`.
    """

    def factory(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not allowed(address[0], private=private):
            raise BlockedAddressError(f"{address[0]} is not an address that is delivered to")
        return socket.socket(family, kind, protocol)

    return factory
