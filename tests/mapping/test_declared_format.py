"""The format that a glance at a mapping tells is the one that it declares, or none."""

from __future__ import annotations

import pytest

from mhbridge.mapping.catalogue import load
from mhbridge.mapping.checker.mapping_file import declared_format


def test_of_every_mapping_that_is_shipped() -> None:
    catalogue = load()
    for name in catalogue.names():
        found, header = catalogue.library.text(f"suppliers/{name}.yaml"), catalogue.header(name)
        assert found is not None
        assert header is not None
        assert declared_format(found[1]) == header[1].name


@pytest.mark.parametrize(("text", "expected"), [
    ("mapping: a/b\nsource:\n  format: csv\n", "csv"),
    ("source:  \r\n\r\n  # words\r\n  charset: x\r\n  format: hl7v2  # words\r\n", "hl7v2"),
    ("source:\n  tables:\n    one:\n      format: csv\n  format: json\nitems:\n  format: xml\n", "json"),
    ("source:\n  charset: x\nitems:\n  format: xml\n", ""),
    ("source: {format: csv}\n", ""),
    ("source:\n  format: 'csv'\n", ""),
    ("items:\n  source:\n    format: csv\n", ""),
    ("source:\n  note: |\n    format: csv\n", ""),
    ("", ""),
])  # fmt: skip
def test_what_is_not_plain_is_not_guessed(text: str, expected: str) -> None:
    assert declared_format(text.encode()) == expected
