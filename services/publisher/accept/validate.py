"""What is wrong with a resource, without storing it? The operation `$validate`, of a type and of one instance.

Source: FHIR R4 operation-resource-validate. The answer is `200` with an OperationOutcome whatever is found; only a
request that asks for nothing sensible is refused. Its first issue says by which profile and edition was judged.

| parameter | in the query or in Parameters |
|---|---|
| `resource` | the body itself, or in Parameters; without one, an instance is judged as it is stored |
| `mode` | `create`, `update` (of an instance), `delete` (of an instance) or `profile` |
| `profile` | a canonical of VBPR with or without a version, or the base type's: structure only |

A resource whose content is right is also held against what is stored: its contract, its parties, the reports it
lists or follows. What would keep it from being created or updated is an error with those modes and a warning
without a mode; with `profile` it is not asked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from schemas.facets import EVERY_ORGANISATION
from schemas.outcome import Issue, operation_outcome, refuse
from schemas.structure.explain import explain, with_explanation
from schemas.structure.gate import check_structure
from schemas.subset import is_part
from services.fhir_http import json_response, read_body
from services.principal import PRINCIPAL, Principal
from services.publisher.accept.examine import aside, parsed
from services.publisher.accept.limits import TYPES, Limits
from services.publisher.accept.question import Question, of_parameters, of_resource, sensible, with_query
from services.publisher.accept.requests import logical_id
from services.publisher.check import review
from services.publisher.check.editions import Profile, Standard, by_canonical, standard
from services.publisher.derive import kind as kind_of
from services.publisher.store import search, versions
from services.publisher.store.availability import or_503
from services.publisher.store.model import REPORT, Effect, Write
from services.publisher.store.rehearse import rehearse
from services.publisher.store.write import Writer
from services.shown import takes

_BASE: Final = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True, slots=True)
class Validation:
    """The operation on this server."""

    writer: Writer
    limits: Limits

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the routes under the base's path, for every type that is stored here."""
        out: list[web.RouteDef] = []
        for kind in TYPES:
            path = f"{prefix}/{{type:{kind}}}"
            out += [
                web.post(f"{path}/$validate", self.validate),
                web.post(f"{path}/{{id}}/$validate", self.validate),
                web.get(f"{path}/{{id}}/$validate", self.validate),
            ]
        return out

    async def validate(self, request: web.Request) -> web.Response:
        """Answer `[base]/Type/$validate` and `[base]/Type/id/$validate`."""
        asked = await self._question(request)
        with or_503():
            if asked.id is not None and (asked.resource is None or asked.mode == "delete"):
                asked = await self._stored(asked, request[PRINCIPAL])
            issues = await self._judged(asked, request[PRINCIPAL])
        return json_response(operation_outcome(issues))

    async def _question(self, request: web.Request) -> Question:
        takes(request, "mode", "profile")
        id_ = request.match_info.get("id")
        asked = with_query(
            Question(request.match_info["type"], None if id_ is None else logical_id(id_)), request.query
        )
        if request.method == hdrs.METH_POST and request.can_read_body:
            text = await read_body(request, self.limits.report_bytes)
            body = await parsed(text, self.limits.json_depth)
            if body.get("resourceType") == "Parameters":
                asked = of_parameters(body, asked)
            else:
                asked = replace(of_resource(body, asked), text=text)
        return sensible(asked)

    async def _stored(self, asked: Question, principal: Principal) -> Question:
        """Take the stored version for the resource, where the principal may read it."""
        assert asked.id is not None
        hidden = asked.kind == REPORT and EVERY_ORGANISATION not in principal.organisations
        async with self.writer.database.read() as tx:
            found = (await versions.newest(tx, asked.kind, [asked.id])).get(asked.id)
            if found is not None and hidden and not await search.may_read(tx, asked.id, principal):
                found = None
        if found is None:
            raise refuse(404, "not-found", f"{asked.kind}/{asked.id} is not known here")
        if found.deleted:
            raise refuse(410, "deleted", f"{asked.kind}/{asked.id} was deleted")
        return replace(asked, resource=orjson.loads(found.body), text=found.body)

    async def _judged(self, asked: Question, principal: Principal) -> list[Issue]:
        resource, size = asked.resource, len(asked.text)
        assert resource is not None
        if asked.mode == "delete":
            return await self._deletion(asked, principal)
        if asked.profile == f"{_BASE}{asked.kind}":
            issues = await aside(size, lambda: check_structure(resource))
            return [_note(f"Judged by the structure of {asked.kind} in FHIR R4 alone."), *issues]
        by = _standard(resource, asked)
        issues = await aside(size, lambda: review(resource, by))
        if any(issue.rule is None for issue in issues):
            # Slow and only words: it must not keep the event loop from the next request.
            explained = await asyncio.to_thread(explain, resource)
            issues = with_explanation(issues, explained)
        elif asked.of_store and not any(issue.severity == "error" for issue in issues):
            issues = issues + await self._rehearsed(asked, principal)
        if (part := is_part(resource)) is not None:
            issues = [*issues, part]
        words = f"the structure of {asked.kind} in FHIR R4 alone" if by is None else by.words
        return [_note(f"Judged by {words}."), *issues]

    async def _deletion(self, asked: Question, principal: Principal) -> list[Issue]:
        """Return what the store would say to a deletion."""
        assert asked.id is not None
        gone = Write(asked.kind, asked.id, creates=False, text=b"", resource={}, deletes=True)
        found = await rehearse(self.writer, gone, principal)
        if found.refused is None:
            return [_note(f"{asked.kind}/{asked.id} may be deleted.")]
        return [_note(f"{asked.kind}/{asked.id} may not be deleted."), *found.refused.issues]

    async def _rehearsed(self, asked: Question, principal: Principal) -> list[Issue]:
        """Return what the store would say to a write of the resource, as a note, warnings or errors."""
        resource = asked.resource
        assert resource is not None
        creates = asked.mode == "create" or (asked.id is None and "id" not in resource)
        write = Write(
            asked.kind,
            self.writer.clock.uuid7() if creates else asked.id or resource["id"],
            creates=creates,
            text=asked.text,
            resource=resource,
            kind=kind_of(resource) if asked.kind == REPORT else None,
        )
        found = await rehearse(self.writer, write, principal)
        if found.refused is None:
            repeats = asked.mode and found.effect is Effect.UNCHANGED
            return [*([_REPEATS] if repeats else ()), *found.issues]
        if asked.mode:
            return list(found.refused.issues)
        return [replace(issue, severity="warning") for issue in found.refused.issues]


def _standard(resource: dict[str, Any], asked: Question) -> Standard | None:
    """Return what to judge by: the profile asked for, or the resource's own.

    Raises:
        FhirError: 400 when the profile asked for is not known here, or is one for another type.
    """
    try:
        found = by_canonical(asked.profile, resource) if asked.profile else standard(resource)
    except (AttributeError, KeyError, TypeError):
        return None  # too broken to tell: its structure says so
    if asked.profile and (found is None or (found.profile is Profile.CONTRACT) != (asked.kind == "Measure")):
        said = f"the profile {asked.profile} is not known here for {asked.kind}; expected one of VBPR's"
        raise refuse(400, "not-supported", said)
    return found


def _note(said: str) -> Issue:
    return Issue("information", "informational", said)


_REPEATS: Final = Issue("information", "duplicate", "Nothing would be stored: this is what is there already.")
