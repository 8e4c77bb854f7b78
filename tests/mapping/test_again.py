"""
There and back: what a document of ours carries as coded entries, read again as a source, is what it was made of.

Both directions are tested by this at once: what the build writes, and what paths, references and conversions read.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mhbridge.errors import MessageError
from mhbridge.fhir.bundle import dumps, loads
from mhbridge.mapping.catalogue import Catalogue, SupplierMapping
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import State
from mhbridge.testing.replaying import RECEIVED_AT, cases

AGAIN = Path(__file__).parent / "again"
DOCUMENT = "mental-health-inpatient-discharge"
CASES = [case for case in cases(built_in("fixtures")) if case.path.with_name(f"{case.path.stem}.r4.json").is_file()]


@cache
def catalogue() -> Catalogue:
    return Catalogue(Library([AGAIN, built_in("mappings")]))


@cache
def reader() -> SupplierMapping:
    return catalogue().mapping("again/letter")


def carried(value: Any, uris: Any) -> Any:
    """An item as a document carries it: no empty parts, systems by their URIs, and no codes of those that have none."""
    if isinstance(value, State):
        return None
    if isinstance(value, dict):
        found = {key: made for key, part in value.items() if (made := carried(part, uris)) not in (None, [], {})}
        if "system" in found:
            found["system"] = uris.get(found["system"], found["system"])
        if "coding" in found:
            sent = [c for c in found["coding"] if ":" in c.get("system", "")]
            if not sent:  # what cannot be sent as a code is sent in words
                words = (c.get(part) for part in ("display", "code") for c in found["coding"])
                found.setdefault("text", next((word for word in words if word), None))
            found["coding"] = sent
        return {key: part for key, part in found.items() if part not in ([], {})} or None
    if isinstance(value, list):
        return [made for one in value if (made := carried(one, uris)) is not None]
    return value


def concept(value: Any) -> Any:
    """A concept by its codes, or where it has none by its words."""
    if not isinstance(value, dict):
        return value
    codes = sorted((c.get("system", ""), c["code"]) for c in value.get("coding", ()) if "code" in c and "system" in c)
    return codes or value.get("text")


def read(mapping: SupplierMapping, body: bytes) -> list[dict[str, Any]]:
    found = []
    for message, takers in mapping.format.messages(body, [mapping.source]):
        if takers and not isinstance(message, MessageError):
            reading = mapping.read(message, RECEIVED_AT)
            found.append({name: carried(value, mapping.builds["r4"].uris) for name, value in reading.items.items()})
    return found


def same(before: Any, after: Any) -> bool:
    """Whether two concepts are: words that stand for a code have the code behind them."""
    return before == after or (isinstance(before, str) and isinstance(after, str) and after.startswith(before))


CONCEPTS = {
    "care_setting", "nhs_number_status", "ethnic_category", "reason_for_admission", "source_of_admission",
    "discharge_destination", "admission_method", "discharge_method", "author_role",
}  # fmt: skip
PLAIN = {
    "written_at", "nhs_number", "birth_date", "gender", "address", "telecom", "deceased", "spell_id", "admitted_at",
    "discharged_at", "local_identifiers", "safety_plan", "crisis_contacts",
}  # fmt: skip
RECORDS = {
    "diagnoses": ("recorded_on", "comment"),
    "allergies": ("reaction", "severity", "recorded_on", "first_seen", "comment"),
    "medicines": ("dose",),
}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    if not before.get("nhs_number"):
        before = {name: value for name, value in before.items() if name != "nhs_number_status"}  # it is the number's
    found = [name for name in PLAIN if (before.get(name) or None) != (after.get(name) or None)]
    found += [name for name in CONCEPTS if not same(concept(before.get(name)), concept(after.get(name)))]
    for name, fields in RECORDS.items():
        # Without its name an entry is narrative alone.
        first = [one for one in before.get(name) or () if one.get("code")]
        second = after.get(name) or []
        kept = [[[one.get(field) for field in fields] for one in few] for few in (first, second)]
        named = zip(first, second, strict=False)
        if kept[0] != kept[1] or not all(same(concept(one["code"]), concept(two.get("code"))) for one, two in named):
            found.append(name)
    names = [
        [(n.get("family"), n.get("given"), n.get("prefix")) for n in few.get("patient_name") or ()]
        for few in (before, after)
    ]
    return found + (["patient_name"] if names[0] != names[1] else [])


def pairs() -> list:
    found = []
    for case in CASES:
        name = f"{case.supplier}/{case.feed}"
        if (head := catalogue().header(name)) is not None and head[0] == DOCUMENT:
            found.append(pytest.param(case, name, id=case.name))
    return found


@pytest.mark.parametrize(("case", "name"), pairs())
def test_what_a_document_carries_is_what_it_was_made_of(case, name) -> None:
    golden = loads(case.path.with_name(f"{case.path.stem}.r4.json").read_bytes())
    documents = [dumps(one) for one in (golden if isinstance(golden, list) else [golden])]
    before = read(catalogue().mapping(name), case.path.read_bytes())
    after = [items for body in documents for items in read(reader(), body)]
    assert after
    told = {items["spell_id"]["value"]: items for items in before if items.get("spell_id")}
    for items in after:
        assert differences(told[items["spell_id"]["value"]], items) == []


def test_measurements_keep_their_digits_there_and_back() -> None:
    golden = built_in("fixtures") / "example-crisis-house" / "discharges" / "plain.r4.json"
    (items,) = read(reader(), golden.read_bytes())
    values = [one.get("value") for one in items["physical_health"]]
    assert [str(value["value"]) for value in values if isinstance(value, dict) and "value" in value] == ["61.50", "38"]
    assert isinstance(values[0]["value"], Decimal)


def test_a_difference_would_be_found() -> None:
    """The control."""
    (golden,) = [
        case.values[0]
        for case in pairs()
        if case.values[0].path.name == "plain.json" and "toc" in case.values[0].supplier
    ]
    body = golden.path.with_name("plain.r4.json").read_bytes()
    (before,), (after,) = read(reader(), body), read(reader(), body.replace(b"Olanzapine", b"Clozapine"))
    assert differences(before, before) == []
    assert differences(before, after) == ["medicines"]
