"""What was an operation called with? Inputs from the query string, or from a Parameters resource.

A value is read from whichever `value[x]` it was sent as: clients send ids and numbers as strings (R-146).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

from schemas.dates import bounds, moment
from schemas.outcome import FhirError, Issue, refuse
from schemas.structure.gate import check_structure
from services.notifier.model import Content, Status
from services.shown import takes

_NUMBER = re.compile(r"[0-9]{1,15}")
_CONTENTS: Final[dict[str, Content]] = {
    "empty": "empty",
    "id-only": "id-only",
    "full-resource": "full-resource",
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of one call, by name, in their order; resources apart."""

    values: Mapping[str, Sequence[str]]
    resources: Mapping[str, Mapping[str, Any]]

    def all(self, name: str) -> list[str]:
        """Return every value of an input; in a query string a comma separates too."""
        return [part for value in self.values.get(name, ()) for part in value.split(",") if part]

    def one(self, name: str) -> str | None:
        """Return the value of an input that may be given once.

        Raises:
            FhirError: 400, it was given twice.
        """
        found = self.values.get(name, ())
        if len(found) > 1:
            raise refuse(400, "value", f"{name} is given {len(found)} times; expected once")
        return found[0] if found else None

    def number(self, name: str) -> int | None:
        """Return an event number.

        Raises:
            FhirError: 400, it is none.
        """
        found = self.one(name)
        if found is not None and _NUMBER.fullmatch(found) is None:
            raise refuse(400, "value", f"{name} is {found!r}; expected a number")
        return None if found is None else int(found)

    def instant(self, name: str, *, after: bool = False) -> datetime | None:
        """Return the start of an instant or date; `after`: the moment right after all of it.

        Raises:
            FhirError: 400, it is none.
        """
        found = self.one(name)
        if found is None:
            return None
        try:
            return moment(bounds(found)[1 if after else 0])
        except ValueError:
            raise refuse(400, "value", f"{name} is {found!r}; expected an instant") from None

    def content(self, name: str) -> Content | None:
        """Return a payload level.

        Raises:
            FhirError: 400, it is none.
        """
        found = self.one(name)
        if found is not None and found not in _CONTENTS:
            raise refuse(400, "value", f"{name} is {found!r}; expected one of {', '.join(_CONTENTS)}")
        return None if found is None else _CONTENTS[found]

    def statuses(self, name: str) -> list[str]:
        """Return Subscription statuses.

        Raises:
            FhirError: 400, one is none.
        """
        found = self.all(name)
        if unknown := [each for each in found if each not in set(Status)]:
            raise refuse(400, "value", f"{name} is {unknown[0]!r}; expected one of {', '.join(Status)}")
        return found


def from_query(request: web.Request, *known: str) -> Inputs:
    """Return the inputs that stand in the URL, of those an operation has.

    Raises:
        FhirError: 400, it has others, and the client is not lenient.
    """
    takes(request, *known)
    return _collected((name, value) for name, value in parse_qsl(request.query_string) if name in known)


def from_resource(resource: dict[str, Any], *known: str) -> Inputs:
    """Return the inputs of a POST.

    Raises:
        FhirError: 400, it is no Parameters, or has what the operation does not.
    """
    if issues := check_structure(resource):
        raise FhirError(400, *issues)
    if (found := resource["resourceType"]) != "Parameters":
        raise refuse(400, "value", f"found a {found}; expected Parameters")
    given: list[tuple[str, str]] = []
    resources: dict[str, Mapping[str, Any]] = {}
    for place, each in enumerate(resource.get("parameter", ())):
        name = str(each["name"])
        if name not in known:
            said = f"{name} is no input of this operation; expected {', '.join(known) or 'none'}"
            raise refuse(400, "not-supported", said, f"Parameters.parameter[{place}]")
        if "resource" in each:
            resources[name] = each["resource"]
            continue
        values = [_plain(value) for key, value in each.items() if key.startswith("value")]
        if len(values) != 1 or not isinstance(values[0], str | int):
            at = f"Parameters.parameter[{place}]"
            raise FhirError(400, Issue("error", "value", f"{name} has no plain value", at))
        given.append((name, str(values[0])))
    return Inputs(_collected(given).values, resources)


def _plain(value: Any) -> Any:
    """Return what stands for a value in a query string: of a reference its text."""
    return value.get("reference") if isinstance(value, dict) else value


def _collected(given: Iterable[tuple[str, str]]) -> Inputs:
    values: dict[str, list[str]] = {}
    for name, value in given:
        values.setdefault(name, []).append(value)
    return Inputs(values, {})
