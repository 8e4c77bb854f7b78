"""
Malformed JSON and FHIR through the real doors: our own with exactly what is said of it, and a public corpus's.

Set TEST_CORPUS to the folder of the corpus.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import json_cases
import pytest
from doors import sound, take
from steps import calls_of

from mhbridge.errors import MessageError
from mhbridge.formats.json.reading import read, text_of
from mhbridge.formats.json.scanning import Wrong

SECRETS = (b"NOBODY", b"NELLIE", b"9997770013", b"S77", b"fine", b"1970")
#: What of the well-known suite is refused though a parser may take it, by its code: exactness is the reason of each.
STRICTER = {
    "y_number_double_close_to_zero": "M828",  # 78 characters
    "y_object_duplicated_key": "M821",
    "y_object_duplicated_key_and_value": "M821",
    "y_object_escaped_null_in_key": "M705",
    "y_string_allowed_escapes": "M705",  # \b and \f
    "y_string_escaped_control_character": "M705",
    "y_string_null_escape": "M705",
    "y_string_unescaped_char_delete": "M705",
    "y_string_with_del_character": "M705",
}


def tells_nothing(taken) -> None:
    told = [taken.answer.text.encode()]
    told += [f"{i.code} {i.text} {i.path}".encode() for outcome in taken.outcomes for i in outcome.issues]
    assert not [secret for secret in SECRETS for one in told if secret in one]


@pytest.mark.parametrize("name", json_cases.CASES)
def test_our_cases(name):
    body, kind, expected = json_cases.CASES[name]
    taken = take(body, kind)
    assert taken.codes == expected
    sound(taken)
    tells_nothing(taken)


@pytest.mark.parametrize(
    "make",
    [
        lambda size: json_cases.document(more=', "x": [' + ",".join(["1"] * size) + "]"),
        lambda size: json_cases.document(more=', "x": ' + "[" * size),
        lambda size: b"[" + b",".join([b'{"a": 1, "a": 2}'] * size) + b"]",
        lambda size: json_cases.document(more=', "x": {' + ",".join(f'"{n}": {{}}' for n in range(size)) + "}"),
        lambda size: json_cases.document(more=', "checks": [' + ",".join(['{"name": "x", "value": 1}'] * size) + "]"),
        lambda size: json_cases.document(note='"' + r"\ud83d\ude00" * size + '"'),
    ],
    ids=["values", "depth", "broken documents", "names", "entries", "escapes"],
)
def test_steps_grow_with_the_size_and_no_faster(make):
    def calls(size):
        body = make(size)
        return calls_of(lambda: take(body, "json"))

    assert calls(1000) < 15 * calls(100)


@pytest.mark.parametrize(
    "make",
    [
        lambda size: json_cases.bundle(*(json_cases.practitioner(str(n)) for n in range(size))),
        lambda size: json_cases.encounter(
            ', "participant": ['
            + ", ".join(f'{{"individual": {{"reference": "#{n}"}}}}' for n in range(size))
            + '], "contained": ['
            + ", ".join(f'{{"resourceType": "Practitioner", "id": "{n}"}}' for n in range(size))
            + "]"
        ),
        lambda size: json_cases.bundle(
            *(json_cases.practitioner(str(n)) for n in range(size)),
            *(
                '{"resource": {"resourceType": "PractitionerRole", '
                f'"practitioner": {{"reference": "urn:uuid:{n}"}}}}}}'
                for n in range(size)
            ),
        ),
        lambda size: json_cases.encounter(
            ', "extension": ' + '[{"extension": ' * (size // 25) + "[]" + "}]" * (size // 25)
        ),
    ],
    ids=["entries", "contained", "references back", "extensions in extensions"],
)
def test_steps_grow_with_the_size_and_no_faster_in_fhir(make):
    def calls(size):
        body = make(size)
        return calls_of(lambda: take(body, "fhir"))

    assert calls(1000) < 15 * calls(100)


#: What the public corpus of malformed input asks for, where we decide otherwise, and why.
DIFFERS = {
    "json/ok_bundle.json": (
        "store_dlq",
        "a message without its header says nothing that could be worked: a person looks",
    ),
    "json/status_entered_in_error.json": (
        "store_dlq",
        "a stay is taken back, and neither it nor its patient is named: a person looks. With both it is a retraction",
    ),
}


def manifest() -> list:
    corpus = os.environ.get("TEST_CORPUS")
    files = sorted(Path(corpus).glob("**/generated/MANIFEST.jsonl")) if corpus else []
    if not files:
        return [pytest.param(None, None, marks=pytest.mark.skip(reason="TEST_CORPUS names no folder with a manifest"))]
    cases = [json.loads(line) for line in files[0].read_text("utf-8").splitlines()]
    return [
        pytest.param(case, files[0].parent / case["file"], id=case["file"])
        for case in cases
        if case["file"].startswith("json/")
    ]


@pytest.mark.parametrize(("case", "path"), manifest())
def test_the_manifest(case, path):
    taken = take(path.read_bytes(), "fhir")
    sound(taken)
    tells_nothing(taken)
    expected, _ = DIFFERS.get(case["file"], (case["expect"], ""))
    assert taken.verdict == expected, case["why"]
    assert case["file"] not in DIFFERS or taken.verdict != case["expect"], "DIFFERS says what is no longer true"
    if case["expect"] == "reject" and case["file"] != "json/resourcetype_obj.json":
        # Not FHIR's own rule: any JSON is refused for it.
        assert take(path.read_bytes(), "json").verdict == "reject"


def suite() -> list:
    corpus = os.environ.get("TEST_CORPUS")
    files = sorted(Path(corpus).glob("**/jsontestsuite/test_parsing/*.json")) if corpus else []
    skip = pytest.mark.skip(reason="TEST_CORPUS names no folder with the suite")
    return [pytest.param(path, id=path.stem) for path in files] or [pytest.param(None, marks=skip)]


@pytest.mark.parametrize("path", suite())
def test_the_well_known_suite(path):
    try:
        read(text_of(path.read_bytes()))
        code = ""
    except (Wrong, MessageError) as error:
        code = error.code
    match path.name[0]:
        case "y":
            assert code == STRICTER.get(path.stem, "")
        case "n":
            assert code
        case _:
            assert code in ("", "M704", "M705", "M820", "M823", "M824", "M828")
