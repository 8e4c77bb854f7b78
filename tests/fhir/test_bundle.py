"""Bundles, identities and JSON: exact, deterministic, strict."""

from __future__ import annotations

import json
import math
import uuid
from datetime import date
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhbridge.errors import MalformedMessage
from mhbridge.fhir.bundle import (
    Entry,
    document_bundle,
    dumps,
    full_url,
    loads,
    plain_bundle,
    reference,
    resource_id,
    transaction_bundle,
)
from mhbridge.fhir.validate import validate

# --- identity ---


def test_an_id_never_changes() -> None:
    """Ids are in documents that others keep: the same parts must give this id in every later release, too."""
    assert resource_id("example-mental-health", "1234", "patient") == "74faaef1-60b7-83e7-97ec-295bd87d838f"


@given(parts=st.lists(st.text(), min_size=1))
def test_an_id_is_a_uuid_of_version_8(parts: list[str]) -> None:
    found = uuid.UUID(resource_id(*parts))
    assert (found.version, found.variant) == (8, uuid.RFC_4122)
    assert resource_id(*parts) == str(found)


@given(
    one=st.lists(st.text(max_size=3), min_size=1, max_size=4), two=st.lists(st.text(max_size=3), min_size=1, max_size=4)
)
def test_different_parts_different_ids(one: list[str], two: list[str]) -> None:
    assert (resource_id(*one) == resource_id(*two)) == (one == two)


def test_parts_are_not_joined() -> None:
    assert resource_id("ab", "c") != resource_id("a", "bc") != resource_id("abc")


def test_an_id_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        resource_id()


# --- bundles ---

PATIENT = {"resourceType": "Patient", "id": resource_id("x", "patient"), "active": True}
URL = full_url(PATIENT["id"])  # type: ignore[arg-type]
COMPOSITION = {
    "resourceType": "Composition",
    "id": resource_id("x", "composition"),
    "status": "final",
    "type": {"text": "Letter"},
    "subject": reference(URL),
    "date": "2026-03-02",
    "author": [reference(URL)],
    "title": "Letter",
}


def test_document() -> None:
    bundle = document_bundle(
        [Entry(full_url(COMPOSITION["id"]), COMPOSITION), Entry(URL, PATIENT)],  # type: ignore[arg-type]
        identifier={
            "system": "https://tools.ietf.org/html/rfc4122",
            "value": "urn:uuid:d5158efd-4f33-81cb-8ee0-9dd448918cc5",
        },
        timestamp="2026-03-02T10:00:00Z",
        identity="b1",
        meta={"profile": ["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Bundle"]},
    )
    assert list(bundle) == ["resourceType", "id", "meta", "identifier", "type", "timestamp", "entry"]
    assert [list(entry) for entry in bundle["entry"]] == [["fullUrl", "resource"]] * 2
    assert bundle["entry"][1]["resource"] is PATIENT
    assert validate(bundle) == ()


def test_transaction_puts_by_id() -> None:
    bundle = transaction_bundle([Entry(URL, PATIENT)])
    (entry,) = bundle["entry"]
    assert entry["request"] == {"method": "PUT", "url": f"Patient/{PATIENT['id']}"}
    assert entry["resource"] is PATIENT
    assert validate(bundle) == ()


@pytest.mark.parametrize(
    ("system", "value", "url"),
    [
        ("https://fhir.nhs.uk/Id/nhs-number", "9991234500", "https%3A%2F%2Ffhir.nhs.uk%2FId%2Fnhs-number%7C9991234500"),
        ("urn:x", "A B&c=d", "urn%3Ax%7CA%20B%26c%3Dd"),
        ("urn:x", "a|b,c$d\\e", "urn%3Ax%7Ca%5C%7Cb%5C%2Cc%5C%24d%5C%5Ce"),
        ("urn:x", "é", "urn%3Ax%7C%C3%A9"),
    ],
    ids=["plain", "query characters", "search characters", "not ASCII"],
)
def test_transaction_puts_by_identifier(system: str, value: str, url: str) -> None:
    bundle = transaction_bundle([Entry(URL, PATIENT, (system, value))], timestamp="2026-03-02T10:00:00Z")
    (entry,) = bundle["entry"]
    assert entry["request"] == {"method": "PUT", "url": f"Patient?identifier={url}"}
    assert "id" not in entry["resource"]
    assert "id" in PATIENT
    assert validate(bundle) == ()


def test_message_and_empty_bundle() -> None:
    identifier = {"system": "urn:x", "value": "1"}
    bundle = plain_bundle("message", [Entry(URL, PATIENT)], identifier=identifier, timestamp="2026-03-02T10:00:00Z")
    assert (bundle["type"], bundle["identifier"], len(bundle["entry"])) == ("message", identifier, 1)
    assert validate(plain_bundle("collection", [])) == ()
    assert validate(transaction_bundle([])) != ()


# --- JSON ---

#: decimal as it is read → as it is written
DECIMALS = {
    "1.10": "1.10",
    "0.0": "0.0",
    "-0.00": "-0.00",
    "-0": "-0",
    "100": "100",
    "100.0": "100.0",
    "0.0000001": "0.0000001",
    "1e-7": "0.0000001",
    "1.50e2": "150",
    "1E+2": "1E+2",
    "1e400": "1E+400",
    "3.141592653589793238462643383279": "3.141592653589793238462643383279",
    "123456789012345678901234567890": "123456789012345678901234567890",
    "1e-40": "1E-40",
}


@pytest.mark.parametrize(("read", "written"), DECIMALS.items())
def test_decimals_keep_their_digits(read: str, written: str) -> None:
    body = dumps(loads(f'{{"value":{read}}}'.encode()))
    assert body == f'{{"value":{written}}}'.encode()
    assert Decimal(read).as_tuple() == Decimal(written).as_tuple() or "e" not in read.lower()


def test_floats_would_not() -> None:
    """The control: what the usual reader makes of a dose."""
    assert orjson.dumps(orjson.loads(b'{"value":1.10}')) == b'{"value":1.1}'


numbers = st.integers(1 - 10**18, 10**19 - 1) | st.decimals(allow_nan=False, allow_infinity=False, places=6)
trees = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def exact(value: Any) -> Any:
    """A tree in which 1, 1.0 and true are different."""
    if isinstance(value, dict):
        return {key: exact(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [exact(inner) for inner in value]
    return value.as_tuple() if isinstance(value, Decimal) else (type(value), value)


@given(trees)
def test_round_trip(tree: Any) -> None:
    body = dumps(tree)
    assert exact(loads(body)) == exact(tree)
    assert loads(dumps(tree, pretty=True)) == tree
    assert dumps(loads(body)) == body


def test_pretty() -> None:
    assert dumps({"a": [Decimal("1.0")]}, pretty=True) == b'{\n  "a": [\n    1.0\n  ]\n}\n'


def test_keys_keep_their_order_and_text_is_utf8() -> None:
    assert dumps({"b": "é\u2028", "a": "\n"}) == '{"b":"é\u2028","a":"\\n"}'.encode()


@pytest.mark.parametrize(
    "number", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("-Infinity"), Decimal("sNaN")]
)
@pytest.mark.parametrize(
    "shape", [lambda n: n, lambda n: {"a": [n]}, lambda n: [None, {"b": {"c": n}}], lambda n: (n,)]
)
def test_numbers_that_are_not_finite_are_refused(number: Any, shape: Any) -> None:
    with pytest.raises(ValueError, match="not finite"):
        dumps(shape(number))


def test_the_library_would_write_null() -> None:
    assert orjson.dumps(math.nan) == b"null"


@pytest.mark.parametrize("value", [date(2026, 3, 1), {1: 2}, {"a": object()}, "\ud83d", 2**70, {"a": {1, 2}}])
def test_what_json_does_not_know_is_refused(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        dumps(value)
    assert "2026" not in str(caught.value)


REFUSED = {
    "no UTF-8": (b'{"a":"\xe9"}', "V150"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "V150"),
    "empty": (b"", "V151"),
    "cut off": (b'{"a":[1,2', "V151"),
    "cut off in text": (b'{"a":"b', "V151"),
    "cut off in an escape": (b'{"a":"b\\', "V151"),
    "comma too many": (b'{"a":1,}', "V151"),
    "two documents": (b"{}{}", "V151"),
    "leading zero": (b'{"a":01}', "V151"),
    "no leading zero": (b'{"a":.5}', "V151"),
    "control character": (b'{"a":"\x01"}', "V151"),
    "single quotes": (b"{'a':1}", "V151"),
    "name twice": (b'{"a":1,"b":{"c":1,"c":1}}', "V152"),
    "name twice, once escaped": (b'{"a":1,"\\u0061":2}', "V152"),
    "NaN": (b'{"a":NaN}', "V153"),
    "Infinity": (b'{"a":-Infinity}', "V153"),
    "too deep": (b"[" * 65 + b"]" * 65, "V154"),
    "much too deep": (b'{"a":' * 100_000, "V154"),
    "half a pair": (b'{"a":["\\ud83d"]}', "V155"),
    "half a pair in a name": (b'{"\\uDC00":1}', "V155"),
    "endless exponent": (b'{"a":1e99999999999999999999}', "V156"),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(body: bytes, code: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        loads(body)
    assert caught.value.code == code


ACCEPTED = {
    "as deep as can be": (b"[" * 64 + b"]" * 64, None),
    "brackets in text": (b'{"a":"' + b"[{" * 500 + b'"}', {"a": "[{" * 500}),
    "quotes in text": (b'{"a":"\\"[\\\\"}', {"a": '"[\\'}),
    "whole pair": (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    "backslash before u": (b'{"a":"\\\\ud83d"}', {"a": "\\ud83d"}),
    "byte order mark": (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
    "same name in two objects": (b'[{"a":1},{"a":1}]', [{"a": 1}, {"a": 1}]),
}


@pytest.mark.parametrize(("body", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(body: bytes, expected: Any) -> None:
    assert expected is None or loads(body) == expected
    loads(body)


def test_where_it_went_wrong_is_counted_in_bytes() -> None:
    with pytest.raises(MalformedMessage) as caught:
        loads('{"a":"éé" x}'.encode())
    assert caught.value.offset == 12


def test_the_usual_reader_drops_the_first_of_two() -> None:
    assert json.loads('{"birthDate":"1984","birthDate":"1948"}') == {"birthDate": "1948"}
