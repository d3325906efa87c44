"""Answers: how does JSON write each of FHIR's primitive types, and how is that said in words.

Source: the table and the regular expressions of hl7.org/fhir/R4/datatypes.html.
"""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string", "pattern": r"^[ \r\n\t\S]+$", "maxLength": 1024 * 1024}
_URI: Final[Schema] = {"type": "string", "pattern": r"^\S+$"}
_MAX: Final = 2**31 - 1

PRIMITIVES: Final[dict[str, Schema]] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": _MAX},
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": _MAX},
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": _MAX},
    "decimal": {"type": "number"},
    "string": _TEXT,
    "markdown": _TEXT,
    "xhtml": _TEXT,
    "code": {"type": "string", "pattern": r"^\S+(\s\S+)*$"},
    "id": {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"},
    "uri": _URI,
    "canonical": _URI,
    "url": {**_URI, "format": "url"},
    "oid": {"type": "string", "pattern": r"^urn:oid:[0-2](\.(0|[1-9][0-9]*))+$"},
    "uuid": {"type": "string", "format": "uuid"},
    "base64Binary": {"type": "string", "format": "base64Binary"},
    "date": {"type": "string", "format": "date"},
    "dateTime": {"type": "string", "format": "dateTime"},
    "instant": {"type": "string", "format": "instant"},
    "time": {"type": "string", "format": "time"},
}
"""JSON Schema (draft 4) of each primitive. A `format` is a check in `schemas.structure.values`."""

EXPECTED_TYPES: Final = {
    "boolean": "true or false",
    "integer": "a whole number, written without a fraction",
    "number": "a number, not in quotes",
    "string": "a string",
    "object": "an object",
    "array": "an array",
}
"""JSON types in words."""

EXPECTED_PATTERNS: Final = {
    _TEXT["pattern"]: "text that is not empty",
    PRIMITIVES["code"]["pattern"]: "a code: no blanks at its ends, single ones inside",
    PRIMITIVES["id"]["pattern"]: "an id: 1 to 64 letters, digits, hyphens and dots",
    _URI["pattern"]: "a URI, without blanks",
    PRIMITIVES["oid"]["pattern"]: "an OID, urn:oid:1.2.3",
}
"""The regular expressions above in words."""
