"""Which addresses are dialled: the ones that reach inside are not, however they are written."""

from __future__ import annotations

import socket

import pytest

from services.notifier.send.addresses import BlockedAddressError, allowed, dialable, socket_factory

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


LONG = ".".join(["a" * 61] * 4)


@pytest.mark.parametrize(
    "host",
    [
        *PUBLIC, *LOCAL, "provider.example", "provider.example.", "localhost", "a_b", "xn--bcher-kva.example",
        "b\u00fccher.example", "1.example", "a" * 63 + ".example", LONG + "a.bcd", "fe80::1%eth0",
    ],
)  # fmt: skip
def test_names_and_addresses_can_be_dialled(host: str) -> None:
    assert dialable(host)


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "a..b", "a..", ".a", "a" * 64 + ".example", "-bad-", "a.-b", "b-.example", "127.1", "2130706433",
        "0x7f.1", "0x7f000001", "1.2.3.4.5", "127.0.0.1.", "256.1.1.1", "\uff11\uff12\uff17.1", "a.0x1", "a b", "a%41",
        LONG + "abc.defgh", "\u00fc" * 63, "fe80::1::2",
    ],
)  # fmt: skip
def test_what_no_name_server_can_know_is_no_host(host: str) -> None:
    assert not dialable(host)


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
