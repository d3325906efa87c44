"""`/fhir/Basic`: the topics, to read and to search; nobody can write them.

Source: Subscriptions R5 Backport, CI build (R-018, R-023).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from schemas.outcome import refuse
from schemas.topics.basic import CODE, CODE_SYSTEM, basic, topic_ids
from services.fhir_http import json_response

_CODES = {CODE, f"{CODE_SYSTEM}|{CODE}", f"{CODE_SYSTEM}|"}


class TopicRoutes:
    """The handlers."""

    def __init__(self, *, base: str) -> None:
        """Take the FHIR base."""
        self._base = base

    def mount(self, app: web.Application) -> None:
        """Add the routes at the path of the base URL."""
        every = f"{urlsplit(self._base).path}/Basic"
        app.router.add_get(every, self.search)
        app.router.add_get(every + "/{id}", self.read)

    async def read(self, request: web.Request) -> web.Response:
        """GET one."""
        logical_id = request.match_info["id"]
        topic = topic_ids().get(logical_id)
        if topic is None:
            raise refuse(404, "not-found", f"there is no Basic/{logical_id}: only topics are served as Basic")
        return json_response(basic(logical_id, topic))

    async def search(self, request: web.Request) -> web.Response:
        """GET by `code`: all topics, or nothing for another code. Commas are OR."""
        there = True
        for name, value in request.query.items():
            if name == "code":
                there &= not _CODES.isdisjoint(value.split(","))
            elif name != "_format":
                raise refuse(400, "not-supported", f"Basic cannot be searched by {name}; expected code")
        found = topic_ids().items() if there else ()
        path = f"{self._base}/Basic"
        query = f"?{request.query_string}" if request.query_string else ""
        entries: list[dict[str, Any]] = [
            {"fullUrl": f"{path}/{name}", "resource": basic(name, topic), "search": {"mode": "match"}}
            for name, topic in found
        ]
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(entries),
            "link": [{"relation": "self", "url": path + query}],
        }
        return json_response(bundle | {"entry": entries} if entries else bundle)
