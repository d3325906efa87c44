"""Answers: what about a single value can no JSON Schema say. The `format`s of the structure gate.

Each check takes the string and returns whether it is right; `EXPECTED` says in words what right is.
Source: hl7.org/fhir/R4/datatypes.html and hl7.org/fhir/R4/references.html.
"""

from __future__ import annotations

import base64
import re
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pydantic_core import Url

if TYPE_CHECKING:
    from collections.abc import Callable

Check = "Callable[[str], bool]"

_YEAR: Final = r"(?!0000)[0-9]{4}"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE: Final = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_DATE: Final = re.compile(rf"{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?")
_DATE_TIME: Final = re.compile(rf"{_YEAR}(?:-{_MONTH}(?:-{_DAY}(?:T{_CLOCK}{_ZONE})?)?)?")
_INSTANT: Final = re.compile(rf"{_YEAR}-{_MONTH}-{_DAY}T{_CLOCK}{_ZONE}")
_TIME: Final = re.compile(_CLOCK)
_UUID: Final = re.compile(r"urn:uuid:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID: Final = r"[A-Za-z0-9\-.]{1,64}"
_RELATIVE_URL: Final = re.compile(r"/?[A-Za-z0-9\-.#]+(?:/\S*)?")
_RESTFUL: Final = re.compile(rf"(?:[a-z]+://\S+/)?([A-Z][A-Za-z]+)/{_ID}(?:/_history/{_ID})?")
_OTHER_REFERENCE: Final = re.compile(rf"#(?:{_ID})?|[a-zA-Z][a-zA-Z0-9+.\-]*:[^\s?]\S*")


@lru_cache(maxsize=4096)
def _exists(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _dated(form: re.Pattern[str]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        return form.fullmatch(text) is not None and (len(text) < 10 or _exists(text[:10]))

    return check


def _matches(form: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: form.fullmatch(text) is not None


def _is_url(text: str) -> bool:
    """Tell whether it is an absolute URL of any scheme, or a relative one that begins with a path."""
    try:
        Url(text)
    except ValueError:
        return _RELATIVE_URL.fullmatch(text) is not None
    return True


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode("".join(text.split()), validate=True))
    except ValueError:  # not base64, or not even ASCII
        return False


def _is_reference(text: str) -> bool:
    return _RESTFUL.fullmatch(text) is not None or _OTHER_REFERENCE.fullmatch(text) is not None


def reference_to(targets: frozenset[str]) -> Callable[[str], bool]:
    """Return the check for a Reference that may only point to resources of these types.

    What no URL tells (`urn:uuid:…`, `#contained`, a URL that is not RESTful) passes.
    """

    def check(text: str) -> bool:
        restful = _RESTFUL.fullmatch(text)
        return restful is None or restful.group(1) in targets

    return check


FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "date": _dated(_DATE),
    "dateTime": _dated(_DATE_TIME),
    "instant": _dated(_INSTANT),
    "time": _matches(_TIME),
    "url": _is_url,
    "uuid": _matches(_UUID),
    "base64Binary": _is_base64,
    "reference": _is_reference,
}
"""The formats that stand by themselves; `reference:Group|Patient` is made by `reference_to`."""

EXPECTED: Final = {
    "date": "a date that exists, written YYYY, YYYY-MM or YYYY-MM-DD",
    "dateTime": "a date that exists, with seconds and a time zone if it has a time (2024-02-29T08:00:00Z)",
    "instant": "a date that exists, with seconds and a time zone (2024-02-29T08:00:00Z)",
    "time": "a time of day, written hh:mm:ss",
    "url": "a URL",
    "uuid": "a UUID, written urn:uuid: and 36 characters",
    "base64Binary": "base64",
    "reference": "Type/id, a URL, urn:uuid:…, or # and the id of a contained resource",
}
"""Each format in words."""
