"""A performance report, a quality report and a contract that have everything the guide's profiles speak of.

Written by hand from the guide, not from the rule table: nothing in them is wrong, missing or worth a word.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

VBPR = "http://hl7.org/fhir/us/davinci-vbpr/"
DEQM = "http://hl7.org/fhir/us/davinci-deqm/StructureDefinition/"
FHIR = "http://hl7.org/fhir/StructureDefinition/"
THO = "http://terminology.hl7.org/CodeSystem/"
PERFORMANCE = VBPR + "StructureDefinition/vbp-performance-measurereport"
QUALITY = VBPR + "StructureDefinition/vbp-quality-measurereport"
CONTRACT = VBPR + "StructureDefinition/vbp-measure"


def concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def own(name: str, **value: Any) -> Json:
    """Return an extension of VBPR."""
    return {"url": f"{VBPR}StructureDefinition/{name}", **value}


def deqm(name: str, **value: Any) -> Json:
    return {"url": f"{DEQM}extension-{name}", **value}


def core(name: str, **value: Any) -> Json:
    return {"url": FHIR + name, **value}


def part(name: str, **value: Any) -> Json:
    return {"url": name, **value}


def payment_stream() -> Json:
    return own(
        "payment-stream",
        extension=[
            part("type", valueCodeableConcept=concept(VBPR + "CodeSystem/payment-stream", "cdm")),
            part(
                "incentive", valueCodeableConcept=concept(VBPR + "CodeSystem/vbp-incentive", "annual-visit")
            ),
        ],
    )


def service_period() -> Json:
    return own("service-period", valuePeriod={"start": "2024-01-01", "end": "2024-06-30"})


def paid_through_date() -> Json:
    return own("paid-through-date", valueDate="2024-09-30")


def baseline() -> Json:
    return own(
        "baseline",
        extension=[
            part("baseline", valueMoney={"value": 812.5, "currency": "USD"}),
            part("period", valuePeriod={"start": "2023-01-01", "end": "2023-12-31"}),
        ],
    )


def alternate_score() -> Json:
    return own("alternate-measurescore", valueMoney={"value": 790.25, "currency": "USD"})


def category() -> Json:
    return core(
        "measurereport-category",
        valueCodeableConcept=concept("http://hl7.org/fhir/CodeSystem/measurereport-category", "vbp"),
    )


def organization_subject() -> Json:
    return own("organization-subject", valueReference={"reference": "Organization/clinic"})


def performance() -> Json:
    """Return a performance report as 1.0.0 and 1.1.0 have them."""
    stratifier = VBPR + "CodeSystem/measure-stratifier-example"
    cohort = concept(VBPR + "CodeSystem/vbp-cohort", "hmo")
    return {
        "resourceType": "MeasureReport",
        "id": "performance",
        "meta": {"profile": [PERFORMANCE]},
        "extension": [
            category(),
            payment_stream(),
            service_period(),
            paid_through_date(),
            baseline(),
            alternate_score(),
        ],
        "status": "complete",
        "type": "summary",
        "measure": "https://plan.example/contracts/one",
        "subject": {"display": "Clinic", "extension": [organization_subject()]},
        "date": "2024-10-15",
        "reporter": {"reference": "Organization/plan"},
        "period": {"start": "2024-01-01", "end": "2024-12-31"},
        "group": [
            {
                "id": "cost",
                "extension": [payment_stream(), service_period(), paid_through_date(), baseline()],
                "code": concept(VBPR + "CodeSystem/vbp-performance-metric", "med-cost-pmpm"),
                "measureScore": {"extension": [alternate_score()]},
                "stratifier": [
                    {
                        "code": [concept(stratifier, "cohort")],
                        "stratum": [
                            {
                                "value": cohort,
                                "measureScore": {"value": 780, "extension": [alternate_score()]},
                            }
                        ],
                    }
                ],
            }
        ],
        "evaluatedResource": [
            {"reference": "MeasureReport/quality", "extension": [own("group-reference", valueString="cost")]}
        ],
    }


def later_performance() -> Json:
    """Return a performance report of the revision after 1.1.0: the provider stands behind a Group."""
    return {**performance(), "subject": {"reference": "Group/roster"}}


def threshold() -> Json:
    return own(
        "threshold",
        extension=[
            part("threshold", valueQuantity={"value": 85, "unit": "%"}),
            part("type", valueCodeableConcept=concept(VBPR + "CodeSystem/threshold-type", "star-4")),
            part("gapToThreshold", valueDecimal=3),
        ],
    )


def description() -> Json:
    return core("measurereport-populationDescription", valueMarkdown="As the contract has it.")


def scoring(code: str = "proportion") -> Json:
    return deqm("measureScoring", valueCodeableConcept=concept(THO + "measure-scoring", code))


def notation() -> Json:
    return concept(THO + "measure-improvement-notation", "increase")


def quality() -> Json:
    """Return a quality report of 1.1.0, scored by its group."""
    members = concept(THO + "measure-population", "denominator")
    return {
        "resourceType": "MeasureReport",
        "id": "quality",
        "meta": {"profile": [QUALITY]},
        "extension": [
            category(),
            own("score", valueDecimal=4),
            threshold(),
            {
                "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-MeasureReport.supplementalData",
                "valueReference": {
                    "reference": "#",
                    "extension": [core("cqf-criteriaReference", valueString="sde"), description()],
                },
            },
            deqm("reportingProgram", valueIdentifier={"value": "program"}),
            deqm("reportingVendor", valueReference={"reference": "Organization/vendor"}),
            deqm("dataLocation", valueReference={"reference": "Location/1"}),
            deqm(
                "certificationIdentifier",
                valueIdentifier={"system": "urn:oid:2.16.840.1.113883.3.2074.1", "value": "0014ABC"},
            ),
            core("cqf-inputParameters", valueReference={"reference": "#parameters"}),
            core("cqf-messages", valueReference={"reference": "#messages"}),
        ],
        "status": "complete",
        "type": "summary",
        "measure": "https://measures.example/Measure/screening|2024.0",
        "date": "2024-10-15",
        "reporter": {
            "reference": "Organization/plan",
            "extension": [deqm("reporterGroup", valueReference={"reference": "Group/payers"})],
        },
        "period": {"start": "2024-01-01", "end": "2024-12-31"},
        "improvementNotation": notation(),
        "group": [
            {
                "id": "rate",
                "extension": [
                    scoring(),
                    deqm("calculatedDate", valueDateTime="2024-10-14"),
                    deqm("groupImprovementNotation", valueCodeableConcept=notation()),
                    description(),
                ],
                "code": {"text": "Screening"},
                "population": [
                    {"extension": [description()], "code": members, "count": 120},
                    {
                        "extension": [
                            description(),
                            core("measurereport-countQuantity", valueQuantity={"value": 30.5}),
                        ],
                        "code": concept(VBPR + "CodeSystem/vbp-measure-population", "calculated-numerator"),
                    },
                ],
                "measureScore": {
                    "value": 0.75,
                    "extension": [deqm("alternateScoreType", valueBoolean=True)],
                },
                "stratifier": [
                    {
                        "extension": [description()],
                        "code": [{"text": "cohort"}],
                        "stratum": [
                            {
                                "extension": [own("score", valueDecimal=3)],
                                "value": {"text": "HMO"},
                                "population": [{"code": members, "count": 60}],
                                "measureScore": {
                                    "value": 0.7,
                                    "extension": [deqm("alternateScoreType", valueBoolean=False)],
                                },
                            }
                        ],
                    }
                ],
            }
        ],
    }


def first_quality() -> Json:
    """Return a quality report of 1.0.0: with a category, its measure without a version."""
    report = quality()
    report["measure"] = "https://measures.example/Measure/screening"
    return report


def contract() -> Json:
    """Return a contract of 1.1.0."""
    return {
        "resourceType": "Measure",
        "id": "contract",
        "meta": {"profile": [CONTRACT]},
        "extension": [
            own("lob", valueCodeableConcept=concept("https://nahdo.org/sopt", "1")),
            own(
                "program-model",
                extension=[
                    part("hcplan", valueCodeableConcept=concept(THO + "hcp-lan-apm-framework", "3A")),
                    part("cohort", valueCodeableConcept=concept(VBPR + "CodeSystem/vbp-cohort", "ppo")),
                ],
            ),
            payment_stream(),
            core("cqf-knowledgeCapability", valueCode="shareable"),
            core("cqf-artifactComment", extension=[part("text", valueMarkdown="Signed.")]),
            core("artifact-versionAlgorithm", valueString="integer"),
            core("artifact-versionPolicy", valueCodeableConcept={"text": "strict"}),
        ],
        "url": "https://plan.example/contracts/one",
        "identifier": [{"system": "https://plan.example/contract-numbers", "value": "1"}],
        "version": "1",
        "name": "One",
        "title": "The contract",
        "status": "active",
        "experimental": False,
        "publisher": "Plan",
        "description": "All there is to a contract.",
        "effectivePeriod": {"start": "2024-01-01", "end": "2024-12-31"},
        "relatedArtifact": [
            {
                "extension": [own("weight", valueDecimal=1), contractual_status()],
                "type": "composed-of",
                "display": "Screening",
                "resource": "https://measures.example/Measure/screening|2024.0",
            },
            {"type": "documentation", "display": "Only components have a contractual status"},
        ],
        "group": [
            {
                "code": concept(VBPR + "CodeSystem/vbp-performance-metric", "med-cost-pmpm"),
                "stratifier": [{"code": {"text": "cohort"}}],
            }
        ],
    }


def contractual_status() -> Json:
    return own(
        "contractual-status",
        valueCodeableConcept=concept(VBPR + "CodeSystem/measure-contractual-status", "contractual"),
    )


def cqfm_weight() -> Json:
    return {"url": "http://hl7.org/fhir/us/cqfmeasures/StructureDefinition/cqfm-weight", "valueDecimal": 1}


def first_contract() -> Json:
    """Return a contract of 1.0.0: CQFM's weight, and no title."""
    measure = contract()
    measure["relatedArtifact"][0]["extension"][0] = cqfm_weight()
    del measure["title"]
    return measure
