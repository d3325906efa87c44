"""What the headers of negotiation say, and what a packed body holds."""

from __future__ import annotations

import gzip
import zlib

import pytest

from schemas.outcome import FhirError
from services.negotiation import coding, takes, takes_gzip, unpacked

_JSON, _FHIR = "application/json", "application/fhir+json"


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        ("", True), ("*/*", True), (_FHIR, True), (_JSON, True), (f"{_FHIR}; fhirVersion=4.0", True),
        ("APPLICATION/FHIR+JSON;Q=0.1", True), ("application/*", True), (f"text/html, {_JSON};q=0.1", True),
        ("text/html, */*;q=0.1", True), (f"{_JSON};q=0, */*", True), (f"{_FHIR};q=x", True),
        (f"{_JSON};q=0", False), (f"{_FHIR};q=0", False), (f"{_FHIR}; q=0.000, */*", False), ("*/*;q=0", False),
        ("application/*;q=0, */*", False), ("application/fhir+xml", False), ("application/fhir+xml,", False),
    ],
)  # fmt: skip
def test_the_most_specific_range_says_whether_json_is_taken(accept: str, taken: bool) -> None:
    assert takes(accept, _FHIR, {_JSON}) is taken


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        ("", False), ("identity", False), ("gzip", True), ("br, GZIP;q=0.5", True), ("x-gzip", True), ("*", True),
        ("gzip;q=0", False), ("gzip; q=0.0, *", False), ("*;q=0", False), ("br, *;q=0", False),
        ("identity;q=0.5, gzip;q=0.2", False), ("identity;q=0.5, gzip", True), ("gzipped", False),
    ],
)  # fmt: skip
def test_gzip_is_sent_to_who_takes_it(accept: str, taken: bool) -> None:
    assert takes_gzip(accept) is taken


def _raw(body: bytes) -> bytes:
    return zlib.compress(body)[2:-4]


@pytest.mark.parametrize(
    ("said", "packed"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("Deflate", zlib.compress), ("deflate", _raw)],
)
def test_a_packed_body_is_unpacked_up_to_the_limit(said: str, packed: object) -> None:
    assert callable(packed)
    body, known = b"0" * 5_000, coding(said)
    assert known is not None
    assert unpacked(packed(body), known, 5_000) == body
    assert unpacked(packed(body), known, 4_999) is None
    for wrong in (body, packed(body)[:-3], packed(body) + b"more"):
        with pytest.raises(FhirError) as refused:
            unpacked(wrong, known, 10_000)
        assert refused.value.status == 400
        assert known in refused.value.issues[0].diagnostics


def test_no_body_holds_nothing() -> None:
    assert unpacked(b"", "gzip", 10) == b""
    assert coding(" Identity ") is None


@pytest.mark.parametrize("said", ["br", "zstd", "compress", "gzip, gzip"])
def test_another_coding_is_refused(said: str) -> None:
    with pytest.raises(FhirError) as refused:
        coding(said)
    assert refused.value.status == 415
    assert refused.value.headers == {"Accept-Encoding": "gzip, deflate, identity"}
