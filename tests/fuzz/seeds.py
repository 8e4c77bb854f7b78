"""What the fuzzer begins with: our fixtures, mappings and malformed cases, and a public corpus where there is one."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from mhbridge.adapters.mllp.framing import frame
from mhbridge.mapping.library import built_in

__all__ = ["of"]

_ROOT = Path(__file__).parent.parent
#: target → endings of what is a seed for it.
_ENDINGS = {
    "hl7v2": (".hl7", ".er7"),
    "flow": (".hl7",),
    "csv": (".csv",),
    "json": (".json", ".ndjson"),
    "xml": (".xml",),
    "mllp": (".bin",),
    "yaml": (".yaml",),
    "tables": (".mime", ".zip"),
    "document": (".mime", ".zip"),
}
#: Seeds that are larger teach the fuzzer nothing but patience.
_LARGEST = 20_000

_EXPRESSIONS = (
    'PID-3[4="NHS"] | nhs_number',
    'if MSH-9.2 = "A13" then deleted() else PV1-45',
    '(PID-29 or (PID-30 | flag("Y", "N"))) | code(gender)',
    'OBX[3.1="ALLERGY"][2]-5.1.2 | lines',
    'not (a.b in ("x", "y")) and snomed#373942005 != 1.50',
    "[Date of birth] | date",
    "medicines as m",
    'MSH-9.2 in ("A01", "A\\"\\\\") and not PV1-19',
)
_YAML = (
    b"a: {b: [c, 'd'], e: \"f\\tg\"}\nh: |\n  i\n  j\n",
    b"x: = PID-3 #y\n- z\n",
    b"a: &b !!python/object:c\n  - *b\n<<: ~\n? k\n: v\n",
)


_SETS = (
    b"""--x
Content-Disposition: attachment; filename="Spell.csv"

SpellID,RefID
S1,R1
S2,R1

--x
Content-Disposition: attachment; filename="Stay.csv"

SpellID,Start
S1,02/01/2025
S1,01/02/2025

--x
Content-Disposition: attachment; filename="Referral.csv"

RefID,Note
R1,"a
b"

--x--
""",
    b"""--x
Content-Disposition: form-data; filename="Spell.csv"
Lines: 1,7-8

SpellID,RefID
S1,R1,x
S1,R1
--x
Content-Disposition: form-data; filename="stay_1.csv"

Start,SpellID
,S1
,S9
--x--""",
    b"""--x
Content-Disposition: attachment; filename="Spell.csv"

SpellID,RefID
S1,R1
--x
Content-Disposition: attachment; filename="Referral.csv"

RefID,Note
--x
Content-Disposition: attachment; filename="Stay.csv"

SpellID,Start
--x--
""",
)


_FHIR = (
    '[{"resourceType": "Patient"}, {"resourceType": "Encounter", "id": "é"}]',
    '{"resourceType": "Patient", "id": "a", "identifier": [{"system": "x", "value": "1"}], "_active": {"id": "b"}}',
    """{"resourceType": "Bundle", "type": "message", "identifier": {"value": "M"}, "entry": [
    {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "MessageHeader", "id": "h", "eventCoding": {"code": "E"}}},
    {"resource": {"resourceType": "Bundle", "type": "document"}},
    {"resource": {"resourceType": "Bundle", "type": "document"}}]}""",
    """{"resourceType": "Bundle", "type": "document", "entry": [
    {"fullUrl": "https://a.example/Practitioner/q", "resource": {"resourceType": "Practitioner", "id": "q"}},
    {"resource": {"resourceType": "Encounter", "contained": [{"resourceType": "Practitioner", "id": "c", "name":
    [{"family": "C"}]}], "participant": [{"individual": {"reference": "#c"}},
    {"individual": {"reference": "Practitioner/q"}}]}}]}""",
    """<Bundle xmlns="http://hl7.org/fhir"><type value="message"/><entry><resource><MessageHeader><event>
    <code value="E"/></event></MessageHeader></resource></entry></Bundle>""",
    """<Patient xmlns="http://hl7.org/fhir"><text><div xmlns="http://www.w3.org/1999/xhtml">a<br/>b</div></text>
    <birthDate id="x"><extension url="u"><valueDecimal value="1.10"/></extension></birthDate></Patient>""",
)


_HEADS = (
    b"Mex-MessageID: 20261123_ABC\nMex-MessageType: DATA\nMex-From: X26ABC1\nMex-WorkflowID: A_B\nMex-Chunk-Range: 1:3",
    b"Mex-MessageType: REPORT\nMex-LinkedMsgID: 20261101_DEF\nMex-LocalID: 7-0b6f\nMex-StatusCode: 14",
    b"mex-messageid: 20261123_abc\nmex-chunk-range: 1:1\nmex-content-compressed: Y",
)


def _archives() -> Iterator[bytes]:
    members = [("a.csv", b"a"), ("b/c.hl7", b"MSH|" * 99), ("d/", b""), ("\xe9.csv", bytes(range(256)))]
    for compression in (ZIP_STORED, ZIP_DEFLATED):
        for count in range(len(members) + 1):
            made = BytesIO()
            with ZipFile(made, "w", compression) as archive:
                for name, content in members[:count]:
                    archive.writestr(name, content)
            yield made.getvalue()


def of(target: str) -> list[bytes]:
    """The seeds of a target, each once, small ones first."""
    return sorted(dict.fromkeys(seed for seed in _found(target) if len(seed) <= _LARGEST), key=len)


def _found(target: str) -> Iterator[bytes]:
    if target == "expression":
        yield from (one.encode() for one in _EXPRESSIONS)
    if target == "yaml":
        yield from _YAML
    if target == "zip":
        yield from _archives()
    if target == "mesh":
        for head in _HEADS:
            yield head
            yield b"%b\n\n%b" % (head, gzip.compress(b"MSH|" * 9, mtime=0))
        yield b"\n\n" + gzip.compress(b"0" * 20_000, mtime=0)
    if target == "tables":
        yield from _SETS
    if target == "fhir":
        yield from (one.encode() for one in _FHIR)
    if target == "csv":
        yield b'nhs_number,family,note\r\n9990000018,Testpatient,"a, ""b""\nc"\r\n'
        yield b"nhs_number;family;note\n9990000018;\xc4;\n\n;;\n"
    folders = [built_in("fixtures"), built_in("mappings"), _ROOT / "hostile"]
    if corpus := os.environ.get("TEST_CORPUS"):
        folders += [Path(corpus, "badinput"), Path(corpus, "hl7v2")]
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                yield from _seed(target, path)


def _seed(target: str, path: Path) -> Iterator[bytes]:
    if path.name.endswith(_ENDINGS.get(target, ("?",))):
        yield path.read_bytes()
    elif target == "mllp" and path.suffix == ".hl7" and path.stat().st_size < 1500:
        yield frame(path.read_bytes())
    elif target == "expression" and path.name.startswith("expr_"):
        yield path.read_bytes()
