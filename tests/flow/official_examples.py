"""What the guide's own MeasureReports say, as a table that a person read out of their JSON.

Source: HL7 Da Vinci VBPR 1.1.0, 28 MeasureReports, and the later revision of the four performance reports
that names the provider by a Group. No product code computes these rows; the flow tests compare with them.

How each column was read:

- kind: `meta.profile`; the quality reports also carry DEQM's measureScoring, the others category `vbp`.
- contract: `measure` of the performance report (all four are unversioned); a quality report has its parent's.
- payer: `reporter`, the same organisation in all of them.
- provider: organization-subject on `subject`; in the later revision `managingEntity` of the Group that
  `subject` names; a quality report has no subject and takes its parent's.
- stage: none has a tag, and `status` is `complete` in all of them, which is final.
- parent: the performance report whose `evaluatedResource` lists it; each quality report is listed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CONTRACT_01 = "https://build.fhir.org/ig/HL7/davinci-vbpr/Measure-vbp-measure01"
CONTRACT_02 = "https://build.fhir.org/ig/HL7/davinci-vbpr/Measure-vbp-measure02"
PAYER = "Organization/vbp-payer01"
CLINIC = "Organization/vbp-provider01"
HOSPITAL = "Organization/vbp-provider02"


@dataclass(frozen=True, slots=True)
class OfficialReport:
    """One official MeasureReport and what must be derived from it."""

    id: str
    kind: Literal["performance", "quality"]
    contract: str
    payer: str
    provider: str
    stage: Literal["interim", "final", "settled", "withdrawn"]
    parent: str | None
    """Id of the performance report that lists it; None for a performance report."""


@dataclass(frozen=True, slots=True)
class RevisedReport:
    """One performance report of the later revision: same id, provider named by a Group."""

    report: OfficialReport
    group: str
    """`subject.reference`."""
    provider_unchanged: bool
    """Whether `Group.managingEntity` is the organisation that the first revision named."""


# fmt: off
OFFICIAL_REPORTS: tuple[OfficialReport, ...] = (
    OfficialReport("vbp-measurereport101",    "performance", CONTRACT_01, PAYER, CLINIC,   "final", None),
    OfficialReport("quality-measurereport01", "quality",     CONTRACT_01, PAYER, CLINIC,   "final", "vbp-measurereport101"),
    OfficialReport("quality-measurereport02", "quality",     CONTRACT_01, PAYER, CLINIC,   "final", "vbp-measurereport101"),
    OfficialReport("quality-measurereport03", "quality",     CONTRACT_01, PAYER, CLINIC,   "final", "vbp-measurereport101"),
    OfficialReport("quality-measurereport04", "quality",     CONTRACT_01, PAYER, CLINIC,   "final", "vbp-measurereport101"),
    OfficialReport("quality-measurereport05", "quality",     CONTRACT_01, PAYER, CLINIC,   "final", "vbp-measurereport101"),
    OfficialReport("quality-measurereport06", "quality",     CONTRACT_01, PAYER, CLINIC,   "final", "vbp-measurereport101"),
    OfficialReport("quality-measurereport07", "quality",     CONTRACT_01, PAYER, CLINIC,   "final", "vbp-measurereport101"),
    OfficialReport("quality-measurereport08", "quality",     CONTRACT_01, PAYER, CLINIC,   "final", "vbp-measurereport101"),
    OfficialReport("quality-measurereport09", "quality",     CONTRACT_01, PAYER, CLINIC,   "final", "vbp-measurereport101"),
    OfficialReport("vbp-measurereport102",    "performance", CONTRACT_02, PAYER, HOSPITAL, "final", None),
    OfficialReport("quality-measurereport11", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport102"),
    OfficialReport("quality-measurereport12", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport102"),
    OfficialReport("quality-measurereport13", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport102"),
    OfficialReport("quality-measurereport14", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport102"),
    OfficialReport("quality-measurereport15", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport102"),
    OfficialReport("vbp-measurereport103",    "performance", CONTRACT_02, PAYER, HOSPITAL, "final", None),
    OfficialReport("quality-measurereport20", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport103"),
    OfficialReport("quality-measurereport21", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport103"),
    OfficialReport("quality-measurereport22", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport103"),
    OfficialReport("quality-measurereport23", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport103"),
    OfficialReport("quality-measurereport24", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport103"),
    OfficialReport("quality-measurereport25", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport103"),
    OfficialReport("vbp-measurereport104",    "performance", CONTRACT_02, PAYER, HOSPITAL, "final", None),
    OfficialReport("quality-measurereport30", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport104"),
    OfficialReport("quality-measurereport31", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport104"),
    OfficialReport("quality-measurereport32", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport104"),
    OfficialReport("quality-measurereport33", "quality",     CONTRACT_02, PAYER, HOSPITAL, "final", "vbp-measurereport104"),
)
"""All 28 of the first revision, each performance report followed by the quality reports it lists."""

# The four differ from the first revision in `subject` alone: contract, period and the lists are the same,
# so each supersedes the report of its own id and no quality report changes its parent.
REVISED_REPORTS: tuple[RevisedReport, ...] = (
    RevisedReport(OfficialReport("vbp-measurereport101", "performance", CONTRACT_01, PAYER, CLINIC,   "final", None), "Group/goodhealth-group", provider_unchanged=True),
    RevisedReport(OfficialReport("vbp-measurereport102", "performance", CONTRACT_02, PAYER, HOSPITAL, "final", None), "Group/everyhospital-group", provider_unchanged=True),
    RevisedReport(OfficialReport("vbp-measurereport103", "performance", CONTRACT_02, PAYER, HOSPITAL, "final", None), "Group/everyhospital-group", provider_unchanged=True),
    RevisedReport(OfficialReport("vbp-measurereport104", "performance", CONTRACT_02, PAYER, HOSPITAL, "final", None), "Group/everyhospital-group", provider_unchanged=True),
)
"""The four performance reports of the later revision, PUT over the first under the same ids."""
# fmt: on
