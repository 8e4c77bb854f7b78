"""A document as a person reads it."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from mhbridge.fhir.letter import letter, letter_text
from mhbridge.fhir.xhtml import div

BUNDLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "document",
    "entry": [
        {
            "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001",
            "resource": {
                "resourceType": "Composition",
                "status": "final",
                "title": "Mental Health Inpatient Discharge Summary",
                "subject": {"reference": "urn:uuid:00000000-0000-4000-8000-000000000002"},
                "date": "2025-03-14T10:30:00+00:00",
                "author": [{"reference": "PractitionerRole/role"}],
                "custodian": {"reference": "Organization/trust"},
                "relatesTo": [{"code": "replaces", "targetIdentifier": {"value": "x"}}],
                "section": [
                    {
                        "title": "Diagnoses",
                        "text": {
                            "status": "generated",
                            "div": div("<p><b>Diagnosis:</b> Depression &amp; anxiety</p>"),
                        },
                    },
                    {
                        "title": "Plan",
                        "text": {"status": "generated", "div": div("<p>See below</p>")},
                        "section": [
                            {"title": "For the GP", "text": {"div": div("<ul><li>Bloods</li><li>Review</li></ul>")}}
                        ],
                    },
                    {"title": "Allergies", "emptyReason": {"text": "unavailable"}},
                ],
            },
        },
        {
            "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000002",
            "resource": {
                "resourceType": "Patient",
                "identifier": [
                    {"system": "https://example.org/mrn", "value": "X1"},
                    {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"},
                ],
                "name": [
                    {"use": "nickname", "given": ["Jo"]},
                    {"use": "official", "family": "Oakapple", "given": ["Josephine"]},
                ],
                "birthDate": "1985-03-04",
                "gender": "female",
            },
        },
        {
            "resource": {
                "resourceType": "PractitionerRole",
                "id": "role",
                "practitioner": {"reference": "Practitioner/doctor"},
                "code": [{"text": "Specialty doctor"}],
                "organization": {"reference": "Organization/trust"},
            }
        },
        {
            "resource": {
                "resourceType": "Practitioner",
                "id": "doctor",
                "name": [{"family": "Quince", "prefix": ["Dr"]}],
            }
        },
        {"resource": {"resourceType": "Organization", "id": "trust", "name": "Example Trust"}},
        {"resource": {"resourceType": "Binary", "id": "b", "contentType": "application/pdf", "data": "QUJD" * 500}},
    ],
}

TEXT = """\
Mental Health Inpatient Discharge Summary
=========================================

!! This version replaces an earlier one.
Name: OAKAPPLE, Josephine
Born: 4 March 1985
Gender: Female
NHS number: 999 000 0018
Written: 14 March 2025, 10:30
By: QUINCE (Dr), Specialty doctor, Example Trust
Kept by: Example Trust

Diagnoses
---------
Diagnosis: Depression & anxiety

Plan
----
See below

For the GP
- Bloods
- Review

Allergies
---------
Nothing here (unavailable).

Sent with this document
-----------------------
- Attached document: application/pdf, 2 kB
"""


class Page(HTMLParser):
    """What a browser shows, and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def changed(path: str, value: Any) -> dict[str, Any]:
    bundle = copy.deepcopy(BUNDLE)
    at: Any = bundle
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return bundle


def test_a_document_as_text() -> None:
    assert letter_text(BUNDLE, 80) == TEXT


def test_a_document_as_a_page() -> None:
    html = letter(BUNDLE)
    page = Page(html)
    shown = re.sub(r"\s+", " ", " ".join(page.text))
    for words in (
        "OAKAPPLE, Josephine",
        "4 March 1985",
        "999 000 0018",
        "Diagnosis:",
        "Depression & anxiety",
        "Bloods",
        "QUINCE (Dr), Specialty doctor, Example Trust",
        "Nothing here (unavailable).",
        "application/pdf, 2 kB",
        "This version replaces an earlier one.",
    ):
        assert words in shown
    assert [tag for tag in page.tags if tag in ("h1", "h2", "h3")] == ["h1", "h2", "h2", "h3", "h2", "h2"]
    assert page.links == []
    assert "default-src 'none'" in html
    # The title of a page goes into histories and tabs: it names the kind of document and nobody.
    title = html.partition("<title>")[2].partition("</title>")[0]
    assert title == "Mental Health Inpatient Discharge Summary"


def coded(reason: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": reason}]}


CHANGES: list[tuple[str, Any, str]] = [
    ("entry.0.resource.status", "entered-in-error", "!! Withdrawn by its sender: this document was sent in error."),
    ("entry.0.resource.status", "preliminary", "!! Preliminary"),
    ("entry.0.resource.confidentiality", "R", "!! Restricted"),
    ("entry.1.resource.identifier", None, "NHS number: not stated"),
    ("entry.1.resource.birthDate", None, "Born: not stated"),
    ("entry.1.resource.name", None, "Name: not stated"),
    ("entry.1.resource.deceasedDateTime", "2025-03-15", "Died: 15 March 2025"),
    ("entry.1.resource.deceasedBoolean", True, "Died: Yes"),
    ("entry.0.resource.author", [{"display": "Ward clerk"}], "By: Ward clerk"),
    ("entry.0.resource.author", None, "By: not stated"),
    ("entry.0.resource.author", [{"reference": "Practitioner/doctor"}], "By: QUINCE (Dr)\n"),
    ("entry.2.resource", {"resourceType": "Basic"}, "By: not stated"),
    (
        "entry.2",
        {"fullUrl": "PractitionerRole/role", "resource": {"resourceType": "Device", "deviceName": [{"name": "X"}]}},
        "By: X\n",
    ),
    (
        "entry.5.resource",
        {"resourceType": "DocumentReference", "content": [{"attachment": {"title": "Crisis plan"}}]},
        "- Attached document: Crisis plan\n",
    ),
    (
        "entry.5.resource",
        {"resourceType": "DocumentReference", "content": [{"attachment": {"url": "https://plans.example/7"}}]},
        "Kept elsewhere, and not sent\n----------------------------\n- https://plans.example/7\n",
    ),
    ("entry.0.resource.section.2.emptyReason", None, "Nothing here.\n"),
    ("entry.0.resource.section.2.emptyReason", coded("unavailable"), "that there is nothing: Allergies\n"),
    ("entry.0.resource.section.2.emptyReason", coded("notasked"), "Not asked by the sender: Allergies\n"),
    ("entry.0.resource.section.2.emptyReason", coded("withheld"), "Withheld: Allergies\n"),
    (
        "entry.0.resource.section.1.section.0.emptyReason",
        coded("notstarted"),
        "Not yet recorded by the sender: For the GP\n",
    ),
    ("entry.0.resource.section.0.title", None, "Section\n-------\n"),
    ("entry.0.resource.title", None, "Document\n========"),
]


@pytest.mark.parametrize(("path", "value", "words"), CHANGES)
def test_what_a_reader_must_know_is_said(path: str, value: Any, words: str) -> None:
    assert words not in letter_text(BUNDLE, 120)
    assert words in letter_text(changed(path, value), 120)


@pytest.mark.parametrize("reason", ["nilknown", "closed", "something"])
def test_that_there_is_none_is_said_and_not_missing(reason: str) -> None:
    bundle = changed("entry.0.resource.section.2.emptyReason", coded(reason))
    assert "Allergies" not in letter_text(bundle).partition("\nDiagnoses")[0]


def test_what_is_missing_stands_at_the_top_of_the_page() -> None:
    html = letter(changed("entry.0.resource.section.2.emptyReason", coded("unavailable")))
    assert 0 < html.index('<p class="unsaid">') < html.index("<section>")


@pytest.mark.parametrize(
    ("inner", "shown"),
    [
        ("<p><b>Plan:</b></p><ul><li>One</li></ul>", "<ul><li>One</li></ul>"),
        ("<p><b>Plan:</b> Ring on Monday.</p>", "<p>Ring on Monday.</p>"),
        ("<p><b>Plan of the ward:</b> None.</p>", "<p><b>Plan of the ward:</b> None.</p>"),
        # What does not stand first belongs to its own label.
        ("<p>None.</p><p><b>Plan:</b> None.</p>", "<p>None.</p><p><b>Plan:</b> None.</p>"),
    ],
)
def test_the_words_of_a_heading_are_read_once(inner: str, shown: str) -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{inner}</div>'
    composition = {"resourceType": "Composition", "section": [{"title": "Plan", "text": {"div": div}}]}
    page = letter({"resourceType": "Bundle", "entry": [{"resource": composition}]})
    assert page.partition("<h2>Plan</h2>")[2].partition("</section>")[0].endswith(f"{shown}</div>")


def test_a_hostile_document_shows_its_text_and_does_nothing() -> None:
    attack = "<script>alert(1)</script><img src='https://evil.example/x' onerror='x()'/>seen\x1b[2J"
    bundle = changed("entry.0.resource.section.0.text.div", attack)
    bundle["entry"][0]["resource"]["title"] = attack
    bundle["entry"][0]["resource"]["section"][1]["title"] = attack
    bundle["entry"][1]["resource"]["name"] = [{"text": attack}]
    bundle["entry"][5]["resource"]["contentType"] = attack
    page = Page(letter(bundle))
    assert set(page.tags).isdisjoint({"script", "img", "iframe"})
    assert page.links == []
    assert "seen" in letter_text(bundle)
    assert "\x1b" not in letter_text(bundle) + letter(bundle)


@pytest.mark.parametrize(
    "bundle",
    [{}, {"resourceType": "Bundle"}, {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient"}}]},
     {"resourceType": "Composition"}, {"resourceType": "Bundle", "entry": "x"}],
)  # fmt: skip
def test_what_is_not_a_document_is_refused(bundle: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a FHIR document"):
        letter(bundle)
    with pytest.raises(ValueError, match="not a FHIR document"):
        letter_text(bundle)


@pytest.mark.parametrize("key", ["section", "author", "subject", "custodian", "relatesTo", "title", "date", "type"])
@pytest.mark.parametrize("value", [[], {}, "x", 1, [1], [{"text": 1}], {"reference": 1}])
def test_a_malformed_document_is_shown_as_far_as_it_goes(key: str, value: Any) -> None:
    bundle = changed(f"entry.0.resource.{key}", value)
    assert "Name: " in letter_text(bundle)
    assert letter(bundle).endswith("</html>\n")
