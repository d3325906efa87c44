"""Which addresses are dialled: the ones that reach inside are not, however they are written."""

from __future__ import annotations

import socket

import pytest

from services.notifier.send.addresses import BlockedAddressError, allowed, socket_factory

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
LOCAL = [
    "127.0.0.1",
    "127.8.9.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "::1",
    "fd00::1",
    "::ffff:127.0.0.1",
]
NEVER = [
    "0.0.0.0", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "::", "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "255.255.255.255",
]  # fmt: skip
SHARED = ["100.64.0.1"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_dialled(address: str) -> None:
    assert allowed(address, private=False)


@pytest.mark.parametrize("address", [*LOCAL, *NEVER, *SHARED, "64:ff9b::7f00:1", "2002:7f00:1::1"])
@pytest.mark.requirement("R-188")
def test_inner_addresses_are_not_dialled(address: str) -> None:
    assert not allowed(address, private=False)


@pytest.mark.parametrize("address", LOCAL)
def test_a_setting_allows_loopback_and_private_networks(address: str) -> None:
    assert allowed(address, private=True)


@pytest.mark.parametrize("address", NEVER)
def test_no_setting_allows_link_local_and_metadata_addresses(address: str) -> None:
    assert not allowed(address, private=True)


def test_the_socket_is_refused_before_it_is_made() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
    with pytest.raises(BlockedAddressError, match=r"127\.0\.0\.1 is not an address"):
        socket_factory(private=False)(info)
