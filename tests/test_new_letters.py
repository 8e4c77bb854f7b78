"""`mhbridge new` from letters: what pairs them is proposed, what is plain is bound, no value is written."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest

from mhbridge.cli import main
from mhbridge.errors import MalformedMessage
from mhbridge.formats import format_named
from mhbridge.formats.document import reading
from mhbridge.formats.document.blocks import Unread
from mhbridge.formats.several import File, read_files, written
from mhbridge.mapping.catalogue import load
from mhbridge.mapping.drafting.letters import paired, rule
from mhbridge.mapping.library import built_in
from mhbridge.model import Severity
from mhbridge.testing.letters import letter_like
from mhbridge.testing.replaying import cases, compare, replay

FIXTURES = built_in("fixtures")
LIAISON, OUTPATIENTS = "example-liaison/letters", "example-outpatients/letters"
PROPOSED = "proposed from the names of the samples: in braces is what differs, or may be a person's"
#: fixtures → document type, lines of the mapping that is begun, and what must stand nowhere in it.
BEGUN = {
    "an XML index": (
        (f"{LIAISON}/rtf", f"{LIAISON}/docx"),
        "mental-health-inpatient-discharge",
        (
            "  letter: LET_{letter_no}_{part_2}.*",
            "  index: LET_{letter_no}.xml",
            "  index_format: xml",
            "  control_id: letter_no",
            "    - = [file:content]",
            '  sender_document: = identifier([file:letter_no], "riverside-letter")',
            "  birth_date: = /letter/patient/born",
            "  written_at: = /letter/written",
            "      - text: = /letter/author/name",
            "  #   [file:part_2]                 in 2 of 2  A999",
        ),
        "7001 P501 TESTPATIENT Inventia 9990052018 1941 ST7001 Testwriter Exampleton V81000 donepezil 2025-05",
    ),
    "a CSV index": (
        (f"{OUTPATIENTS}/html-draft", f"{OUTPATIENTS}/pdf"),
        "clinical-letter",
        (
            f"  letter: CL{{letter_no}}.*  # {PROPOSED}",
            "  index: CL{letter_no}.csv",
            "  dates: dd/mm/yyyy",
            '  letter_key: = identifier([Letter No], "riverside-letter")',
            '  patient_key: = identifier([Hospital No], "riverside-patient")',
            "  birth_date: = [DOB]",
            "  #   [Title]            in 2 of 2  Aa",
        ),
        "OP200117 9990620016 INVENTED-CLINIC Rowan 14/09/1988 Testwriter Fictiontown Sertraline",
    ),
}  # fmt: skip


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


@pytest.fixture(params=BEGUN)
def begun(request, tmp_path):
    """A folder in which a feed was begun from files beside each other."""
    fixtures, document, lines, said = BEGUN[request.param]
    samples = [file for one in fixtures for file in read_files((FIXTURES / f"{one}.mime").read_bytes())]
    for file in samples:
        (tmp_path / file.name).write_bytes(file.body)
    out = tmp_path / "out"
    paths = [tmp_path / file.name for file in samples]
    assert run("new", "riverside/letters", *paths, "--document", document, "--out", out) == 0
    return out, lines, said


def test_a_first_mapping_of_letters(begun) -> None:
    out, lines, said = begun
    text = (out / "mappings" / "suppliers" / "riverside" / "letters.yaml").read_text("utf-8")
    assert [line for line in lines if line not in text.split("\n")] == []
    catalogue = load([out / "mappings"])
    assert [d.render() for d in catalogue.check() if d.severity is Severity.ERROR] == []
    made = list(cases(out / "fixtures"))
    assert made
    assert [compare(case, replay(case, catalogue)) for case in made] == [[] for _ in made]
    everything = "".join(path.read_text("utf-8", "surrogateescape") for path in out.rglob("*") if path.is_file())
    assert [one for one in said.split() if one in everything] == []


def test_letters_in_an_archive_and_as_they_are(tmp_path) -> None:
    """The control of what stands nowhere: samples that are said to be nobody's are copied, as one file."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in read_files((FIXTURES / f"{OUTPATIENTS}/pdf.mime").read_bytes()):
            archive.writestr(file.name, file.body)
    (tmp_path / "pair.zip").write_bytes(packed.getvalue())
    arguments = ("--document", "clinical-letter", "--out", tmp_path, "--as-they-are")
    assert run("new", "riverside/letters", tmp_path / "pair.zip", *arguments) == 0
    [fixture] = (tmp_path / "fixtures" / "riverside" / "letters").glob("*.mime")
    assert fixture.name == "CL9003.mime"
    assert b"9003" in fixture.read_bytes()


def packed(*names: str) -> bytes:
    return written([File(name, b"x") for name in names])


@pytest.mark.parametrize(
    ("pairs", "letter", "index", "control_id"),
    [
        ([("LET_7001_P501.pdf", "LET_7001.xml")], "LET_{letter_no}_{part_2}.pdf", "LET_{letter_no}.xml", "letter_no"),
        ([("Smith, John - 7001.pdf",)], "{part_1}, {part_2} - {letter_no}.pdf", "", "letter_no"),
        ([("7001.pdf", "7001.json")], "{letter_no}.pdf", "{letter_no}.json", "letter_no"),
        # What the index's name alone says is not read.
        ([("P501-7001.rtf", "idx-7001-x77.csv")], "{part_1}-{letter_no}.rtf", "idx-{letter_no}-*.csv", "letter_no"),
        # A patient's number that comes twice tells no letter from another.
        ([("501_1.pdf",), ("501_2.pdf",)], "{part_1}_{letter_no}.pdf", "", "letter_no"),
        ([("DISCHARGE_1.pdf",), ("clinic_2.rtf",)], "{part_1}_{letter_no}.*", "", "letter_no"),
        # Whom a name may name, it does: also where it always says the same.
        ([("SMITH_1.pdf",), ("SMITH_2.pdf",)], "{part_1}_{letter_no}.pdf", "", "letter_no"),
        ([("Łódź 1.PDF",)], "{part_1} {letter_no}.pdf", "", "letter_no"),
    ],
)  # fmt: skip
def test_how_files_are_named(pairs, letter, index, control_id) -> None:
    made = rule([packed(*pair) for pair in pairs])
    assert (made.letter, made.index, made.control_id) == (letter, index, control_id)
    options = {"letter": letter, "control_id": control_id}
    if index:
        own = {"xml": {"root": "x"}, "csv": {"columns": ["A"]}}.get(made.index_format, {})
        options |= {"index": index, "index_format": made.index_format, **own}
    document = format_named("document")
    assert document is not None
    document.declare("Europe/London", "", options)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["a1.pdf", "b2.pdf", "a1.xml"], "M860"),
        (["a1.pdf", "b2.xml"], "M860"),
        (["1_2.pdf", "2_1.pdf", "1.xml", "2.xml"], "M860"),
        # The index of the second is not here, and that of a third is, which is of the same day.
        (["1_3.pdf", "2_3.pdf", "1_3.xml", "4_3.xml"], "M860"),
        (["2_3.pdf", "1_3.pdf", "1_3.xml", "4_3.xml"], "M860"),
        (["1_3.pdf", "2_5.pdf", "1_3.xml", "4_5.xml"], "M860"),
        (["1.pdf", "1.doc"], "M861"),
        (["1.xml"], "M860"),
        (["1_2.pdf", "3.pdf"], "M861"),
        (["1-2.pdf", "3_4.pdf"], "M861"),
        (["{1}.pdf"], "M861"),
        (["letter.pdf"], "M861"),
        (["1.pdf", "2.pdf", "1.xml", "2.csv"], "M861"),
    ],
)
def test_what_belongs_together_is_never_guessed(names, code) -> None:
    with pytest.raises(MalformedMessage) as error:
        rule([body for _, body in paired([(name, b"x") for name in names])])
    assert error.value.code == code
    assert not any(name in str(error.value) for name in names)


@pytest.mark.parametrize("ending", ["pdf", "rtf", "html", "docx", "txt"])
def test_an_invented_letter_is_of_the_kind_of_the_one_given(ending) -> None:
    """A PDF that is not tagged is not read (I690); every other says that it is invented."""
    begins = {"pdf": "%PDF-1.7 x", "rtf": "{\\rtf1 x}", "html": "<p>x</p>", "docx": "PK\x03\x04x", "txt": "x"}[ending]
    body = letter_like(begins).encode("utf-8", "surrogateescape")
    document = format_named("document")
    assert document is not None
    source = document.declare("Europe/London", "", {"letter": "{no}.*", "control_id": "no"})
    [(letter, _)] = document.messages(written([File(f"1.{ending}", body)]), [source])
    assert letter.content.media_type
    if ending == "pdf":
        with pytest.raises(Unread):
            reading.read(letter.content.media_type, body)
    elif ending == "docx":
        assert "invented" in str(reading.read(letter.content.media_type, body)[0])
    else:
        assert "invented" in letter.content.text
