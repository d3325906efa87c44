"""Under which names may a browser ask for the operators' pages? Pure.

A page from elsewhere can have its own name lead to this machine (DNS rebinding), and a browser on it then takes what is
answered here for that page's own. What it cannot change is the `Host` the browser sends. Addresses need not be named:
no page that was loaded under a name has one for its origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit


def trusted(host: str, named: Collection[str]) -> bool:
    """Tell whether a `Host` header names an address, this machine for itself, or one of the `named`."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # no host
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return name in {each.lower().rstrip(".") for each in named if each} or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
