"""Every fixture gives exactly its golden documents, report and acknowledgement."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

import shipped
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import built_in
from mhbridge.pipeline import Feed
from mhbridge.testing.replaying import Case, cases, compare, feed_of, replay

CASES = list(cases(built_in("fixtures")))


@cache
def feed(supplier: str) -> tuple[Catalogue, Feed]:
    catalogue = shipped.catalogue()
    return catalogue, feed_of(catalogue, supplier)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: Case) -> None:
    assert compare(case, replay(case, *feed(case.supplier))) == []


def test_every_mapping_has_fixtures() -> None:
    catalogue = shipped.catalogue()
    mappings = {mapping for supplier in catalogue.suppliers() for mapping in catalogue.feeds(supplier)}
    assert {f"{case.supplier}/{case.feed}" for case in CASES} == mappings
    # A document type has six or more, from two formats (test_document_types); one of its mappings may have fewer.
    assert all(sum(f"{case.supplier}/{case.feed}" == mapping for case in CASES) >= 4 for mapping in mappings)


def test_a_changed_message_is_noticed(tmp_path: Path) -> None:
    """The control: a changed letter no longer matches its golden files, and the report names the places."""
    folder = tmp_path / "example-mental-health" / "discharge-letter"
    shutil.copytree(built_in("fixtures") / "example-mental-health" / "discharge-letter", folder)
    path = folder / "plain.hl7"
    path.write_bytes(path.read_bytes().replace(b"Marigold", b"Tansy"))
    case = Case("example-mental-health", "discharge-letter", path)
    differences = compare(case, replay(case, *feed(case.supplier)))
    assert any(one.file == "plain.r4.json" and "Tansy" in one.got for one in differences)


def test_a_golden_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "example-community" / "referrals"
    folder.mkdir(parents=True)
    for path in (built_in("fixtures") / "example-community" / "referrals").glob("plain.*"):
        shutil.copy(path, folder)
    (folder / "plain.report.json").write_text("{")
    path = folder / "plain.csv"
    path = path.rename(folder / "plain.CSV")  # as Windows writes it
    [case] = cases(tmp_path)
    assert case.path == path
    [difference] = compare(case, replay(case, *feed(case.supplier)))
    assert (difference.file, difference.expected) == ("plain.report.json", "JSON")
