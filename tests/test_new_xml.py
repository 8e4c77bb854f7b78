"""`mhbridge new` from a CDA document: what is plain is bound, the source block is its own, and no value goes along."""

from __future__ import annotations

import pytest

from mhbridge.cli import main
from mhbridge.mapping.library import built_in

SAMPLE = built_in("fixtures") / "international-ccda" / "discharge" / "no-known-allergies.xml"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def test_a_first_mapping_of_a_cda(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("new", "riverside/summaries", SAMPLE, "--document", "acute-inpatient-discharge") == 0
    text = (tmp_path / "mappings/suppliers/riverside/summaries.yaml").read_text("utf-8")
    for line in (
        "  root: ClinicalDocument",
        "  dialect: cda",
        "  templates: [2.16.840.1.113883.10.20.22.1.8]",
        "  spell_id: = /ClinicalDocument/componentOf/encompassingEncounter/id",
        "  patient_name: = /ClinicalDocument/recordTarget/patientRole/patient/name",
    ):
        assert line in text
    assert 'clinical_summary: = //section[code/@code="8648-8"]' in text
    (fixture,) = (tmp_path / "fixtures/riverside/summaries").glob("*.xml")
    for value in ("Noel", "Noneknown", "Nowhere Road", "1632 960020", "A short stay", "19510203", "20250314"):
        assert value not in text
        assert value not in fixture.read_text("utf-8")
    capsys.readouterr()
    assert run("check", tmp_path / "mappings") == 0


def test_sections_that_no_item_has_are_listed_by_code_or_title(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    section = "<component><section>{}<title>{}</title><text>Something.</text></section></component>"
    coded = section.format('<code code="CLS"/>', "Own")
    common = coded + section.format("", "Clinical summary") + section.format("", "Plan and actions")
    for name, more in (("a.xml", section.format("", "About Madeup")), ("b.xml", "")):
        (tmp_path / name).write_text(
            '<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3"/><effectiveTime value="20260301"/>'
            f"<component><structuredBody>{common}{more}</structuredBody></component></ClinicalDocument>"
        )
    assert run("new", "riverside/summaries", "a.xml", "b.xml", "--document", "acute-inpatient-discharge") == 0
    text = (tmp_path / "mappings/suppliers/riverside/summaries.yaml").read_text("utf-8")
    listed = text[text.index("sections that no item has yet") :].splitlines()[1:3]
    assert listed == ['  #   = //section[code/@code="CLS"]', '  #   = //section[title="Plan and actions"]']
    assert "Madeup" not in text, "what one sample alone says may be about its patient"
