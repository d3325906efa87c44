"""What do Accept, Accept-Encoding and Content-Encoding say? Pure.

Source: RFC 9110, sections 8.4 and 12.4.2 to 12.5.3 (content codings; weights, the more specific range first).
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from typing import Final

from schemas.fhir import FHIR_JSON
from schemas.outcome import FhirError, Issue, refuse

CODINGS: Final = "gzip, deflate, identity"
"""How a body may be packed."""

_JSON: Final = frozenset({"application/json", "text/json", "application/json-patch+json", "text/*"})
"""What is asked for by these is answered in FHIR's JSON."""
_GZIP: Final = frozenset({"gzip", "x-gzip"})


def weights(header: str) -> dict[str, float]:
    """Return each member of the header in lower case with its weight, 1 where none is said; other parameters go."""
    out: dict[str, float] = {}
    for member in header.split(","):
        name, *parameters = (part.strip().lower() for part in member.split(";"))
        if name:
            out[name] = next((_weight(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
    return out


def _weight(said: str) -> float:
    try:
        weight = float(said)
    except ValueError:
        return 1.0
    return weight if 0 <= weight <= 1 else 1.0


def takes(accept: str, served: str, spellings: Collection[str]) -> bool:
    """Answer whether the media type `served` may be sent; `spellings` are other names and ranges meaning it."""
    said = weights(accept)
    if not said or any(said.get(each, 0) > 0 for each in spellings):
        return True
    ranges = (served, served.partition("/")[0] + "/*", "*/*")
    return next((said[each] for each in ranges if each in said), 0) > 0


def takes_json(wanted: str) -> bool:
    """Answer whether an `Accept` or a `_format` takes JSON, by any of its names."""
    # In a URL a plus sign stands for a blank.
    said = wanted.strip().lower().replace(" ", "+")
    return said == "json" or takes(said, FHIR_JSON, _JSON)


def require_json(format_: str) -> None:
    """Refuse a `_format` that is not served.

    Raises:
        FhirError: 406.
    """
    if not takes_json(format_):
        raise refuse(406, "not-supported", f"_format is {format_[:50]!r}; only {FHIR_JSON} is served")


def takes_gzip(accept_encoding: str) -> bool:
    """Answer whether gzip may be sent and is not liked less than no packing."""
    said = weights(accept_encoding)
    weight = next((said[each] for each in ("gzip", "x-gzip", "*") if each in said), 0.0)
    return weight > 0 and weight >= said.get("identity", 0.0)


def coding(content_encoding: str) -> str | None:
    """Return how a body is packed: gzip, deflate, or None for not at all.

    Raises:
        FhirError: 415 for any other.
    """
    said = content_encoding.strip().lower()
    if said in {"", "identity"}:
        return None
    if said in _GZIP:
        return "gzip"
    if said == "deflate":
        return said
    issue = Issue("error", "not-supported", f"Content-Encoding is {said[:50]}; accepted are {CODINGS}")
    raise FhirError(415, issue, headers={"Accept-Encoding": CODINGS})


def unpacked(body: bytes, packed: str, limit: int) -> bytes | None:
    """Return what `body` holds, which is packed as `coding` says; None for more than `limit` bytes.

    Raises:
        FhirError: 400 when it is not packed so, or not to its end.
    """
    if not body:
        return b""
    reader = zlib.decompressobj(_window(body, packed))
    try:
        plain = reader.decompress(body, limit + 1)
    except zlib.error as wrong:
        raise refuse(400, "invalid", f"Content-Encoding is {packed}, but the body is not: {wrong}") from None
    if len(plain) > limit:
        return None
    if not reader.eof:
        raise refuse(400, "invalid", f"Content-Encoding is {packed}, but the body stops before its end")
    if reader.unused_data:
        more = len(reader.unused_data)
        raise refuse(400, "invalid", f"Content-Encoding is {packed}; {more} bytes follow where it ends")
    return plain


def _window(body: bytes, packed: str) -> int:
    """Return zlib's `wbits`: with the header of gzip, of zlib, or with none, as some send deflate."""
    if packed == "gzip":
        return 16 + zlib.MAX_WBITS
    return zlib.MAX_WBITS if body[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS
