"""
A supplier's afternoon, through the real command line in a folder of their own: a sample, a first mapping, edits, check,
trace, coverage, codes, golden files, sign-off. One supplier of HL7 v2 letters, one of extracts, one of CDA.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mhbridge.mapping.library import built_in

EXTRACT = """\
Letter No,Patient No,NHS No,Surname,Forename,DOB,Sex,Street,Town,Postcode,Phone,Practice,Spell No,Admission Date,\
Discharge Date,Discharge Time,Discharge Method,Ward,Written On,Doctor,GMC,Job,Job Tel,Summary,Diagnosis 1,\
Diagnosis 1 ICD10,Drug 1,Dose 1,Drug 2,Dose 2,Mood
L-1,P-77,9990001014,Pretendson,Idris,21/06/1987,F,3 Invented Lane,Fictiontown,ZZ1 1ZZ,01632 960111,Y12345,S-9,\
01/03/2025,14/03/2025,10:30,Clinical,Larch,14/03/2025 16:20,Dr O. Nobody,9990002,Consultant,01632 960112,\
Settled and going home.,Recurrent depression,F33.1,Sertraline,50 mg daily,,,bright
L-2,P-78,9990004188,Madeupson,Nia,02/11/1990,M,4 Invented Lane,Fictiontown,ZZ1 1ZZ,01632 960113,Y12345,S-10,\
02/03/2025,15/03/2025,09:00,Self,Larch,15/03/2025 12:00,Dr O. Nobody,9990002,Consultant,01632 960112,\
Left against advice.,Psychosis,F29,Olanzapine,5 mg at night,Sertraline,50 mg daily,low
"""


#: What the analyst adds to the first mapping of the letters.
MORE = """\
  reason_for_admission: = OBX[3.1="ADMREASON"]-5
  diagnoses:
    $each: OBX[3.1="DIAGNOSIS"]
    code: = OBX-5
    recorded_on: = OBX-14
    recorded_by: = OBX-16
    comment: = NTE-3 | lines
  medicines:
    $each: OBX[3.1="MEDICINE"]
    code: = OBX-5
    dose: = NTE[4.1="DOSE"]-3 | lines
    comment: = NTE[4.1!="DOSE"]-3 | lines
    changed_on: = OBX-14
  allergies:
    $each: OBX[3.1="ALLERGY"]
    code: = OBX-5
    reaction: = NTE-3 | lines
"""


class Desk:
    """A folder, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: object, code: int = 0) -> SimpleNamespace:
        command = [sys.executable, "-m", "mhbridge", *map(str, arguments)]
        made = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=600, check=False)
        assert made.returncode == code, f"{arguments}: {made.stdout[-2000:]}{made.stderr[-3000:]}"
        return SimpleNamespace(out=made.stdout, err=made.stderr)

    def read(self, path: str) -> str:
        return (self.folder / path).read_text("utf-8")

    def write(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text, "utf-8")

    def edit(self, path: str, *changes: tuple[str, str]) -> None:
        text = self.read(path)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        self.write(path, text)


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path)


def coded(desk: Desk, name: str, sample: str, table: str, row: str) -> None:
    """The codes that no table has, collected and filled in."""
    mappings = ("--mappings", "mappings")
    supplier = name.partition("/")[0]
    tables = f"mappings/suppliers/{supplier}/codes/tables"
    desk("coverage", name, sample, *mappings, "--codes", tables)
    text = desk.read(f"{tables}/{table}.csv")
    assert row in text, "the codes are there, ready to be filled in"
    errors = desk("check", "mappings", "--lines", code=1).out
    assert f"{tables}/{table}.csv:2:" in errors, "until it is filled in, its place is said"
    for path in (desk.folder / tables).glob("*.csv"):
        header, *rows = csv.reader(path.read_text("utf-8").splitlines())
        kept = [
            one if one[5] or one[7] == "unmatched" else [*one[:3], one[3] or "snomed", "", "", "", "unmatched"]
            for one in rows
        ]
        path.write_text("\n".join(",".join(one) for one in (header, *kept)) + "\n", "utf-8")
    desk("check", "mappings")


def finished(desk: Desk, name: str, sample: str, table: str = "", row: str = "", share: str = "100") -> None:
    """From a mapping that is whole to one that is signed: the same for every format."""
    mappings = ("--mappings", "mappings")
    desk("check", "mappings", "--lines")
    desk("translate", sample, "--mapping", name, *mappings, "--trace", "--out", "fhir", "--report")
    documents = sorted((desk.folder / "fhir").glob("*.r4.json"))
    assert documents
    desk("validate", "--quiet", *documents)
    [traced, *_] = json.loads(next((desk.folder / "fhir").glob("*.trace.json")).read_bytes())
    births = [one for one in traced["trace"] if one["element"] == "Patient[1].birthDate"]
    file, line, _ = births[0]["origins"][0]["place"].rsplit(":", 2)
    assert desk.read(file).splitlines()[int(line) - 1].startswith("  birth_date: = ")

    if table:
        coded(desk, name, sample, table, row)
    desk("coverage", name, sample, *mappings, "--fail-under", share)
    proof = desk("coverage", name, sample, *mappings, "--mutate", "--every", "41")
    assert " 0 lies." in proof.err
    assert "differ." in desk("replay", "fixtures", *mappings, code=1).err, "the mapping is not what it was"
    desk("replay", "fixtures", *mappings, "--update")
    desk("replay", "fixtures", *mappings, "--junit", "replay.xml")
    assert 'failures="0"' in desk.read("replay.xml")
    lineage = list(csv.DictReader(desk("explain", name, "--lineage", "csv", *mappings).out.splitlines()))
    assert [one["item"] for one in lineage if one["element"] == "Patient.birthDate"] == ["birth_date"]
    desk("schema", "--out", "mappings/schema", *mappings)
    first = desk.read(f"mappings/suppliers/{name}.yaml").splitlines()[0]
    assert (desk.folder / "mappings/suppliers/x" / first.partition("$schema=")[2]).resolve().is_file()
    desk("review", name, *mappings, code=1)
    desk("review", name, "--who", "N. Obody, integration lead", *mappings)
    desk("review", name, *mappings)


def test_hl7v2_letters(desk) -> None:
    body = (built_in("fixtures") / "example-mental-health" / "discharge-letter" / "plain.hl7").read_bytes()
    (desk.folder / "sample.hl7").write_bytes(body.replace(b"EXMH", b"RIVM"))
    document = ("--document", "mental-health-inpatient-discharge")
    desk("new", "riverside/letters", "sample.hl7", *document, "--title", "Riverside (fictitious)")
    path = "mappings/suppliers/riverside/letters.yaml"
    said = desk("check", "mappings").err
    assert sorted(re.findall(r"E560: still to be bound: '(\w+)'", said)) == ["author_contact", "author_role"]

    desk.edit(path, ("\nitems:\n", '\nitems:\n  author_role: = OBX[3.1="AUTHORROLE"]-5 | lnes\n'))
    wrong = desk("check", "mappings", code=1).err
    assert "E104: unknown function 'lnes'" in wrong
    assert "did you mean 'lines'?" in wrong
    desk.edit(
        path,
        (" | lnes\n", '\n  author_contact: = OBX[3.1="AUTHORCONTACT"]-5\n'),
        ("\ndraft: true", "\n#"),
        ("  messages: [MDM^T02]\n", "  messages: [MDM^T02]\n  groups: {OBX: [NTE]}\n"),
        ("  # --- who wrote it", f"{MORE}\n  # --- who wrote it"),
        ("\nignore:\n", "\nignore:\n  EVN-6: when it was signed; TXA says it\n"),
    )
    desk("check", "mappings")
    rest = desk("coverage", "riverside/letters", "sample.hl7", "--mappings", "mappings", "--json")
    open_ = [row["path"] for row in json.loads(rest.out)["paths"] if row["state"] == "unmapped"]
    assert "OBX-5" in open_
    reasons = "".join(f"  {row}: not yet agreed with the ward\n" for row in open_)
    desk.edit(path, ("\nignore:\n", f"\nignore:\n{reasons}"))
    finished(desk, "riverside/letters", "sample.hl7", "admission_method", "riverside-admission-method")


def test_a_csv_extract(desk) -> None:
    desk.write("sample.csv", EXTRACT)
    desk("new", "harbour/discharges", "sample.csv", "--document", "mental-health-inpatient-discharge")
    path = "mappings/suppliers/harbour/discharges.yaml"
    text = desk.read(path)
    for line in (
        "  patient_key: = identifier([Patient No]",
        "  author_role: {text: '= [Job]'}",
        "  discharged_at: = timestamp(",
    ):
        assert line in text, text
    assert "#   [Mood]" in text, "what is not plain is left to a person"
    assert "bright" not in text, "and shown by its shape alone"
    assert "E561" in desk("check", "mappings").err
    desk.edit(
        path,
        ("\ndraft: true", "\n#"),
        ("\nitems:\n", "\nitems:\n  x_mood: = [Mood]\n"),
        (
            "\nitems:\n",
            "\nextra_items:\n  x_mood: {type: text, label: Mood on the ward, heading: clinical-summary}\nitems:\n",
        ),
    )
    finished(desk, "harbour/discharges", "sample.csv", "discharge_method", "harbour-discharge-method,,Clinical")


def test_a_cda_document(desk) -> None:
    body = (built_in("fixtures") / "example-itk" / "discharge-cda" / "plain.xml").read_bytes()
    (desk.folder / "sample.xml").write_bytes(body)
    desk("new", "cedar/summaries", "sample.xml", "--document", "mental-health-inpatient-discharge")
    path = "mappings/suppliers/cedar/summaries.yaml"
    assert "  birth_date: = /ClinicalDocument/recordTarget/patientRole/patient/birthTime" in desk.read(path)
    assert "E561" in desk("check", "mappings").err
    plan = '//section[code/@code="887201000000105"]'
    desk.edit(
        path,
        ("\ndraft: true", "\n#"),
        ("\nitems:\n", f"\nitems:\n  x_plan: = {plan}\n"),
        (
            "\nitems:\n",
            (
                "\nextra_items:\n"
                "  x_plan: {type: xhtml, label: Plan as written, heading: plan-and-requested-actions}\nitems:\n"
            ),
        ),
    )
    # The sample has coded observations, whose many attributes are the author's to bind.
    finished(desk, "cedar/summaries", "sample.xml", share="30")
