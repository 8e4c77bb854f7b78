"""What comes again in messages about others is one object while it is remembered; nobody changes it, and it ends."""

from __future__ import annotations

from functools import partial
from zoneinfo import ZoneInfo

import pytest
from test_stated import SUPPLIER, translated

from mhbridge.fhir import recurring as module
from mhbridge.fhir.bundle import dumps
from mhbridge.fhir.compiled import compiled
from mhbridge.fhir.definitions import r4
from mhbridge.fhir.recurring import LASTING, RECURRING, Again, forget, recur
from mhbridge.fhir.stated import STATED, stated
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.codes import NO_SYSTEMS
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.leaves import remembered
from mhbridge.mapping.library import Library, built_in
from mhbridge.mapping.run import Run
from mhbridge.mapping.writing import concept
from mhbridge.model import MessageFacts
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of


def test_nobody_changes_what_recurs_and_it_is_never_the_patients_own() -> None:
    translated()
    before = {id(part): (part, dumps(part)) for part in RECURRING.values()}
    assert len(before) > 20
    translated((b"Marigold", b"Tansy"), (b"TESTPATIENT", b"SPECIMEN"))
    assert [said for part, said in before.values() if dumps(part) != said] == []
    said = [dumps(part) for part in RECURRING.values()]
    assert any(b"FICTIVE" in one for one in said), "the control: who works there is remembered"
    assert not any(name in one for one in said for name in (b"Tansy", b"Marigold", b"SPECIMEN", b"TESTPATIENT"))


def test_of_who_works_there_the_same_is_made_once() -> None:
    own = feed_of(Catalogue(Library([built_in("mappings")])), SUPPLIER)
    body = (built_in("fixtures") / SUPPLIER / "adt" / "a01-admission.hl7").read_bytes()

    def document(*change: bytes) -> bytes:
        ((outcome,), _) = outcomes_of(body.replace(*change) if change else body, own, RECEIVED_AT)
        return outcome.documents[0].body

    first = document()
    assert document() == first
    other = document(b"FICTIVE^Alaric", b"FICTIVE^Bo")
    assert other == first.replace(b"FICTIVE, Alaric", b"FICTIVE, Bo"), "another person is another"
    assert document() == first


def test_what_is_forgotten_is_told_no_longer() -> None:
    part, lasting = {"text": "one"}, stated({"text": "for ever"})
    recur(part)
    recur(lasting)
    assert id(part) in RECURRING
    assert LASTING[id(part)] is part
    forget([part, lasting, {"text": "unknown"}])
    assert id(part) not in RECURRING
    assert id(part) not in LASTING
    assert LASTING[id(lasting)] is STATED[id(lasting)]


def test_what_is_made_of_a_part_recurs_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    again, parts, wholes = Again(), [{"n": n} for n in range(3)], [{"of": n} for n in range(3)]
    for part in parts:
        recur(part)
    again.keep(parts[0], wholes[0])
    again.keep(parts[1], wholes[1])
    assert again.known[id(parts[0])] is wholes[0]
    assert id(wholes[0]) in RECURRING
    again.keep(parts[2], wholes[2])
    assert list(again.known.values()) == [wholes[2]], "what was before is forgotten"
    assert id(wholes[0]) not in RECURRING
    both = (parts[0], parts[2])
    again.keep(both, wholes[1])
    assert again.known[tuple(map(id, both))] is wholes[1]
    forget([*parts, *wholes])


def test_of_systems_that_may_change_nothing_is_kept() -> None:
    value = {"coding": [{"system": "own", "code": "A"}]}
    lasting, passing = stated({"own": "urn:own"}), {"own": "urn:other"}
    recur(value["coding"])
    context = partial(Context, ZoneInfo("Europe/London"), {}, NO_SYSTEMS, "", "acme")
    for uris, more in ((passing, 0), (lasting, 1)):
        run = Run(MessageFacts("csv", "row"), supplier="acme", received_at="", context=context, uris=uris)
        before = len(RECURRING)
        made = [concept(value, run) for _ in range(2)]
        assert [one["coding"][0]["system"] for one in made] == [uris["own"]] * 2
        assert len(RECURRING) - before == more, "the control: where they do not, it is kept"
    forget([value["coding"]])


def test_who_is_remembered_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for two, each third code or person puts the others out, and documents stay what they are."""
    whole = [document.body for one in translated() for document in one.documents]
    monkeypatch.setattr(remembered, "REMEMBERED", 2)
    monkeypatch.setattr(module, "MOST", 2)
    changed = ((b"FICTIVE^Alaric", b"FICTIVE^Bo"), (b"S-0901^CLERK", b"S-0902^CLERK"))
    translated(*changed)
    assert [document.body for one in translated() for document in one.documents] == whole


def test_what_recurs_is_judged_once_and_rightly() -> None:
    is_clean = compiled(r4())
    good = {"type": "Practitioner", "display": "NOTREAL, Ferelith"}
    wrong = {"type": "Encounter", "display": "NOTREAL, Ferelith"}
    recur(good)
    recur(wrong)
    for _ in range(3):
        assert is_clean({"resourceType": "Patient", "generalPractitioner": [good]})
        assert not is_clean({"resourceType": "Patient", "generalPractitioner": [wrong]})
        assert not is_clean({"resourceType": "Patient", "managingOrganization": good})
    forget([good, wrong])
