"""FHIR's manners over HTTP: every error an OperationOutcome, JSON in and out, bounded bodies.

Source: FHIR R4 http.html (content negotiation, status codes, ETag, Location).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import orjson
from aiohttp import hdrs, web

from schemas.fhir import FHIR_JSON
from schemas.outcome import FhirError, Issue, IssueCode, operation_outcome, refuse
from services import logs, metrics
from services.clock import Clock
from services.principal import LOCAL, PRINCIPAL

log = logs.get(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON_TYPES = {FHIR_JSON, "application/json", "text/json", "application/json-patch+json"}
_WORTH_COMPRESSING = 1024
"""In bytes: what is shorter goes in one packet anyway."""
_CODES: dict[int, IssueCode] = {
    400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 406: "not-supported",
    409: "conflict", 410: "deleted", 412: "conflict", 413: "too-long", 415: "not-supported", 422: "processing",
    429: "throttled", 503: "transient",
}  # fmt: skip


def json_response(
    resource: dict[str, Any] | bytes, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Answer with a resource, given as a dict or as its stored bytes."""
    body = resource if isinstance(resource, bytes) else orjson.dumps(resource)
    return web.Response(
        body=body,
        status=status,
        headers={hdrs.CONTENT_TYPE: f"{FHIR_JSON}; charset=utf-8", **(headers or {})},
    )


def version_headers(
    base: str, kind: str, logical_id: str, version: int, last_updated: datetime, *, location: bool = False
) -> dict[str, str]:
    """Return ETag and Last-Modified, and Location for a create or update."""
    out: dict[str, str] = {
        hdrs.ETAG: f'W/"{version}"',
        hdrs.LAST_MODIFIED: format_datetime(last_updated, usegmt=True),
    }
    if location:
        out[hdrs.LOCATION] = f"{base}/{kind}/{logical_id}/_history/{version}"
    return out


def outcome_response(error: FhirError) -> web.Response:
    """Answer with the issues of an error."""
    return json_response(operation_outcome(error.issues), status=error.status, headers=error.headers)


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return the body, refusing what is not JSON by its type (415) and what is larger than `limit` bytes (413)."""
    if request.content_type not in _JSON_TYPES:
        raise refuse(
            415,
            "not-supported",
            f"Content-Type is {request.content_type}; expected {FHIR_JSON} or application/json",
        )
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(request.content_length, limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limit:
            raise _too_large(size, limit)
        parts.append(part)
    return b"".join(parts)


def _too_large(found: int, limit: int) -> FhirError:
    return refuse(413, "too-long", f"the body has {found} bytes or more; at most {limit} are accepted")


def _acceptable(request: web.Request) -> bool:
    wanted = request.query.get("_format") or request.headers.get(hdrs.ACCEPT) or "*/*"
    if request.query.get("_format") == "json":
        return True
    kinds = {part.split(";")[0].strip().lower().replace(" ", "+") for part in wanted.split(",")}
    return bool(kinds & {*_JSON_TYPES, "*/*", "application/*", "text/*", ""})


def fhir_middleware(clock: Clock) -> Any:
    """Return the outermost middleware: principal in, OperationOutcome out, one metric and one log line."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = clock.monotonic()
        request[PRINCIPAL] = LOCAL
        response = await _answer(request, handler)
        _compress(request, response)
        route = request.match_info.route.resource.canonical if request.match_info.route.resource else "none"
        metrics.HTTP_SECONDS.labels(request.method, route, str(response.status)).observe(
            clock.monotonic() - started
        )
        if request_id := request.headers.get("X-Request-Id"):
            response.headers["X-Request-Id"] = request_id[:200]
        return response

    return middleware


def _compress(request: web.Request, response: web.StreamResponse) -> None:
    """Send gzip to who takes it, where that is worth its while."""
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return
    if len(response.body) < _WORTH_COMPRESSING or hdrs.CONTENT_ENCODING in response.headers:
        return
    response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower():
        response.enable_compression(web.ContentCoding.gzip)


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        if not _acceptable(request):
            raise refuse(406, "not-supported", f"only {FHIR_JSON} is served")
        return await handler(request)
    except FhirError as error:
        return outcome_response(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = _CODES.get(error.status, "processing")
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        said = f"{request.method} {request.path}: {error.reason}"
        return outcome_response(FhirError(error.status, Issue("error", code, said), headers=headers))
    except ConnectionResetError:
        raise
    except Exception as error:
        # The message of an unforeseen error may quote what was sent; its class is enough to find the place.
        log.exception("request_failed", method=request.method, failure=type(error).__name__)
        return outcome_response(refuse(500, "exception", "the server failed; the request may be sent again"))
