"""What is wrong with a resource, without storing it? The operation `$validate`, of a type and of one instance.

Source: FHIR R4 operation-resource-validate. The answer is `200` with an OperationOutcome whatever is found; only a
request that asks for nothing sensible is refused. Its first issue says by which profile and edition was judged.

| parameter | in the query or in Parameters |
|---|---|
| `resource` | the body itself, or in Parameters; without one, an instance is judged as it is stored |
| `mode` | `create`, `update` (of an instance), `delete` (of an instance) or `profile` |
| `profile` | a canonical of VBPR with or without a version, or the base type's: structure only |
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import orjson
from aiohttp import hdrs, web

from schemas.event import Stage
from schemas.facets import EVERY_ORGANISATION
from schemas.outcome import FhirError, Issue, operation_outcome, refuse
from schemas.structure.explain import explain, with_explanation
from schemas.structure.gate import check_structure
from services.database import Database
from services.fhir_http import json_response, read_body
from services.principal import PRINCIPAL, Principal
from services.publisher.accept.bundle import TYPES, Limits
from services.publisher.accept.examine import aside, parsed
from services.publisher.accept.requests import logical_id
from services.publisher.check import review
from services.publisher.check.agreement import disagreements, terms
from services.publisher.check.editions import Profile, Standard, by_canonical, standard
from services.publisher.derive import kind as kind_of
from services.publisher.derive.references import without_version
from services.publisher.derive.stage import stage_of
from services.publisher.store import search, versions
from services.publisher.store.availability import or_503
from services.publisher.store.model import REPORT

_MODES: Final = ("create", "update", "delete", "profile")
_BASE: Final = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks to have validated, and how."""

    kind: str
    id: str | None
    mode: str = ""
    profile: str = ""
    resource: dict[str, Any] | None = None
    size: int = 0
    """Bytes of the body."""


@dataclass(frozen=True, slots=True)
class Validation:
    """The operation on this server."""

    database: Database
    limits: Limits
    base_url: str

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
            issues = await self._judged(asked)
        return json_response(operation_outcome(issues))

    async def _question(self, request: web.Request) -> Question:
        id_ = request.match_info.get("id")
        asked = _with(
            Question(request.match_info["type"], None if id_ is None else logical_id(id_)), request.query
        )
        if request.method == hdrs.METH_POST and request.can_read_body:
            text = await read_body(request, self.limits.report_bytes)
            body = await parsed(text, self.limits.json_depth)
            asked = (
                _of_parameters(body, asked) if body.get("resourceType") == "Parameters" else _of(body, asked)
            )
            asked = replace(asked, size=len(text))
        return _sensible(asked)

    async def _stored(self, asked: Question, principal: Principal) -> Question:
        """Take the stored version for the resource, where the principal may read it."""
        assert asked.id is not None
        hidden = asked.kind == REPORT and EVERY_ORGANISATION not in principal.organisations
        async with self.database.read() as tx:
            found = (await versions.newest(tx, asked.kind, [asked.id])).get(asked.id)
            if found is not None and hidden and not await search.may_read(tx, asked.id, principal):
                found = None
        if found is None:
            raise refuse(404, "not-found", f"{asked.kind}/{asked.id} is not known here")
        if found.deleted:
            raise refuse(410, "deleted", f"{asked.kind}/{asked.id} was deleted")
        return replace(asked, resource=orjson.loads(found.body), size=len(found.body))

    async def _judged(self, asked: Question) -> list[Issue]:
        assert asked.resource is not None
        resource = asked.resource
        if asked.mode == "delete":
            return [_note(f"{asked.kind}/{asked.id} may be deleted.")]
        if asked.profile == f"{_BASE}{asked.kind}":
            issues = await aside(asked.size, lambda: check_structure(resource))
            return [_note(f"Judged by the structure of {asked.kind} in FHIR R4 alone."), *issues]
        by = _standard(resource, asked)
        issues = await aside(asked.size, lambda: review(resource, by))
        if any(issue.rule is None for issue in issues):
            # Slow and only words: it must not keep the event loop from the next request.
            explained = await asyncio.to_thread(explain, resource)
            issues = with_explanation(issues, explained)
        elif by is not None and by.profile is Profile.PERFORMANCE:
            issues = issues + await self._disagreements(resource)
        words = f"the structure of {asked.kind} in FHIR R4 alone" if by is None else by.words
        return [_note(f"Judged by {words}."), *issues]

    async def _disagreements(self, report: Mapping[str, Any]) -> list[Issue]:
        """Return where a performance report disagrees with its contract, if that is stored here."""
        found, stage = kind_of(report), stage_of(report, None, {})
        key = without_version(report.get("measure", ""))
        async with self.database.read() as tx:
            ids = await search.matching(tx, "Measure", f"url={quote(key, safe='')}", self.base_url)
            contract = (await versions.newest(tx, "Measure", ids[:1])).get(ids[0]) if ids else None
        if contract is None or contract.deleted or found is None or not isinstance(stage, Stage):
            return []
        return disagreements(report, found, stage, terms(orjson.loads(contract.body)))


def _with(asked: Question, given: Mapping[str, str]) -> Question:
    return replace(asked, mode=given.get("mode", asked.mode), profile=given.get("profile", asked.profile))


def _of_parameters(body: dict[str, Any], asked: Question) -> Question:
    """Read the operation's Parameters; what it does not have is refused by name.

    Raises:
        FhirError: 400 with every issue.
    """
    issues = check_structure(body)
    for place, parameter in enumerate(body.get("parameter", ()) if not issues else ()):
        match parameter:
            case {"name": "resource", "resource": dict(resource)}:
                asked = _of(resource, asked)
            case {"name": "mode", "valueCode": str(mode)}:
                asked = replace(asked, mode=mode)
            case {"name": "profile", "valueUri": str(profile)} | {
                "name": "profile",
                "valueCanonical": str(profile),
            }:
                asked = replace(asked, profile=profile)
            case _:
                said = "Expected a parameter 'resource' with a resource, 'mode' with a code or 'profile' with a uri."
                issues.append(Issue("error", "not-supported", said, f"Parameters.parameter[{place}]"))
    if issues:
        raise FhirError(400, *issues)
    return asked


def _of(resource: dict[str, Any], asked: Question) -> Question:
    found = resource.get("resourceType")
    if found != asked.kind:
        said = f"resourceType is {found!r}; expected {asked.kind!r}, the type in the URL"
        raise refuse(400, "invalid", said, "Resource.resourceType")
    return replace(asked, resource=resource)


def _sensible(asked: Question) -> Question:
    """Return the question if it can be answered.

    Raises:
        FhirError: 400 with what is wrong with it.
    """
    if asked.mode and asked.mode not in _MODES:
        raise refuse(400, "value", f"the mode is {asked.mode!r}; expected one of {', '.join(_MODES)}")
    if asked.id is None and asked.mode in {"update", "delete"}:
        said = f"the mode {asked.mode} is asked of an instance; expected [base]/{asked.kind}/id/$validate"
        raise refuse(400, "invalid", said)
    if asked.resource is None and (asked.id is None or asked.mode in {"create", "update"}):
        raise refuse(400, "required", "there is no resource to validate; expected one in the body")
    if asked.mode == "update" and asked.resource is not None and asked.resource.get("id") != asked.id:
        said = f"the id is {asked.resource.get('id')!r}; expected {asked.id!r}, the id in the URL"
        raise refuse(400, "invalid", said, f"{asked.kind}.id")
    return asked


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
