"""Turns the errors of the structure schema into Issues: where, what was found, what was expected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from schemas.outcome import Issue, IssueCode
from schemas.structure import values
from schemas.structure.primitives import EXPECTED_PATTERNS, EXPECTED_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jsonschema_rs import ValidationError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_SHOWN: Final = 60
"""Characters of a wrong value repeated in the diagnostics."""


def expression(root: str, path: Sequence[str | int], choices: Mapping[str, str]) -> str:
    """Return the FHIRPath of a JSON path: `valueString` is `value`, `_status` is `status`."""
    out = root
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
            continue
        name = step.removeprefix("_")
        if not _NAME.fullmatch(name):
            break  # no FHIRPath says this name: point at what holds it
        out += "." + choices.get(name, name)
    return out


def shown(value: Any) -> str:
    """Return a value as a sentence shows it: its JSON kind, and the value itself when it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return f"the boolean {str(value).lower()}"
        case str():
            return f"the string '{value}'" if len(value) <= _SHOWN else f"a string of {len(value)} characters"
        case int() | float():
            return f"the number {value}"
        case list():
            return f"an array of {len(value)}" if value else "an empty array"
        case _:
            return "an object" if value else "an empty object"


class Faults:
    """The Issues for the errors of one resource; `choices` is the schema's table of `value[x]` names."""

    def __init__(self, root: str, choices: Mapping[str, str]) -> None:
        """Take the resource type, with which every expression begins."""
        self._root = root
        self._choices = choices

    def of(self, error: ValidationError) -> Iterator[Issue]:
        """Yield the Issues of one schema error; more than one when several elements are unknown."""
        path, found = list(error.instance_path), error.instance
        match error.kind.as_dict():
            case {"unexpected": list(unexpected)}:
                yield from self._unexpected(
                    path, unexpected, in_extension="dependencies" in error.schema_path
                )
            case {"property": str(name)}:
                yield self._missing([*path, name])
            case {"context": list(context)} if isinstance(found, dict):
                yield from self._combination(path, found, context)
            case {"context": _}:
                words = (
                    f"Found {shown(found)}; expected an object, or null where the list beside it has a value."
                )
                yield self._issue("structure", path, words)
            case kind:
                yield self._value(path, found, kind)

    def _issue(self, code: IssueCode, path: Sequence[str | int], diagnostics: str) -> Issue:
        return Issue("error", code, diagnostics, expression(self._root, path, self._choices))

    def _missing(self, path: Sequence[str | int]) -> Issue:
        return self._issue("required", path, f"'{path[-1]}' is missing; FHIR R4 requires it here.")

    def _unexpected(self, path: list[str | int], names: list[str], *, in_extension: bool) -> Iterator[Issue]:
        for name in names:
            if in_extension and name.removeprefix("_") in self._choices:
                yield self._issue(
                    "structure",
                    [*path, name],
                    f"The extension has both extensions and '{name}'; only one of them may stand.",
                )
            elif not in_extension:
                yield self._issue(
                    "structure",
                    [*path, name],
                    f"Unknown element '{name[:_SHOWN]}'; FHIR R4 has no such element here.",
                )

    def _combination(
        self, path: list[str | int], found: dict[str, Any], context: list[list[ValidationError]]
    ) -> Iterator[Issue]:
        """Explain an object whose members do not go together, by looking at the members."""
        several = self._several(found)
        for choice, names in several.items():
            yield self._issue(
                "structure",
                [*path, choice],
                f"{' and '.join(names)} stand together; only one {choice}[x] may.",
            )
        wanted = [name for name in _required(context) if not name.startswith("_")]
        if several:
            return
        if _counts_members(path, context):
            if "url" in found:  # without one, that is what is wrong
                words = "The extension has neither a value nor extensions; it needs one of them."
                yield self._issue("required", path, words)
        elif wanted and wanted[0] in self._choices:
            choice = self._choices[wanted[0]]
            yield self._issue(
                "required", [*path, choice], f"'{choice}[x]' is missing; expected one of {', '.join(wanted)}."
            )
        elif wanted:
            yield self._missing([*path, wanted[0]])
        else:
            yield from self._nested(context)

    def _several(self, found: dict[str, Any]) -> dict[str, list[str]]:
        by_choice: dict[str, list[str]] = {}
        for name in found:
            plain = name.removeprefix("_")
            if plain in self._choices and plain not in by_choice.setdefault(self._choices[plain], []):
                by_choice[self._choices[plain]].append(plain)
        return {choice: names for choice, names in by_choice.items() if len(names) > 1}

    def _nested(self, context: list[list[ValidationError]]) -> Iterator[Issue]:
        """Yield the Issues of the last alternative that fits the shape: the one that was meant."""
        for error in context[-1] if context else []:
            yield from self.of(error)

    def _value(self, path: list[str | int], found: Any, kind: dict[str, Any]) -> Issue:
        code: IssueCode = "value"
        match kind:
            case {"types": list(names)}:
                wanted = " or ".join(EXPECTED_TYPES[name] for name in names if name != "null")
                code = "structure"
            case {"options": list(options)}:
                wanted = "one of " + ", ".join(str(option) for option in options if option is not None)
                code = "code-invalid"
            case {"pattern": str(pattern)}:
                wanted = EXPECTED_PATTERNS.get(pattern, f"text of the form {pattern}")
            case {"format": str(name)}:
                wanted = _format_in_words(name)
            case {"limit": _} if isinstance(found, list | dict):
                wanted = "something in it: FHIR leaves an element out when it is empty"
                code = "structure"
            case {"limit": limit} if isinstance(found, str):
                wanted = f"at most {limit} characters"
            case {"limit": limit}:
                wanted = f"a whole number within the limits of its type; the nearest is {limit}"
            case _:  # the one `not` in the schema: a null in a list of primitives
                wanted = "no null, unless an extension stands in the same place of the list beside it"
                code = "structure"
        return self._issue(code, path, f"Found {shown(found)}; expected {wanted}.")


def _counts_members(path: list[str | int], context: list[list[ValidationError]]) -> bool:
    """Tell whether the alternatives are those of ext-1, the one rule that counts an object's members."""
    return any(
        "limit" in error.kind.as_dict() and list(error.instance_path) == path
        for branch in context
        for error in branch
    )


def _required(context: list[list[ValidationError]]) -> list[str]:
    """Return the members any of the alternatives asks for, in order."""
    out: list[str] = []
    for branch in context:
        for error in branch:
            kind = error.kind.as_dict()
            if isinstance(kind.get("property"), str):
                out.append(kind["property"])
            elif isinstance(kind.get("context"), list):
                out += _required(kind["context"])
    return out


def _format_in_words(name: str) -> str:
    kind, _, targets = name.partition(":")
    if targets:
        return "a reference to " + " or ".join(targets.split("|"))
    return values.EXPECTED[kind]
