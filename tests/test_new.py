"""`mhbridge new`: what it writes passes `check`, binds what is plain, and holds nothing of what the samples say."""

from __future__ import annotations

import re
import shutil

import pytest

import shipped
from mhbridge.cli import main
from mhbridge.formats import format_named
from mhbridge.formats.csv.sets.declaration import tables_of
from mhbridge.mapping.catalogue import load
from mhbridge.mapping.checker.declarations import plain
from mhbridge.mapping.drafting.shapes import shape
from mhbridge.mapping.library import built_in
from mhbridge.mapping.reader import Pairs, read
from mhbridge.model import Severity
from mhbridge.testing.replaying import cases, compare, replay
from mhbridge.testing.synthetic import Invented

FIXTURES = built_in("fixtures")
SAMPLES = {
    "letters": ("mental-health-inpatient-discharge", "example-mental-health/discharge-letter/plain.hl7"),
    "acute": ("acute-inpatient-discharge", "example-acute/discharge-letter/plain.hl7"),
    "adt": ("encounter-event", "example-acute/adt/a03-discharge.hl7"),
    "discharges": ("community-discharge", "example-community/discharges/plain.csv"),
    "referrals": ("community-referral", "example-community/referrals/plain.csv"),
}


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """What comes with mhbridge without its suppliers, which are checked by tests of their own."""
    made = tmp_path_factory.mktemp("packs") / "mappings"
    shutil.copytree(built_in("mappings"), made, ignore=shutil.ignore_patterns("suppliers"))
    return made


@pytest.fixture
def drafted(here, packs):
    """What there is of mappings when it is called: those in the folder, and all that they stand on."""
    return lambda: load([here / "mappings", packs], only=True)


def begun(here, feed: str, *more: str) -> str:
    document, sample = SAMPLES[feed]
    code = run("new", f"riverside/{feed}", FIXTURES / sample, "--document", document, "--title", "Riverside", *more)
    assert code == 0
    return (here / "mappings" / "suppliers" / "riverside" / f"{feed}.yaml").read_text("utf-8")


def values(feed: str) -> set[str]:
    """What the sample says that is long enough to be told from a code."""
    document, sample = SAMPLES[feed]
    catalogue = shipped.catalogue()
    mapping = next(
        catalogue.mapping(name)
        for name in catalogue.names()
        if sample.startswith(name) and document in sample + document
    )
    found: set[str] = set()
    for message, _ in mapping.format.messages((FIXTURES / sample).read_bytes(), [mapping.source]):
        for cell, mask in mapping.format.populated(message):
            for bit in range(mask.bit_length()):
                path = mapping.format.path(message, cell, bit, mapping.source, exact=False)
                if mask >> bit & 1 and not re.match(
                    r"MSH|EVN-1$|TXA-3|OBX-[346]|OBX-5\.3|NTE-4|TXA-12\.2|.*\.(9|3|4)$", path
                ):
                    found.add(mapping.format.leaf(message, cell, bit).strip())
    # Words that stand in a header or a title too, and a code that every mapping of its table understands first.
    elsewhere = {"Carer", "Clinical", "NSTS01", "Invented"}
    return {one for one in found if len(one) > 4 and not one.startswith("ZZ1")} - elsewhere


@pytest.mark.parametrize("feed", SAMPLES)
def test_what_is_written_passes_check_and_replay(here, drafted, feed) -> None:
    begun(here, feed)
    catalogue = drafted()
    assert [d.render() for d in catalogue.check() if d.severity is Severity.ERROR] == []
    made = list(cases(here / "fixtures"))
    assert made
    assert [compare(case, replay(case, catalogue)) for case in made] == [[] for _ in made]


@pytest.mark.parametrize("feed", SAMPLES)
def test_no_value_of_a_sample_goes_anywhere(here, feed) -> None:
    begun(here, feed)
    said = values(feed)
    assert len(said) > 15
    for path in here.rglob("*"):
        if path.is_file():
            text = path.read_text("utf-8")
            assert {value for value in said if re.search(rf"\b{re.escape(value)}\b", text)} == set(), path.name


@pytest.mark.parametrize("sample", ["itk3-message.xml"])
def test_of_fhir_resources_stay_what_they_are_and_nobody_is_named(here, drafted, sample) -> None:
    path = FIXTURES / "example-toc" / "mental-health-discharge" / sample
    assert run("new", "riverside/toc", path, "--document", "mental-health-inpatient-discharge") == 0
    catalogue = drafted()
    assert [d.render() for d in catalogue.check() if d.severity is Severity.ERROR] == []
    made = list(cases(here / "fixtures"))
    assert [compare(case, replay(case, catalogue)) for case in made] == [[]]
    text = "".join(one.read_text("utf-8") for one in here.rglob("*") if one.is_file())
    for said in ("Madeup", "Jonquil", "9990123438", "Nowhere Lane", "01632 960211", "Olanzapine", "psychotic", "1979"):
        assert said not in text
    for said in ("STU3", "Composition.author->Practitioner", "887181000000106"):
        assert said in text


def test_the_samples_are_copied_only_when_that_is_said(here) -> None:
    """The control of the test above."""
    begun(here, "letters", "--as-they-are")
    body = (FIXTURES / SAMPLES["letters"][1]).read_bytes()
    assert (here / "fixtures" / "riverside" / "letters" / "plain.hl7").read_bytes() == body


def test_what_is_plain_is_bound(here) -> None:
    text = begun(here, "discharges")
    for line in (
        "  birth_date: = [DOB]",
        "  nhs_number: = [NHS Number]",
        "  discharged_at: = timestamp([Discharged Date], [Discharged Time])",
        "    - $when: '[Diagnosis 2] or [Diagnosis 2 ICD10]'",
        "  plan_agreed: '= [Plan Agreed] | plain'",
        "  dates: dd/mm/yyyy",
        "  control_id: Letter Ref",
    ):
        assert line in text
    assert "[Specialty]'}" not in text, "a label of one word is the author's, the ward's, anybody's"


def test_a_part_of_a_letter_is_bound_by_its_title(here) -> None:
    text = begun(here, "letters")
    assert '  safety_plan: = OBX[3.1="SAFETYPLAN"]-5 | lines' in text
    assert '  #   = OBX[3.1="MEDICINE"]-5' in text, "what is no text is left to a person"


def test_a_mapping_is_never_written_over(here, capsys) -> None:
    begun(here, "adt")
    document, sample = SAMPLES["adt"]
    assert run("new", "riverside/adt", FIXTURES / sample, "--document", document) == 2
    assert "C850" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_document_type_is_never_guessed(capsys) -> None:
    assert run("new", "riverside/x", FIXTURES / SAMPLES["letters"][1]) == 2
    assert "mental-health-inpatient-discharge: Mental health" in capsys.readouterr().err
    assert run("new", "riverside/x", FIXTURES / SAMPLES["adt"][1]) == 0, "nobody wrote an ADT"


def test_a_draft_warns_where_a_mapping_fails(here, drafted) -> None:
    begun(here, "letters")
    path = here / "mappings" / "suppliers" / "riverside" / "letters.yaml"
    assert {d.code for d in drafted().check()} == {"E560"}
    path.write_text(re.sub(r"\ndraft: true[^\n]*", "", path.read_text("utf-8")), "utf-8")
    assert {d.code for d in drafted().check()} == {"E203"}


def test_a_complete_draft_is_told_so(here, drafted) -> None:
    begun(here, "adt")
    assert {d.code for d in drafted().check()} == {"E561"}


def test_a_second_feed_of_a_supplier_adds_to_its_code_systems(here) -> None:
    begun(here, "letters")
    begun(here, "discharges")
    systems = (here / "mappings" / "suppliers" / "riverside" / "codes" / "systems.csv").read_text("utf-8")
    assert systems.count("\nriverside-ward,") == 1
    assert "\nriverside-sex," in systems


def test_members_of_json_are_known_by_their_names_and_lists_are_left_to_a_person(here, drafted) -> None:
    sample = FIXTURES / "example-crisis-house" / "discharges" / "plain.json"
    assert run("new", "riverside/js", sample, "--document", "mental-health-inpatient-discharge") == 0
    text = (here / "mappings" / "suppliers" / "riverside" / "js.yaml").read_text("utf-8")
    assert "  birth_date: = $.person.born" in text
    assert "\n  diagnoses:" not in text
    assert "\n  address:" not in text
    assert not [d for d in drafted().check() if d.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("Ashdown", "Aa…"), ("AB12 3CD", "AA99 9AA"), ("20250314", "99999999"), ("14/03/2025", "99/99/9999"),
        ("one two three four", "text of 4 words"), ("9434765919", "9999999999"), ("J.-P.", "A.-A."), ("", ""),
    ],
)  # fmt: skip
def test_a_shape_says_nothing(text, looks) -> None:
    assert shape(text) == looks


def test_invented_values_keep_kind_order_and_equality() -> None:
    invented = Invented()
    texts = ["20240105", "202401050930", "19530214", "SMYTHE", "SMYTHE", "SW1A 1AA", "07911 123456", "9434765919"]
    invented.know(texts)
    first, second, born, name, again, postcode, phone, number = (invented("x", text) for text in texts)
    assert first <= second[:8]
    assert len(second) == 12
    assert born.startswith("19")
    assert name == again == name.upper()
    assert postcode == "ZZ1 1ZZ"
    assert phone.startswith("01632 960")
    assert number.startswith("999")
    assert not {first, second, born, name, postcode, phone, number} & set(texts)


@pytest.mark.parametrize(("sex", "file"), [("2", "gender_itk_0001.csv"), ("F", "gender_0001.csv")])
def test_of_two_lists_the_one_that_knows_the_codes_of_the_samples(here, sex, file) -> None:
    document, sample = SAMPLES["letters"]
    lines = (FIXTURES / sample).read_bytes().split(b"\r")
    at = next(number for number, line in enumerate(lines) if line.startswith(b"PID|"))
    fields = lines[at].split(b"|")
    fields[8] = sex.encode()
    lines[at] = b"|".join(fields)
    (here / "sample.hl7").write_bytes(b"\r".join(lines))
    assert run("new", "riverside/letters", "sample.hl7", "--document", document) == 0
    text = (here / "mappings/suppliers/riverside/letters.yaml").read_text("utf-8")
    assert f"  gender: {{file: {file}, unmapped: omit}}\n" in text


def test_samples_that_are_a_whole_folder_are_named_by_it(here, capsys) -> None:
    document, sample = SAMPLES["letters"]
    (here / "samples").mkdir()
    for name in ("a.hl7", "b.hl7"):
        (here / "samples" / name).write_bytes((FIXTURES / sample).read_bytes())
    assert run("new", "riverside/letters", "samples/a.hl7", "samples/b.hl7", "--document", document) == 0
    assert "mhbridge coverage riverside/letters samples --mappings mappings\n" in capsys.readouterr().err


def test_samples_of_several_tables_are_proposed_as_one_set(here, capsys) -> None:
    (here / "letters_20260301.csv").write_text("LetterID,Pat ID,Written On\nL1,P1,28/02/2026\nL2,P2,27/02/2026\n")
    (here / "patients_20260301.csv").write_text("Pat ID,Surname\nP1,Madeup\nP2,Invented\n")
    (here / "meds.csv").write_text("LetterID,Drug,Dose\nL1,Something,1\nL1,Another,2\n")
    names = ["letters_20260301.csv", "patients_20260301.csv", "meds.csv"]
    assert run("new", "riverside/letters", *names, "--document", "community-discharge") == 0
    assert "the samples are several tables, and only letters_20260301.csv was looked at" in capsys.readouterr().err
    text = (here / "mappings/suppliers/riverside/letters.yaml").read_text("utf-8")
    assert not any(word in text for word in ("Madeup", "Invented", "Something", "Another"))
    said = text[text.index("#   source:") : text.index("items:")]
    assert said.splitlines() == [
        "#   source:",
        "#     format: csv",
        "#     message_per: letters",
        "#     tables:",
        "#       letters: {key: LetterID, columns: [LetterID, Pat ID, Written On]}",
        "#       patients: {one_for: letters, by: Pat ID, columns: [Pat ID, Surname]}",
        "#       meds: {many_for: letters, by: LetterID, columns: [LetterID, Drug, Dose]}",
    ]
    proposed = read("x.yaml", "\n".join(line.removeprefix("#   ") for line in said.splitlines()).encode())
    assert isinstance(proposed.root, Pairs)
    source = plain(proposed.root.entries["source"])
    assert tables_of(format_named("csv").declare("Europe/London", "", source)) is not None, "it can be declared"


@pytest.mark.parametrize("first", ["1,MADEUP,01/02/1980", "A1,MADEUP,9990000018", "A1,MADEUP,M"])
def test_a_row_is_not_taken_for_a_header(here, capsys, first) -> None:
    (here / "extract.csv").write_text(f"{first}\nB2,OTHER,M\n")
    assert run("new", "riverside/x", "extract.csv", "--format", "csv", "--document", "community-discharge") == 2
    said = capsys.readouterr().err
    assert "its first line is a row and no header" in said
    assert "MADEUP" not in said
    assert not (here / "mappings").exists()


def test_samples_of_another_format_are_not_passed_over(here, capsys) -> None:
    (here / "a.csv").write_text("LetterID,Surname\nL1,Madeup\n")
    (here / "a.json").write_text('{"letter": "L1"}')
    assert run("new", "riverside/x", "a.csv", "a.json", "--document", "community-discharge") == 2
    assert "a.csv is csv, and a.json is not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml", "this is a workbook (XLSX)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old workbook (XLS)"),
        (b"sep=;\r\nA;B;C\r\n", "what Excel says to itself (sep=)"),
        (b"Ref,DOB,Ref\r\n1,2,3\r\n", "its column 3 has the name of another"),
        (b"Ref,,DOB\r\n1,2,3\r\n", "its column 2 has no name"),
        (b"Ref,DOB,Ward\r\n", "a header and no row"),
        (b"Madeup said nothing", "no format recognises the first sample"),
    ],
)
def test_why_a_sample_is_none_is_said(here, capsys, body, said) -> None:
    (here / "a.csv").write_bytes(body)
    assert run("new", "riverside/x", "a.csv", "--document", "community-discharge") == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Madeup" not in error
    assert not (here / "mappings").exists()


def test_what_excel_saves_as_unicode_text_is_csv(here) -> None:
    document, sample = SAMPLES["discharges"]
    body = (FIXTURES / sample).read_text("utf-8").encode("utf-16")
    (here / "a.txt").write_bytes(body)
    assert run("new", "riverside/x", "a.txt", "--document", document) == 0
    assert "  charset: UTF-16" in (here / "mappings" / "suppliers" / "riverside" / "x.yaml").read_text("utf-8")
    catalogue = load([here / "mappings"])
    [case] = cases(here / "fixtures")
    assert compare(case, replay(case, catalogue)) == []
