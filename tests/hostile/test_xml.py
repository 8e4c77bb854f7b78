"""
Hostile XML through the door: our own cases with exactly what is said of each (`xml_cases.py`), that nothing is ever
opened or connected to, in a number of steps that the size bounds; and without its protection, each is let through.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
import xml_cases
from doors import sound, take
from lxml import etree
from steps import calls_of

from mhbridge.errors import MalformedMessage
from mhbridge.fhir.bundle import loads
from mhbridge.formats.xml import encoding, message, parsing
from mhbridge.formats.xml.parsing import parsed

SECRETS = ("NOBODY1", "fine", "30 mg", "passwd", "127.0.0.1")


@pytest.mark.parametrize("name", xml_cases.CASES)
def test_xml(name):
    body, expected = xml_cases.CASES[name]
    taken = take(body, "xml")
    assert taken.codes == expected
    sound(taken)
    told = [taken.answer.text]
    told += [f"{i.code} {i.text} {i.path}" for outcome in taken.outcomes for i in outcome.issues]
    assert not [secret for secret in SECRETS for one in told if secret in one]
    for outcome in taken.outcomes:
        for document in outcome.documents:
            text = document.body.decode()
            assert "<script" not in text.lower()
            assert "javascript:" not in text
            assert loads(document.body)


class _Watch:
    """What the interpreter says that it opens or connects to. An audit hook stays for ever, so there is one."""

    def __init__(self) -> None:
        self.seen: list[str] | None = None
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple) -> None:
        if self.seen is not None and (event == "open" or event.startswith(("socket.", "subprocess.", "urllib."))):
            self.seen.append(f"{event} {arguments[:1]}")


WATCH = _Watch()


def test_nothing_is_opened_or_connected_to():
    for body, _ in xml_cases.CASES.values():
        take(body[:200_000], "xml")
    WATCH.seen = []
    try:
        for body, _ in xml_cases.CASES.values():
            take(body[:200_000], "xml")
        assert WATCH.seen == []
        Path(__file__).read_bytes()
        assert WATCH.seen, "the control"
    finally:
        WATCH.seen = None


GROWS = {
    "sections": lambda n: xml_cases.document(
        "<component><structuredBody>"
        + "<component><section><title>a</title><text>b</text></section></component>" * n
        + "</structuredBody></component>"
    ),
    "elements that a path compares": lambda n: "<a>" + '<b k="x"/>' * n + "</a>",
    "cells": lambda n: xml_cases.narrative("<table><tr>" + "<td>x</td>" * n + "</tr></table>"),
    "attributes": lambda n: "<a>" + '<b a="1" b="2" c="3" d="4"/>' * n + "</a>",
    "comments": lambda n: xml_cases.document(f"<title>a{'<!-- x -->' * n}</title>"),
    "pieces of a text": lambda n: xml_cases.document(f"<title>{'&amp;' * n}</title>"),
    "breaks": lambda n: xml_cases.narrative("a<br/>" * n),
}


@pytest.mark.parametrize("name", GROWS)
def test_work_grows_with_the_size_and_not_with_its_square(name):
    take(GROWS[name](20).encode(), "xml")
    counts = [calls_of(lambda n=n: take(GROWS[name](n).encode(), "xml")) for n in (200, 400, 800)]
    assert all(after < 2.5 * before + 2_000 for before, after in pairwise(counts)), counts


# --- the controls: without its protection, each of these is let through ------------------------------------


def test_without_limits_too_much_is_let_through(monkeypatch):
    names = ("130 levels", "200 namespaces", "200 attributes", "60,000 children", "a name of 1,000 characters")
    for limit in ("DEPTH", "NAMESPACES", "ATTRIBUTES", "CHILDREN", "VALUE", "NAME"):
        monkeypatch.setattr(parsing, f"MAX_{limit}", 10**9)
    for name in names:
        parsed(xml_cases.CASES[name][0].decode())
    monkeypatch.undo()
    for name in names:
        with pytest.raises(MalformedMessage):
            parsed(xml_cases.CASES[name][0].decode())


def test_of_a_document_type_the_parser_says_no_too(monkeypatch):
    """Two refusals, one behind the other: the text before the first element is looked at, and the parser tells."""
    monkeypatch.setattr(encoding, "_DOCTYPE", encoding.re.compile("(?!)"))
    for name in ("a document type", "an entity of a file", "a billion laughs", "a quadratic blow-up"):
        assert take(xml_cases.CASES[name][0], "xml").codes == "M801"


def test_a_parser_that_resolves_entities_is_not_stopped():
    """Why there is no document type at all: this is what lxml makes of one when it is asked to."""
    parser = etree.XMLParser(resolve_entities=True)
    assert etree.fromstring(b'<!DOCTYPE a [<!ENTITY x "30 mg">]><a>&x;</a>', parser).text == "30 mg"
    loose = etree.fromstring(b'<!DOCTYPE a [<!ENTITY x "30 mg">]><a>5 &x;</a>', etree.XMLParser(resolve_entities=False))
    assert loose.text == "5 ", "and left out, words are missing"


def test_without_the_check_an_include_is_let_through(monkeypatch):
    monkeypatch.setattr(message, "_INCLUDE", "")
    assert take(xml_cases.CASES["an include"][0], "xml").codes == "done"
