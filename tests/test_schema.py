"""
The editor schemas, judged by a real validator: every shipped file is valid as an editor sees its YAML, and what an
author gets wrong is found. What the schemas refuse, `check` refuses too.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mhbridge.cli import main
from mhbridge.mapping.functions import functions
from mhbridge.mapping.library import built_in

ROOT = built_in("mappings")


class Editor(yaml.SafeLoader):
    """YAML as yaml-language-server reads it: a date is text."""


Editor.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in several if tag != "tag:yaml.org,2002:timestamp"]
    for first, several in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def seen(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), Editor)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("schema")
    with pytest.raises(SystemExit) as end:
        main(["schema", "--out", str(out)])
    assert not end.value.code
    return {path.name.removesuffix(".schema.json"): json.loads(path.read_bytes()) for path in out.iterdir()}


@cache
def validator(text: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(text))


def wrong(schemas, kind: str, value: Any) -> list[str]:
    return [error.message for error in validator(json.dumps(schemas[kind])).iter_errors(value)]


def kind_of(path: Path) -> str:
    if path.parent.parent.name == "suppliers" and path.stem != "supplier":
        return str(seen(path)["document"])
    return "shared" if path.parent.name == "shared" else path.stem


FILES = [
    *(path for part in ("suppliers", "documents", "parts") for path in sorted((ROOT / part).glob("*/*.yaml"))),
    *sorted((ROOT / "suppliers").glob("*/shared/*.yaml")),
]


def test_the_schemas_are_schemas(schemas) -> None:
    assert {"supplier", "shared", "items", "r4", "clocks", "checks", "watches", "encounter-event"} <= schemas.keys()
    for schema in schemas.values():
        jsonschema.Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_shipped_file_is_valid(schemas, path) -> None:
    assert wrong(schemas, kind_of(path), seen(path)) == []


MAPPING = ROOT / "suppliers" / "example-acute" / "adt.yaml"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m["items"].update(birth_dat="= PID-7"), "birth_dat"),
        (lambda m: m["items"].update(gender="= PID-8 | cod(gender)"), "gender"),
        (lambda m: m["items"].update(act="updates"), "updates"),
        (lambda m: m["items"]["ward"].update(roomm="= PV1-3.2"), "roomm"),
        (lambda m: m["items"]["contacts"].update(nam="= NK1-2"), "nam"),
        (lambda m: m.update(documents="x"), "documents"),
        (lambda m: m["source"].update(mesages=[]), "mesages"),
        (lambda m: m["source"].update(format="hl7"), "hl7"),
        (lambda m: m["tables"].update(x={"file": "x.csv", "unmapped": "drop"}), "drop"),
        (lambda m: m["tests"].append({"message": "x", "expect": {"birth_dat": 1}}), "birth_dat"),
        (lambda m: m.pop("source"), "source"),
        (lambda m: m.update(extra_items={"level": {"type": "text", "heading": "x"}}), "level"),
    ],
)
def test_what_an_author_gets_wrong_is_found(schemas, change, named) -> None:
    value = copy.deepcopy(seen(MAPPING))
    assert wrong(schemas, "encounter-event", value) == []
    change(value)
    assert named in " ".join(wrong(schemas, "encounter-event", value))


SHARED = ROOT / "suppliers" / "example-toc" / "shared" / "document.yaml"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda one: one["items"].update(birth_dat="= Patient.birthDate"), "birth_dat"),
        (lambda one: one["items"].update(gender="= Patient.gender | cod(gender)"), "gender"),
        (lambda one: one.update(source={"format": "fhir"}), "source"),
        (lambda one: one.pop("shared"), "shared"),
    ],
)
def test_what_is_wrong_in_a_shared_file_is_found(schemas, change, named) -> None:
    value = copy.deepcopy(seen(SHARED))
    assert wrong(schemas, "shared", value) == []
    change(value)
    assert named in " ".join(wrong(schemas, "shared", value))


CLOCKS = next(path for path in FILES if path.parts[-2:] == ("mental-health-inpatient-discharge", "clocks.yaml"))
WATCHES = next(path for path in FILES if path.name == "watches.yaml")
CHECKS = next(path for path in FILES if path.name == "checks.yaml")


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (CLOCKS, lambda one: one.update(witin="PT24H")),
        (CLOCKS, lambda one: one.update(within="24 hours")),
        (CLOCKS, lambda one: one.pop("ladder")),
        (CLOCKS, lambda one: one["ladder"][0].update(severity="loud")),
        (CLOCKS, lambda one: one.update(met_by={"deliverd": "accepted"})),
        (CLOCKS, lambda one: one["met_by"][0].update(wehn="= true")),
        (WATCHES, lambda one: one.pop("within")),
        (WATCHES, lambda one: one["signals"][0].update(form="others")),
        (CHECKS, lambda one: one.update(severity="terrible")),
        (CHECKS, lambda one: one.update(action="explode")),
        (CHECKS, lambda one: one.pop("says")),
    ],
)
def test_a_wrong_clock_or_check_is_found(schemas, path, change) -> None:
    value = copy.deepcopy(seen(path))
    change(next(iter(value[path.stem].values())))
    assert wrong(schemas, path.stem, value) != []


BUILD = ROOT / "parts" / "patient" / "r4.yaml"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda p: p.update(birthdate="= birth_date"), "birthdate"),
        (lambda p: p.update(gender="= gender | cod(x)"), "gender"),
        (lambda p: p.update({"$extensions": {"UKCore-Ethnic": "= ethnic_category"}}), "UKCore-Ethnic"),
        (lambda p: p.update(resourceType="Pasient"), "Pasient"),
        (lambda p: p.update(name=[{"familly": "x"}]), "familly"),
    ],
)
def test_a_wrong_element_is_found(schemas, change, named) -> None:
    value = copy.deepcopy(seen(BUILD))
    change(value["resources"]["patient"])
    assert named in " ".join(wrong(schemas, "r4", value))


def test_items_say_what_they_are_and_functions_what_they_do(schemas) -> None:
    schema = schemas["mental-health-inpatient-discharge"]
    item = schema["properties"]["items"]["properties"]["birth_date"]
    assert "The patient's date of birth, as precise as it is known." in item["description"]
    assert "mandatory" in item["description"]
    offered = {one["label"] for one in schema["definitions"]["expression"]["defaultSnippets"]}
    assert offered == {f"= … | {name}" for name in functions()}
    gender = schema["properties"]["items"]["properties"]["gender"]
    assert "female" in json.dumps(gender), "codes of a value set are offered"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("= PV1-45 or EVN-6", True), ("= PID-8 | code(gender)", True), ("= NTE-3 | lnes", False), ("literal | x", True),
        ('= if PV1-2 = "a|b" then "c" else PV1-3', True), ('= coded(PV1-36, "x", "a | nothing") | first', True),
        ("= (PV1-36 | code(x)) | wrds", False), ("=PID-7|date", False),
    ],
)  # fmt: skip
def test_a_call_of_no_function_is_found_in_an_expression(schemas, text, good) -> None:
    value = copy.deepcopy(seen(MAPPING))
    value["items"]["birth_date"] = text
    assert (wrong(schemas, "encounter-event", value) == []) is good


def test_files_of_tables_and_lists_are_offered_and_the_suppliers_own(schemas, tmp_path) -> None:
    def offered(made: dict[str, Any], key: str) -> set[str]:
        found = made["properties"][key]["additionalProperties"]
        found = found["anyOf"][1] if key == "lists" else found
        return set(found["properties"]["file"]["anyOf"][0]["enum"])

    name = "mental-health-inpatient-discharge"
    for kind in ("tables", "lists"):
        assert offered(schemas[name], kind) == {path.name for path in (ROOT / "codes" / kind).iterdir()}
    own = tmp_path / "suppliers" / "riverside" / "codes" / "tables"
    own.mkdir(parents=True)
    (own.parents[1] / "supplier.yaml").write_text("supplier: riverside\ntitle: Riverside\n")
    (own / "ours.csv").write_text("")
    with pytest.raises(SystemExit):
        main(["schema", "--out", str(tmp_path / "out"), "--mappings", str(tmp_path)])
    made = json.loads((tmp_path / "out" / f"{name}.schema.json").read_bytes())
    assert offered(made, "tables") - offered(schemas[name], "tables") == {"ours.csv"}
