"""Answers: how is JSON text read, cut, joined and compared with every number token kept as it was sent.

A decimal's digits mean something in FHIR (R4 datatypes, decimal: precision is kept), and every JSON library
that goes through floats loses them. So the received text stays text: it is parsed once to be judged, and what
is stored, compared and delivered is made of slices of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from schemas.outcome import FhirError, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 64
"""Deepest nesting accepted; the deepest official example nests 12 levels."""

_WHITE_SPACE = b" \t\r\n"
_ESCAPES_THAT_HIDE_A_COLON = re.compile(rb"\\u00(?:20|22|3[aA])")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_STRING = rb'"((?:[^"\\]|\\.)*+)"'
_PAIR_OR_STRING = re.compile(_STRING + rb"\s*+:\s*+" + _STRING + rb"|" + _STRING, re.DOTALL)
_REFERENCE_KEYS = frozenset({"reference", "valueUri", "valueUrl", "valueOid", "valueUuid"})


def parse(text: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return the JSON object in `text`, once it is certain that no reader can understand it differently.

    Raises:
        FhirError: 400 with one issue, for text that is no JSON (line and column), is not an object, names a
            key twice (with its path), nests deeper than `max_depth`, or holds the character U+0000.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as wrong:
        if "depth limit" in wrong.msg:
            raise _too_deep(max_depth) from None
        raise refuse(
            400,
            "invalid",
            f"The body is not JSON: {wrong.msg}, at line {wrong.lineno} column {wrong.colno}.",
        ) from None
    if not isinstance(value, dict):
        raise refuse(
            400, "invalid", f"The body is {_kind(value)}; expected a JSON object, one FHIR resource."
        )
    _refuse_depth(value, max_depth)
    _refuse_duplicates(value, text)
    if b"\\u0000" in text and _NUL.search(text):
        raise refuse(400, "value", "The body holds the character U+0000, which FHIR strings cannot carry.")
    return value


def _kind(value: Any) -> str:
    return {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )


def _too_deep(max_depth: int) -> FhirError:
    return refuse(400, "too-costly", f"The body nests deeper than {max_depth} levels, the most accepted.")


def _refuse_depth(value: dict[str, Any], max_depth: int) -> None:
    if not _may_be_deeper(value, max_depth):
        return
    level: list[Any] = [value]
    for _ in range(max_depth):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise _too_deep(max_depth)


def _may_be_deeper(value: dict[str, Any], max_depth: int) -> bool:
    """Tell whether `value` may nest deeper, by how far its text is indented: four times as fast as looking.

    No string has a line of its own, and only what stands in `max_depth` others or more is indented so far.
    """
    try:
        return b"\n" + b"  " * max_depth in orjson.dumps(value, option=orjson.OPT_INDENT_2)
    except orjson.JSONEncodeError:  # it nests deeper than can be written
        return True


def _refuse_duplicates(value: dict[str, Any], text: bytes) -> None:
    """Refuse an object that names a key twice: one reader keeps the first, another the last.

    Parsing drops a duplicate, so the text then has more colons after a quote than what was parsed. Only an
    escaped quote, blank or colon inside a string could make up for one; then the slow way decides.
    """
    if _is_written_so(value, text):
        return
    hidden = b"\\u00" in text and _ESCAPES_THAT_HIDE_A_COLON.search(text)
    if not hidden and _colons(text) == _colons(orjson.dumps(value)):
        return
    path = _duplicate(json.loads(text, object_pairs_hook=_Pairs), "")
    if path is not None:
        key = path.rpartition(".")[2]
        raise refuse(400, "structure", f"The key '{key}' stands twice in one object, at {path}.")


def _is_written_so(value: Any, text: bytes) -> bool:
    """Tell whether `text` is `value` as we would write it, white space aside: then no token says more.

    Nothing stands twice, and every number is written as it is read. Most software writes so.
    """
    ours = orjson.dumps(value)
    return text == ours or text.translate(None, _WHITE_SPACE) == ours.translate(None, _WHITE_SPACE)


def _colons(text: bytes) -> int:
    return text.translate(None, _WHITE_SPACE).count(b'":')


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs, duplicates included."""


def _duplicate(value: Any, path: str) -> str | None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, child in value:
            here = f"{path}.{key}" if path else key
            if key in seen:
                return here
            seen.add(key)
            if (found := _duplicate(child, here)) is not None:
                return found
    elif isinstance(value, list):
        for index, child in enumerate(value):
            if (found := _duplicate(child, f"{path}[{index}]")) is not None:
                return found
    return None


_slices = msgspec.json.Decoder(dict[str, msgspec.Raw])


def slices(text: bytes) -> dict[str, msgspec.Raw]:
    """Return the top-level values of a JSON object as slices of its text, in their order.

    Raises:
        msgspec.DecodeError: `text` did not come through `parse`.
    """
    return _slices.decode(text)


class EntryRequest(msgspec.Struct, frozen=True, rename="camel"):
    """`Bundle.entry.request` (FHIR R4)."""

    method: str
    url: str
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_match: str | None = None
    if_none_exist: str | None = None


_NO_RESOURCE = msgspec.Raw()


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    full_url: str | None = None
    resource: msgspec.Raw = _NO_RESOURCE
    request: EntryRequest | None = None


class _Bundle(msgspec.Struct, frozen=True):
    entry: list[_Entry] = []


_bundle = msgspec.json.Decoder(_Bundle)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a Bundle: the resource is its text as sent, `None` when there is none (a DELETE)."""

    full_url: str | None
    request: EntryRequest | None
    resource: bytes | None


def entries(bundle_text: bytes) -> list[Entry]:
    """Return the entries of a Bundle in their order, each resource as the slice of text it was sent as.

    Raises:
        FhirError: 400 when an entry has not the shape of a Bundle entry (R4).
    """
    try:
        bundle = _bundle.decode(bundle_text)
    except msgspec.ValidationError as wrong:
        reason, _, where = str(wrong).partition(" - at `$.")
        expression = "Bundle." + where.rstrip("`") if where else "Bundle"
        raise refuse(400, "structure", f"The Bundle cannot be read: {reason}.", expression) from None
    return [Entry(entry.full_url, entry.request, bytes(entry.resource) or None) for entry in bundle.entry]


def splice(text: bytes, *, id: str, version: int, last_updated: str) -> bytes:  # noqa: A002  # FHIR's own name
    """Return the version to store: `text` with only `id`, `meta.versionId` and `meta.lastUpdated` put in.

    Everything else keeps its bytes and its order; the rest of `meta` (profile, tag, extension) is kept too.
    `last_updated` is a FHIR instant. `text` has come through `parse`; its `meta`, if any, is an object.
    """
    top = slices(text)
    had = top.pop("meta", None)
    top.pop("id", None)
    meta = {} if had is None else slices(bytes(had))
    for name in ("versionId", "lastUpdated", "_versionId", "_lastUpdated"):
        meta.pop(name, None)
    put_in = {"versionId": orjson.dumps(str(version)), "lastUpdated": orjson.dumps(last_updated)}
    front = {"resourceType": top.pop("resourceType")} if "resourceType" in top else {}
    return joined({**front, "id": orjson.dumps(id), "meta": joined({**put_in, **meta}), **top})


def joined(values: Mapping[str, msgspec.Raw | bytes]) -> bytes:
    """Return the JSON object of these slices, in their order: what `slices` takes apart."""
    return b"{" + b",".join([b"%b%b" % (_named(key), raw) for key, raw in values.items()]) + b"}"


@lru_cache(maxsize=1024)  # the elements of FHIR's resources
def _named(key: str) -> bytes:
    return orjson.dumps(key) + b":"


def content_hash(text: bytes, value: Mapping[str, Any]) -> str:
    """Return the sha256 (hex) of what a resource says, without its `id` and `meta`.

    White space and the order of keys do not count, strings count by value, and number tokens count as they
    are written: 1.0 and 1.00 are different content. `text` has come through `parse`, which made `value` of it.
    """
    if not _is_written_so(value, text):
        value = json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
    said = {name: child for name, child in value.items() if name not in {"id", "meta"}}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def rewrite_references(text: bytes, mapping: Mapping[str, str]) -> bytes:
    """Return `text` with every reference that is a key of `mapping` replaced by its value.

    For the temporary and conditional references of a transaction (FHIR R4 http, transaction rules):
    `reference` elements and `valueUri`, `valueUrl`, `valueOid`, `valueUuid`, when the whole string is equal.
    Other strings, and every byte outside the replaced strings, stay as they are.
    """
    if b"\\" not in text and not any(old.encode() in text for old in mapping):
        return text

    def replaced(found: re.Match[bytes]) -> bytes:
        key, value = found.group(1), found.group(2)
        if key is None or _string(key) not in _REFERENCE_KEYS:
            return found.group()
        new = mapping.get(_string(value))
        if new is None:
            return found.group()
        start, end = found.start(), found.start(2) - 1
        return text[start:end] + orjson.dumps(new)

    return _PAIR_OR_STRING.sub(replaced, text)


def _string(inside: bytes) -> str:
    """Return the value of a string token, given what stands between its quotes."""
    return str(orjson.loads(b'"' + inside + b'"')) if b"\\" in inside else inside.decode()
