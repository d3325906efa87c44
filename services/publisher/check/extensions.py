"""Answers: which URL does a short name in the rule table stand for. Each extension of VBPR, DEQM and FHIR once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_VBPR: Final = "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/"
_DEQM: Final = "http://hl7.org/fhir/us/davinci-deqm/StructureDefinition/"
_FHIR: Final = "http://hl7.org/fhir/StructureDefinition/"

URLS: Final[Mapping[str, str]] = {
    # Da Vinci VBPR 1.1.0
    "alternate-measurescore": _VBPR + "alternate-measurescore",
    "baseline": _VBPR + "baseline",
    "contractual-status": _VBPR + "contractual-status",
    "group-reference": _VBPR + "group-reference",
    "lob": _VBPR + "lob",
    "organization-subject": _VBPR + "organization-subject",
    "paid-through-date": _VBPR + "paid-through-date",
    "payment-stream": _VBPR + "payment-stream",
    "program-model": _VBPR + "program-model",
    "score": _VBPR + "score",
    "service-period": _VBPR + "service-period",
    "threshold": _VBPR + "threshold",
    "weight": _VBPR + "weight",
    # Da Vinci DEQM 5.0.0
    "alternateScoreType": _DEQM + "extension-alternateScoreType",
    "calculatedDate": _DEQM + "extension-calculatedDate",
    "certificationIdentifier": _DEQM + "extension-certificationIdentifier",
    "dataLocation": _DEQM + "extension-dataLocation",
    "groupImprovementNotation": _DEQM + "extension-groupImprovementNotation",
    "measureScoring": _DEQM + "extension-measureScoring",
    "reporterGroup": _DEQM + "extension-reporterGroup",
    "reportingProgram": _DEQM + "extension-reportingProgram",
    "reportingVendor": _DEQM + "extension-reportingVendor",
    # FHIR's own, which the profiles use
    "artifact-versionAlgorithm": _FHIR + "artifact-versionAlgorithm",
    "artifact-versionPolicy": _FHIR + "artifact-versionPolicy",
    "cqf-artifactComment": _FHIR + "cqf-artifactComment",
    "cqf-criteriaReference": _FHIR + "cqf-criteriaReference",
    "cqf-inputParameters": _FHIR + "cqf-inputParameters",
    "cqf-knowledgeCapability": _FHIR + "cqf-knowledgeCapability",
    "cqf-messages": _FHIR + "cqf-messages",
    "measurereport-category": _FHIR + "measurereport-category",
    "measurereport-countQuantity": _FHIR + "measurereport-countQuantity",
    "measurereport-populationDescription": _FHIR + "measurereport-populationDescription",
    "supplementalData": "http://hl7.org/fhir/5.0/StructureDefinition/extension-MeasureReport.supplementalData",
    # CQFM 3.0.0, parent of the contract in VBPR 1.0.0
    "cqfm-weight": "http://hl7.org/fhir/us/cqfmeasures/StructureDefinition/cqfm-weight",
}
"""Short name -> canonical URL."""
