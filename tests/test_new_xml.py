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
