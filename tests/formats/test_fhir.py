"""FHIR STU3 and R4: resources, references, choices; the same message in JSON and XML; what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from mhbridge.errors import MalformedMessage
from mhbridge.formats import DeclarationError, PathError, Scope, format_named, sniff
from mhbridge.formats.fhir import FORMAT
from mhbridge.formats.fhir.structure import structure, type_of_key
from mhbridge.mapping.library import built_in
from mhbridge.model import ABSENT, Answer, Verdict

TOC = built_in("fixtures") / "example-toc" / "mental-health-discharge"


def source(version="R4", messages=("document", "message", "collection", "Patient"), **options):
    return FORMAT.declare("Europe/London", "", {"version": version, "messages": list(messages), **options})


R4, STU3 = source(), source("STU3")
A, B = "https://a.example/fhir", "https://b.example/fhir"


def bundle(*resources, kind="collection", **more) -> bytes:
    entries = [
        {"fullUrl": one.pop("@url"), "resource": one} if "@url" in one else {"resource": one}
        for one in map(dict, resources)
    ]
    return json.dumps({"resourceType": "Bundle", "type": kind, **more, "entry": entries}).encode()


def taken(body, *sources):
    return [message for message, _ in FORMAT.messages(body, sources or [R4])]


def one(body, *sources):
    (message,) = taken(body, *sources)
    return message


def found(path, body, declared=R4):
    scanned, end = FORMAT.scan(path, 0, len(path))
    assert end == len(path)
    scope = Scope(declared)
    return [FORMAT.text(raw) for raw in FORMAT.every(scanned, scope)(FORMAT.cursor(one(body, declared)))]


def leaves(message) -> dict[str, str]:
    return {
        FORMAT.path(message, cell, 0, R4, exact=True): FORMAT.leaf(message, cell, 0)
        for cell, _ in FORMAT.populated(message)
    }


PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"use": "official", "family": "A", "given": ["B", "C"]}, {"use": "usual", "given": ["D"]}],
    "deceasedDateTime": "2025-03-14",
    "extension": [{"url": "https://x.example/e", "valueQuantity": {"value": 1.10}}],
    "contained": [{"resourceType": "Practitioner", "id": "gp", "name": [{"family": "Inside"}]}],
    "generalPractitioner": [{"reference": "#gp"}, {"reference": "Practitioner/q"}, {"reference": "#nobody"}],
}


# --- references --------------------------------------------------------------------------------------------


def practitioner(name, **more):
    return {"resourceType": "Practitioner", "name": [{"family": name}], **more}


def role(to):
    return {"resourceType": "PractitionerRole", "practitioner": {"reference": to}, "code": [{"text": f"role of {to}"}]}


@pytest.mark.parametrize(
    ("reference", "others", "expected"),
    [
        ("urn:uuid:1", [practitioner("Q", **{"@url": "urn:uuid:1"})], ["Q"]),
        ("Practitioner/q", [practitioner("Q", id="q")], ["Q"]),
        ("Practitioner/q/_history/2", [practitioner("Q", id="q")], ["Q"]),
        (f"{A}/Practitioner/q", [practitioner("Q", id="q", **{"@url": f"{A}/Practitioner/q"})], ["Q"]),
        # Relative to the server of the entry that it stands in, where two servers have one of the name.
        (
            "Practitioner/q",
            [
                practitioner("Q", id="q", **{"@url": f"{A}/Practitioner/q"}),
                practitioner("R", id="q", **{"@url": f"{B}/Practitioner/q"}),
            ],
            ["Q"],
        ),
        # Nobody can tell which of two is meant.
        (
            "Practitioner/q",
            [
                practitioner("Q", id="q", **{"@url": "urn:uuid:1"}),
                practitioner("R", id="q", **{"@url": "urn:uuid:2"}),
            ],
            [],
        ),
        ("#gp", [practitioner("Q", id="gp")], ["Inside"]),
        ("urn:uuid:2", [practitioner("Q", **{"@url": "urn:uuid:1"})], []),
        ("Organization/q", [practitioner("Q", id="q")], []),
        ("", [practitioner("Q", id="")], []),
    ],
)  # fmt: skip
def test_where_a_reference_leads(reference, others, expected) -> None:
    two_servers = sum("_" not in one.get("@url", "_") and "https" in one.get("@url", "") for one in others) == 2
    patient = PATIENT | {"generalPractitioner": [{"reference": reference}]}
    if two_servers:
        patient |= {"@url": f"{A}/Patient/p1"}
    assert found("Patient.generalPractitioner->Practitioner.name.family", bundle(patient, *others)) == expected


def test_a_reference_back() -> None:
    body = bundle(
        practitioner("Q", **{"@url": "urn:uuid:1"}),
        practitioner("R", **{"@url": "urn:uuid:2"}),
        role("urn:uuid:2"),
        role("urn:uuid:1"),
    )
    assert found('Practitioner[name.family="R"]<-PractitionerRole.practitioner.code.text', body) == [
        "role of urn:uuid:2"
    ]


def test_the_leaves_that_lead_somewhere_are_asked() -> None:
    body = bundle(
        PATIENT | {"generalPractitioner": [{"reference": "urn:uuid:1"}]},
        practitioner("Q", id="q", **{"@url": "urn:uuid:1"}),
    )
    message = one(body)
    path, _ = FORMAT.scan("Patient.generalPractitioner->Practitioner.name.family", 0, 53)
    asked = FORMAT.spot(path, Scope(R4), many=False).asked(FORMAT.cursor(message))
    said = {FORMAT.path(message, cell, 0, R4, exact=True) for cell, _, _ in asked}
    assert said == {"Patient.generalPractitioner[1].reference", "Bundle.entry[2].fullUrl"}


def test_references_in_a_circle_end() -> None:
    around = {"resourceType": "Organization", "id": "a", "partOf": {"reference": "Organization/b"}, "name": "A"}
    back = {"resourceType": "Organization", "id": "b", "partOf": {"reference": "Organization/a"}, "name": "B"}
    path = "Organization.partOf" + "->Organization.partOf" * 20 + "->Organization.name"
    assert found(path, bundle(around, back)) == ["B", "A"]


# --- paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected", "type_"),
    [
        ("Patient.name.given", ["B", "C", "D"], "string"),
        ('Patient.name[use="usual"].given', ["D"], "string"),
        ("Patient.name[2].given", ["D"], "string"),
        ("Patient.deceased", ["2025-03-14"], "choice"),
        ("Patient.deceasedDateTime", ["2025-03-14"], "dateTime"),
        ("Patient.deceasedBoolean", [], "boolean"),
        ('Patient.extension[url="https://x.example/e"].valueQuantity.value', ["1.1"], "decimal"),
        ("Patient.name", ["official; A; B; C", "usual; D"], "HumanName"),
        ("Practitioner.name.family", [], "string"),
        ("Bundle.type", ["collection"], "code"),
    ],
)
def test_what_a_path_finds(path, expected, type_) -> None:
    assert found(path, bundle(PATIENT)) == expected
    assert FORMAT.source_type(FORMAT.scan(path, 0, len(path))[0], Scope(R4)) == type_


@pytest.mark.parametrize(
    ("path", "code", "offset", "hint"),
    [
        ("Patient.nam", "E205", 7, "did you mean 'name'?"),
        ("Patiant.name", "E205", 0, "did you mean 'Patient'?"),
        ("Patient.birthDate.x", "E205", 17, ""),
        ("Patient.name->Practitioner", "E205", 12, "an arrow stands behind an element that is a Reference"),
        ("Patient.managingOrganization->Organisation.name", "E205", 28, "did you mean 'Organization'?"),
        ("Patient.deceased.x", "E205", 16, "name one of its types: valueQuantity.value"),
        ("Bundle.entry.resource.name", "E205", 21, "begin at the type of the resource: Patient.name"),
        ('Patient.name[uze="x"].family', "E205", 7, "did you mean 'use'?"),
        ("Practitioner<-PractitionerRole.practicioner.code", "E205", 12, "did you mean 'practitioner'?"),
        (".name", "E206", 0, ""),
        ("Patient.", "E107", 7, ""),
        ("Patient.name->x", "E107", 12, "->Practitioner"),
        (
            "Practitioner<-PractitionerRole", "E107", 12,
            "<-PractitionerRole.practitioner: those whose practitioner refers here",
        ),
        ('Patient.name[use="x"', "E107", 12, ""),
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_says_where(path, code, offset, hint) -> None:
    with pytest.raises(PathError) as caught:
        FORMAT.source_type(FORMAT.scan(path, 0, len(path))[0], Scope(R4))
    assert (caught.value.code, caught.value.offset, caught.value.hint) == (code, offset, hint)


def test_versions_have_elements_of_their_own() -> None:
    for path, version, fits in [
        ("Encounter.reason", "STU3", True), ("Encounter.reason", "R4", False), ("Encounter.reasonCode", "R4", True),
        ("MedicationStatement.taken", "STU3", True), ("MedicationStatement.taken", "R4", False),
        ("ReferralRequest.status", "STU3", True), ("ReferralRequest.status", "R4", False),
        ("ServiceRequest.status", "R4", True), ("Composition.section.section.text.div", "STU3", True),
        ("CodeableConcept.text", "R4", False),
    ]:  # fmt: skip
        scanned, _ = FORMAT.scan(path, 0, len(path))
        scope = Scope(source(version))
        if fits:
            FORMAT.source_type(scanned, scope)
        else:
            with pytest.raises(PathError):
                FORMAT.source_type(scanned, scope)


def test_inside_a_loop() -> None:
    scope, top = Scope(R4), FORMAT.cursor(one(bundle(PATIENT, practitioner("Q", id="q"))))

    def scan(text):
        return FORMAT.scan(text, 0, len(text))[0]

    loop, inside = FORMAT.loop(scan("Patient.generalPractitioner"), scope)
    first, second, third = loop.cursors(top)
    read = FORMAT.first(scan(".->Practitioner.name.family"), inside)
    assert [FORMAT.text(read(one)) for one in (first, second)] == ["Inside", "Q"]
    assert read(third) is ABSENT
    assert FORMAT.text(FORMAT.first(scan(".reference"), inside)(third)) == "#nobody"
    with pytest.raises(PathError):
        FORMAT.source_type(scan(".family"), inside)


def test_the_type_of_a_choice_is_in_its_key() -> None:
    keys = [
        "valueQuantity",
        "deceasedDateTime",
        "medicationCodeableConcept",
        "onsetAge",
        "multipleBirthInteger",
        "value",
    ]
    assert [type_of_key(key) for key in keys] == ["Quantity", "dateTime", "CodeableConcept", "Age", "integer", ""]


def test_what_is_written_about_a_version() -> None:
    for version in ("STU3", "R4"):
        known = structure(version)
        of = {one.type for name in known.types for one in known.elements(name).values()}
        from mhbridge.formats.fhir.structure import PRIMITIVES

        assert of <= known.types | PRIMITIVES | {"Resource", "Element", "choice"}
        assert {"Patient", "Composition", "MessageHeader"} <= known.resources <= known.types


HEADER = {"resourceType": "MessageHeader"}


# --- messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "number"),
    [
        (bundle(kind="document", identifier={"value": "D1"}), "document", "D1"),
        (bundle(HEADER | {"id": "h", "eventCoding": {"code": "E1"}}, kind="message"), "message/E1", "h"),
        (bundle(HEADER | {"eventUri": "urn:e"}, kind="message", identifier={"value": "M"}), "message/urn:e", "M"),
        (json.dumps(PATIENT).encode(), "Patient", None),
        (bundle(kind="transaction"), "transaction", None),
    ],
)  # fmt: skip
def test_what_a_message_says_about_itself(body, kind, number) -> None:
    facts = one(body).facts
    assert facts.kind == kind
    assert facts.control_id == number or (number is None and len(facts.control_id) == 16)


def test_a_mapping_takes_its_version_its_kinds_and_what_must_stand_there() -> None:
    sources = [
        source(messages=["document"], where={"Composition.type.coding.code": "1"}),
        source(messages=["document"], where={"Composition.type.coding.code": ["2", "3"]}),
        source(messages=["message/A"]),
        source("STU3", messages=["message"]),
        source("STU3", messages=["ReferralRequest"]),
    ]

    def takers(body):
        ((_, found_),) = FORMAT.messages(body, sources)
        return found_

    composed = {"resourceType": "Composition", "type": {"coding": [{"code": "2"}]}}
    assert takers(bundle(composed, kind="document")) == (1,)
    assert takers(bundle({"resourceType": "MessageHeader", "eventCoding": {"code": "A"}}, kind="message")) == (2, 3)
    assert takers(b'{"resourceType": "ReferralRequest"}') == (4,)
    assert takers(bundle(kind="collection")) == ()


def test_several_documents_in_a_message_are_several_messages() -> None:
    first, second = taken((TOC / "two-documents.json").read_bytes(), source("STU3", messages=["message"]))
    assert first.facts.control_id != second.facts.control_id
    assert (first.patients, second.patients) == (1, 1)
    again = one(second.body, source("STU3", messages=["message"]))
    assert leaves(again) == leaves(second)


def test_two_patients_are_noticed_and_a_trial_is() -> None:
    message = one(bundle(PATIENT, PATIENT | {"id": "p2"}))
    assert message.patients == 2
    tested = one(bundle(PATIENT | {"meta": {"security": [{"code": "HTEST"}]}}))
    assert (tested.facts.trial, message.facts.trial) == (True, False)


def test_xml_says_what_json_says() -> None:
    declared = source("STU3")
    plain, markup = (one((TOC / name).read_bytes(), declared) for name in ("plain.json", "plain-xml.xml"))
    assert list(leaves(plain).values()) == list(leaves(markup).values())
    assert leaves(plain) == leaves(markup)


def test_what_xml_has_beside_a_primitive_is_kept() -> None:
    body = (
        b'<Patient xmlns="http://hl7.org/fhir"><active value="true"/><birthDate value="1970" id="b"><extension url="u">'
        b'<valueDecimal value="1.10"/></extension></birthDate><name><given value="A"/><given><extension url="v">'
        b'<valueCode value="c"/></extension></given></name><text><status value="generated"/><div xmlns='
        b'"http://www.w3.org/1999/xhtml">a &amp; <b class="x">b</b><br/></div></text></Patient>'
    )
    assert leaves(one(body)) == {
        "Patient.resourceType": "Patient", "Patient.active": "true", "Patient.birthDate": "1970",
        "Patient._birthDate.id": "b", "Patient._birthDate.extension[1].url": "u",
        "Patient._birthDate.extension[1].valueDecimal": "1.10", "Patient.name[1].given[1]": "A",
        "Patient.name[1]._given[2].extension[1].url": "v", "Patient.name[1]._given[2].extension[1].valueCode": "c",
        "Patient.text.status": "generated",
        "Patient.text.div": '<div xmlns="http://www.w3.org/1999/xhtml">a &amp; <b class="x">b</b><br/></div>',
    }  # fmt: skip


REFUSED = {
    "nothing": (b" ", "M700"),
    "no resource": (b'{"a": 1}', "M830"),
    "a type that is no text": (b'{"resourceType": {"$ne": null}}', "M830"),
    "a type of no version": (b'{"resourceType": "Patiant"}', "M830"),
    "an entry that is no resource": (b'{"resourceType": "Bundle", "entry": [{"resource": {"id": "1"}}]}', "M830"),
    "two of one name": (bundle({**PATIENT, "@url": "urn:uuid:1"}, {**PATIENT, "@url": "urn:uuid:1"}), "M831"),
    "a list of values": (b'"Patient"', "M830"),
    "the same name twice": (b'{"resourceType": "Patient", "id": "a", "id": "b"}', "M821"),
    "bundles in bundles": (b'{"resourceType": "Bundle", "entry": [{"resource": ' * 9 + b"{}" + b"}]}" * 9, "M825"),
    "XML of another kind": (b"<ClinicalDocument xmlns='urn:hl7-org:v3'/>", "M832"),
    "text beside a resource in XML": (
        b'<Bundle xmlns="http://hl7.org/fhir"><entry><resource>x<Patient/></resource></entry></Bundle>', "M832",
    ),
    "text in XML": (b'<Patient xmlns="http://hl7.org/fhir">x</Patient>', "M832"),
    "a type of no version in XML": (b'<Patiant xmlns="http://hl7.org/fhir"/>', "M830"),
    "an element of another namespace": (b'<Patient xmlns="http://hl7.org/fhir"><x xmlns="y"/></Patient>', "M832"),
    "a document type": (b'<!DOCTYPE Patient [<!ENTITY a "b">]><Patient xmlns="http://hl7.org/fhir"/>', "M801"),
    "XML that is not closed": (b'<Patient xmlns="http://hl7.org/fhir">', "M800"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name) -> None:
    body, code = REFUSED[name]
    with pytest.raises(MalformedMessage) as caught:
        taken(body)
    assert caught.value.code == code


def test_each_format_recognises_its_own() -> None:
    bodies = {
        "fhir": [
            b' {"id": "1", "resourceType": "Patient"}', b'[{"resourceType":"Bundle"',
            b'<?xml version="1.0"?>\n<!-- x --><Bundle xmlns="http://hl7.org/fhir">',
        ],
        "json": [b'{"patient": {"resourceType": "Patient"}}', b"[]", b'{"a": 1, "resourceType": {"x": 1}}'],
        "xml": [b"<ClinicalDocument xmlns='urn:hl7-org:v3'>"],
        "hl7v2": [b"MSH|^~\\&|"],
    }  # fmt: skip
    for name, own in bodies.items():
        for body in own:
            assert sniff(body) is format_named(name), body


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"messages": ["document"]}, "version"),
        ({"version": "R5", "messages": ["document"]}, "version"),
        ({"version": "R4"}, "messages"),
        ({"version": "R4", "messages": ["letter"]}, "messages"),
        ({"version": "R4", "messages": ["document"], "where": {"Patient.nam": "x"}}, "where"),
        ({"version": "R4", "messages": ["document"], "where": {".name": "x"}}, "where"),
        ({"version": "R4", "messages": ["document"], "columns": ["a"]}, "columns"),
    ],
)
def test_a_declaration_that_is_not_plainly_right_is_refused(options, key) -> None:
    with pytest.raises(DeclarationError) as caught:
        FORMAT.declare("Europe/London", "", options)
    assert caught.value.key == key


# --- places and answers ------------------------------------------------------------------------------------


def test_a_changed_leaf_is_the_only_one_that_differs() -> None:
    message = one(bundle(PATIENT, practitioner("Q", id="q")))
    for cell, _ in FORMAT.populated(message):
        path = FORMAT.path(message, cell, 0, R4, exact=True)
        if path.endswith("resourceType"):
            continue
        changed = one(FORMAT.altered(message, cell, 0, 'Q"7', R4))
        assert leaves(changed) == leaves(message) | {path: 'Q"7'}


@pytest.mark.parametrize(("name", "version"), [("itk3-message.xml", "STU3"), ("two-documents.json", "STU3")])
def test_a_message_is_answered_in_kind(name, version) -> None:
    body = (TOC / name).read_bytes()
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    answer = Answer(Verdict.REFUSED, "Not passed on.", at, "M710")
    said = FORMAT.acknowledge(body, answer, name="hub")
    assert said == FORMAT.acknowledge(body, answer, name="hub")
    assert said.startswith(b"<") == name.endswith("xml")
    message = one(said, source(version, messages=["message"]))
    assert message.facts.kind == "message/ITK004D"
    found_ = leaves(message)
    asked = one(body, source(version, messages=["message"])) if name.endswith("xml") else taken(body, STU3)[0]
    assert found_["MessageHeader.response.identifier"] == asked.facts.control_id.partition("/")[0]
    assert found_["MessageHeader.response.code"] == "fatal-error"
    assert found_["OperationOutcome.issue[1].details.coding[1].code"] == "M710"
    assert FORMAT.acknowledge(said, answer, name="hub") == b"", "an answer is never answered"


def test_what_is_no_message_is_not_answered_in_kind() -> None:
    answer = Answer(Verdict.ACCEPTED, "Taken.", datetime(2026, 1, 5, 9, tzinfo=UTC))
    for body in (bundle(PATIENT), b"{", b"", json.dumps(PATIENT).encode()):
        assert FORMAT.acknowledge(body, answer, name="hub") == b""


#: Paths of `ignore:` together: elements, choices as a whole, entries that are tested, and what is found by the way.
IGNORED = [
    "Patient.id", "Patient.name.given", 'Patient.name[use="official"].family', "Patient.name[2].text",
    "Patient.deceased", "Patient.extension.value", "Patient.managingOrganization", "Patient.contact", "Bundle",
    "Patient.contact.name.text", "Observation", "Patient.managingOrganization->Organization.name", "Bundle.entry",
    'Patient.identifier[system="a" and use="usual"].value', "Patient.contained", "Organization.contact.telecom.value",
]  # fmt: skip


def test_what_is_ignored_all_at_once_is_what_is_ignored_path_by_path() -> None:
    said = {
        **PATIENT, "@url": "urn:uuid:p", "id": "p", "deceasedDateTime": "2025-01-01", "deceasedly": "x",
        "name": [{"use": "official", "family": "A", "given": ["B", "C"]}, {"use": "usual", "family": "D", "text": "E"}],
        "identifier": [{"system": "a", "use": "usual", "value": "1"}, {"system": "a", "value": "2"}],
        "extension": [{"url": "u", "valueCode": "c"}, {"url": "v", "extension": [{"url": "w", "valueString": "s"}]}],
        "contact": {"name": {"text": "F"}}, "contained": [{"resourceType": "Observation", "id": "o"}],
        "managingOrganization": {"reference": "urn:uuid:o"},
    }  # fmt: skip
    organisation = {
        "resourceType": "Organization", "@url": "urn:uuid:o", "name": "G",
        "contact": [[{"telecom": [{"value": "H", "use": "work"}]}], {"telecom": {"value": "I"}}],
    }  # fmt: skip
    message = one(bundle(said, organisation, {"resourceType": "Observation", "status": "final"}))
    paths = [FORMAT.scan(text, 0, len(text))[0] for text in IGNORED]
    everything = list(FORMAT.populated(message))
    for some in [*([path] for path in paths), paths, paths[::2], paths[1::2]]:
        _, at_once = FORMAT.ignoring(some)
        one_by_one = {cell for path in some for cell in FORMAT.ignored(path)(message)}
        assert set(at_once(message, everything)) == one_by_one
        assert one_by_one, some
