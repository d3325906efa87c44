"""What does a JSON Patch make of a document? RFC 6902 over parsed JSON; the document given is left as it is."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from schemas.number_tokens import written
from schemas.outcome import refuse

MOST_OPERATIONS: Final = 1_000
MOST_COPIED: Final = 100_000
"""Values that the `copy` operations of one patch may make: each could double the document."""

_MOST_SHOWN: Final = 60
"""Characters of a value that an error shows."""

_MEMBERS: Final = {
    "add": ("path", "value"),
    "replace": ("path", "value"),
    "test": ("path", "value"),
    "remove": ("path",),
    "move": ("from", "path"),
    "copy": ("from", "path"),
}


def apply_patch(document: dict[str, Any], patch: Any) -> dict[str, Any]:
    """Return the document with the operations of a patch applied, all of them.

    Raises:
        FhirError: 400 for what is no JSON Patch, 422 for one that does not fit the document; names the operation.
    """
    if not isinstance(patch, list):
        said = f"found {_kind(patch)}; expected a JSON Patch, an array of operations"
        raise refuse(400, "invalid", said)
    if len(patch) > MOST_OPERATIONS:
        raise refuse(422, "too-costly", f"found {len(patch)} operations; expected at most {MOST_OPERATIONS}")
    root: list[Any] = [copy.deepcopy(document)]
    copied = 0
    for place, operation in enumerate(patch):
        _check(operation, place)
        named = f"operation {place} ({operation['op']} {_shortened(operation['path'])})"
        try:
            if operation["op"] == "copy":
                copied += _values(_find(root, _steps(operation["from"])))
            if copied > MOST_COPIED:
                raise refuse(422, "too-costly", f"{named}: more than {MOST_COPIED} values would be copied")
            _apply(root, operation)
        except _UnfitError as why:
            raise refuse(422, "processing", f"{named}: {why}") from None
    if not isinstance(root[0], dict):
        raise refuse(422, "processing", f"the patch leaves {_kind(root[0])}; expected an object")
    return root[0]


class _UnfitError(Exception):
    """The operation does not fit the document."""


def _check(operation: Any, place: int) -> None:
    if not isinstance(operation, dict):
        raise refuse(400, "structure", f"operation {place} is {_kind(operation)}; expected an object")
    if "op" not in operation:
        said = f"operation {place} has no op; expected one of {', '.join(_MEMBERS)}"
        raise refuse(400, "required", said)
    name = operation["op"]
    if not isinstance(name, str) or name not in _MEMBERS:
        said = f"the op of operation {place} is {_shown(name)}; expected one of {', '.join(_MEMBERS)}"
        raise refuse(400, "value", said)
    for member in _MEMBERS[name]:
        if member not in operation:
            raise refuse(400, "required", f"operation {place} ({name}) has no {member}")
        pointer = operation[member]
        if member != "value" and (not isinstance(pointer, str) or (pointer and pointer[0] != "/")):
            said = f"operation {place} ({name}): {member} is {_shown(pointer)}; expected a JSON Pointer, such as /status"
            raise refuse(400, "value", said)


def _apply(root: list[Any], operation: dict[str, Any]) -> None:
    path = _steps(operation["path"])
    match operation["op"]:
        case "add":
            _add(root, path, copy.deepcopy(operation["value"]))
        case "remove":
            _remove(root, path, "remove")
        case "replace":
            _remove(root, path, "replace")
            _add(root, path, copy.deepcopy(operation["value"]))
        case "move":
            source = _steps(operation["from"])
            if path[: len(source)] == source and path != source:
                raise _UnfitError("cannot move a value into itself")
            _add(root, path, _remove(root, source, "move"))
        case "copy":
            _add(root, path, copy.deepcopy(_find(root, _steps(operation["from"]))))
        case _:
            if not _same(found := _find(root, path), operation["value"]):
                where = _shortened(operation["path"]) or "the document"
                raise _UnfitError(f"found {_shown(found)} at {where}; expected {_shown(operation['value'])}")


def _values(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_values, inner))


def _steps(pointer: str) -> list[str]:
    """Return the steps of a JSON Pointer below the list that holds the document."""
    return ["0", *(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])]


def _find(holder: Any, path: Sequence[str]) -> Any:
    for step in path:
        holder = _item(holder, step)
    return holder


def _item(holder: Any, step: str) -> Any:
    if isinstance(holder, dict) and step in holder:
        return holder[step]
    if isinstance(holder, list):
        return holder[_index(holder, step, len(holder) - 1)]
    raise _UnfitError(f"there is no {step!r} where the path leads")


def _index(holder: list[Any], step: str, most: int) -> int:
    if not (step.isascii() and step.isdigit() and len(step) < 10 and str(int(step)) == step):
        raise _UnfitError(f"{step!r} is no index of an array")
    if int(step) > most:
        raise _UnfitError(f"the array has {len(holder)} items, none at {step}")
    return int(step)


def _add(root: list[Any], path: Sequence[str], value: Any) -> None:
    if len(path) == 1:
        root[:] = [value]
        return
    holder, step = _find(root, path[:-1]), path[-1]
    if isinstance(holder, dict):
        holder[step] = value
    elif isinstance(holder, list):
        holder.insert(len(holder) if step == "-" else _index(holder, step, len(holder)), value)
    else:
        raise _UnfitError(f"nothing can be added below {path[-2]!r}")


def _remove(root: list[Any], path: Sequence[str], why: str) -> Any:
    if len(path) == 1:
        (value,) = root
        root[:] = [None]
        return value
    holder, step = _find(root, path[:-1]), path[-1]
    if isinstance(holder, dict) and step in holder:
        return holder.pop(step)
    if isinstance(holder, list):
        return holder.pop(_index(holder, step, len(holder) - 1))
    raise _UnfitError(f"there is no {step!r} to {why}")


def _same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal; `true` is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"
        case _:
            return "a number"


def _shown(value: Any) -> str:
    """Return the start of a value's JSON text; what kind it is when it is nested too deeply to be written."""
    try:
        return _shortened(written(value).decode())
    except TypeError:
        return _kind(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
