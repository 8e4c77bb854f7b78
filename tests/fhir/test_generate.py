"""The maintainer's generator, on definitions small enough to be read: what goes in, and every line that comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mhbridge.fhir.generate import main

CORE = "http://hl7.org/fhir/StructureDefinition/"
HL7 = "http://hl7.org/fhir/"
UK = "https://fhir.hl7.org.uk/"


def element(path: str, kind: str = "", low: int = 0, high: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "id": path,
        "path": path,
        "min": low,
        "max": high,
        "base": {"path": path, "min": low, "max": high},
        **({"type": [{"code": kind}]} if kind else {}),
        **more,
    }


def structure(name: str, base: str, kind: str, *elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "name": name,
        "url": CORE + name,
        "status": "active",
        "kind": kind,
        "type": name,
        "baseDefinition": CORE + base if base else "",
        "snapshot": {"element": [element(name, high="*"), *elements]},
        **more,
    }


def bound(strength: str, name: str) -> dict[str, Any]:
    return {"binding": {"strength": strength, "valueSet": f"{HL7}ValueSet/{name}|4.0.1"}}


SYSTEM_STRING = "http://hl7.org/fhirpath/System.String"
REGEX = {"url": f"{CORE}regex", "valueString": "[a-z]+"}
TYPES = [
    structure("Element", "", "complex-type", element("Element.id", "string")),
    structure("BackboneElement", "Element", "complex-type"),
    structure("string", "Element", "primitive-type", element("string.value", SYSTEM_STRING)),
    structure(
        "code",
        "string",
        "primitive-type",
        {**element("code.value"), "type": [{"code": SYSTEM_STRING, "extension": [REGEX]}]},
    ),
    structure(
        "Extension",
        "Element",
        "complex-type",
        element("Extension.url", SYSTEM_STRING, 1),
        {**element("Extension.value[x]"), "type": [{"code": "string"}, {"code": "code"}]},
    ),
    structure(
        "Meta", "Element", "complex-type", element("Meta.project", "string"), element("Meta.tag", "code", high="*")
    ),
    structure(
        "Quantity",
        "Element",
        "complex-type",
        element("Quantity.unit", "string"),
        element("Quantity.comparator", "code", high="0"),
    ),
    structure("ElementDefinition", "BackboneElement", "complex-type", element("ElementDefinition.path", "string")),
]
FLAG = structure(
    "Flag",
    "Resource",
    "resource",
    {**element("Flag.id", SYSTEM_STRING), "base": {"path": "Resource.id", "min": 0, "max": "1"}},
    element("Flag.status", "code", 1, **bound("required", "flag-status")),
    element("Flag.kind", "code", high="*", **bound("example", "snomed-example")),
    element("Flag.severity", "code", **bound("preferred", "snomed-preferred")),
    element("Flag.branch", "code", **bound("required", "branch")),
    element("Flag.rest", "code", **bound("required", "rest")),
    element("Flag.partly", "code", **bound("required", "partly")),
    element("Flag.note", "BackboneElement", high="*"),
    {**element("Flag.note.value[x]", low=1), "type": [{"code": "string"}, {"code": "code"}]},
    {**element("Flag.again"), "contentReference": "#Flag.note"},
    {
        **element("Flag.subject"),
        "type": [{"code": "Reference", "targetProfile": [f"{CORE}Patient", f"{CORE}Group"]}],
    },
    {**element("Flag.any"), "type": [{"code": "Reference", "targetProfile": [f"{CORE}Resource"]}]},
)
RESOURCES = [
    structure("Resource", "", "resource", element("Resource.id", SYSTEM_STRING)),
    FLAG,
    structure("Nutrition", "Resource", "resource", element("Nutrition.x", "string")),
]


def code_system(name: str, *concepts: dict[str, Any], content: str = "complete") -> dict[str, Any]:
    return {"resourceType": "CodeSystem", "url": HL7 + name, "content": content, "concept": list(concepts)}


def value_set(name: str, *include: dict[str, Any], exclude: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    compose = {"include": list(include), **({"exclude": exclude} if exclude else {})}
    return {"resourceType": "ValueSet", "url": f"{HL7}ValueSet/{name}", "compose": compose}


def is_a(code: str) -> dict[str, Any]:
    return {"system": f"{HL7}tree", "filter": [{"property": "concept", "op": "is-a", "value": code}]}


def snomed(*codes: str) -> dict[str, Any]:
    return {"system": "http://snomed.info/sct", "concept": [{"code": code, "display": f"d{code}"} for code in codes]}


ABSTRACT = [{"code": "notSelectable", "valueBoolean": True}]
VALUES = [
    code_system("flag-status", {"code": "active", "display": "Active"}, {"code": "inactive"}),
    code_system(
        "tree",
        {"code": "_A", "property": ABSTRACT, "concept": [{"code": "a1", "concept": [{"code": "a2"}]}]},
        {"code": "b", "property": [{"code": "child", "valueCode": "a2"}]},
        {"code": "c"},
    ),
    code_system("open", {"code": "x"}, content="example"),
    value_set("flag-status", {"system": f"{HL7}flag-status"}),
    value_set("snomed-example", snomed("1")),
    value_set("snomed-preferred", snomed("1")),
    value_set("branch", is_a("_A"), is_a("b")),
    value_set("rest", {"system": f"{HL7}tree"}, exclude=[{"system": f"{HL7}tree", "concept": [{"code": "c"}]}]),
    value_set("partly", {"valueSet": [f"{HL7}ValueSet/flag-status"]}, {"system": f"{HL7}open"}),
    value_set("bound-nowhere", {"system": f"{HL7}tree"}),
]
EXTENSIONS = [
    structure(
        "flag-detail",
        "Extension",
        "complex-type",
        element("Extension", high="1"),
        element("Extension.value[x]", "string"),
        context=[{"type": "element", "expression": "Flag"}, {"type": "fhirpath", "expression": "x"}],
    ),
    structure("elsewhere", "Extension", "complex-type", context=[{"type": "element", "expression": "Nutrition"}]),
]

XML = '<{0} xmlns="http://hl7.org/fhir"><id value="{1}"/><url value="https://fhir.hl7.org.uk/{0}/{1}"/>{2}</{0}>'
PROFILE = """
<version value="1.0.0"/><status value="active"/><type value="Flag"/>
<baseDefinition value="http://hl7.org/fhir/StructureDefinition/Flag"/>
<differential>
  <element id="Flag.note"><path value="Flag.note"/><slicing><discriminator><type value="value"/><path value="url"/>
    </discriminator><rules value="open"/></slicing><mustSupport value="true"/></element>
  <element id="Flag.note:one"><path value="Flag.note"/><sliceName value="one"/><min value="1"/>
    <max value="1"/></element>
  <element id="Flag.note:one.value[x]"><path value="Flag.note.value[x]"/><fixedString value="x"/></element>
  <element id="Flag.extension:detail"><path value="Flag.extension"/><type><code value="Extension"/>
    <profile value="https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-Detail"/></type></element>
  <element id="Flag.status"><path value="Flag.status"/><short value="no prose"/></element>
  <element id="Flag.severity"><path value="Flag.severity"/><binding><strength value="extensible"/>
    <valueSet value="https://fhir.hl7.org.uk/ValueSet/UKCore-Listed"/></binding></element>
</differential>"""
EXTENSION = """
<status value="draft"/><context><type value="element"/><expression value="Flag"/></context>
<type value="Extension"/><differential>
  <element id="Extension.extension:part"><path value="Extension.extension"/><sliceName value="part"/><min value="1"/>
    <max value="1"/></element>
  <element id="Extension.extension:part.value[x]"><path value="Extension.extension.value[x]"/>
    <type><code value="code"/></type></element>
  <element id="Extension.value[x]"><path value="Extension.value[x]"/><max value="0"/></element>
</differential>"""
LISTED = """
<compose><include><system value="http://snomed.info/sct"/><filter><property value="constraint"/><op value="="/>
<value value="(248234008 | Alert | OR 300202002)"/></filter></include></compose>
<expansion><contains><code value="300202002"/><display value="Responds to voice"/></contains></expansion>"""
HIERARCHY = LISTED.replace("(248234008 | Alert | OR 300202002)", "descendantOf 404684003")
SYSTEM = '<content value="complete"/><concept><code value="1"/><display value="One"/></concept>'


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("definitions")
    for name, resources in {
        "profiles-types": TYPES,
        "profiles-resources": RESOURCES,
        "valuesets": VALUES,
        "v3-codesystems": [],
        "v2-tables": [],
        "extension-definitions": EXTENSIONS,
    }.items():
        entries = [{"resource": resource} for resource in resources]
        (folder / f"{name}.json").write_text(json.dumps({"entry": entries}), "utf-8")
    for kind, name, content in (
        ("StructureDefinition", "UKCore-Flag", PROFILE),
        ("StructureDefinition", "Extension-UKCore-Detail", EXTENSION),
        ("ValueSet", "UKCore-Listed", LISTED),
        ("ValueSet", "UKCore-Hierarchy", HIERARCHY),
        ("CodeSystem", "UKCore-System", SYSTEM),
    ):
        place = folder / "ukcore" / f"{kind.lower()}s"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.xml").write_text(XML.format(kind, name, content), "utf-8")
    given = ["--definitions", str(folder), "--ukcore", str(folder / "ukcore"), "--out", str(folder)]
    assert main(given) == 0
    return {name: (folder / f"{name}.json").read_text("utf-8") for name in ("r4", "r4-codes", "ukcore", "ukcore-codes")}


def test_types(tables: dict[str, str]) -> None:
    r4 = json.loads(tables["r4"])
    assert r4["about"]["open"] == "string code"
    assert r4["primitives"] == {"code": "[a-z]+", "string": ""}
    assert r4["types"] == {
        "BackboneElement": ["Element", {}],
        "Element": ["", {"id": {"t": "string"}}],
        "Extension": ["Element", {"url": {"t": "string", "m": 1}, "value[x]": {"t": "*"}}],
        "Meta": ["Element", {"tag": {"t": "code", "n": 1}}],
        "Quantity": [
            "Element",
            {
                "unit": {"t": "string"},
                "comparator": {"t": "code", "b": ["required", f"{HL7}ValueSet/quantity-comparator"]},
            },
        ],
        "Resource": ["", {"id": {"t": "id"}}],
        "Flag": [
            "Resource",
            {
                "status": {"t": "code", "m": 1, "b": ["required", f"{HL7}ValueSet/flag-status"]},
                "kind": {"t": "code", "n": 1, "b": ["example", f"{HL7}ValueSet/snomed-example"]},
                "severity": {"t": "code", "b": ["preferred", f"{HL7}ValueSet/snomed-preferred"]},
                "branch": {"t": "code", "b": ["required", f"{HL7}ValueSet/branch"]},
                "rest": {"t": "code", "b": ["required", f"{HL7}ValueSet/rest"]},
                "partly": {"t": "code", "b": ["required", f"{HL7}ValueSet/partly"]},
                "note": {"c": "Flag.note", "n": 1},
                "again": {"c": "Flag.note"},
                "subject": {"t": "Reference", "r": "Patient Group"},
                "any": {"t": "Reference"},
            },
        ],
        "Flag.note": ["BackboneElement", {"value[x]": {"t": "*", "m": 1}}],
    }
    assert r4["extensions"] == {
        "flag-detail": {"url": f"{CORE}flag-detail", "status": "active", "on": ["Flag"], "t": "string"}
    }


def test_codes(tables: dict[str, str]) -> None:
    found = json.loads(tables["r4-codes"])
    assert found["sets"] == {
        f"{HL7}ValueSet/flag-status": [[f"{HL7}flag-status", 1]],
        f"{HL7}ValueSet/snomed-example": [["http://snomed.info/sct", 0]],
        f"{HL7}ValueSet/snomed-preferred": [["http://snomed.info/sct", {"1": "d1"}]],
        f"{HL7}ValueSet/branch": [[f"{HL7}tree", {"a1": "", "a2": ""}], [f"{HL7}tree", {"a2": "", "b": ""}]],
        f"{HL7}ValueSet/rest": [[f"{HL7}tree", {"a1": "", "a2": "", "b": ""}]],
        f"{HL7}ValueSet/partly": [[f"{HL7}flag-status", 0], [f"{HL7}open", 0]],
    }
    assert found["systems"] == {f"{HL7}flag-status": {"active": "Active", "inactive": ""}}


def test_ukcore(tables: dict[str, str]) -> None:
    found = json.loads(tables["ukcore"])
    assert found["profiles"]["UKCore-Flag"]["elements"] == {
        "Flag.note": {"by": ["open", "value:url"], "s": 1},
        "Flag.note:one": {"min": 1, "max": "1"},
        "Flag.note:one.value[x]": {"fixed": "x"},
        "Flag.extension:detail": {"t": "Extension", "p": f"{UK}StructureDefinition/Extension-UKCore-Detail"},
        "Flag.severity": {"b": ["extensible", f"{UK}ValueSet/UKCore-Listed"]},
    }
    assert found["extensions"] == {
        "UKCore-Detail": {
            "url": f"{UK}StructureDefinition/Extension-UKCore-Detail",
            "status": "draft",
            "on": ["Flag"],
            "n": 1,
            "parts": {"part": {"m": 1, "t": "code"}},
        }
    }
    codes = json.loads(tables["ukcore-codes"])
    listed = {"248234008": "Alert", "300202002": "Responds to voice"}
    assert codes["sets"] == {
        f"{UK}ValueSet/UKCore-Listed": [["http://snomed.info/sct", listed]],
        f"{UK}ValueSet/UKCore-Hierarchy": [["http://snomed.info/sct", 0]],
    }
    assert codes["systems"] == {f"{UK}CodeSystem/UKCore-System": {"1": "One"}}


def test_a_line_per_entry(tables: dict[str, str]) -> None:
    for name, text in tables.items():
        count = sum(len(part) for key, part in json.loads(text).items() if key != "about")
        opened = [line for line in text.splitlines() if line.startswith('"') and not line.endswith("{")]
        assert sum(not line.endswith("{}") and not line.endswith("{},") for line in opened) >= count, name
        assert "no prose" not in text
