"""How are resources served that nobody can write? Read by id, searched by a few parameters; the rest is refused.

Source: FHIR R4 http.html (read) and search.html (searchset; commas are OR, repeated parameters AND).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from schemas.operations import SEARCHED_BY, operations
from schemas.outcome import refuse
from schemas.search.definition import definitions
from services.fhir_http import json_response
from services.shown import takes

_WITHOUT_EFFECT: Final = ("_summary", "_elements")
"""Nobody has to honour these, and these resources are short."""

Finds = Callable[[Mapping[str, Any], str], bool]
"""Answers whether a search parameter's value finds a resource."""


class FixedResources:
    """The resources of one type, by their logical ids, and how each is found."""

    def __init__(
        self,
        kind: str,
        resources: Mapping[str, Mapping[str, Any]],
        found_by: Mapping[str, Finds],
        *,
        base: str,
    ) -> None:
        """Take what each search parameter finds from `found_by`."""
        self._kind = kind
        self._resources = resources
        self._found_by = found_by
        self._base = base

    def mount(self, app: web.Application) -> None:
        """Add the routes at the path of the base URL."""
        every = f"{urlsplit(self._base).path}/{self._kind}"
        app.router.add_get(every, self.search)
        app.router.add_get(every + "/{id}", self.read)

    async def read(self, request: web.Request) -> web.Response:
        """GET one."""
        takes(request, *_WITHOUT_EFFECT)
        logical_id = request.match_info["id"]
        found = self._resources.get(logical_id)
        if found is None:
            known = ", ".join(self._resources)
            raise refuse(404, "not-found", f"there is no {self._kind}/{logical_id}; those served are {known}")
        return json_response(dict(found))

    async def search(self, request: web.Request) -> web.Response:
        """GET those that every parameter finds."""
        found = dict(self._resources)
        takes(request, *self._found_by, *_WITHOUT_EFFECT)
        asked = [(name, value) for name, value in request.query.items() if name in self._found_by]
        for name, value in asked:
            wanted, finds = value.split(","), self._found_by[name]
            found = {key: each for key, each in found.items() if any(finds(each, one) for one in wanted)}
        path = f"{self._base}/{self._kind}"
        query = f"?{urlencode(asked)}" if asked else ""
        entries: list[dict[str, Any]] = [
            {"fullUrl": f"{path}/{key}", "resource": each, "search": {"mode": "match"}}
            for key, each in found.items()
        ]
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(entries),
            "link": [{"relation": "self", "url": path + query}],
        }
        return json_response(bundle | {"entry": entries} if entries else bundle)


def operation_definitions(base: str) -> FixedResources:
    """Return `OperationDefinition`: this project's own operations, the same from every process."""
    found_by = {name: _equals(name) for name in SEARCHED_BY}
    return FixedResources("OperationDefinition", operations(), found_by, base=base)


def search_parameters(base: str) -> FixedResources:
    """Return `SearchParameter`: those this project defines itself, the same from every process."""
    found_by = {"url": _equals("url"), "name": _begins("name"), "code": _equals("code")}
    return FixedResources(
        "SearchParameter", {each["id"]: each for each in definitions()}, found_by, base=base
    )


def _equals(element: str) -> Finds:
    return lambda resource, value: resource[element] == value


def _begins(element: str) -> Finds:
    return lambda resource, value: bool(value) and resource[element].casefold().startswith(value.casefold())
