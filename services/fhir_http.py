"""FHIR's manners over HTTP: every error an OperationOutcome, JSON in and out, bounded bodies.

Source: FHIR R4 http.html (content negotiation, status codes, ETag, Location).
"""

from __future__ import annotations

import asyncio
import codecs
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
from services.negotiation import coding, takes_gzip, takes_json, unpacked
from services.principal import LOCAL, PRINCIPAL

log = logs.get(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON_TYPES = {FHIR_JSON, "application/json", "text/json", "application/json-patch+json"}
_FORM = "application/x-www-form-urlencoded"
_CHARSETS = {"utf-8", "ascii", "iso8859-1"}
"""Of a form, as Python names them."""
_LONGEST_URL = 64 * 1024
LONGEST_SEARCH = 48 * 1024
"""Bytes of a search; with the base and a place to go on from it is a URL that is served."""
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
    """Return the body, refusing what is not JSON by its type (415) and what is larger than `limit` bytes (413).

    Content-Encoding is undone: 415 for one that is not known, 400 for a body that is not packed as it says.
    """
    if request.content_type not in _JSON_TYPES:
        raise refuse(
            415,
            "not-supported",
            f"Content-Type is {request.content_type}; expected {FHIR_JSON} or application/json",
        )
    return await _body(request, limit)


async def read_form(request: web.Request) -> str:
    """Return the body of a search by POST, as it would stand in a URL; refuses as `read_body` does.

    It has at most `LONGEST_SEARCH` bytes: the links to its next pages hold it whole, and are to be followed.
    """
    if request.content_type != _FORM:
        raise refuse(415, "not-supported", f"Content-Type is {request.content_type}; expected {_FORM}")
    charset = request.charset or "utf-8"
    body = await _body(request, LONGEST_SEARCH)
    try:
        if codecs.lookup(charset).name not in _CHARSETS:
            raise LookupError(charset)  # one that Python knows, and forms do not come in
        return body.decode(charset).strip()
    except LookupError:
        raise refuse(400, "invalid", f"the charset is {charset[:50]!r}; expected utf-8") from None
    except UnicodeDecodeError as wrong:
        raise refuse(400, "invalid", f"the form is not {charset}: byte {wrong.start} is wrong") from None


async def _body(request: web.Request, limit: int) -> bytes:
    packed = coding(", ".join(request.headers.getall(hdrs.CONTENT_ENCODING, ())))
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(request.content_length, limit)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.content.iter_any():
            size += len(part)
            if size > limit:
                raise _too_large(size, limit)
            parts.append(part)
    except web.RequestPayloadError:
        raise refuse(400, "invalid", "the body does not come as Transfer-Encoding says") from None
    body = b"".join(parts)
    if packed is None:
        return body
    # A few bytes may hold a great many: they are unpacked where they hold up nobody.
    plain = await asyncio.to_thread(unpacked, body, packed, limit)
    if plain is None:
        raise _too_large(limit + 1, limit)
    return plain


def _too_large(found: int, limit: int) -> FhirError:
    return refuse(413, "too-long", f"the body has {found} bytes or more; at most {limit} are accepted")


def _acceptable(request: web.Request) -> bool:
    asked = request.query.get("_format", "").strip()
    return takes_json(asked) if asked else takes_json(", ".join(request.headers.getall(hdrs.ACCEPT, ())))


def fhir_application(clock: Clock) -> web.Application:
    """Return the application that a service's routes go into."""
    # aiohttp's parser answers a body that is not packed as it says in plain text, or never: `_body` unpacks.
    # And it answers a URL that is longer than its 8 KiB in plain text, were it a link of ours.
    arguments = {"auto_decompress": False, "max_line_size": _LONGEST_URL}
    return web.Application(middlewares=[fhir_middleware(clock)], handler_args=arguments)


def fhir_middleware(clock: Clock) -> Any:
    """Return the outermost middleware: principal in, OperationOutcome out, one metric and one log line."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = clock.monotonic()
        request[PRINCIPAL] = LOCAL
        response = await _answer(request, handler)
        if isinstance(response, web.WebSocketResponse):
            return response  # a connection that has ended: no answer that took so long
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
    if takes_gzip(", ".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))):
        response.enable_compression(web.ContentCoding.gzip)


def _words(request: web.Request, error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{request.method} is not served at {request.path}; expected {', '.join(sorted(error.allowed_methods))}"
    if isinstance(error, web.HTTPNotFound):
        return (
            f"nothing is served at {request.path}; the types and operations that are stand in [base]/metadata"
        )
    return f"{request.method} {request.path}: {error.reason}"


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
        return outcome_response(
            FhirError(error.status, Issue("error", code, _words(request, error)), headers=headers)
        )
    except ConnectionResetError:
        raise
    except Exception as error:
        # The message of an unforeseen error may quote what was sent; its class is enough to find the place.
        log.exception("request_failed", method=request.method, failure=type(error).__name__)
        return outcome_response(refuse(500, "exception", "the server failed; the request may be sent again"))
