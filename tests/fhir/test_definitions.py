"""Spot checks of the tables against facts that anybody can look up in FHIR R4 and UK Core."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from mhbridge.fhir.definitions import Definitions, r4
from mhbridge.fhir.facts import Binding

D = r4()
UK = "https://fhir.hl7.org.uk/"
V3 = "http://terminology.hl7.org/CodeSystem/v3-"

#: type path, name → types, children, min, many, strength of the binding, targets
ELEMENTS: list[tuple[str, str, tuple[str, ...], str, int, bool, str, tuple[str, ...]]] = [
    ("Encounter", "class", ("Coding",), "", 1, False, "extensible", ()),
    ("Encounter", "status", ("code",), "", 1, False, "required", ()),
    ("Encounter", "hospitalization", (), "Encounter.hospitalization", 0, False, "", ()),
    ("Encounter.hospitalization", "admitSource", ("CodeableConcept",), "", 0, False, "preferred", ()),
    ("Encounter", "subject", ("Reference",), "", 0, False, "", ("Patient", "Group")),
    ("Encounter", "id", ("id",), "", 0, False, "", ()),
    ("Encounter", "text", ("Narrative",), "", 0, False, "", ()),
    ("Encounter", "contained", ("Resource",), "", 0, True, "", ()),
    ("Encounter.hospitalization", "modifierExtension", ("Extension",), "", 0, True, "", ()),
    ("Patient", "deceasedDateTime", ("dateTime",), "", 0, False, "", ()),
    ("Patient", "name", ("HumanName",), "", 0, True, "", ()),
    ("HumanName", "given", ("string",), "", 0, True, "", ()),
    ("HumanName", "use", ("code",), "", 0, False, "required", ()),
    (
        "MedicationStatement",
        "medication[x]",
        ("CodeableConcept", "Reference"),
        "",
        1,
        False,
        "example",
        ("Medication",),
    ),
    ("MedicationStatement", "medicationReference", ("Reference",), "", 1, False, "example", ("Medication",)),
    ("MedicationStatement", "medicationCodeableConcept", ("CodeableConcept",), "", 1, False, "example", ()),
    ("Composition.section", "section", (), "Composition.section", 0, True, "", ()),
    ("Composition.section", "entry", ("Reference",), "", 0, True, "", ()),
    ("Composition", "section", (), "Composition.section", 0, True, "", ()),
    ("Bundle.entry", "link", (), "Bundle.link", 0, True, "", ()),
    ("Bundle.entry", "resource", ("Resource",), "", 0, False, "", ()),
    ("Extension", "url", ("uri",), "", 1, False, "", ()),
    ("Extension", "valueBase64Binary", ("base64Binary",), "", 0, False, "", ()),
    ("Quantity", "comparator", ("code",), "", 0, False, "required", ()),
    ("Age", "value", ("decimal",), "", 0, False, "", ()),
    ("Timing", "repeat", (), "Timing.repeat", 0, False, "", ()),
    ("Timing.repeat", "boundsPeriod", ("Period",), "", 0, False, "", ()),
    ("Dosage.doseAndRate", "doseQuantity", ("Quantity",), "", 0, False, "", ()),
    ("Narrative", "div", ("xhtml",), "", 1, False, "", ()),
    ("Meta", "profile", ("canonical",), "", 0, True, "", ()),
    ("RiskAssessment.prediction", "probabilityDecimal", ("decimal",), "", 0, False, "", ()),
    ("Bundle.entry.response", "outcome", ("Resource",), "", 0, False, "", ()),
]


@pytest.mark.parametrize("row", ELEMENTS, ids=lambda row: f"{row[0]}.{row[1]}")
def test_element(row: tuple[Any, ...]) -> None:
    type_path, name, types, children, minimum, many, strength, targets = row
    element = D.element(type_path, name)
    assert element is not None
    found = (element.types, element.children, element.min, element.many)
    assert found == (types, children, minimum, many)
    assert (element.binding.strength if element.binding else "") == strength
    assert element.targets == targets
    assert element.path == f"{type_path}.{name}" or element.choice


@pytest.mark.parametrize(
    ("type_path", "name"),
    [
        ("Encounter", "actualPeriod"),
        ("Meta", "project"),
        ("Binary", "url"),
        ("Patient", "deceased"),
        ("Nothing", "id"),
        ("Patient", "valueString"),
    ],
)
def test_no_such_element(type_path: str, name: str) -> None:
    assert D.element(type_path, name) is None


def test_elements_stand_in_the_order_of_the_definitions() -> None:
    names = list(D.elements("Flag"))
    assert names[:8] == [
        "id",
        "meta",
        "implicitRules",
        "language",
        "text",
        "contained",
        "extension",
        "modifierExtension",
    ]
    assert names[8:] == ["identifier", "status", "category", "code", "subject", "period", "encounter", "author"]
    assert D.elements("Nothing") == {}


def test_kinds_of_names() -> None:
    assert D.is_resource("Patient")
    assert not any(map(D.is_resource, ("HumanName", "Encounter.hospitalization", "Resource", "DomainResource", "x")))
    assert all(map(D.is_type, ("HumanName", "code", "Extension", "Age")))
    assert not any(map(D.is_type, ("Patient", "Encounter.hospitalization", "Element", "BackboneElement", "x")))
    assert D.is_primitive("code")
    assert not D.is_primitive("Coding")
    assert D.bases("Encounter") == ("Encounter", "DomainResource", "Resource")
    assert D.bases("Encounter.hospitalization") == ("Encounter.hospitalization", "BackboneElement", "Element")
    assert D.bases("Binary") == ("Binary", "Resource")
    assert D.bases("Age") == ("Age", "Quantity", "Element")
    assert D.bases("code") == ("code", "Element")
    assert D.regex("id") == r"[A-Za-z0-9\-\.]{1,64}"
    assert D.regex("xhtml") is None
    assert D.regex("Coding") is None


def test_open_type() -> None:
    element = D.element("Extension", "value[x]")
    assert element is not None
    assert len(element.types) == 50
    assert {"base64Binary", "CodeableConcept", "Reference", "Dosage", "Meta"} <= set(element.types)


# --- extensions and profiles ---


def test_legal_status() -> None:
    extension = D.extension("UKCore-LegalStatus")
    assert extension is not None
    assert extension.url == UK + "StructureDefinition/Extension-UKCore-LegalStatus"
    assert (extension.status, extension.contexts, extension.many) == ("active", ("Encounter",), True)
    assert extension.value == ()
    assert list(extension.parts) == ["legalStatusContext", "legalStatusClassification"]
    part = extension.parts["legalStatusClassification"]
    assert (part.types, part.min, part.many) == (("CodeableConcept",), 1, False)
    assert part.binding == Binding("extensible", UK + "ValueSet/UKCore-LegalStatusClassification")
    assert extension == D.extension("Extension-UKCore-LegalStatus") == D.extension(extension.url)


@pytest.mark.parametrize(
    ("name", "contexts", "value", "many"),
    [
        ("data-absent-reason", ("Element",), ("code",), False),
        ("patient-birthTime", ("Patient.birthDate",), ("dateTime",), False),
        ("patient-birthPlace", ("Patient",), ("Address",), False),
        ("UKCore-DischargeMethod", ("Encounter",), ("CodeableConcept",), False),
        ("UKCore-AdmissionMethod", ("Encounter.hospitalization",), ("CodeableConcept",), False),
        ("UKCore-OtherContactSystem", ("ContactPoint.system",), ("CodeableConcept",), False),
        ("UKCore-ContactRank", ("Patient.contact",), ("positiveInt",), False),
    ],
)
def test_simple_extension(name: str, contexts: tuple[str, ...], value: tuple[str, ...], many: bool) -> None:
    extension = D.extension(name)
    assert extension is not None
    assert set(contexts) <= set(extension.contexts)
    assert (extension.value, extension.many, dict(extension.parts)) == (value, many, {})


def test_retired_extension_says_so() -> None:
    assert D.extension("UKCore-MedicationChangeSummary").status == "retired"  # type: ignore[union-attr]
    assert D.extension("UKCore-Nothing") is None


def test_profile() -> None:
    profile = D.profile("UKCore-Encounter")
    assert profile is not None
    assert (profile.type, profile.status, profile.version) == ("Encounter", "active", "2.5.0")
    assert profile.bindings["Encounter.hospitalization.dischargeDisposition"] == Binding(
        "preferred", UK + "ValueSet/UKCore-DischargeDestination"
    )
    assert UK + "StructureDefinition/Extension-UKCore-LegalStatus" in profile.extensions["Encounter"]
    assert D.profile(profile.url) == profile
    assert D.profile("UKCore-Nothing") is None


def test_slice_of_a_profile() -> None:
    profile = D.profile("UKCore-Patient")
    assert profile is not None
    assert profile.required == {"Patient.identifier:nhsNumber.system": 1, "Patient.identifier:nhsNumber.value": 1}
    assert profile.constraints["Patient.identifier:nhsNumber.system"].fixed == "https://fhir.nhs.uk/Id/nhs-number"
    assert profile.constraints["Patient.identifier:nhsNumber"].max == "1"
    assert profile.constraints["Patient.identifier"].slicing == ("open", "value:system")
    assert profile.constraints["Patient.name"].must_support


def test_profile_of_a_profile_inherits() -> None:
    profile = D.profile("UKCore-Observation-VitalSigns-BMI")
    assert profile is not None
    assert profile.base.endswith("/UKCore-Observation-VitalSigns")
    base = D.profile("UKCore-Observation")
    assert base is not None
    assert set(base.constraints) < set(profile.constraints)


# --- codes ---


def test_value_set_of_a_whole_system() -> None:
    found = D.valueset(UK + "ValueSet/UKCore-DischargeMethod")
    assert found is not None
    assert found.systems == (
        UK + "CodeSystem/UKCore-DischargeMethodEngland",
        UK + "CodeSystem/UKCore-DischargeMethodWales",
    )
    assert found.codes is not None
    assert found.codes[UK + "CodeSystem/UKCore-DischargeMethodEngland", "4"] == "Patient died"
    assert len(found.codes) == 14


def test_value_set_of_a_branch_leaves_out_what_cannot_be_chosen() -> None:
    found = D.valueset("http://terminology.hl7.org/ValueSet/v3-ActEncounterCode")
    assert found is not None
    assert found.codes is not None
    assert found.codes[V3 + "ActCode", "IMP"] == "inpatient encounter"
    assert (V3 + "ActCode", "_ActEncounterCode") not in found.codes
    assert (V3 + "ActCode", "CASH") not in found.codes


def test_value_set_with_an_exclusion() -> None:
    found = D.valueset(UK + "ValueSet/UKCore-PersonRelationshipType")
    assert found is not None
    assert found.codes is not None
    assert (V3 + "RoleCode", "SIS") in found.codes
    assert ("http://terminology.hl7.org/CodeSystem/v2-0131", "N") in found.codes
    assert ("http://terminology.hl7.org/CodeSystem/v2-0131", "O") not in found.codes


def test_value_set_that_names_snomed_codes() -> None:
    found = D.valueset(UK + "ValueSet/UKCore-CompositionCategory")
    assert found is not None
    assert found.codes is not None
    assert found.codes["http://snomed.info/sct", "373942005"] == "Discharge summary"


def test_value_set_that_cannot_be_listed_still_names_its_system() -> None:
    found = D.valueset("http://hl7.org/fhir/ValueSet/condition-code")
    assert found is not None
    assert (found.codes, found.systems) == (None, ("http://snomed.info/sct",))
    assert D.valueset("http://hl7.org/fhir/ValueSet/nothing") is None


def test_version_of_a_value_set_is_passed_over() -> None:
    url = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert D.valueset(f"{url}|4.0.1") is D.valueset(url)
    assert {code for _, code in D.valueset(url).codes} == {"male", "female", "other", "unknown"}  # type: ignore[union-attr]


def test_code_systems() -> None:
    headings = D.codesystem(UK + "CodeSystem/UKCore-RecordStandardHeadings")
    assert headings is not None
    assert headings["diagnoses"] == "Diagnoses"
    legal = D.codesystem(UK + "CodeSystem/UKCore-LegalStatusClassificationEngland")
    assert legal is not None
    assert legal["02"] == "Formally detained under Mental Health Act Section 2"
    assert D.codesystem("http://snomed.info/sct") is None


def test_names() -> None:
    assert len(D.names("resource")) == 53
    assert "UKCore-Encounter" in D.names("profile")
    assert {"UKCore-LegalStatus", "data-absent-reason"} <= set(D.names("extension"))
    assert {"HumanName", "code"} <= set(D.names("type"))
    assert UK + "ValueSet/UKCore-DischargeMethod" in D.names("valueset")
    assert UK + "CodeSystem/UKCore-DischargeMethodEngland" in D.names("codesystem")
    with pytest.raises(ValueError, match="no such kind"):
        D.names("colour")


# --- the tables as a whole ---


def test_definitions_are_loaded_once_and_only_when_asked() -> None:
    fresh = Definitions(("r4", "ukcore"))
    assert not any(name in vars(fresh) for name in ("_facts", "_codes"))
    fresh.element("Patient", "name")
    assert "_codes" not in vars(fresh)
    assert r4() is r4()


def test_every_type_and_child_is_in_the_tables() -> None:
    for path in (*D.names("resource"), *D.names("type"), *(p for p in D._types if "." in p)):
        for element in D.elements(path).values():
            if element.children:
                assert D.elements(element.children), element.path
            for kind in element.types:
                assert D.is_type(kind) or kind == "Resource", element.path


def test_every_required_value_set_is_known() -> None:
    unlisted = {
        element.binding.valueset.rpartition("/")[2]
        for path in D._types
        for element in D.elements(path).values()
        if element.binding
        and element.binding.strength == "required"
        and D.valueset(element.binding.valueset).codes is None  # type: ignore[union-attr]
    }
    assert unlisted == {"mimetypes", "currencies"}


@pytest.mark.parametrize("name", ["r4", "r4-codes", "ukcore", "ukcore-codes"])
def test_a_table_says_where_it_comes_from_and_has_a_line_per_entry(name: str) -> None:
    text = files("mhbridge.fhir").joinpath("tables", f"{name}.json").read_text("utf-8")
    assert len(text) < 200_000
    about = text.splitlines()[1]
    for word in ("origin", "licence", "generated_by"):
        assert f'"{word}":' in about
    if name.startswith("ukcore"):
        assert "UK Core, staging 2025-06-20" in about
        assert "Apache License 2.0" in about
    else:
        assert "CC0" in about
    assert max(map(len, text.splitlines())) < 45_000


# --- against fhir.resources (R4B), which was made from HL7's files by other people ---

#: What is known to differ, and why: R4B's own changes, a gap of the library, or canonicals that it calls references.
DIFFERENT = {
    "DiagnosticReport.subject: targets",  # R4B allows more
    "Observation.subject: targets",
    "Extension.valueMeta: missing there",  # R4 has Meta among the open types
    "Extension.valueCodeableReference: missing here",  # types that R4B added
    "Extension.valueRatioRange: missing here",
    "MarketingStatus.country: minimum",
    "MarketingStatus.dateRange: minimum",
}


def differences(path: str, model: Any) -> set[str]:
    found: set[str] = set()
    theirs = {
        field.alias or name: field
        for name, field in model.model_fields.items()
        if not (field.alias or name).startswith("_") and name not in ("resource_type", "resourceType", "fhir_comments")
    }
    ours = D.keys(path)
    found |= {f"{path}.{name}: missing there" for name in ours.keys() - theirs.keys()}
    found |= {f"{path}.{name}: missing here" for name in theirs.keys() - ours.keys()}
    for name in ours.keys() & theirs.keys():
        element, field = ours[name], theirs[name]
        says = field.json_schema_extra or {}
        required = field.is_required() or says.get("element_required") or says.get("one_of_many_required")
        targets = set(says.get("enum_reference_types") or ()) - {"Resource"}
        kind = element.types[0] if element.types else ""
        if ("List" in str(field.annotation)) != element.many:
            found.add(f"{path}.{name}: repeats")
        if bool(required) != bool(element.min):
            found.add(f"{path}.{name}: minimum")
        if kind == "Reference" and targets != set(element.targets):
            found.add(f"{path}.{name}: targets")
        if kind and not D.is_primitive(kind) and f"{kind}Type" not in str(field.annotation):
            found.add(f"{path}.{name}: type")
    return found


def test_elements_agree_with_the_models() -> None:
    from fhir.resources.R4B import get_fhir_model_class

    found: set[str] = set()
    compared = 0
    for path in D._types:
        if path in ("BackboneElement", "Element") or path.startswith("SubstanceAmount"):
            continue
        name = "".join(part[0].upper() + part[1:] for part in path.split("."))
        found |= differences(path, get_fhir_model_class(name))
        compared += len(D.keys(path))
    assert found == DIFFERENT
    assert compared > 2000
