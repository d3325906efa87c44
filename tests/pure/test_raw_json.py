"""JSON text is cut, joined and compared without touching a number token, and is refused when it is ambiguous."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import raw_json
from schemas.outcome import FhirError

NUMBERS = [
    "1.0", "1.00", "100", "-0", "-0.0", "0.10", "1e2", "1E+2", "1.50e-3", "12345678901234567890",
    "12345678901234567890.123456789012345678901234567890", "0.0000000000000000000000001",
]  # fmt: skip
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(-?[0-9][0-9.eE+-]*)')


def number_tokens(text: bytes) -> list[str]:
    """Return the number tokens of JSON text in order, strings left out; independent of the code under test."""
    return [found.group(1) for found in _TOKEN.finditer(text.decode()) if found.group(1)]


def _object(members: dict[str, str], gap: str) -> str:
    pairs = (f"{json.dumps(key)}{gap}:{gap}{value}" for key, value in members.items())
    return "{" + gap + ("," + gap).join(pairs) + "}"


def _array(items: list[str], gap: str) -> str:
    return "[" + gap + ("," + gap).join(items) + "]"


_GAPS = st.sampled_from(["", " ", "\n  "])
_TEXTS = st.text('ab1.0"\\:{}[], \n\té€/', max_size=8)
_WHOLE = st.integers(min_value=-(10**40), max_value=10**40).map(str)
_DECIMAL = st.builds(
    lambda whole, part, power: f"{whole}.{part}{power}",
    _WHOLE,
    st.text("0123456789", min_size=1, max_size=30),
    st.sampled_from(["", "e2", "E-3", "e+0"]),
)
_STRING = st.one_of(_TEXTS, st.sampled_from(['"a": 1.0', "1.00", '\\"x\\": 2'])).map(json.dumps)
_LEAF = st.one_of(st.sampled_from(NUMBERS), _WHOLE, _DECIMAL, _STRING, st.sampled_from(["true", "false"]))
_VALUE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.builds(_array, st.lists(inner, max_size=3), _GAPS),
        st.builds(_object, st.dictionaries(_TEXTS, inner, max_size=3), _GAPS),
    ),
    max_leaves=8,
)
_META = st.builds(_object, st.dictionaries(st.sampled_from(["extension", "tag"]), _VALUE), _GAPS)
_MEMBERS = st.dictionaries(st.sampled_from(["a", "value", "group", "é"]), _VALUE)


@st.composite
def json_texts(draw: st.DrawFn) -> str:
    """Draw a resource as text: numbers written in every way, strings that look like numbers and like JSON."""
    meta = draw(st.one_of(st.none(), _META))
    top = {"resourceType": '"MeasureReport"', **draw(_MEMBERS), **({} if meta is None else {"meta": meta})}
    return _object(top, draw(_GAPS))


@given(json_texts())
@example('{"resourceType": "X", "a": [1.0, 1.00, 1e2, -0.0, 12345678901234567890.123, "1.000"]}')
def test_splice_keeps_every_number_token(text: str) -> None:
    sent = text.encode()
    stored = raw_json.splice(sent, id="r1", version=7, last_updated="2026-01-01T00:00:00.000Z")

    assert sorted(number_tokens(stored)) == sorted(number_tokens(sent))
    expected = {**orjson.loads(sent), "id": "r1"}
    expected["meta"] = {
        **expected.get("meta", {}),
        "versionId": "7",
        "lastUpdated": "2026-01-01T00:00:00.000Z",
    }
    assert orjson.loads(stored) == expected


def test_splice_replaces_id_and_version_and_keeps_the_rest_of_meta() -> None:
    sent = (
        b'{"id":"theirs","resourceType":"MeasureReport","meta":{"versionId":"9","_lastUpdated":{"id":"x"},'
        b'"profile":["p"],"tag":[{"code":"settled"}],"extension":[{"url":"u","valueDecimal":1.00}]},"value":0.10}'
    )

    assert raw_json.splice(sent, id="ours", version=2, last_updated="2026-01-01T00:00:00Z") == (
        b'{"resourceType":"MeasureReport","id":"ours","meta":{"versionId":"2","lastUpdated":"2026-01-01T00:00:00Z",'
        b'"profile":["p"],"tag":[{"code":"settled"}],"extension":[{"url":"u","valueDecimal":1.00}]},"value":0.10}'
    )


@given(json_texts())
def test_what_splice_adds_does_not_count_as_content(text: str) -> None:
    sent = text.encode()
    stored = raw_json.splice(sent, id="r1", version=3, last_updated="2026-01-01T00:00:00Z")

    assert _content(stored) == _content(sent)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a":1,"b":2}', '{ "b" : 2,\n "a" : 1 }', True),
        ('{"a":"\\u00e9"}', '{"a":"é"}', True),
        ('{"id":"x","meta":{"tag":[1]},"a":1}', '{"a":1}', True),
        ('{"a":1.0}', '{"a":1.00}', False),
        ('{"a":1.0}', '{"a":1}', False),
        ('{"a":1e2}', '{"a":100}', False),
        ('{"a":-0.0}', '{"a":0.0}', False),
        ('{"a":1}', '{"a":"1"}', False),
        ('{"a":[1,2]}', '{"a":[2,1]}', False),
        ('{"a":{"id":"x"}}', '{"a":{"id":"y"}}', False),
        ('{"a":12345678901234567890123}', '{"a":12345678901234567890124}', False),
    ],
)
def test_content_hash_compares_what_is_said_and_numbers_as_written(
    one: str, other: str, *, same: bool
) -> None:
    assert (_content(one.encode()) == _content(other.encode())) is same


@given(json_texts())
def test_how_numbers_are_written_counts_whichever_way_the_hash_is_made(text: str) -> None:
    """Text that is written as we would write it has a quick way; it must come to the same."""
    sent = text.encode()
    slow = json.loads(sent, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
    said = {name: value for name, value in slow.items() if name not in {"id", "meta"}}
    expected = hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
    assert _content(sent) == expected


def _content(text: bytes) -> str:
    return raw_json.content_hash(text, orjson.loads(text))


def _refusal(text: bytes, **limits: Any) -> tuple[int, str]:
    with pytest.raises(FhirError) as refused:
        raw_json.parse(text, **limits)
    (issue,) = refused.value.issues
    return refused.value.status, issue.diagnostics


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a": 1,\n "b": }', "line 2 column 7"),
        (b"", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": 1e400}', "not JSON"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'[{"a": 1}]', "an array"),
        (b'"text"', "a string"),
        (b"null", "null"),
        (b'{"a": "x\\u0000y"}', "U+0000"),
        (b'{"a\\u0000": 1}', "U+0000"),
    ],
)
def test_text_that_is_no_json_object_is_refused_with_its_reason(text: bytes, words: str) -> None:
    status, diagnostics = _refusal(text)

    assert status == 400
    assert words in diagnostics


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert raw_json.parse(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"a":1,"a":2}', "at a."),
        (b'{"a" :1,"a":2}', "at a."),
        (b'{"a":1,"\\u0061":1}', "at a."),
        (b'{"group":[{"x":1},{"x":1,"y":{"z":1,"z":1}}]}', "at group[1].y.z."),
        # each of these makes up for the lost key with a string that gains a colon when it is written anew
        (b'{"a":1,"a":2,"b":"\\u0022:"}', "at a."),
        (b'{"a":1,"a":2,"b":"\\"\\u003a"}', "at a."),
        (b'{"a":1,"a":2,"b":"\\"\\u003A"}', "at a."),
        (b'{"a":1,"a":2,"b":"\\"\\u0020:"}', "at a."),
        (b'{"a":1,"a":2,"b":"\\" :"}', "at a."),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_path(text: bytes, path: str) -> None:
    status, diagnostics = _refusal(text)

    assert status == 400
    assert path in diagnostics


@given(json_texts())
@example('{"b":"\\u0022:\\u0020\\" :"}')
@example('{"a": "\\"b\\": 1, \\"b\\": 2", "b" : {"a": 1}}')
def test_text_without_duplicates_is_parsed(text: str) -> None:
    assert raw_json.parse(text.encode()) == orjson.loads(text)


def test_nesting_is_bounded_exactly_and_brackets_in_strings_do_not_count() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)

    assert raw_json.parse(nested(8), max_depth=8)
    assert _refusal(nested(9), max_depth=8)[0] == 400
    assert raw_json.parse(b'{"a":"[[[[[[[["}', max_depth=2)
    assert _refusal(b'{"a":["]",["]",["]"]]]}', max_depth=3)[0] == 400
    assert "levels" in _refusal(nested(5000))[1]


def test_entries_are_the_text_that_was_sent() -> None:
    bundle = (
        b'{"resourceType":"Bundle","type":"transaction","entry":['
        b'{"fullUrl":"urn:uuid:1","resource": {"resourceType":"Group", "n": 1.00},'
        b'"request":{"method":"POST","url":"Group","ifNoneExist":"identifier=a|b"}},'
        b'{"request":{"method":"DELETE","url":"Group/1"},"link":[{"relation":"self"}]}]}'
    )

    first, second = raw_json.entries(bundle)

    assert first.full_url == "urn:uuid:1"
    assert first.resource == b'{"resourceType":"Group", "n": 1.00}'
    assert first.request is not None
    assert (first.request.method, first.request.if_none_exist) == ("POST", "identifier=a|b")
    assert second.resource is None
    assert raw_json.entries(b'{"resourceType":"Bundle"}') == []


def test_a_bundle_of_the_wrong_shape_names_the_entry() -> None:
    with pytest.raises(FhirError) as refused:
        raw_json.entries(
            b'{"entry":[{"request":{"method":"POST","url":"Group"}},{"request":{"method":1,"url":"x"}}]}'
        )

    assert refused.value.status == 400
    assert refused.value.issues[0].expression == "Bundle.entry[1].request.method"


def test_references_are_rewritten_only_where_a_reference_stands() -> None:
    text = (
        b'{"text":"\\"reference\\":\\"urn:uuid:1\\"","reporter":{"reference" : "urn:uuid:1","display":"urn:uuid:1"},'
        b'"subject":{"\\u0072eference":"urn:uuid:\\u0031"},"identifier":[{"value":"urn:uuid:1"}],"n":1.00,'
        b'"list":["reference","urn:uuid:1"],"valueUri":"urn:uuid:1","other":{"reference":"urn:uuid:12"},'
        b'"who":{"reference":"Organization?identifier=a|b"}}'
    )

    assert raw_json.rewrite_references(
        text, {"urn:uuid:1": "Group/7", "Organization?identifier=a|b": "Organization/9"}
    ) == (
        b'{"text":"\\"reference\\":\\"urn:uuid:1\\"","reporter":{"reference" : "Group/7","display":"urn:uuid:1"},'
        b'"subject":{"\\u0072eference":"Group/7"},"identifier":[{"value":"urn:uuid:1"}],"n":1.00,'
        b'"list":["reference","urn:uuid:1"],"valueUri":"Group/7","other":{"reference":"urn:uuid:12"},'
        b'"who":{"reference":"Organization/9"}}'
    )


@given(json_texts())
def test_rewriting_nothing_changes_no_byte(text: str) -> None:
    assert raw_json.rewrite_references(text.encode(), {"urn:uuid:absent": "Group/1"}) == text.encode()
