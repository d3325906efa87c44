"""Answers: how is the schema said so that a right resource is soonest seen to be right.

Whatever is valid by the quick schema is valid by the schema. The other way round it need not be so: what the
quick one refuses, the schema itself judges, which also knows the reasons. Three things are said otherwise:

- a `format` by a regular expression, where there is one: that costs no call into Python
- "text without blanks" in the words that the validator has a short way for
- an extension in its usual shape only: `url` and one more member, so that nothing has to be counted
"""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

_YEAR: Final = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP_YEAR: Final = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = (
    rf"(?:{_YEAR}-(?:{_MONTH}-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    rf"|{_LEAP_YEAR}-02-29)"
)
"""A day that exists."""
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE: Final = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_ID: Final = r"[A-Za-z0-9\-.]{1,64}"

_PATTERNS: Final = {
    "date": rf"^(?:{_YEAR}(?:-{_MONTH})?|{_DAY})$",
    "dateTime": rf"^(?:{_YEAR}(?:-{_MONTH})?|{_DAY}(?:T{_TIME}{_ZONE})?)$",
    "instant": rf"^{_DAY}T{_TIME}{_ZONE}$",
    "time": rf"^{_TIME}$",
}
"""By the format."""

_NO_BLANKS: Final = r"^\S+$"
_NO_BLANKS_SOON: Final[Schema] = {"pattern": r"^\S*$", "minLength": 1}


def quick(schema: Schema) -> Schema:
    """Return the quick schema; the one given stays as it is."""
    said: Schema = _said(schema)
    said["definitions"]["Extension"] = _usual(said["definitions"]["Extension"])
    return said


def _said(node: Any) -> Any:
    if isinstance(node, list):
        return [_said(child) for child in node]
    if not isinstance(node, dict):
        return node
    said = {key: _said(child) for key, child in node.items()}
    if said.get("pattern") == _NO_BLANKS:
        said.update(_NO_BLANKS_SOON)
    if isinstance(said.get("format"), str) and (pattern := _pattern(said["format"])):
        said["pattern"] = pattern
        del said["format"]
    return said


def _pattern(form: str) -> str | None:
    name, _, types = form.partition(":")
    if name != "reference":
        return _PATTERNS.get(name)
    types = types or "[A-Z][A-Za-z]+"
    return rf"^(?:(?:[a-z]+://[!-~]+/)?(?:{types})/{_ID}(?:/_history/{_ID})?|#(?:{_ID})?|urn:uuid:[!-~]+)$"


def _usual(extension: Schema) -> Schema:
    """ext-1 in short: a `url`, and either extensions or one value."""
    properties = {name: value for name, value in extension["properties"].items() if name != "id"}
    return {
        "type": "object",
        "minProperties": 2,
        "maxProperties": 2,
        "required": ["url"],
        "properties": properties,
        "additionalProperties": False,
    }
