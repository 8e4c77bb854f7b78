"""
The event, translated by code that is written for that one message, beside what a mapping makes of it.

    python tests/benchmarks/by_hand.py

What Python itself takes for this Bundle: the fields at places that are known, codes in dictionaries of finished parts,
no place of a mapping in a traceback. It takes every message for whole and plain (no escape, no `""`, no subcomponent,
no other encoding characters, a valid date at midnight's own offset), knows every code, keeps no ledger, no states and
nothing of what came before, and gives neither issues nor lineage. So this is no translator, but a floor: what stands
above it is what the promises cost, and how they are kept.
"""

from __future__ import annotations

import gc
import time
from hashlib import sha256
from itertools import accumulate
from typing import Any
from urllib.parse import quote

import orjson
from counting import instructions
from stages import NOW, PATIENTS
from workload import EVENT, FIXTURES, MAPPINGS, varied

from mhbridge import pipeline
from mhbridge.mapping.catalogue import load
from mhbridge.model import Envelope

GOLDEN: dict[str, Any] = orjson.loads((FIXTURES / EVENT.supplier / "adt/a01-admission.r4.json").read_bytes())
STAY, PATIENT = (entry["resource"] for entry in GOLDEN["entry"])

# What the message may say by a code, as finished parts: those of the golden Bundle, since no other code comes.
CLASS = {"I": STAY["class"]}
SERVICE = {"ALDER": STAY["serviceType"]}
SOURCE = {"19": STAY["hospitalization"]["admitSource"]}
METHOD = {"25": STAY["hospitalization"]["extension"][0]}
LEGAL = {"S2": STAY["extension"][0]}
STATUS = {"NSTS01": PATIENT["identifier"][0]["extension"]}
ETHNIC = {"A": PATIENT["extension"][0]}
GENDER = {"1": "male", "2": "female"}
RELATIONS = {"12": PATIENT["contact"][0]["relationship"][0], "2": PATIENT["contact"][1]["relationship"][0]}
ROLES = {"NOK": PATIENT["contact"][0]["relationship"][1], "CARER": PATIENT["contact"][1]["relationship"][1]}
ATTENDER, REFERRER = (one["type"] for one in STAY["participant"])
BED, SITE = (one["physicalType"] for one in STAY["location"][1:])
NAMES = {"L": "official", "N": "nickname"}
ADDRESSES = {"H": "home"}
TELEPHONES = {"PRN": "home"}

OWN = "https://example-mental-health.example"
BY_IDENTIFIER = "Encounter?identifier=https%3A%2F%2Fexample-mental-health.example%2Fid%2Fspell%7C"
BY_NUMBER = "Patient?identifier=https%3A%2F%2Fexample-mental-health.example%2Fid%2Fpatient%7C"


def name(parts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"family": parts[0]} if parts[0] else {}
    if parts[1]:
        found["given"] = [parts[1], parts[2]] if len(parts) > 2 and parts[2] else [parts[1]]
    if len(parts) > 4 and parts[4]:
        found["prefix"] = [parts[4]]
    if len(parts) > 6 and (use := NAMES.get(parts[6])):
        found["use"] = use
    return found


def address(parts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"line": [parts[0], parts[1]] if parts[1] else [parts[0]]}
    found |= {
        key: text for key, text in zip(("city", "state", "postalCode", "country"), parts[2:6], strict=True) if text
    }
    if len(parts) > 6 and (use := ADDRESSES.get(parts[6])):
        found["use"] = use
    return found


def telecom(parts: list[str]) -> dict[str, Any]:
    if len(parts) > 3 and parts[2] == "Internet":
        return {"system": "email", "value": parts[3]}
    found = {"system": "phone", "value": parts[0]}
    if use := "mobile" if len(parts) > 2 and parts[2] == "CP" else TELEPHONES.get(parts[1]):
        found["use"] = use
    return found


def practitioner(parts: list[str]) -> dict[str, Any]:
    words = f"{parts[1]}, {parts[2]}"
    return {
        "type": "Practitioner",
        "identifier": {"system": "https://fhir.hl7.org.uk/Id/gmc-number", "value": parts[0]},
        "display": f"{words} ({parts[5]})" if len(parts) > 5 and parts[5] else words,
    }


def nhs_number(text: str) -> str:
    if len(text) != 10 or not text.isdecimal() or sum(accumulate(text.encode())) % 11:
        raise ValueError("no NHS number")
    return text


def named(*key: str) -> str:
    digest = sha256("|".join(key).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def by_hand(body: bytes) -> bytes:
    """The Bundle of an admission, as JSON."""
    segments: dict[str, list[list[str]]] = {}
    for line in body.decode().split("\r"):
        if line:
            segments.setdefault(line[:3], []).append(line.split("|"))
    header, pid, visit, more = (segments[one][0] for one in ("MSH", "PID", "PV1", "PD1"))
    pid += [""] * (33 - len(pid))
    visit += [""] * (46 - len(visit))
    identifiers, local = [], ""
    for one in pid[3].split("~"):
        parts = one.split("^")
        if parts[3] == "NHS":
            number = {"use": "official", "system": "https://fhir.nhs.uk/Id/nhs-number", "value": nhs_number(parts[0])}
            identifiers.append({**number, "extension": STATUS[pid[32]]} if pid[32] else number)
        else:
            local = parts[0]
            identifiers.append({"system": f"{OWN}/id/patient", "value": local})
    stay = visit[19].split("^")[0]
    patient_url, stay_url = f"urn:uuid:{named('patient', local)}", f"urn:uuid:{named('stay', stay)}"
    entries = [
        {
            "fullUrl": stay_url,
            "resource": encounter(header, visit, segments["ZMH"][0], stay, patient_url),
            "request": {"method": "PUT", "url": BY_IDENTIFIER + quote(stay)},
        },
        {
            "fullUrl": patient_url,
            "resource": patient(pid, more, segments.get("NK1", []), identifiers),
            "request": {"method": "PUT", "url": BY_NUMBER + quote(local)},
        },
    ]
    head = {"resourceType": "Bundle", "id": named("version", header[9]), "type": "transaction"}
    return orjson.dumps({**head, "timestamp": GOLDEN["timestamp"], "entry": entries})


def encounter(header: list[str], visit: list[str], own: list[str], stay: str, patient_url: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Encounter",
        "meta": STAY["meta"],
        "identifier": [{"system": f"{OWN}/id/spell", "value": stay}],
        "status": "in-progress",
        "class": CLASS[visit[2]],
    }
    ward, _, bed, site, *_ = visit[3].split("^")
    if ward in SERVICE:
        made["serviceType"] = SERVICE[ward]
    made["subject"] = {"reference": patient_url}
    people = ((ATTENDER, visit[7]), (REFERRER, visit[8]))
    if found := [{"type": kind, "individual": practitioner(one.split("^"))} for kind, one in people if one]:
        made["participant"] = found
    if at := visit[44]:
        made["period"] = {"start": f"{at[:4]}-{at[4:6]}-{at[6:8]}T{at[8:10]}:{at[10:12]}:00+00:00"}
    admission: dict[str, Any] = {}
    if visit[14]:
        admission["admitSource"] = SOURCE[visit[14]]
    if visit[4]:
        admission["extension"] = [METHOD[visit[4]]]
    if admission:
        made["hospitalization"] = admission
    places: list[dict[str, Any]] = []
    if ward:
        place = {"type": "Location", "identifier": {"system": f"{OWN}/codes/ward", "value": ward}, "display": ward}
        places.append({"location": place, "status": "active"})
    if bed:
        places.append({"location": {"type": "Location", "display": bed}, "physicalType": BED})
    if site:
        place = {"type": "Location", "identifier": {"system": f"{OWN}/id/site", "value": site}}
        places.append({"location": place, "physicalType": SITE})
    if places:
        made["location"] = places
    made["serviceProvider"] = {
        "type": "Organization",
        "identifier": {"system": f"{OWN}/id/organisation", "value": header[3]},
        "display": "Example Mental Health NHS Trust (fictitious)",
    }
    if own[2]:
        made["extension"] = [LEGAL[own[2]]]
    return made


def patient(
    pid: list[str], more: list[str], relatives: list[list[str]], identifiers: list[dict[str, Any]]
) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Patient", "meta": PATIENT["meta"], "identifier": identifiers}
    made["name"] = [name(one.split("^")) for one in pid[5].split("~")]
    if numbers := [telecom(one.split("^")) for field in (pid[13], pid[14]) if field for one in field.split("~")]:
        made["telecom"] = numbers
    if pid[8]:
        made["gender"] = GENDER[pid[8]]
    if born := pid[7]:
        made["birthDate"] = f"{born[:4]}-{born[4:6]}-{born[6:8]}"
    if pid[11]:
        made["address"] = [address(one.split("^")) for one in pid[11].split("~")]
    if pid[22]:
        made["extension"] = [ETHNIC[pid[22]]]
    doctors: list[dict[str, Any]] = []
    if more[3]:
        words, _, code, *_ = more[3].split("^")
        practice = {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": code}
        doctors.append({"type": "Organization", "identifier": practice, "display": words})
    if more[4]:
        doctors.append(practitioner(more[4].split("^")))
    if doctors:
        made["generalPractitioner"] = doctors
    contacts: list[dict[str, Any]] = []
    for relative in relatives:
        one = relative + [""] * (8 - len(relative))
        contact: dict[str, Any] = {}
        known = ((RELATIONS, one[3]), (ROLES, one[7]))
        if relations := [table[field.split("^")[0]] for table, field in known if field]:
            contact["relationship"] = relations
        if one[2]:
            contact["name"] = name(one[2].split("^"))
        if one[5]:
            contact["telecom"] = [telecom(number.split("^")) for number in one[5].split("~")]
        if one[4]:
            contact["address"] = address(one[4].split("^"))
        contacts.append(contact)
    if contacts:
        made["contact"] = contacts
    return made


def without_ids(value: Any) -> Any:
    """A Bundle without the ids, which are made otherwise here."""
    if isinstance(value, list):
        return [without_ids(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: without_ids(one) for key, one in value.items() if key not in ("id", "fullUrl", "reference")}


def main() -> None:
    """Both in turns, of patients who differ in all that is theirs."""
    if without_ids(orjson.loads(by_hand(EVENT.body))) != without_ids(GOLDEN):
        raise SystemExit("what is written by hand is not what the mapping makes: the mapping has changed")
    mapping = load([str(MAPPINGS)], only=True).mapping(EVENT.mapping)
    feed = pipeline.Feed(EVENT.supplier, EVENT.mapping, (mapping,), live=False)
    make = varied(EVENT, PATIENTS, "h")
    bodies = [make(number) for number in range(PATIENTS)]

    def by_mapping(body: bytes) -> bytes:
        (taken,) = pipeline.intake(Envelope(body, EVENT.supplier, EVENT.mapping, NOW, "mllp"), feed).messages
        return pipeline.step(taken, {}, NOW, feed, validator=lambda _: ()).documents[0].body

    count = instructions()
    gc.collect()
    gc.freeze()
    found = {}
    for label, work in (("by a mapping", by_mapping), ("by hand", by_hand)):
        best, executed = float("inf"), 0.0
        for _ in range(60):
            begun, before = time.thread_time(), count() if count is not None else 0
            for body in bodies:
                work(body)
            best = min(best, (time.thread_time() - begun) / PATIENTS * 1e6)
            executed = ((count() if count is not None else 0) - before) / PATIENTS / 1000
        found[label] = best
        said = f"{executed:10,.0f} thousand instructions, {executed / best:.1f} of them in a µs" if executed else ""
        print(f"{label:<14}{best:8.1f} µs{said}")
    print(f"the promises cost {found['by a mapping'] / found['by hand']:.1f} × what the Bundle does")


if __name__ == "__main__":
    main()
