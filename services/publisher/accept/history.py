"""What is asked of a history, and how is it shown? As R4's history Bundle, newest first.

Source: FHIR R4 http.html, history; Bundle of type history. The `next` links lead to the end without repeating or
hiding what was there when the first page was read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode

import orjson

from schemas.dates import bounds, moment, stamp
from schemas.outcome import FhirError, Issue, refuse
from services.database import from_micros, micros
from services.negotiation import require_json
from services.publisher.accept.answers import embedded
from services.publisher.store.history import Cursor, Kept, Page, Wanted
from services.shown import PRESENTATION

DEFAULT_COUNT: Final = 50
MOST: Final = 1000

_CURSOR: Final = "_cursor"
"""Our own parameter, in `next` links only: opaque."""
_KNOWN: Final = frozenset({"_count", "_since", "_at", _CURSOR, *PRESENTATION})
_MADE: Final[Mapping[str, tuple[str, str]]] = {
    "create": ("POST", "201"),
    "update": ("PUT", "200"),
    "delete": ("DELETE", "204"),
}
"""By what made a version: method and status, as a history tells them."""


Pairs: TypeAlias = list[tuple[str, str]]


def understand(kind: str, id_: str | None, query: str, *, lenient: bool = False) -> tuple[Wanted, Pairs]:
    """Return what is asked of the history of a resource, or of a type; `query` is the part after `?`.

    With it comes the query without what was ignored: the `self` link.

    Raises:
        FhirError: 400 naming everything in it that is not supported; 406 for a format that is not.
    """
    wanted = Wanted(kind, id_, DEFAULT_COUNT)
    issues: list[Issue] = []
    understood: Pairs = []
    for name, value in parse_qsl(query, keep_blank_values=False):
        if name not in _KNOWN:
            said = f"{name} is not supported in a history; expected _count, _since or _at"
            issues += [] if lenient else [Issue("error", "not-supported", said)]
            continue
        understood.append((name, value))
        try:
            wanted = _with(wanted, name, value)
        except ValueError as why:
            issues.append(Issue("error", "value", f"{name}={value} is not understood: {why}"))
    if issues:
        raise FhirError(400, *issues)
    return wanted, understood


def _with(wanted: Wanted, name: str, value: str) -> Wanted:
    match name:
        case "_count" if value.isascii() and value.isdecimal() and len(value) < 10:
            return replace(wanted, count=min(int(value), MOST))
        case "_count":
            raise ValueError("expected a number")
        case "_since":
            return replace(wanted, since=moment(bounds(_with_plus(value))[0]))
        case "_at":
            low, high = bounds(_with_plus(value))
            return replace(wanted, at=(moment(low), moment(high)))
        case "_cursor":
            return replace(wanted, after=_cursor(value))
        case "_format":
            require_json(value)
        case _:
            pass
    return wanted


def _with_plus(value: str) -> str:
    """Return a time whose offset was sent as it is written: in a URL, a plus sign stands for a blank."""
    return value.replace(" ", "+")


def bundle(wanted: Wanted, page: Page, understood: Pairs, *, base_url: str) -> dict[str, Any]:
    """Return the history Bundle of one page; its resources are the stored bytes, a deletion has none."""
    path = f"{base_url}/{wanted.kind}{'' if wanted.id is None else f'/{wanted.id}'}/_history"
    asked = [pair for pair in understood if pair[0] != _CURSOR]
    links = [{"relation": "self", "url": _url(path, asked)}]
    if page.next is not None:
        links.append({"relation": "next", "url": _url(path, [*asked, (_CURSOR, _opaque(page.next))])})
    total = {} if page.total is None else {"total": page.total}
    said: dict[str, Any] = {"resourceType": "Bundle", "type": "history", **total, "link": links}
    entries = [_entry(each, base_url) for each in page.found]
    # FHIR has no empty arrays.
    return said | {"entry": entries} if entries else said


def _url(path: str, pairs: list[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _entry(kept: Kept, base_url: str) -> dict[str, Any]:
    stored = kept.stored
    method, status = _MADE[kept.interaction]
    resource = {} if stored.deleted else {"resource": embedded(stored)}
    return {
        "fullUrl": f"{base_url}/{stored.reference}",
        **resource,
        "request": {"method": method, "url": stored.type if method == "POST" else stored.reference},
        "response": {
            "status": status,
            "etag": f'W/"{stored.version}"',
            "lastModified": stamp(stored.last_updated),
        },
    }


def _opaque(cursor: Cursor) -> str:
    plain = orjson.dumps([micros(cursor.last_updated), cursor.id, cursor.version])
    return base64.urlsafe_b64encode(plain).decode().rstrip("=")


def _cursor(text: str) -> Cursor:
    try:
        at, id_, version = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return Cursor(from_micros(int(at)), str(id_), int(version))
    except (ValueError, TypeError, binascii.Error, OverflowError):
        said = f"{_CURSOR} is none of ours; follow the next link as it was given"
        raise refuse(400, "value", said) from None
