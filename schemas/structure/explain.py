"""Answers: what do the models of fhir.resources (R4B) say about a resource the gate has rejected.

Slow (3 ms for 6 KB, 38 ms for 64 KB, and half a second once to import the models): run it in a thread, for
rejections only. It adds to the verdict and never makes one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import ValidationError

from schemas.outcome import Issue, IssueCode
from schemas.structure.bindings import ROOTS
from schemas.structure.faults import expression, shown
from schemas.structure.gate import MOST_ISSUES, choices

_NOT_STEPS = frozenset({"root", "resource_type", "resourceType"})
"""Names the models put at the end of a location that are no elements."""


def explain(resource: dict[str, Any]) -> list[Issue]:
    """Return what the models of fhir.resources find wrong, one Issue for each element, in their order."""
    kind = resource.get("resourceType")
    if kind not in ROOTS:
        return []
    try:
        _model(kind).model_validate(resource)
    except ValidationError as rejected:
        found = rejected.errors(include_url=False)
    except Exception:  # noqa: BLE001  # the models crash on some input (an unknown contained type): nothing to add
        return []
    else:
        return []
    by_element: dict[str | None, Issue] = {}
    for error in found:
        issue = _issue(kind, error["type"], error["loc"], error["msg"], error["input"])
        by_element.setdefault(issue.expression, issue)
    return list(by_element.values())[:MOST_ISSUES]


def with_explanation(verdict: list[Issue], explanation: list[Issue]) -> list[Issue]:
    """Return the gate's issues and, as information, what the models say about elements it does not name."""
    named = {issue.expression for issue in verdict}
    return verdict + [
        Issue("information", issue.code, issue.diagnostics, issue.expression)
        for issue in explanation
        if issue.expression not in named
    ]


@cache
def _model(kind: str) -> Any:
    from fhir.resources.R4B import get_fhir_model_class

    return get_fhir_model_class(kind)


def _issue(root: str, kind: str, location: tuple[str | int, ...], message: str, found: Any) -> Issue:
    path = [step for step in location if step not in _NOT_STEPS]
    where = expression(root, path, choices())
    code: IssueCode = "structure"
    match kind:
        case "missing" | "model_field_validation.missing":
            code, words = "required", f"'{path[-1] if path else root}' is missing."
        case "extra_forbidden":
            words = f"Unknown element '{path[-1]}'."
        case _:
            code, words = "value", f"Found {shown(found)}: {_sentence(message)}"
    return Issue("error", code, words, where)


def _sentence(message: str) -> str:
    """Return pydantic's message as a sentence, without its prefix."""
    words = message.removeprefix("Value error, ").strip().rstrip(".!")
    return words[:1].lower() + words[1:300] + "."
