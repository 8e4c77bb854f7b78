"""XML documents as messages: one, several in an envelope, many in a list; each can be read again alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mhbridge.errors import MalformedMessage
from mhbridge.formats import BrokenMessage
from mhbridge.formats.xml import FORMAT, XmlMessage, message
from mhbridge.mapping.library import built_in

sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))
from steps import calls_of

LIST = {"root": "letters", "message_per": "/letters/letter", "control_id": "/letters/letter/@no"}
SOURCE = FORMAT.declare("Europe/London", "", LIST)


def letters(count: int, text: str = "x") -> bytes:
    inner = "".join(f'<letter no="L{n}"><text>{text}{n}</text></letter>' for n in range(count))
    return f'<letters from="A"><head>all &amp; one</head>{inner}<foot/></letters>'.encode()


def test_each_element_of_a_list_is_a_message_with_what_stands_round_it():
    found = [one for one, takers in FORMAT.messages(letters(3), [SOURCE]) if takers == (0,)]
    assert [one.facts.control_id for one in found] == ["L0", "L1", "L2"]
    assert [one.facts.place for one in found] == ["message 1", "message 2", "message 3"]
    assert found[1].body == (
        b'<letters from="A"><head>all &amp; one</head><letter no="L1"><text>x1</text></letter><foot></foot></letters>'
    )
    for one in found:
        ((again, takers),) = FORMAT.messages(one.body, [SOURCE])
        assert takers == (0,)
        assert isinstance(again, XmlMessage)
        assert (again.body, again.facts.control_id) == (one.body, one.facts.control_id)


def test_what_has_to_be_escaped_is_in_a_namespace_too():
    space = "https://example.org/?a=1&amp;b=2"
    body = letters(2).replace(b"<letters ", f"<letters xmlns:o='{space}' o:kind='&quot;&#10;' ".encode())
    for one, _ in FORMAT.messages(body, [SOURCE]):
        ((again, _),) = FORMAT.messages(one.body, [SOURCE])
        assert again.tree.outer.attributes == one.tree.outer.attributes
        assert again.tree.outer.attributes["{https://example.org/?a=1&b=2}kind"] == '"\n'


def test_one_of_a_list_keeps_the_bytes_that_came():
    ((one, _),) = FORMAT.messages(letters(1), [SOURCE])
    assert one.body == letters(1)


def test_many_messages_cost_as_much_as_they_are_long():
    list(FORMAT.messages(letters(10), [SOURCE]))
    few, many = (calls_of(lambda n=n: list(FORMAT.messages(letters(n), [SOURCE]))) for n in (100, 400))
    assert many < 5 * few


def test_too_many_are_refused(monkeypatch):
    monkeypatch.setattr(message, "MAX_MESSAGES", 9)
    with pytest.raises(MalformedMessage) as error:
        list(FORMAT.messages(letters(10), [SOURCE]))
    assert error.value.code == "M802"


def test_lists_in_many_places_are_refused():
    body = "<letters>" + "<day><letter/></day>" * 60 + "</letters>"
    source = FORMAT.declare("Europe/London", "", {"root": "letters", "message_per": "/letters/day/letter"})
    with pytest.raises(MalformedMessage) as error:
        list(FORMAT.messages(body.encode(), [source]))
    assert error.value.code == "M802"


def test_without_a_number_its_bytes_identify_a_message():
    source = FORMAT.declare("Europe/London", "", {"root": "letters"})
    (first, _), (second, _) = (next(FORMAT.messages(letters(n), [source])) for n in (1, 2))
    assert first.facts.control_id != second.facts.control_id
    assert len(first.facts.control_id) == 16


def test_payloads_of_an_envelope_are_messages_with_its_header():
    body = (built_in("fixtures") / "example-itk/discharge-cda/two-payloads-in-soap.xml").read_bytes()
    source = FORMAT.declare(
        "Europe/London", "", {"root": "ClinicalDocument", "namespaces": {"": "urn:hl7-org:v3"}, "dialect": "cda"}
    )
    found = [one for one, _ in FORMAT.messages(body, [source])]
    assert [one.facts.sender for one in found] == ["urn:nhs-uk:addressing:example-itk"] * 2
    assert [one.facts.place for one in found] == ["payload 1", "payload 2"]
    assert len({one.facts.control_id for one in found}) == 2
    assert [one.facts.version for one in found] == ["POCD_MT010011GB02", "POCD_MT150001UK06"]
    for one in found:
        assert ("patient", "I1003") in one.identities or ("patient", "I1004") in one.identities
        ((again, _),) = FORMAT.messages(one.body, [source])
        assert isinstance(again, XmlMessage)
        assert again.facts.control_id == one.facts.control_id
        assert not [issue for issue in again.noted(()) if issue.code == "M811"], "its manifest names it alone"


def test_an_unreadable_envelope_is_kept_whole():
    body = b'<DistributionEnvelope xmlns="urn:nhs-itk:ns:201005"><payloads/></DistributionEnvelope>'
    ((error, takers),) = FORMAT.messages(body, [SOURCE])
    assert isinstance(error, BrokenMessage)
    assert (error.code, error.body, takers) == ("M807", body, ())
