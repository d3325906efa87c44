"""Where does the next page begin? A place in the order, written so that it goes with one search only.

Opaque to a client. The first bytes are a checksum over the place and the search: a link that was changed, cut off or
put together from two is refused with a reason, and shows nobody a page of something else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import orjson

from schemas.outcome import refuse
from services.publisher.store.order import Place

CURSOR: Final = "_cursor"
"""Our own parameter, in `next` links only."""

_SUM: Final = 6


def written(place: Place, search: str) -> str:
    """Return the text of a place; `search` is the type and the query that it belongs to."""
    plain = orjson.dumps(place)
    return base64.urlsafe_b64encode(_sum(plain, search) + plain).decode().rstrip("=")


def read(text: str, search: str) -> Place:
    """Return the place of a text.

    Raises:
        FhirError: 400 when this search has given no such cursor.
    """
    try:
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        plain = whole[_SUM:]
        if whole[:_SUM] != _sum(plain, search):
            raise ValueError  # all that is wrong with it is answered alike
        return tuple(orjson.loads(plain))
    except (ValueError, TypeError, binascii.Error):
        said = f"{CURSOR} was not given for this search; follow the next link as it was given, or begin again"
        raise refuse(400, "value", said) from None


def _sum(plain: bytes, search: str) -> bytes:
    return hashlib.blake2s(plain + b"\0" + search.encode(), digest_size=_SUM, person=b"cursor").digest()
