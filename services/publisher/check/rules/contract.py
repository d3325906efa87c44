"""The rows of vbp-measure, the contract, and of its parent, CRMI's shareable Measure.

Decided here, once:
- 1.0.0 stands on CQFM's composite Measure 3.0.0: name, experimental and publisher are demanded, a title is not,
  the weight of a component is CQFM's, and what it says of scoring is not judged here. The guide's page on
  1.1.0 still lists those mandatory elements; the profile does not, and the profile is followed.
- CRMI makes `experimental` and `publisher` Must Support and no more: their absence is information.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.publisher.check.codes import METRICS
from services.publisher.check.editions import Edition
from services.publisher.check.rule import AT_MOST_ONE, NONE, ONE, SUPPORTED, Bound, Invariant, Rule
from services.publisher.check.rules import extensions

_C: Final = "VBPR vbp-measure"
_CRMI: Final = "CRMI shareable Measure"
_CQFM: Final = "CQFM shareable Measure"
_COMPONENT: Final = "relatedArtifact(type=composed-of)"
_CRITERIA: Final = frozenset({"code", "description", "criteria"})


def _one_kind_of_criteria(stratifier: Any, _: Mapping[str, Any]) -> bool:
    return _CRITERIA.isdisjoint(stratifier) == ("component" in stratifier)


CONTRACT: Final = (
    *extensions.CONTEXTS,
    *extensions.CONTRACT,
    *extensions.payment_stream("", "contract-payment-stream"),
    Rule("vbpr-contract-url", "url", ONE, "A contract has a url: it is the contract's key", _C),
    Rule("vbpr-contract-version", "version", ONE, "A contract has a version", _CRMI),
    Rule("vbpr-contract-title", "title", ONE, "A contract has a title", _CRMI, since=Edition.STU1_1),
    Rule("vbpr-contract-description", "description", ONE, "A contract has a description", _CRMI),
    Rule("cqfm-name", "name", ONE, "A contract of 1.0.0 has a name", _CQFM, until=Edition.STU1),
    Rule("cqfm-experimental", "experimental", ONE, "A contract of 1.0.0 says whether it is experimental", _CQFM, until=Edition.STU1),
    Rule("cqfm-publisher", "publisher", ONE, "A contract of 1.0.0 names its publisher", _CQFM, until=Edition.STU1),
    Rule("vbpr-line-of-business", "extension(lob)", AT_MOST_ONE, "A contract has at most one line of business", _C),
    Rule("crmi-version-algorithm", "extension(artifact-versionAlgorithm)", AT_MOST_ONE, "A contract has at most one versionAlgorithm", _CRMI, since=Edition.STU1_1),
    Rule("crmi-version-policy", "extension(artifact-versionPolicy)", AT_MOST_ONE, "A contract has at most one versionPolicy", _CRMI, since=Edition.STU1_1),
    Rule("vbpr-component-measure", f"{_COMPONENT}.resource", ONE, "Each component of a contract names its measure", _C),
    Rule("vbpr-contractual-status", f"{_COMPONENT}.extension(contractual-status)", ONE, "Each component of a contract has one contractual-status", _C),
    Rule("vbpr-component-weight", f"{_COMPONENT}.extension(weight)", AT_MOST_ONE, "Each component of a contract has at most one weight", _C, since=Edition.STU1_1),
    Rule("cqfm-component-weight", f"{_COMPONENT}.extension(cqfm-weight)", AT_MOST_ONE, "Each component of a contract has at most one weight", "CQFM cqfm-weight", until=Edition.STU1),
    Rule("vbpr-no-scoring", "scoring", NONE, "A contract has no scoring", _C, since=Edition.STU1_1),
    Rule("vbpr-no-composite", "compositeScoring", NONE, "A contract has no compositeScoring", _C, since=Edition.STU1_1),
    Rule("vbpr-contract-no-improvement", "improvementNotation", NONE, "A contract has no improvementNotation", _C),
    Rule("vbpr-contract-metric-codes", "group.code", Bound(METRICS), "A metric of a contract has a code of vbp-performance-metric", _C),
    Rule("mea-1", "group.stratifier", Invariant(_one_kind_of_criteria), "A stratifier has either criteria of its own or components", "FHIR R4 Measure"),
    *(
        Rule(f"supported-{name}", path, SUPPORTED, name.replace("-", " "), source, since)
        for name, path, source, since in (
            ("identifier", "identifier", _C, Edition.STU1),
            ("name", "name", _CRMI, Edition.STU1_1),
            ("experimental", "experimental", _CRMI, Edition.STU1_1),
            ("publisher", "publisher", _CRMI, Edition.STU1_1),
            ("effective-period", "effectivePeriod", _C, Edition.STU1),
            ("line-of-business", "extension(lob)", _C, Edition.STU1),
            ("program-model", "extension(program-model)", _C, Edition.STU1),
            ("payment-stream", "extension(payment-stream)", _C, Edition.STU1),
            ("knowledge-capability", "extension(cqf-knowledgeCapability)", _CRMI, Edition.STU1_1),
            ("artifact-comment", "extension(cqf-artifactComment)", _CRMI, Edition.STU1_1),
            ("version-algorithm", "extension(artifact-versionAlgorithm)", _CRMI, Edition.STU1_1),
            ("version-policy", "extension(artifact-versionPolicy)", _CRMI, Edition.STU1_1),
            ("component", _COMPONENT, _C, Edition.STU1),
            ("component-display", f"{_COMPONENT}.display", _C, Edition.STU1),
            ("component-weight", f"{_COMPONENT}.extension(weight)", _C, Edition.STU1_1),
            ("metrics", "group", _C, Edition.STU1),
            ("metric-code", "group.code", _C, Edition.STU1),
        )
    ),
)  # fmt: skip
"""All that a contract is judged by."""
