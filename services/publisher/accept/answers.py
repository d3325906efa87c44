"""What is said about a write, or of what was read? The response to it, alone and as an entry of a Bundle."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from schemas.dates import stamp
from schemas.outcome import FhirError, Issue, IssueCode, operation_outcome
from services import metrics
from services.fhir_http import json_response, version_headers
from services.publisher.accept.requests import Preference
from services.publisher.store.model import REPORT, Effect, Stored, Written
from services.publisher.store.reports import WAITS

WAITS_HEADER = "VBPR-Report-Waits"
"""`true` on the answer to a quality report that waits for its parent, whatever body was asked for."""

_STATUS = {
    Effect.CREATED: 201, Effect.UPDATED: 200, Effect.UNCHANGED: 200, Effect.DELETED: 204, Effect.ABSENT: 204,
}  # fmt: skip
_GONE = {Effect.DELETED, Effect.ABSENT}
_DONE = {
    Effect.CREATED: "stored as a new resource",
    Effect.UPDATED: "stored as a new version",
    Effect.UNCHANGED: "nothing stored: this is what was there already",
    Effect.DELETED: "deleted",
    Effect.ABSENT: "nothing deleted: there was nothing",
}


def response(written: Written, base_url: str, wanted: Preference) -> web.Response:
    """Answer a change: the resource, unless the client prefers nothing or an OperationOutcome.

    A deletion is answered with nothing, or 200 and an OperationOutcome if that is preferred; one of several tells which,
    unless the client prefers nothing. A quality report that waits for its parent says so in the OperationOutcome and,
    always, in a header.
    """
    if written.also:
        return _several(written, wanted)
    stored = written.stored
    gone = written.effect in _GONE
    headers = {}
    if stored.version:
        headers = version_headers(
            base_url, stored.type, stored.id, stored.version, stored.last_updated, location=not gone
        )
    if WAITS in written.issues:
        headers[WAITS_HEADER] = "true"
    status = _STATUS[written.effect]
    if gone and wanted.returns == "OperationOutcome":
        return json_response(operation_outcome(_issues(written)), headers=headers)
    if gone or wanted.returns == "minimal":
        return web.Response(status=status, headers=headers)
    body = operation_outcome(_issues(written)) if wanted.returns == "OperationOutcome" else stored.body
    return json_response(body, status=status, headers=headers)


def _several(written: Written, wanted: Preference) -> web.Response:
    """Answer a deletion of several: no version is the answer's, so no header names one."""
    if wanted.returns == "minimal":
        return web.Response(status=204)
    return json_response(operation_outcome(_issues(written)))


def entry(written: Written, base_url: str, wanted: Preference) -> dict[str, Any]:
    """Return the entry that answers one write of a Bundle; issues always come along in its outcome."""
    if written.also:
        if wanted.returns == "minimal":
            return {"response": {"status": _line(204)}}
        return {"response": {"status": _line(200), "outcome": operation_outcome(_issues(written))}}
    stored = written.stored
    gone = written.effect in _GONE
    location = f"{base_url}/{stored.reference}/_history/{stored.version}"
    said: dict[str, Any] = {
        "status": _line(_STATUS[written.effect]),
        **({} if gone else {"location": location}),
        **(_version(stored) if stored.version else {}),
    }
    if written.issues or wanted.returns == "OperationOutcome":
        said["outcome"] = operation_outcome(_issues(written))
    if wanted.returns == "representation" and not gone:
        return {"fullUrl": f"{base_url}/{stored.reference}", "resource": embedded(stored), "response": said}
    return {"response": said}


def read_entry(stored: Stored, base_url: str, *, unchanged: bool) -> dict[str, Any]:
    """Return the entry that answers a read in a Bundle: the resource, unless the client has it."""
    if unchanged:
        return {"response": {"status": _line(304), **_version(stored)}}
    return {
        "fullUrl": f"{base_url}/{stored.reference}",
        "resource": embedded(stored),
        "response": {"status": _line(200), **_version(stored)},
    }


def found_entry(found: dict[str, Any]) -> dict[str, Any]:
    """Return the entry that answers a search or a history in a Bundle."""
    return {"resource": found, "response": {"status": _line(200)}}


def refused_entry(error: FhirError) -> dict[str, Any]:
    """Return the entry that answers one entry of a batch that was refused."""
    return {"response": {"status": _line(error.status), "outcome": operation_outcome(error.issues)}}


def embedded(stored: Stored) -> orjson.Fragment:
    """Return a version as it goes into a Bundle: its bytes, never written anew."""
    return orjson.Fragment(stored.body)


def count(kind: str, result: str, times: int = 1) -> None:
    """Count a report by what became of it: accepted, unchanged, deleted or rejected."""
    if kind == REPORT:
        metrics.REPORTS.labels(result).inc(times)


def counted(written: Written) -> None:
    """Count a write that succeeded."""
    count(written.stored.type, _COUNTED.get(written.effect, "accepted"), written.count)


_COUNTED = {Effect.UNCHANGED: "unchanged", Effect.DELETED: "deleted", Effect.ABSENT: "unchanged"}


def _version(stored: Stored) -> dict[str, str]:
    return {"etag": f'W/"{stored.version}"', "lastModified": stamp(stored.last_updated)}


def _issues(written: Written) -> tuple[Issue, ...]:
    # A 200 may mean a new version or nothing new: the issue's code tells a program which.
    code: IssueCode = "duplicate" if written.effect is Effect.UNCHANGED else "informational"
    done = _DONE[written.effect]
    if written.also:
        gone = ", ".join(each.reference for each in (written.stored, *written.also))
        done = f"{done} {written.count}: {gone}"
    return (Issue("information", code, done), *written.issues)


def _line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
