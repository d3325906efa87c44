"""Which hosts can be dialled, and which addresses may be: asked for every connection, after DNS, so rebinding finds no gap."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from typing import Any

_MOST_NAME = 253
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x.*")
"""A last label by which some read a name as an IPv4 address, and others do not: `127.1`, `2130706433`, `0x7f.1`."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BlockedAddressError(OSError):
    """The endpoint's address is not one that is delivered to."""


def dialable(host: str) -> bool:
    """Tell whether a host is an IP literal, or a name that DNS can know; not whether it does."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return True
    try:
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return False
    labels = name.split(".")
    return (
        len(name) <= _MOST_NAME
        and all(_LABEL.fullmatch(label) for label in labels)
        and _NUMBER.fullmatch(labels[-1]) is None
    )


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
