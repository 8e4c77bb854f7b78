"""
Lineage is held against what is really written: every value of every fixture's documents is traced, and with the value
that the document has.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mhbridge.cli import main
from mhbridge.errors import MessageError
from mhbridge.fhir.bundle import dumps, loads
from mhbridge.fhir.validate import default_validator
from mhbridge.mapping.catalogue import load
from mhbridge.mapping.library import built_in
from mhbridge.mapping.tracing import trace
from mhbridge.model import Severity
from mhbridge.testing.replaying import RECEIVED_AT, cases, feed_of, outcomes_of
from shipped import catalogue

FIXTURES = list(cases(built_in("fixtures")))
LETTER = "example-mental-health/discharge-letter"
STEP = re.compile(r"([A-Za-z_]+)(?:\[(\d+)\])?")


def at(resources: dict[str, list[dict[str, Any]]], element: str) -> Any:
    """What stands at `Condition[2].code.coding[1]`."""
    value: Any = resources
    for name, number in STEP.findall(element):
        value = value[name]
        if number:
            value = value[int(number) - 1]
    return value


def leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value, 1):
            yield from leaves(inner, f"{path}[{place}]")
    else:
        yield path


#: What is no value: made by the flow, or generated from items that have lines of their own.
MADE = re.compile(
    r"\.(resourceType|id)$|^Composition\[1\]\.(section|relatesTo)|\.data-absent-reason|\._|^\w+\[\d+\]\.text\."
)


@pytest.mark.parametrize("case", FIXTURES, ids=lambda case: case.name)
def test_every_value_of_a_document_is_traced(case) -> None:
    feed = feed_of(catalogue(), case.supplier)
    body = case.path.read_bytes()
    outcomes, _ = outcomes_of(body, feed, RECEIVED_AT)
    # What undoes a merge is no mapping's: the flow makes it of both records.
    own = [outcome for outcome in outcomes if all(reading.act.value != "unlink" for reading in outcome.readings)]
    made = [document for outcome in own for document in outcome.documents]
    documents = {made[0].type: loads(made[0].body)} if len(outcomes) == len(made) == 1 else {}
    for mapping in feed.mappings:
        bundle = documents.get(mapping.document.name)
        if bundle is None or mapping.format.name not in ("csv" if case.path.suffix == ".csv" else "hl7v2"):
            continue
        for message, takers in mapping.format.messages(body, [mapping.source]):
            if isinstance(message, MessageError) or not takers:
                continue
            lines = [one for one in trace(mapping, message, RECEIVED_AT) if ".section[" not in one.element]
            resources: dict[str, list[dict[str, Any]]] = {}
            for entry in bundle["entry"]:
                resources.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
            for line in lines:
                written = at(resources, line.element)
                same = json.loads(dumps({"value": written})) == json.loads(dumps({"value": line.value}))
                assert same or isinstance(written, dict), line.element
            known = {line.element for line in lines}
            for kind, several in resources.items():
                for place, resource in enumerate(several, 1):
                    for leaf in leaves(resource, f"{kind}[{place}]"):
                        steps = [leaf[: found.start()] for found in re.finditer(r"[.\[]", leaf)]
                        assert MADE.search(leaf) or known & {leaf, *steps}, leaf


def test_the_trace_names_item_path_and_line() -> None:
    mapping = catalogue().mapping(LETTER)
    body = (built_in("fixtures") / LETTER / "plain.hl7").read_bytes()
    [(message, _)] = mapping.format.messages(body, [mapping.source])
    [line] = [one for one in trace(mapping, message, RECEIVED_AT) if one.element == "Patient[1].birthDate"]
    [origin] = line.origins
    assert line.items == ("birth_date",)
    assert (origin.path, origin.said) == ("PID-7.1", "19870621")
    text = (built_in("mappings") / "suppliers" / f"{LETTER}.yaml").read_text("utf-8").splitlines()
    number = int(origin.place.rsplit(":", 2)[1])
    assert text[number - 1] == "  birth_date: = PID-7"


def test_a_field_that_a_template_did_not_get_comes_from_nowhere() -> None:
    mapping = catalogue().mapping(LETTER)
    body = (built_in("fixtures") / LETTER / "plain.hl7").read_bytes()
    [(message, _)] = mapping.format.messages(body, [mapping.source])
    [line] = [one for one in trace(mapping, message, RECEIVED_AT) if one.element == "Location[1].name"]
    assert line.items == ("ward.ward",), "it is the name of the place, or else the ward; the place has no name here"


def test_static_lineage_has_conditions_templates_and_narrative() -> None:
    lines = catalogue().mapping(LETTER).lineage()
    found = {(line.element, line.item, line.path, line.as_) for line in lines}
    assert ("Practitioner.name", "diagnoses.recorded_by.name", "OBX-16", "value") in found
    assert ("Composition.confidentiality", "sensitive (sensitivity)", "PV1-16", "condition") in found
    assert ("Composition.section[diagnoses].text", "diagnoses", "OBX-5", "narrative") in found
    assert ("Practitioner.identifier", "recipients.who.identifiers", "TXA-23.", "value") in found
    assert not [line for line in lines if line.item == "recipients.organisation"], "this mapping does not bind it"


@pytest.mark.parametrize("name", catalogue().names())
def test_what_is_bound_has_lineage(name) -> None:
    mapping = catalogue().mapping(name)
    lines = mapping.lineage()
    told = {re.split(r"[.\[ ]", part)[0] for line in lines for part in re.findall(r"[a-z_]\w*[\w.]*", line.item)}
    assert {item.name for item in mapping.file.items} <= told


def said(capsys, *arguments: object) -> str:
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    assert not end.value.code
    return capsys.readouterr().out


def test_lineage_as_json_csv_and_table_says_the_same(capsys) -> None:
    table = said(capsys, "explain", LETTER, "--lineage", "table")
    lines = json.loads(said(capsys, "explain", LETTER, "--lineage", "json"))
    rows = list(csv.DictReader(said(capsys, "explain", LETTER, "--lineage", "csv").splitlines()))
    assert rows == lines
    assert len(table.splitlines()) == sum(line["as"] != "stated" for line in lines)


def test_values_go_only_where_the_trace_was_asked_for(tmp_path, capsys) -> None:
    path = built_in("fixtures") / LETTER / "plain.hl7"
    with pytest.raises(SystemExit):
        main(["translate", str(path), "--trace", "--out", str(tmp_path)])
    out, err = capsys.readouterr()
    assert "19870621" not in out + err
    written = tmp_path / "plain.trace.json"
    assert "19870621" in written.read_text("utf-8")
    assert written.stat().st_mode & 0o077 == 0
    with pytest.raises(SystemExit):
        main(["translate", str(path), "--trace"])
    assert 'Patient[1].birthDate = 1987-06-21\n      <- birth_date <- PID-7.1 "19870621"' in capsys.readouterr().err


def test_a_feed_that_asks_for_it_gets_provenance(tmp_path) -> None:
    for name in ("example-mental-health/discharge-letter", "example-acute/adt"):
        folder = tmp_path / "suppliers" / name.partition("/")[0]
        folder.mkdir(parents=True)
        for source in (built_in("mappings") / "suppliers" / name.partition("/")[0]).rglob("*"):
            target = folder / source.relative_to(built_in("mappings") / "suppliers" / name.partition("/")[0])
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        path = tmp_path / "suppliers" / f"{name}.yaml"
        path.write_text(path.read_text("utf-8").replace("\nsource:", "\nprovenance: true\nsource:", 1), "utf-8")
    changed = load([tmp_path])
    for supplier, fixture in (
        ("example-mental-health", "discharge-letter/plain.hl7"),
        ("example-acute", "adt/a03-discharge.hl7"),
    ):
        body = (built_in("fixtures") / supplier / fixture).read_bytes()
        [outcome] = outcomes_of(body, feed_of(changed, supplier), RECEIVED_AT)[0]
        [document] = outcome.documents
        bundle = loads(document.body)
        assert [i for i in default_validator()(bundle) if i.severity is Severity.ERROR] == []
        found = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Provenance"]
        others = [e for e in bundle["entry"] if e["resource"]["resourceType"] != "Provenance"]
        assert {one["target"][0]["reference"] for one in found} == {entry["fullUrl"] for entry in others}
        url = next(e["fullUrl"] for e in others if e["resource"].get("name") and "birthDate" in e["resource"])
        [patient] = [one for one in found if one["target"][0]["reference"] == url]
        assert "PID-5" in patient["entity"][0]["what"]["display"]
        assert patient["agent"][0]["who"]["identifier"]["value"] == changed.mapping(outcome.readings[0].mapping).hash
        [without] = outcomes_of(body, feed_of(catalogue(), supplier), RECEIVED_AT)[0]
        plain = loads(without.documents[0].body)
        assert not [e for e in plain["entry"] if e["resource"]["resourceType"] == "Provenance"]
