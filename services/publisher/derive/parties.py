"""Who pays and who is paid? The two organisations a report is about, or why it does not name them.

The provider stands in one of two shapes: VBPR 1.0 and 1.1 put an extension on the subject that names the
organisation; the revision after them makes the subject a Group (ATR) whose managing entity it is.
The payer is the reporter. A person may report (VBPR's later revision): then it is the contract's payer.
"""

from __future__ import annotations

from typing import Final

from schemas.fhir import ORGANIZATION_SUBJECT
from schemas.outcome import Issue, IssueCode
from schemas.search.references import local_type
from services.publisher.derive.elements import Element
from services.publisher.derive.model import Context
from services.publisher.derive.references import literal, logical, target_type

_REPORTER: Final = "MeasureReport.reporter"
_SUBJECT: Final = "MeasureReport.subject"
_PERSONS: Final = ("Practitioner", "PractitionerRole")


def payer_of(report: Element, context: Context, base_url: str) -> str | Issue | None:
    """Return the payer organisation, or what is wrong with the reporter.

    `None` when a person reports and there is nothing yet to tell the payer from: a quality report that
    waits, or a contract that is not known, which is an issue of its own.
    """
    reporter: Element | None = report.get("reporter")
    if reporter is None:
        return _issue("required", "The report has no reporter; expected the payer organisation.", _REPORTER)
    if target_type(reporter, base_url) not in _PERSONS:
        return _organisation(reporter, context, base_url, _REPORTER)
    bound = context.parent or context.contract
    if bound is None or bound.payer is not None:
        return None if bound is None else bound.payer
    found = "The reporter is a person and the contract has no payer yet; expected the payer organisation."
    return _issue("business-rule", found, _REPORTER)


def provider_of(report: Element, context: Context, base_url: str) -> str | Issue:
    """Return the provider organisation of a performance report, or why its subject names none."""
    if (named := organization_subject(report)) is not None:
        reference, place = named
        return _organisation(reference, context, base_url, f"{_SUBJECT}.extension[{place}].value")
    subject: Element = report.get("subject", {})
    group = literal(subject, base_url)
    if group is None or target_type(subject, base_url) != "Group":
        found = (
            "The subject names no organisation; expected the extension organization-subject, "
            "or a reference to a Group whose managingEntity is the provider."
        )
        return _issue("required", found, _SUBJECT)
    if context.group_manager is None:
        found = (
            f"{group} is not known here or has no managingEntity; expected the provider organisation in it."
        )
        return _issue("not-found", found, _SUBJECT)
    return _known(context.group_manager, context, _SUBJECT)


def organization_subject(report: Element) -> tuple[Element, int] | None:
    """Return the organisation that an extension of the subject names, and the extension's place in the list."""
    for place, extension in enumerate(report.get("subject", {}).get("extension", ())):
        if extension["url"] == ORGANIZATION_SUBJECT and "valueReference" in extension:
            return extension["valueReference"], place
    return None


def _organisation(reference: Element, context: Context, base_url: str, expression: str) -> str | Issue:
    text = literal(reference, base_url)
    if text is not None:
        if target_type(reference, base_url) not in {"Organization", None} or text.startswith("urn:uuid:"):
            found = f"The reference is to {text}; expected an Organization that can be told apart."
            return _issue("value", found, expression)
        return _known(text, context, expression)
    token = logical(reference)
    if token is None:
        found = (
            "The reference names no organisation; expected Organization/id, an absolute URL or an identifier."
        )
        return _issue("required", found, expression)
    if token not in context.organisations:
        found = (
            f"Not exactly one Organization here has the identifier {token}; publish it, or refer to it by id."
        )
        return _issue("not-found", found, expression)
    return context.organisations[token]


def _known(organisation: str, context: Context, expression: str) -> str | Issue:
    """Return the organisation if it can be told apart for good: one of our own has to be stored.

    A slip in its id would otherwise bind the contract to nobody, and its identifiers would be missing from
    what Subscriptions match.
    """
    if local_type(organisation) is None or organisation in context.identifiers:
        return organisation
    found = f"{organisation} is not known here; publish it first, or refer to it by its absolute URL."
    return _issue("not-found", found, expression)


def _issue(code: IssueCode, diagnostics: str, expression: str) -> Issue:
    return Issue("error", code, diagnostics, expression)
