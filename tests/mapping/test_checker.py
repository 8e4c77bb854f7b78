"""
Broken mappings and the exact diagnostic of each: the table is `broken/mappings.txt`, the language is the author's own.

A case changes one file of the small library beside this file and expects what `mhbridge check` then prints.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mhbridge.errors import explanations
from mhbridge.mapping.catalogue import load

HERE = Path(__file__).parent
TABLE = HERE / "broken" / "mappings.txt"


def table(path: Path = TABLE) -> list[tuple[str, str, str, str, str]]:
    """(title, file, old, new, expected) of every case. Cases begin with `=== `, parts with `--- `."""
    found = []
    for block in path.read_text("utf-8").split("\n=== ")[1:]:
        title, rest = block.split("\n", 1)
        file, old, new, expected = (part.strip("\n") for part in rest.split("\n--- ")[0:4])
        found.append((title.strip(), file.strip("- "), *(_body(part) for part in (old, new, expected))))
    return found


def _body(part: str) -> str:
    return part.split("\n", 1)[1] if "\n" in part else ""


def rendered(root: Path) -> str:
    return "\n".join(d.render() for d in load([root], only=True).check())


@pytest.mark.parametrize(("title", "file", "old", "new", "expected"), table(), ids=[case[0] for case in table()])
def test_broken_mapping(tmp_path, monkeypatch, title, file, old, new, expected) -> None:
    shutil.copytree(HERE / "small", tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small" / file
    if path.exists():
        text = path.read_text("utf-8")
        assert old in text, f"{title}: the small library has changed"
        path.write_text(text.replace(old, new, 1), "utf-8")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{new}\n", "utf-8")
    assert rendered(Path("small")) == expected


#: What stands after the colon of a key, where that is a value.
_VALUE = re.compile(r"(?m)^( *(?:- )?[\w$]+:)[ ]+([^\s{\[#>|][^\n]*)$")


@pytest.mark.parametrize("path", sorted((HERE / "small").rglob("*.yaml")), ids=lambda path: path.name)
def test_a_value_that_cannot_be_read_is_said_and_nothing_more(tmp_path, path) -> None:
    shutil.copytree(HERE / "small", tmp_path / "small")
    broken = tmp_path / "small" / path.relative_to(HERE / "small")
    text = path.read_text("utf-8")
    values = list(_VALUE.finditer(text))
    assert values
    for number, found in enumerate(values):
        value = ("", ' "= x"', " &a x", " |\n        = x")[number % 4]
        broken.write_text(text[: found.end(1)] + value + text[found.end() :], "utf-8")
        said = {d.code for d in load([tmp_path / "small"], only=True).check() if d.span.file == str(broken)}
        assert said & {"E004", "E006", "E008"}, (found[0], said)


SUPPLIER = "suppliers/acme/supplier.yaml"
NOTE = "suppliers/acme/note.yaml"
ACT = "  sensitivity:  {type: code, carried: 'no: read by the gateway'}"


@pytest.mark.parametrize("file", ["codes/tables/sex.csv", "codes/systems.csv", "codes/headings.csv"])
def test_a_csv_file_that_a_spreadsheet_saved_is_refused_with_its_place(tmp_path, monkeypatch, file) -> None:
    shutil.copytree(HERE / "small", tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small" / file
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join((*lines[:2], b"caf\xe9" + lines[2], *lines[3:])))
    first = next(d for d in load([Path("small")], only=True).check() if d.code == "E001")
    assert str(first.span) == f"small/{file}:3:4"
    assert "CSV UTF-8" in first.hint


@pytest.mark.parametrize(
    ("item", "binding", "codes", "hint"),
    [
        ("{type: code, carried: 'no: read'}", "cancel", [], ""),
        ("{type: code, carried: 'no: read'}", "updates", ["E219"], "did you mean 'update'?"),
        ("{type: code, carried: 'no: read'}", '\'= if PV1-2 then "new" else "stop"\'', ["E219"], "one of new, update"),
        ("{type: string, carried: 'no: read'}", "anything", [], ""),
    ],
)
def test_a_literal_is_one_that_the_item_can_be(tmp_path, item, binding, codes, hint) -> None:
    shutil.copytree(HERE / "small", tmp_path / "small")
    parts, note = tmp_path / "small" / "parts" / "patient" / "items.yaml", tmp_path / "small" / NOTE
    parts.write_text(parts.read_text("utf-8").replace(ACT, f"{ACT}\n  act: {item}"), "utf-8")
    note.write_text(note.read_text("utf-8").replace("  gp: ", f"  act: {binding}\n  gp: "), "utf-8")
    found = load([tmp_path / "small"], only=True).check()
    assert [d.code for d in found] == codes
    assert all(hint in d.hint for d in found)


def test_a_literal_is_one_of_the_items_binding(tmp_path) -> None:
    shutil.copytree(HERE / "small", tmp_path / "small")
    parts, note = tmp_path / "small" / "parts" / "patient" / "items.yaml", tmp_path / "small" / NOTE
    bound = "gender:       {type: code, binding: 'http://hl7.org/fhir/ValueSet/administrative-gender', "
    parts.write_text(parts.read_text("utf-8").replace("gender:       {type: code, ", bound), "utf-8")
    stated = note.read_text("utf-8").replace("= PID-8 | code(sex)", "'= (PID-8 | code(sex)) or \"m\"'")
    note.write_text(stated, "utf-8")
    assert [d.code for d in load([tmp_path / "small"], only=True).check()] == ["E219"]
    note.write_text(stated.replace('"m"', '"male"'), "utf-8")
    assert load([tmp_path / "small"], only=True).check() == []


def test_a_supplier_without_its_file_is_reported(tmp_path) -> None:
    shutil.copytree(HERE / "small", tmp_path / "small")
    (tmp_path / "small" / SUPPLIER).unlink()
    assert [d.code for d in load([tmp_path / "small"], only=True).check()] == ["E045"]


def test_the_small_library_is_clean() -> None:
    """The control: unbroken, it has nothing to report."""
    assert rendered(HERE / "small") == ""


#: What no text can break: bytes that are no UTF-8, and a megabyte. `test_reader` holds their exact diagnostics.
IN_BYTES = {"E001", "E011"}


def test_the_whole_catalogue_stands_in_tables_with_its_exact_words() -> None:
    tables = [*TABLE.parent.glob("*.txt"), HERE / "codes" / "faults.txt"]
    shown = {code for file in tables for code in re.findall(r": (E\d{3}): ", file.read_text("utf-8"))}
    wanted = {code for code in explanations() if code.startswith("E")} - shown
    # What a single format says of its own declarations and paths is held where the format is tested.
    formats = {code for code in wanted if "E529" < code < "E560" or code > "E579"}
    said = "".join(file.read_text("utf-8") for file in HERE.parent.rglob("*") if file.suffix in (".py", ".txt"))
    assert {code for code in formats if code not in said} == set()
    assert wanted - formats == IN_BYTES


def test_every_code_of_the_table_is_explained() -> None:
    codes = {line.split(": ")[1] for case in table() for line in case[4].splitlines() if line.startswith("small/")}
    assert codes <= explanations().keys()
    assert len(codes) > 20
