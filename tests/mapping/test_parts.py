"""What a part may say for the documents that name it, and how they may differ (mapping language §6.6)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mhbridge.mapping.checker.builds import BuildFile
from mhbridge.mapping.library import Library
from mhbridge.mapping.loading import Loader
from mhbridge.mapping.packs import DocumentType

SMALL = Path(__file__).parent / "small"
NOTE, PART, BUILD = "documents/note/items.yaml", "parts/patient/items.yaml", "parts/patient/r4.yaml"


def changed(folder: Path, *changes: tuple[str, str, str]) -> Loader:
    """The small library with texts of its files replaced."""
    shutil.copytree(SMALL, folder / "small")
    for file, old, new in changes:
        path = folder / "small" / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
    return Loader(Library([folder / "small"]))


def read(loader: Loader) -> tuple[DocumentType, BuildFile]:
    document = loader.document("note")
    assert document is not None
    build = loader.build(document, "r4", "")
    assert build is not None
    assert loader.library.diagnostics() == []
    return document, build


def test_a_part_says_what_belongs_to_a_heading_and_the_document_only_lists_it(tmp_path) -> None:
    own = "  - heading: patient-demographics\n    entries: [patient]\n    when_empty: {reason: unavailable, text: Not"
    document = ("documents/note/r4.yaml", f"{own} recorded by the sender.}}\n", "  - heading: patient-demographics\n")
    _, alone = read(changed(tmp_path / "alone"))
    shared = "sections: [{heading: patient-demographics, entries: [patient], when_empty: {reason: unavailable, text: "
    _, joined = read(
        changed(
            tmp_path / "joined",
            document,
            (BUILD, "resources:", f"{shared}Not recorded by the sender.}}}}]\nresources:"),
        )
    )
    assert joined.sections == alone.sections
    assert joined.sections[0].entries == ("patient",)


def test_a_part_adds_to_what_another_file_of_the_document_declares(tmp_path) -> None:
    adds = "adds: {conditions: {recordedDate: = written_at}}\nresources:"
    _, build = read(changed(tmp_path, (BUILD, "resources:", adds)))
    condition = next(one for one in build.resources if one.name == "conditions")
    assert "recordedDate" in {put.key for put in condition.body.puts}


@pytest.mark.parametrize(("need", "found"), [("mandatory", ["E203"]), ("required", [])])
def test_a_document_says_how_strongly_its_own_standard_asks(tmp_path, need, found) -> None:
    loader = changed(
        tmp_path,
        (NOTE, "identity: [spell_id]", f"identity: [spell_id]\nneeds: {{gender: {need}}}"),
        ("suppliers/acme/note.yaml", "  gender:       = PID-8 | code(sex)\n", ""),
        ("suppliers/acme/note.yaml", "tables:\n  sex: {file: sex.csv, unmapped: omit}\n", ""),
    )
    document = loader.document("note")
    assert document is not None
    assert document.items["gender"].need == need
    loader.mapping("acme/note")
    assert [one.code for one in loader.library.diagnostics()] == found


def test_an_item_stands_in_the_narrative_where_its_standard_has_it(tmp_path) -> None:
    item = "  alias: {type: string, label: Known as, heading: patient-demographics, before: gender}\n"
    _, build = read(changed(tmp_path, (NOTE, "  spell_id: ", f"{item}  spell_id: ")))
    assert [field.name for field in build.sections[0].fields] == ["local_id", "patient_name", "alias", "gender", "gp"]
