"""Can a port be had? If not, which one, and what to do."""

from __future__ import annotations

import errno
import socket


class PortError(Exception):
    """A port cannot be had; the message says which and what to do."""


def bind(host: str, port: int, name: str) -> socket.socket:
    """Return a socket bound to the address, not yet listening; port 0 takes a free one.

    Raises:
        PortError: the port is taken or not allowed; `name` is the setting or option it came from.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortError(
                f"Port {port} on {host} is in use: stop what holds it or choose another with {name}."
            ) from None
        raise PortError(
            f"Cannot serve on {host}:{port} ({error.strerror}): choose another address with {name}."
        ) from None
    return bound
