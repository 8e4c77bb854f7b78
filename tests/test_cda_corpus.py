"""
Public CDA documents, through the shipped mappings: each becomes valid FHIR in which no word of it is missing, or waits
with the right reason.

Set TEST_CORPUS to the folder of the corpus; HL7's C-CDA examples lie in it under `ccda`, and NHS documents beside it
under `data/cda`.
"""

from __future__ import annotations

import html
import os
import re
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

import shipped
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.validate import default_validator
from mhbridge.model import MessageState, Severity
from mhbridge.pipeline import Feed
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

ROOT = os.environ.get("TEST_CORPUS", "")
#: The others are of kinds that no shipped mapping takes: progress notes, CCDs, urgent care reports, bare sections.
DONE = {"Discharge_Summary.xml", "Referral_Note.xml", "Transfer_Summary.xml"}
NS = {"h": "urn:hl7-org:v3"}


def documents(*parts: str) -> list[Path]:
    found = sorted(Path(ROOT, *parts).rglob("*.xml")) if ROOT else []
    return found or [
        pytest.param(None, marks=pytest.mark.skip(reason="TEST_CORPUS names no folder with CDA documents"))
    ]


@cache
def feed(supplier: str) -> Feed:
    return feed_of(shipped.catalogue(), supplier)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@pytest.mark.parametrize("path", documents("ccda"), ids=lambda path: path.name if path else "none")
def test_c_cda(path):
    body = path.read_bytes()
    outcomes, answer = outcomes_of(body, feed("international-ccda"), RECEIVED_AT)
    if not outcomes:
        # A few examples are fragments with prefixes that only the document they were cut from declares.
        assert answer.code == "M800"
        with pytest.raises(etree.XMLSyntaxError):
            etree.fromstring(body)
        return
    (outcome,) = outcomes
    if path.name not in DONE:
        assert (outcome.state, outcome.code) == (MessageState.PARKED, "M710")
        return
    assert outcome.state is MessageState.DONE
    assert outcome.ledger.failed == ()
    (document,) = outcome.documents
    bundle = loads(document.body)
    assert not [issue for issue in default_validator()(bundle) if issue.severity is Severity.ERROR]
    sections = bundle["entry"][0]["resource"]["section"]
    shown = set(words(html.unescape(" ".join(re.sub("<[^>]+>", " ", one["text"]["div"]) for one in sections))))
    for text in etree.fromstring(body).iterfind(".//h:section/h:text", NS):
        missing = [word for word in words(" ".join(text.itertext())) if word not in shown]
        assert not missing, f"of line {text.sourceline}"


@pytest.mark.parametrize("path", documents("..", "data", "cda"), ids=lambda path: path.name if path else "none")
def test_nhs_cda(path):
    """They are reports of urgent care: taken out of their envelopes, recognised, and left to a person."""
    outcomes, _ = outcomes_of(path.read_bytes(), feed("example-itk"), RECEIVED_AT)
    assert outcomes
    for outcome in outcomes:
        assert (outcome.state, outcome.code) == (MessageState.PARKED, "M710")
        assert outcome.facts.kind == "ClinicalDocument"
        assert outcome.facts.version.startswith("POCD_MT")
