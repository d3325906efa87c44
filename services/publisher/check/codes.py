"""Answers: is this code in the value set an element is bound to. The code lists, each with its source.

Sources: Da Vinci VBPR 1.1.0 (code systems and value sets of the same names; nothing was added or taken away
after 1.0.0), HL7 Terminology (measure-population 2.0.0, measure-scoring, measure-improvement-notation),
FHIR extensions pack (measurereport-category), FHIR R4 (measure-report-status).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.fhir import CATEGORY_SYSTEM, METRIC_SYSTEM, PAYER_TYPE_SYSTEM, PAYMENT_STREAM_SYSTEM

_VBPR: Final = "http://hl7.org/fhir/us/davinci-vbpr/"
_THO: Final = "http://terminology.hl7.org/"


@dataclass(frozen=True, slots=True)
class ValueSet:
    """The codes an element should have, by code system."""

    name: str
    url: str
    codes: Mapping[str, frozenset[str]]

    def fault(self, concept: Any) -> str | None:
        """Say what a CodeableConcept has instead of a code of this value set; `None` when it has one."""
        codings = concept.get("coding", ())
        for coding in codings:
            if coding.get("code") in self.codes.get(coding.get("system", ""), ()):
                return None
        found = [_shown(coding) for coding in codings]
        return f"found {', '.join(found)}" if found else "found no coding"


def _shown(coding: Mapping[str, Any]) -> str:
    return f"'{coding.get('system', '')}|{coding.get('code', '')}'"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_METRICS: Final = _words("""
    avg-risk-score avg-risk-score-market capitation capitation-pmpm dental-capitation
    dental-capitation-pmpm reinsurance-capitation reinsurance-capitation-pmpm ccf goal-hcc-raf
    actual-hcc-raf earnings-ccf performance-ccf potential-upside-ccf potential-downside-ccf
    earned-incentive earnings-qip performance-qip potential-upside-qip potential-downside-qip
    earnings-ssl performance-ssl potential-upside-ssl potential-downside-ssl earnings-cap
    performance-cap potential-upside-cap potential-downside-cap quality-gate-percentage
    quality-gate-performance-percentage interim-pmt-rate ibnr-pmpm med-ibnr rx-ibnr med-rx-ibnr
    revenue revenue-pmpm avg-revenue-pmpm-market cost-target admin-cost rx-cost rx-cost-target
    rx-cost-pmpm rx-cost-pmpm-target med-cost med-cost-target med-cost-pmpm med-cost-pmpm-target
    med-cost-fund avg-med-cost-fund-market med-rx-cost med-rx-cost-target med-rx-cost-pmpm
    avg-med-rx-cost-pmpm-market variance-cost med-loss-ratio med-loss-ratio-target med-expense-ratio
    med-expense-ratio-pmpm member-months med-member-months rx-member-months adjusted-paid-claim
    annual-care-visit-bonus avg-star-rating-bonus avg-star-rating-improvement-bonus
    quality-metric-performance-incentive quality-pmt-chronic quality-pmt-office-visit
    shared-saving-deficit weighted-avg-star condition-count 1-gap-closed 2-gap-closed paid-claim
    paid-claim-pmpm drg-expense drg-expense-pmpm provider-quality-expense-pmpm subrogation-pmpm
    avg-member-office-visit ed-visit eligible-member inpatient-acute inpatient-admission
    nurse-hotline nurse-hotline-pmpm snf-avg-los readmission snf-admission provider-quality-expense
    subrogation avg-membership
""")
"""CodeSystem vbp-performance-metric: 93 codes."""

_PAYMENT_STREAMS: Final = _words("""
    ccf ccf-with-risk eoc pcpcp ssq ssl ssp tcoc qip aha cdm p4r p4p sip sst ubip
""")
"""CodeSystem payment-stream: 16 codes; the last seven are kinds of `qip`."""

_POPULATIONS: Final = _words("""
    initial-population numerator numerator-exclusion denominator denominator-exclusion denominator-exception
    measure-population measure-population-exclusion measure-observation
""")
"""CodeSystem measure-population 2.0.0."""

METRICS: Final = ValueSet(
    "vbp-performance-metric", _VBPR + "ValueSet/vbp-performance-metric", {METRIC_SYSTEM: _METRICS}
)
PAYMENT_STREAMS: Final = ValueSet(
    "vbp-payment-stream", _VBPR + "ValueSet/vbp-payment-stream", {PAYMENT_STREAM_SYSTEM: _PAYMENT_STREAMS}
)
INCENTIVES: Final = ValueSet(
    "vbp-incentive",
    _VBPR + "ValueSet/vbp-incentive",
    {_VBPR + "CodeSystem/vbp-incentive": _words("chronic-care-mgmt annual-visit")},
)
COHORTS: Final = ValueSet(
    "vbp-cohort", _VBPR + "ValueSet/vbp-cohort", {_VBPR + "CodeSystem/vbp-cohort": _words("hmo ppo")}
)
PROGRAM_MODELS: Final = ValueSet(
    "hcplan-framework",
    _VBPR + "ValueSet/hcplan-framework",
    {_THO + "CodeSystem/hcp-lan-apm-framework": _words("2A 2B 2C 3A 3B 3N 4A 4B 4C 4N")},
)
LINES_OF_BUSINESS: Final = ValueSet("lob", _VBPR + "ValueSet/lob", {PAYER_TYPE_SYSTEM: _words("1 2 5")})
"""Medicare, Medicaid, private: Source of Payment Typology. Everything else needs a local code."""
CONTRACTUAL_STATUSES: Final = ValueSet(
    "measure-contractual-status",
    _VBPR + "ValueSet/measure-contractual-status",
    {
        _VBPR + "CodeSystem/measure-contractual-status": _words(
            "contractual contractual-alternate reporting-only"
        )
    },
)
THRESHOLD_TYPES: Final = ValueSet(
    "threshold-type",
    _VBPR + "ValueSet/threshold-type",
    {
        _VBPR + "CodeSystem/threshold-type": _words(
            "star-1 star-2 star-3 star-4 star-5 hedis-50-percentile hedis-75-percentile hedis-90-percentile"
        )
    },
)
POPULATIONS: Final = ValueSet(
    "vbp-measure-population",
    _VBPR + "ValueSet/vbp-measure-population",
    {
        _THO + "CodeSystem/measure-population": _POPULATIONS,
        _VBPR + "CodeSystem/vbp-measure-population": _words("calculated-denominator calculated-numerator"),
    },
)
CATEGORIES: Final = ValueSet(
    "measurereport-category",
    "http://hl7.org/fhir/ValueSet/measurereport-category",
    {CATEGORY_SYSTEM: _words("deqm ra vbp")},
)
SCORINGS: Final = ValueSet(
    "measure-scoring",
    _THO + "ValueSet/measure-scoring",
    {_THO + "CodeSystem/measure-scoring": _words("proportion ratio continuous-variable cohort composite")},
)
IMPROVEMENT_NOTATIONS: Final = ValueSet(
    "measure-improvement-notation",
    "http://hl7.org/fhir/ValueSet/measure-improvement-notation",
    {_THO + "CodeSystem/measure-improvement-notation": _words("increase decrease")},
)
