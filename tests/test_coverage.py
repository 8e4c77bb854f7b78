"""`mhbridge coverage`: the table, the share that is asked for, the proof, and the codes that no table has."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from mhbridge.cli import commands
from mhbridge.cli.covering import coverage
from mhbridge.mapping.code_files import load_table
from mhbridge.mapping.codes import NO_SYSTEMS
from mhbridge.testing.covering import CODE_HEADER

ROOT = Path(__file__).parents[1]
FEED = "example-mental-health/adt"
FIXTURES = ROOT / "fixtures" / FEED
UNKNOWN = FIXTURES / "a01-unknown-codes.hl7"
ADMISSION = FIXTURES / "a01-admission.hl7"


def run(*arguments: object):
    """The command's result; its exit code is what the command returned."""
    made = CliRunner().invoke(coverage, [str(argument) for argument in arguments], standalone_mode=False)
    if made.exception is not None:
        raise made.exception
    return made


def without(tmp_path: Path, line: str) -> Path:
    """The mappings of a supplier without one line of its ADT."""
    root = tmp_path / "mappings"
    shutil.copytree(ROOT / "mappings" / "suppliers" / "example-mental-health", root / "suppliers/example-mental-health")
    path = root / "suppliers" / f"{FEED}.yaml"
    text = path.read_text("utf-8")
    assert line in text
    path.write_text(text.replace(line, ""), "utf-8")
    return root


def test_all_is_accounted_for_by_the_fixtures_of_a_feed() -> None:
    made = run(FEED)
    assert made.return_value == 0
    assert "EVN-2.1" in made.stdout
    assert re.search(r"\d+ messages, \d+ values: .*\d+ bound", made.stderr)
    assert "of the values are accounted for" in made.stderr


def test_what_is_not_mentioned_is_listed_with_its_path_and_not_its_contents(tmp_path) -> None:
    root = without(tmp_path, "  referrer: = PV1-8\n")
    found = json.loads(run(FEED, ADMISSION, "--json", "--mappings", root).stdout)
    rows = {row["path"]: row for row in found["paths"] if row["state"] == "unmapped"}
    assert {"PV1-8.1", "PV1-8.2", "PV1-8.3", "PV1-8.6", "PV1-8.9"} <= rows.keys()
    assert rows["PV1-8.2"]["messages"] == rows["PV1-8.2"]["leaves"] == 1
    assert "NOTREAL" not in json.dumps(found)


def test_too_little_fails(tmp_path) -> None:
    root = without(tmp_path, "  referrer: = PV1-8\n")
    whole = json.loads(run(FEED, ADMISSION, "--json").stdout)["percent"]
    less = json.loads(run(FEED, ADMISSION, "--json", "--mappings", root).stdout)["percent"]
    assert less < whole
    assert run(FEED, ADMISSION, "--fail-under", whole).return_value == 0
    assert run(FEED, ADMISSION, "--fail-under", whole, "--mappings", root).return_value == 1


def test_every_path_with_the_reason_why_it_is_ignored() -> None:
    made = run(FEED, ADMISSION, "--all")
    assert re.search(r"PV1-1 +ignored +1 of 1 +running number", made.stdout)
    assert re.search(r"PID-7\.1 +bound +1 of 1 +PID-7", made.stdout)


def test_lines_of_the_mapping_that_nothing_exercised() -> None:
    found = json.loads(run(FEED, ADMISSION, "--json").stdout)
    assert any(one["path"] == 'MRG-1[4="EXMH"]' for one in found["unused"])
    assert all(":" in one["rule"] for one in found["unused"])


def test_the_proof_finds_nothing() -> None:
    made = run(FEED, ADMISSION, "--mutate", "--every", 25)
    assert made.return_value == 0
    assert re.search(r"[1-9]\d* changed messages, 0 lies", made.stderr)


def test_codes_that_no_table_has_are_ready_to_be_filled_in(tmp_path) -> None:
    made = run(FEED, UNKNOWN, "--codes", tmp_path / "codes")
    written = {path.stem: path.read_text("utf-8") for path in (tmp_path / "codes").iterdir()}
    assert {"gender_itk_0001", "legal_status"} <= written.keys()
    for name, text in written.items():
        header, *rows = csv.reader(text.splitlines())
        assert tuple(header) == CODE_HEADER
        assert rows
        assert all(row[0] and row[2] and not any(row[4:]) for row in rows), name
        # The header is the one that tables are read by.
        _, problems = load_table("x.csv", text, NO_SYSTEMS, unmapped="keep", name=name)
        assert not any("header" in problem.message for problem in problems)
    assert written["gender_itk_0001"].splitlines()[1].split(",")[3] == "administrative-gender", "only one is possible"
    codes = {row[2] for text in written.values() for row in csv.reader(text.splitlines()[1:])}
    assert not any(code in made.stdout + made.stderr for code in codes if len(code) > 3)


def test_codes_are_printed_only_when_that_is_asked() -> None:
    made = run(FEED, UNKNOWN, "--codes", "-")
    assert made.stdout.startswith(",".join(CODE_HEADER))


def test_messages_of_another_feed_do_not_count() -> None:
    letter = ROOT / "fixtures" / "example-mental-health" / "discharge-letter" / "plain.hl7"
    found = json.loads(run(FEED, ADMISSION, letter, "--json").stdout)
    assert (found["messages"], found["other_messages"]) == (1, 1)


def test_the_path_of_a_loop_is_not_said_to_find_nothing() -> None:
    found = json.loads(run("example-community/discharges", "--json").stdout)["unused"]
    assert not {"[Allergies]", "[Copies To]"} & {one["path"] for one in found}


def test_what_several_conditions_ask_is_not_said_to_find_nothing() -> None:
    found = {one["path"] for one in json.loads(run("example-acute/adt", "--json").stdout)["unused"]}
    assert {"NK1-6", "EVN-2"} <= found
    assert "MSH-9.2" not in found


def test_fixtures_stand_beside_the_mappings_that_are_named(tmp_path, monkeypatch) -> None:
    root = without(tmp_path, "  referrer: = PV1-8\n")
    folder = tmp_path / "fixtures" / FEED
    folder.mkdir(parents=True)
    shutil.copy(ADMISSION, folder)
    monkeypatch.chdir(ROOT)
    assert json.loads(run(FEED, "--json", "--mappings", root).stdout)["messages"] == 1


@pytest.mark.parametrize("arguments", [["example-mental-health/adtt"], ["nobody/nothing"]])
def test_a_feed_that_there_is_not_is_a_mistake_of_usage(arguments) -> None:
    made = CliRunner().invoke(commands, ["coverage", *arguments])
    assert made.exit_code == 2
    assert "there is no mapping" in made.stderr


def test_the_whole_is_never_claimed_while_something_is_left() -> None:
    """One value in thousands must not be rounded away."""
    made = run("example-community/discharges")
    assert "1 unmapped" in made.stderr
    assert "\n99.9% of the values" in made.stderr
    assert run("example-community/discharges", "--fail-under", "100").return_value == 1


def test_a_folder_is_all_the_messages_in_it(tmp_path) -> None:
    shutil.copytree(FIXTURES, tmp_path / "several")
    assert run(FEED, tmp_path / "several", "--json").stdout == run(FEED, "--json").stdout


def test_codes_are_added_to_a_table_that_is_there(tmp_path) -> None:
    first = run(FEED, UNKNOWN, "--codes", tmp_path)
    before = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    path = next(tmp_path.iterdir())
    lines = path.read_text("utf-8").splitlines(keepends=True)
    filled = lines[1].rstrip("\n").rsplit(",", 4)[0] + ",1,One,,equal\n"
    path.write_text(lines[0] + filled + "".join(lines[2:]), "utf-8")
    again = run(FEED, UNKNOWN, "--codes", tmp_path)
    assert filled in path.read_text("utf-8"), "what a person wrote stays"
    assert {p.name: p.read_text("utf-8") for p in tmp_path.iterdir() if p != path} == {
        name: text for name, text in before.items() if name != path.name
    }
    assert "0 codes of the table" in again.stderr
    assert "0 codes of the table" not in first.stderr


def test_codes_of_everybodys_table_stand_in_a_copy_that_is_read(tmp_path) -> None:
    root = without(tmp_path, "  referrer: = PV1-8\n")
    mine = root / "suppliers" / FEED.partition("/")[0] / "codes" / "tables"
    before = {one.name: one.read_bytes() for one in mine.iterdir()}
    made = run(FEED, UNKNOWN, "--codes", mine, "--mappings", root)
    path = mine / "gender_itk_0001.csv"
    shared = (ROOT / "mappings/codes/tables/gender_itk_0001.csv").read_text("utf-8")
    text = path.read_text("utf-8")
    assert text.startswith(shared)
    added = text.removeprefix(shared)
    assert added.endswith(",administrative-gender,,,,\n")
    assert f"{path}: 1 code of the table gender to be filled in" in made.stderr
    assert "which is not read for" in made.stderr
    for other in mine.iterdir():
        other.write_bytes(before[other.name]) if other.name in before else other.unlink()
    path.write_text(shared + added.replace(",,,,\n", ",,other,Other,wider\n"), "utf-8")
    after = run(FEED, UNKNOWN, "--mappings", root)
    assert "table gender:" not in after.stderr, "what was filled in is what the mapping reads"
