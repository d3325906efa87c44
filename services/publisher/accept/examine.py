"""May this text be stored? Parsed, and checked for structure and profile, with every reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from schemas.outcome import FhirError, Issue, refuse
from schemas.raw_json import parse
from schemas.structure.explain import explain, with_explanation
from schemas.subset import is_part
from services.publisher.check import check

_LARGE: Final = 256 * 1024
"""Bytes from which work on a body goes to a thread, so that nobody else waits for it."""

T = TypeVar("T")


async def aside(size: int, work: Callable[[], T]) -> T:
    """Do work on a body of `size` bytes: here when it is small, in a thread when it is large."""
    return await asyncio.to_thread(work) if size > _LARGE else work()


async def parsed(text: bytes, max_depth: int) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises:
        FhirError: 400, as `schemas.raw_json.parse` says.
    """
    return await aside(len(text), lambda: parse(text, max_depth=max_depth))


async def checked(resource: dict[str, Any], size: int, *, kind: str) -> dict[str, Any]:
    """Return the resource once nothing keeps it from being stored as a `kind`.

    Raises:
        FhirError: 400 when its structure is not FHIR's, 422 when it is and breaks rules of its profile, or is a part.
    """
    found = resource.get("resourceType")
    if found != kind:
        said = f"resourceType is {found!r}; expected {kind!r}, the type in the URL"
        raise refuse(400, "invalid", said, "Resource.resourceType")
    if (part := is_part(resource)) is not None:
        raise FhirError(422, part)
    issues = await aside(size, lambda: check(resource))
    if not issues:
        return resource
    if not any(_of_structure(issue) for issue in issues):
        raise FhirError(422, *issues)
    # Slow and only words: the verdict stands, and must not keep the event loop from the next request.
    raise FhirError(400, *with_explanation(issues, await asyncio.to_thread(explain, resource)))


def _of_structure(issue: Issue) -> bool:
    """Profile rules name themselves."""
    return issue.rule is None
