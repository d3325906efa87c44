"""Which operations are this project's own? Each is one file here: an OperationDefinition (R4), as it is served.

Adding an operation is adding a file: it is then served at `OperationDefinition/{id}`, and the CapabilityStatement
lists it with its canonical on each resource type that the file names.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import orjson

SEARCHED_BY: Final = ("code", "url")
"""Elements that are search parameters too (R4: OperationDefinition-code, conformance-url)."""


@cache
def operations() -> Mapping[str, dict[str, Any]]:
    """Return every OperationDefinition by its logical id, in the order of the ids."""
    read = [
        orjson.loads(each.read_bytes()) for each in files(__name__).iterdir() if each.name.endswith(".json")
    ]
    return MappingProxyType({each["id"]: each for each in sorted(read, key=lambda one: str(one["id"]))})


def of_type(kind: str) -> list[dict[str, str]]:
    """Return what the CapabilityStatement lists on a resource type: each operation's name and canonical."""
    return [
        {"name": each["code"], "definition": each["url"]}
        for each in operations().values()
        if kind in each["resource"]
    ]
