"""Does a request that changes something come from one of our own pages? Pure.

Browsers say so themselves: Fetch Metadata (`Sec-Fetch-Site`) where the page is trusted to say it, else `Origin`
on every POST. What sends neither is not a browser that shows our page.
"""

from __future__ import annotations

from urllib.parse import urlsplit


def same_origin(*, site: str | None, origin: str | None, host: str) -> bool:
    """Tell whether `Sec-Fetch-Site`, else `Origin`, names the host the request was sent to."""
    if site is not None:
        return site == "same-origin"
    try:
        return origin is not None and urlsplit(origin).netloc == host
    except ValueError:  # no URL
        return False
