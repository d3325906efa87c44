"""How settled is a report? VBPR cannot say it, so it is read from three places, the first that speaks decides.

1. a `meta.tag` of this project's code system report-stage;
2. what the payer's own mapping makes of its tags and coded extensions, a setting per payer;
3. `status`: pending is interim, complete is final, error is withdrawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from schemas.event import Stage
from schemas.facets import token
from schemas.fhir import REPORT_STAGE_SYSTEM
from schemas.outcome import Issue
from services.publisher.derive.elements import Element, coding_tokens, concept_tokens

StageMapping: TypeAlias = Mapping[str, Mapping[str, Stage]]
"""Payer (organisation reference) -> its own `system|code` -> stage."""

BY_STATUS: Final[Mapping[str, Stage]] = {
    "pending": Stage.INTERIM,
    "complete": Stage.FINAL,
    "error": Stage.WITHDRAWN,
}
"""The stage of a report that says nothing else (R4 value set measure-report-status, all its codes)."""

_STAGES: Final[Mapping[str, Stage]] = {stage.value: stage for stage in Stage}
_ONE_OF: Final = ", ".join(Stage)


def stage_mapping(setting: Mapping[str, Mapping[str, str]]) -> StageMapping:
    """Return the setting as a mapping to stages.

    Raises:
        ValueError: a payer's code is mapped to something that is no stage; the message says which.
    """
    for payer, codes in setting.items():
        for code, stage in codes.items():
            if stage not in _STAGES:
                raise ValueError(f"{payer} maps {code} to {stage!r}; expected one of {_ONE_OF}")
    return {payer: {code: Stage(stage) for code, stage in codes.items()} for payer, codes in setting.items()}


def stage_of(report: Element, payer: str | None, mapping: StageMapping) -> Stage | Issue:
    """Return the stage of a report, or why it has none: a tag that is no stage, or two that disagree.

    `payer` is `None` while it is not known; then no mapping applies.
    """
    tags = report.get("meta", {}).get("tag", ())
    ours = {i: tag.get("code") for i, tag in enumerate(tags) if tag.get("system") == REPORT_STAGE_SYSTEM}
    for index, code in ours.items():
        if code not in _STAGES:
            found = f"The report-stage tag is {code!r}; expected one of {_ONE_OF}."
            return Issue("error", "code-invalid", found, f"MeasureReport.meta.tag[{index}].code")
    codes = {} if payer is None else mapping.get(payer, {})
    theirs = [codes[code] for code in _own_codes(report) if code in codes] if codes and not ours else []
    said = {_STAGES[code] for code in ours.values()} or set(theirs) or {BY_STATUS[report["status"]]}
    if len(said) > 1:
        found = f"The report claims more than one stage: {', '.join(sorted(said))}; expected one."
        return Issue("error", "business-rule", found, "MeasureReport.meta.tag" if ours else "MeasureReport")
    return said.pop()


def _own_codes(report: Element) -> Iterator[str]:
    """Yield the tags of a report and the values of its coded extensions.

    A value without a system of its own (a code, a string) stands under the URL of its extension.
    """
    meta = report.get("meta", {})
    yield from coding_tokens(meta.get("tag", ()))
    for extension in (*report.get("extension", ()), *meta.get("extension", ())):
        yield from concept_tokens(extension.get("valueCodeableConcept"))
        if "valueCoding" in extension:
            yield from coding_tokens((extension["valueCoding"],))
        for name in ("valueCode", "valueString"):
            if name in extension:
                yield token(extension["url"], extension[name])
