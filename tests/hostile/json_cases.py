r"""
Malformed JSON of our own making, one or more for each way of being malformed: the bytes, the format, and the code of
each message in it (or its state, where there is none), or of the refusal.

Everything in here is invented; NHS numbers are of the 999 range.
"""

from __future__ import annotations

__all__ = ["CASES", "document"]


def document(more: str = "", *, note: str = '"fine"', born: str = '"1970-02-28"', nhs: str = '"9997770013"') -> bytes:
    names = '[{"family": "NOBODY", "given": ["NELLIE"]}]'
    return (
        '{"type": "discharge", "id": "K1", "left": "2026-01-05T08:00:00Z", "stay": "S77", '
        f'"patient": {{"no": "77", "nhs": {nhs}, "names": {names}, "born": {born}}}, '
        f'"note": {note}{more}}}'
    ).encode()


def encounter(more: str = "", *, status: str = '"finished"', identifier: str = '{"value": "S77"}') -> bytes:
    subject = '{"identifier": {"system": "https://nowhere.example/patient", "value": "77"}}'
    period = '{"start": "2026-01-01", "end": "2026-01-05T08:00:00Z"}'
    return (
        f'{{"resourceType": "Encounter", "status": {status}, "identifier": [{identifier}], "subject": {subject}, '
        f'"period": {period}{more}}}'
    ).encode()


def bundle(*entries: str) -> bytes:
    whole = ", ".join([f'{{"resource": {encounter().decode()}}}', *entries])
    return f'{{"resourceType": "Bundle", "type": "document", "entry": [{whole}]}}'.encode()


def practitioner(name: str, more: str = "") -> str:
    return f'{{"fullUrl": "urn:uuid:{name}", "resource": {{"resourceType": "Practitioner", "id": "{name}"{more}}}}}'


XML = (
    b'<Encounter xmlns="http://hl7.org/fhir"><identifier><value value="S77"/></identifier><status value="finished"/>'
    b'<subject><identifier><value value="77"/></identifier></subject><period>'
    b'<end value="2026-01-05T08:00:00Z"/></period></Encounter>'
)
GOOD = document()

#: name → (bytes, format, what is said).
CASES: dict[str, tuple[bytes, str, str]] = {
    # what must not be refused
    "a plain document": (GOOD, "json", "done"),
    "a list of one": (b"[" + GOOD + b"]", "json", "done"),
    "line ends of Windows": (GOOD.replace(b", ", b",\r\n"), "json", "done"),
    "an NHS number that is a number": (document(nhs="9997770013"), "json", "done"),
    "every escape but control characters": (document(note=r'"\" \\ \/ \n \r \t \u00e9 \ud83d\ude00"'), "json", "done"),
    "templates in a text": (document(note='"{{7*7}} ${x} %s%n {0.__class__} =1+1"'), "json", "done"),
    "names of Python and JavaScript": (document(more=', "__proto__": {"x": 1}, "__class__": "x"'), "json", "done"),
    "a name without a letter": (document(more=', "": 1, " ": {"": 2}'), "json", "done"),
    "digits that a float does not keep": (
        document(more=', "checks": [{"name": "w", "value": 1.10000000000000000001}]'), "json", "done",
    ),
    "an exponent that is a number": (document(more=', "checks": [{"name": "w", "value": 1.50e2}]'), "json", "done"),
    "a text where a number was": (document(more=', "checks": [{"name": "w", "value": "?"}]'), "json", "done"),
    "an object where a text was": (document(note='{"a": "b"}'), "json", "done"),
    "a list where a text was": (document(note='["a", "b"]'), "json", "done"),
    "true where a text was": (document(note="true"), "json", "done"),
    "as deep as may be": (document(more=', "x": ' + "[" * 98 + "]" * 98), "json", "done"),
    # what waits for a person
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "json", "M824"),
    "a document that nobody takes": (b'{"type": "admission"}', "json", "M710"),
    "an object where a date was": (document(born='{"y": 1970}'), "json", "I601"),
    "a truth value where a date was": (document(born="true"), "json", "I601"),
    "a fraction where an NHS number was": (document(nhs="9997770013.0"), "json", "I601"),
    "an NHS number with an exponent": (document(nhs="9.997770013e9"), "json", "I601"),
    "one bad document of three": (
        b"[" + GOOD + b", " + document(more=', "id": "K2"') + b", " + GOOD + b"]", "json", "done M821 done",
    ),
    "no documents": (b'[1, "a", null, [{}]]', "json", "M829 M829 M829 M829"),
    # what cannot be read
    "nothing": (b"", "json", "M700"),
    "blanks": (b" \t\r\n", "json", "M700"),
    "text": (b"Dear colleague,", "json", "M820"),
    "HL7 v2": (b"MSH|^~\\&|A|B\r", "json", "M820"),
    "XML": (b"<Bundle/>", "json", "M820"),
    "a PDF": (b"%PDF-1.7\n\x00\x01\x02", "json", "M705"),
    "a text alone": (b'"discharge"', "json", "M829"),
    "nothing in its place": (b"null", "json", "M829"),
    "broken off": (GOOD[:-9], "json", "M820"),
    "a comma too many": (GOOD[:-1] + b",}", "json", "M820"),
    "a comment": (b"/* why */" + GOOD, "json", "M820"),
    "NaN": (document(more=', "x": NaN'), "json", "M822"),
    "minus infinity": (document(more=', "x": -Infinity'), "json", "M822"),
    "the same name twice": (document(more=', "note": "not fine"'), "json", "M821"),
    "the same name twice, once escaped": (document(more=r', "n\u006fte": "not fine"'), "json", "M821"),
    "the same name twice, deep": (document(more=', "x": [{"y": {"a": 1, "a": 2}}]'), "json", "M821"),
    "half of a character": (document(note=r'"\ud800"'), "json", "M823"),
    "the other half of a character": (document(note=r'"a\udfffb"'), "json", "M823"),
    "halves the wrong way round": (document(note=r'"\ude00\ud83d"'), "json", "M823"),
    "half of a character in UTF-8": (document(note='"?"').replace(b"?", b"\xed\xa0\x80"), "json", "M704"),
    "Latin-1": (document(note='"n\xe9e"').decode().encode("latin-1"), "json", "M704"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "json", "M704"),
    "UTF-16 without its mark": (GOOD.decode().encode("utf-16-le"), "json", "M705"),
    "NUL": (document(note=r'"\u0000"'), "json", "M705"),
    "a bell": (document(note='"a\x07"'), "json", "M705"),
    "a next line of C1": (document(note=r'"a\u0085"'), "json", "M705"),
    "ten thousand digits": (document(more=', "x": ' + "9" * 10_000), "json", "M828"),
    "a number that a float does not reach": (document(more=', "x": 1e400'), "json", "M828"),
    "a number that a float takes for nothing": (document(more=', "x": -0.5E-400'), "json", "M828"),
    "two hundred objects deep": (document(more=', "x": ' + '{"a":' * 200 + "1" + "}" * 200), "json", "M825"),
    "a hundred thousand lists deep": (document(more=', "x": ' + "[" * 100_000 + "]" * 100_000), "json", "M825"),
    "too many values": (document(more=', "x": [' + "1," * 100_000 + "1]"), "json", "M826"),
    "two documents": (GOOD + GOOD, "json", "M827"),
    "a document and something": (GOOD + b" x", "json", "M827"),
    # FHIR
    "a resource": (encounter(), "fhir", "done"),
    "a resource in XML": (XML, "fhir", "done"),
    "a bundle": (bundle(), "fhir", "done"),
    "unknown members": (encounter(', "__proto__": {"x": 1}, "constructor": [[["x"]]]'), "fhir", "done"),
    "contained resources in a circle": (
        encounter(', "contained": [{"resourceType": "List", "id": "a", "entry": [{"item": {"reference": "#a"}}]}], '
                  '"participant": [{"individual": {"reference": "#a"}}]'), "fhir", "done",
    ),
    "a reference to itself": (encounter(', "id": "1", "partOf": {"reference": "Encounter/1"}'), "fhir", "done"),
    "references that lead nowhere": (
        encounter(', "participant": [{"individual": {"reference": "#"}}, {"individual": {"reference": "../../etc"}}, '
                  '{"individual": {"reference": "file:///etc/passwd"}}, {"individual": {"reference": ""}}]'),
        "fhir", "done",
    ),
    "a reference that is an object": (
        encounter(', "participant": [{"individual": {"reference": {"x": 1}}}, {"individual": "Practitioner/1"}]'),
        "fhir", "done",
    ),
    "two of one id": (bundle(practitioner("1"), practitioner("1").replace("urn:uuid:1", "urn:uuid:2")), "fhir", "done"),
    "entries that are none": (bundle('"x"', "7", "null", "[]", '{"fullUrl": {"x": 1}}'), "fhir", "done"),
    "a status that is an object": (encounter(status='{"x": "finished"}'), "fhir", "I601"),
    "a resource that nobody takes": (b'{"resourceType": "Patient", "active": true}', "fhir", "M710"),
    "a byte order mark before FHIR": (b"\xef\xbb\xbf" + encounter(), "fhir", "M824"),
    "two patients": (
        bundle('{"resource": {"resourceType": "Patient"}}', '{"resource": {"resourceType": "Patient"}}'),
        "fhir", "M721",
    ),
    "a trial": (encounter().replace(b'"status"', b'"meta": {}, "status"'), "fhir", "done"),
    "a taking back of nothing": (b'{"resourceType": "Encounter", "status": "entered-in-error"}', "fhir", "M722"),
    "no resource": (b'{"type": "Encounter"}', "fhir", "M830"),
    "a type that is an object": (b'{"resourceType": {"$ne": null}}', "fhir", "M830"),
    "a type of no version": (encounter().replace(b'"Encounter"', b'"Enkounter"'), "fhir", "M830"),
    "an entry of no type": (bundle('{"resource": {"id": "x"}}'), "fhir", "M830"),
    "two of one address": (bundle(practitioner("1"), practitioner("1")), "fhir", "M831"),
    "bundles in bundles": (
        (b'{"resourceType": "Bundle", "entry": [{"resource": ' * 9) + encounter() + b"}]}" * 9, "fhir", "M825",
    ),
    "a name twice in FHIR": (encounter(', "status": "planned"'), "fhir", "M821"),
    "XML that is no FHIR": (b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>', "fhir", "M832"),
    "an entity in XML": (
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Encounter xmlns="http://hl7.org/fhir">&e;</Encounter>',
        "fhir", "M801",
    ),
}  # fmt: skip
