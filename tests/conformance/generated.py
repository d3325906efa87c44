"""Resources made up by the structure schema: right by it, with elements that no example has."""

from __future__ import annotations

import json
import random
from importlib import resources
from typing import Any, Final

from schemas.structure.primitives import PRIMITIVES

Json = dict[str, Any]

_SAMPLES: Final[dict[str, tuple[Any, ...]]] = {
    "boolean": (True, False),
    "integer": (-5, 0, 7),
    "unsignedInt": (0, 12),
    "positiveInt": (1, 30),
    "decimal": (0, -1.5, 12.75, 100),
    "string": ("plain", "two words", "é ✓"),
    "markdown": ("*so*",),
    "xhtml": ("<div xmlns='http://www.w3.org/1999/xhtml'>so</div>",),
    "code": ("active", "a-b"),
    "id": ("a-1.b",),
    "uri": ("urn:oid:1.2.3", "https://example.org/x"),
    "canonical": ("https://example.org/m|1",),
    "url": ("https://example.org/x",),
    "oid": ("urn:oid:1.2.3",),
    "uuid": ("urn:uuid:c757873d-ec9a-4326-a141-556f43239520",),
    "base64Binary": ("YWJj",),
    "date": ("2024", "2024-02", "2024-02-29"),
    "dateTime": ("2024", "2024-02-29T08:00:00Z", "2024-02-29"),
    "instant": ("2024-02-29T08:00:00.5+01:00",),
    "time": ("08:00:00",),
}
_FORMS: Final = {json.dumps(schema, sort_keys=True): name for name, schema in reversed(PRIMITIVES.items())}
"""Of types that look alike in JSON, the first."""
_LEFT_OUT: Final = frozenset({"contained", "text", "implicitRules", "resourceType"})
_SCHEMA: Final[Json] = json.loads(resources.files("schemas.structure").joinpath("r4.schema.json").read_text())


class Maker:
    """Makes one resource after the other, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def resource(self, kind: str) -> Json:
        """Return a resource of this type, with about a third of the elements it may have."""
        return {"resourceType": kind, **self._object(kind, 0)}

    def _object(self, kind: str, depth: int) -> Json:
        definition = _SCHEMA["definitions"][kind]
        if kind == "Extension":
            return self._extension(depth)
        if kind == "Reference":
            return {"reference": "Organization/1"}
        wanted = set(definition.get("required", ())) | _asked_for(definition)
        out: Json = {}
        chosen: set[str] = set()
        names = [
            name for name in definition["properties"] if not name.startswith("_") and name not in _LEFT_OUT
        ]
        self._chance.shuffle(names)
        for name in sorted(names, key=lambda one: one not in wanted):
            choice = _SCHEMA["choices"].get(name)
            needed = name in wanted or (not out and name == names[-1])
            if (choice is not None and choice in chosen) or not (
                needed or self._chance.random() < 0.35 / (depth + 1)
            ):
                continue
            value = self._value(definition["properties"][name], depth)
            if value is not None:
                out[name] = value
                chosen.add(choice)
        return out or {"id": "x"}

    def _extension(self, depth: int) -> Json:
        if depth < 3 and self._chance.random() < 0.3:
            return {"url": "https://example.org/outer", "extension": [self._extension(depth + 3)]}
        kind, name = self._chance.choice([("string", "String"), ("decimal", "Decimal"), ("date", "Date")])
        return {"url": "https://example.org/inner", f"value{name}": self._chance.choice(_SAMPLES[kind])}

    def _value(self, schema: Json, depth: int) -> Any:
        if schema.get("type") == "array":
            items = [self._value(schema["items"], depth) for _ in range(self._chance.randint(1, 2))]
            return items if None not in items else None
        if "allOf" in schema:
            targets = schema["properties"]["reference"]["format"].partition(":")[2].split("|")
            return {"reference": f"{self._chance.choice(targets)}/1"}
        if "$ref" in schema:
            return None if depth > 4 else self._object(schema["$ref"].rpartition("/")[2], depth + 1)
        if "enum" in schema:
            return self._chance.choice([code for code in schema["enum"] if code is not None])
        return self._primitive(schema)

    def _primitive(self, schema: Json) -> Any:
        kinds = schema.get("type")
        one = {**schema, "type": kinds[0]} if isinstance(kinds, list) else schema
        name = _FORMS.get(json.dumps(one, sort_keys=True))
        if name is not None:
            return self._chance.choice(_SAMPLES[name])
        return {"reference": "Organization/1"}.get(str(schema.get("format")))


def _asked_for(definition: Json) -> set[str]:
    """Return the elements that rules of a definition ask for, and one of each choice that is asked for."""
    text = json.dumps(definition.get("allOf", ()))
    plain = {
        name
        for name in definition["properties"]
        if f'{{"anyOf": [{{"required": ["{name}"]}}, {{"required": ["_' in text
    }
    choices: set[str] = set()
    for rule in definition.get("allOf", ()):
        for inner in rule.get("allOf", ()):
            names = [each["required"][0] for each in inner.get("anyOf", ()) if "required" in each]
            choices |= set(names[:1])
    return {name for name in plain if name not in _SCHEMA["choices"]} | choices
