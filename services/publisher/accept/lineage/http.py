"""Which generations has a report, and what changed between them? `$lineage` of MeasureReport: its own operation.

What it takes and gives is said in `schemas/operations/MeasureReport-lineage.json`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from schemas.dates import bounds
from schemas.facets import EVERY_ORGANISATION
from schemas.number_tokens import read
from schemas.outcome import FhirError, Issue, refuse
from schemas.search.references import comparable
from schemas.structure.gate import check_structure
from services.database import Connection
from services.fhir_http import json_response, read_body
from services.principal import PRINCIPAL, Principal
from services.publisher.accept.examine import parsed
from services.publisher.accept.limits import Limits
from services.publisher.accept.lineage.answer import Lineage, answer
from services.publisher.accept.lineage.generations import Version, generations
from services.publisher.derive.identity import performance_identity
from services.publisher.derive.model import Kind
from services.publisher.derive.references import without_version
from services.publisher.derive.stage import stage_of
from services.publisher.store import lineage, search, versions
from services.publisher.store.availability import or_503
from services.publisher.store.lineage import Filed
from services.publisher.store.model import REPORT, Stored
from services.publisher.store.write import Writer
from services.shown import PRESENTATION, is_lenient

MOST: Final = 50
"""Generations in one answer, and reports looked at for them."""
MOST_BYTES: Final = 32 * 1024 * 1024
"""Of the reports that one answer is made of."""
_IDENTITY: Final = ("contract", "provider", "start", "end")
_INPUTS: Final = ("report", *_IDENTITY)
_LARGE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read for one answer."""

    of: Filed
    stored: list[Stored]
    """The versions, the earliest first."""
    predecessor: Stored | None
    stands: str | None
    complete: bool


@dataclass(frozen=True, slots=True)
class LineageRoutes:
    """The handlers."""

    writer: Writer
    limits: Limits

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the routes under the base's path."""
        paths = (f"{prefix}/MeasureReport/$lineage", f"{prefix}/MeasureReport/{{id}}/$lineage")
        return [add(path, self.lineage) for path in paths for add in (web.get, web.post)]

    async def lineage(self, request: web.Request) -> web.Response:
        """Answer for one report, or for the identity that contract, provider, start and end of the period tell."""
        asked = await self._asked(request)
        with or_503():
            async with self.writer.database.read() as tx:
                of = await self._of(tx, asked)
                # Whoever may not see it hears the same as of a report that is not there.
                if of is None or not await search.may_read(tx, of.id, request[PRINCIPAL]):
                    raise await _absent(tx, asked, request[PRINCIPAL])
                found = await _read(tx, of)
        size = sum(len(each.body) for each in found.stored)
        body = await asyncio.to_thread(self._answered, found) if size > _LARGE else self._answered(found)
        return json_response(body)

    async def _asked(self, request: web.Request) -> dict[str, str]:
        ignored = request.query.keys() - {*_INPUTS} if is_lenient(request.headers) else PRESENTATION
        given = {name: value for name, value in request.query.items() if name not in ignored}
        if request.method == hdrs.METH_POST and request.can_read_body:
            text = await read_body(request, self.limits.report_bytes)
            given |= _of_parameters(await parsed(text, self.limits.json_depth))
        if "id" in request.match_info:
            given["report"] = request.match_info["id"]
        _check(given)
        return given

    async def _of(self, tx: Connection, asked: Mapping[str, str]) -> Filed | None:
        """Return the report that stands for what is asked."""
        if "report" in asked:
            named = comparable(asked["report"], self.writer.base_url).removeprefix(f"{REPORT}/")
            return await lineage.filed(tx, named)
        identity = performance_identity(
            without_version(asked["contract"]),
            comparable(asked["provider"], self.writer.base_url),
            {"start": asked["start"], "end": asked["end"]},
        )
        return next(iter(await lineage.of_identity(tx, identity, 1)), None)

    def _answered(self, found: _Read) -> bytes:
        before = None if found.predecessor is None else self._version(found.predecessor, found.of)
        theirs = [self._version(each, found.of) for each in found.stored]
        mine = [each for each in theirs if each.report is None or _is_of(found.of, each.report, theirs[-1])]
        chain = generations(mine, before)
        return answer(Lineage(found.of, chain, before, found.complete, found.stands))

    def _version(self, stored: Stored, of: Filed) -> Version:
        if stored.deleted:
            return Version(stored.id, stored.version, stored.last_updated, None, None)
        stage = stage_of(orjson.loads(stored.body), of.payer, self.writer.stage_mapping)
        report = read(stored.body)
        told = None if isinstance(stage, Issue) else stage  # the payer's own words may mean nothing any more
        return Version(stored.id, stored.version, stored.last_updated, told, report)


async def _read(tx: Connection, of: Filed) -> _Read:
    """Read the latest versions of all reports of an identity, and the one before the first of them."""
    reports = [of] if of.identity is None else await lineage.of_identity(tx, of.identity, MOST)
    stands = of.id if of.identity is None else await lineage.standing(tx, of.identity)
    known = await lineage.latest(tx, [each.id for each in reports], stands, MOST + 1)
    found: list[Stored] = []
    size = 0
    for id_, number in known[:MOST]:
        version = await versions.version(tx, REPORT, id_, number)
        if version is None:
            continue  # retention removed it meanwhile
        size += len(version.body)
        if found and size > MOST_BYTES:
            break
        found.insert(0, version)
    complete = len(found) == len(known)
    before = await lineage.predecessor(tx, of, found[0].last_updated) if complete and found else None
    return _Read(of, found, before, stands, complete)


async def _absent(tx: Connection, asked: Mapping[str, str], principal: Principal) -> FhirError:
    named = asked.get("report", "").rpartition("/")[2]
    found = (await versions.newest(tx, REPORT, [named])).get(named) if named else None
    if found is not None and found.deleted and EVERY_ORGANISATION in principal.organisations:
        return refuse(410, "deleted", f"MeasureReport/{named} was deleted")
    return refuse(404, "not-found", f"no report {_named(asked)} is known here")


def _is_of(of: Filed, report: Mapping[str, Any], latest: Version) -> bool:
    """Tell whether a former version was of the identity: an update may change period and measure's version only."""
    now = latest.report
    if now is None:
        return True
    if of.kind is Kind.QUALITY:
        return without_version(report["measure"]) == without_version(now["measure"])
    return _bounds(report) == _bounds(now)


def _bounds(report: Mapping[str, Any]) -> str:
    return performance_identity("", "", report["period"])


def _of_parameters(body: dict[str, Any]) -> dict[str, str]:
    """Return the values of a Parameters resource by their names.

    Raises:
        FhirError: 400 with every issue.
    """
    if issues := check_structure(body):
        raise FhirError(400, *issues)
    if (found := body["resourceType"]) != "Parameters":
        raise refuse(400, "value", f"found a {found}; expected Parameters", "Resource.resourceType")
    out: dict[str, str] = {}
    for place, each in enumerate(body.get("parameter", ())):
        values = [value for name, value in each.items() if name.startswith("value")]
        reference = [value.get("reference") for value in values if isinstance(value, dict)]
        given = (reference or values or [None])[0]
        if not isinstance(given, str):
            said = f"{each['name']} has no text as its value; expected one"
            raise refuse(400, "value", said, f"Parameters.parameter[{place}]")
        out[each["name"]] = given
    return out


def _check(asked: Mapping[str, str]) -> None:
    """Refuse what does not name one identity.

    Raises:
        FhirError: 400 with every issue.
    """
    issues = [
        Issue("error", "not-supported", f"{name} is no input of $lineage; expected report, or {', '.join(_IDENTITY)}")
        for name in asked.keys() - {*_INPUTS}
    ]  # fmt: skip
    if "report" in asked:
        issues += [
            Issue("error", "invalid", f"report and {name} are both given; expected one or the other")
            for name in _IDENTITY
            if name in asked
        ]
    elif missing := [name for name in _IDENTITY if name not in asked]:
        said = f"expected report, or all of {', '.join(_IDENTITY)}; missing: {', '.join(missing)}"
        issues.append(Issue("error", "required", said))
    for name in ("start", "end"):
        try:
            bounds(asked.get(name, "2000"))
        except ValueError as wrong:
            issues.append(Issue("error", "value", f"{name}: {wrong}"))
    if issues:
        raise FhirError(400, *issues)


def _named(asked: Mapping[str, str]) -> str:
    """Return the words that tell which report is asked for: its id, or the parts of its identity."""
    return asked.get("report") or f"of {', '.join(f'{name} {value}' for name, value in asked.items())}"
