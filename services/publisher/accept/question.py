"""What does a request for `$validate` ask? Its inputs, from the query, the body or Parameters; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from schemas.outcome import FhirError, Issue, refuse
from schemas.structure.gate import check_structure

_MODES: Final = ("create", "update", "delete", "profile")


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks to have validated, and how."""

    kind: str
    id: str | None
    mode: str = ""
    profile: str = ""
    resource: dict[str, Any] | None = None
    text: bytes = b""
    """The resource."""

    @property
    def of_store(self) -> bool:
        """Tell whether it is asked what the store would say, beside what is wrong with the content."""
        return self.mode in {"create", "update"} or not (self.mode or self.profile)


def with_query(asked: Question, given: Mapping[str, str]) -> Question:
    """Take mode and profile from the query."""
    return replace(asked, mode=given.get("mode", asked.mode), profile=given.get("profile", asked.profile))


def of_parameters(body: dict[str, Any], asked: Question) -> Question:
    """Read the operation's Parameters; what it does not have is refused by name.

    Raises:
        FhirError: 400 with every issue.
    """
    issues = check_structure(body)
    for place, parameter in enumerate(body.get("parameter", ()) if not issues else ()):
        match parameter:
            case {"name": "resource", "resource": dict(resource)}:
                asked = replace(of_resource(resource, asked), text=orjson.dumps(resource))
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


def of_resource(resource: dict[str, Any], asked: Question) -> Question:
    """Take the resource.

    Raises:
        FhirError: 400 when it is of another type.
    """
    found = resource.get("resourceType")
    if found != asked.kind:
        said = f"resourceType is {found!r}; expected {asked.kind!r}, the type in the URL"
        raise refuse(400, "invalid", said, "Resource.resourceType")
    return replace(asked, resource=resource)


def sensible(asked: Question) -> Question:
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
