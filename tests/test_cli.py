"""
The command line as its contract says it (design §8): output, exit codes, and no traceback whatever is asked.

Commands run in a process of their own, as a user runs them.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mhbridge.cli import COMMANDS
from mhbridge.mapping.library import built_in

FIXTURES = built_in("fixtures") / "example-mental-health"
BUILT_IN = built_in("mappings") / "suppliers" / "international"
LETTER = FIXTURES / "discharge-letter" / "plain.hl7"


def run(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "mhbridge", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)
    assert "Traceback" not in result.stderr
    return result


def test_translate_needs_no_flag() -> None:
    result = run("translate", LETTER)
    assert result.returncode == 0
    bundle = json.loads(result.stdout)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "document")
    assert result.stderr == ""


def test_translate_gives_one_document_a_line_for_several_messages() -> None:
    result = run(
        "translate", *(FIXTURES / "adt" / f"{name}.hl7" for name in ("a01-admission", "a02-transfer", "a03-discharge"))
    )
    assert [json.loads(line)["type"] for line in result.stdout.splitlines()] == ["transaction"] * 3


def test_an_acknowledgement_is_not_a_message() -> None:
    result = run("translate", FIXTURES / "adt" / "a01-admission.ack.hl7")
    assert (result.returncode, result.stdout) == (1, "")
    assert "M7" in result.stderr


def test_translate_gives_the_rows_of_an_extract_as_they_come() -> None:
    result = run("translate", FIXTURES.parent / "example-community" / "discharges" / "one-bad-row.csv")
    assert result.returncode == 1
    assert [json.loads(line)["type"] for line in result.stdout.splitlines()] == ["document", "document"]
    assert "one-bad-row.csv (row 2): unreadable: no mapping: would be parked, M771" in result.stderr
    assert "one-bad-row.csv (row 3): unreadable: no mapping: would be parked, M772" in result.stderr


def test_translate_writes_files_and_letters(tmp_path: Path) -> None:
    assert run("translate", LETTER, "--out", tmp_path / "fhir").returncode == 0
    assert json.loads((tmp_path / "fhir" / "plain.r4.json").read_bytes())["resourceType"] == "Bundle"
    assert run("translate", LETTER, "--target", "letter", "--out", tmp_path / "letters").returncode == 0
    assert "Safety plan" in (tmp_path / "letters" / "plain.html").read_text()


def test_translate_reports_on_standard_error() -> None:
    result = run("translate", FIXTURES / "discharge-letter" / "unknown-codes.hl7", "--report")
    assert result.returncode == 0
    assert "I602" in result.stderr
    json.loads(result.stdout)


def test_a_message_that_would_be_parked_says_why_and_exits_with_one() -> None:
    result = run("translate", FIXTURES / "discharge-letter" / "bad-check-digit.hl7")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "I601 nhs_number" in result.stderr


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "M701"),
        (b"hello", "M701"),
        (b"MSH|^~\\&|A|B|C|D|20250101||BAR^P01|1|P|2.4\r", "M710"),
        (b"\x00\x01\x02", "M701"),
        (b"%PDF-1.7", "M701"),
    ],
)
def test_what_cannot_be_translated_is_said_in_a_line(tmp_path: Path, body: bytes, code: str) -> None:
    (tmp_path / "x").write_bytes(body)
    result = run("translate", tmp_path / "x")
    assert result.returncode == 1
    assert code in result.stderr
    assert result.stdout == ""


def test_an_unknown_mapping_gets_a_hint_and_exits_with_two() -> None:
    result = run("translate", LETTER, "--mapping", "example-mental-health/discharge-leter")
    assert result.returncode == 2
    assert "discharge-letter" in result.stderr


def test_check_is_green() -> None:
    result = run("check")
    assert (result.returncode, result.stdout) == (0, "")
    assert "0 errors, 0 warnings" in result.stderr


def test_check_reports_all_problems_with_places(tmp_path: Path) -> None:
    folder = tmp_path / "mappings" / "suppliers" / "newcomer"
    folder.mkdir(parents=True)
    (folder / "supplier.yaml").write_text("supplier: newcomer\ntitle: A newcomer\n")
    (folder / "letter.yaml").write_text(
        "mapping: newcomer/letter\ndocument: encounter-event\nsource: {format: hl7v2, messages: [ADT^A03]}\n"
        "items:\n  spell_ids: = PV1-19 | nope\n"
    )
    result = run("check", folder, folder=tmp_path)
    assert result.returncode == 1
    assert "mappings/suppliers/newcomer/letter.yaml:5:3: E202" in result.stderr
    found = json.loads(run("check", folder, "--json", folder=tmp_path).stdout)
    assert {"E202", "E203"} <= {d["code"] for d in found}
    assert all(d["file"].startswith("mappings/suppliers/newcomer") for d in found)


@pytest.mark.parametrize("path", ["", "suppliers", "suppliers/newcomer", "suppliers/newcomer/letter.yaml"])
def test_check_finds_the_root_that_a_path_stands_in(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "ours" / "mappings" / "suppliers" / "newcomer"
    folder.mkdir(parents=True)
    (folder / "supplier.yaml").write_text("supplier: newcomer\ntitle: A newcomer\n")
    (folder / "letter.yaml").write_text("mapping: newcomer/letter\n")
    result = run("check", f"ours/mappings/{path}", folder=tmp_path)
    assert result.returncode == 1
    assert "ours/mappings/suppliers/newcomer/letter.yaml:1:1: E" in result.stderr


@pytest.mark.parametrize(("path", "hint"), [("ours", "did you mean ours/mappings?"), ("elsewhere", "suppliers/")])
def test_check_of_what_holds_no_mappings_is_a_mistake_of_usage(tmp_path: Path, path: str, hint: str) -> None:
    (tmp_path / "ours" / "mappings" / "suppliers").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    result = run("check", path, folder=tmp_path)
    assert result.returncode == 2
    assert hint in result.stderr


@pytest.mark.parametrize(("folder", "hint"), [("ours", "did you mean ours/mappings?"), ("elsewhere", "suppliers/")])
def test_a_folder_of_mappings_that_holds_none_is_a_mistake_of_usage(tmp_path: Path, folder: str, hint: str) -> None:
    (tmp_path / "ours" / "mappings" / "suppliers").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    result = run("check", "--mappings", folder, folder=tmp_path)
    assert result.returncode == 2
    assert hint in result.stderr


def test_replay_is_green() -> None:
    result = run("replay")
    assert result.returncode == 0
    assert "0 differ" in result.stderr


def test_what_cannot_be_written_or_reached_is_a_line_and_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    written = run("translate", LETTER, "--out", tmp_path / "file" / "below")
    assert (written.returncode, written.stdout) == (3, "")
    assert str(tmp_path / "file") in written.stderr
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        for to in (address, f"http://{address}"):
            sent = run("replay", "--to", to)
            assert sent.returncode == 3, to
            assert "nobody answers" in sent.stderr


def test_files_of_one_name_are_never_written_over_each_other(tmp_path: Path) -> None:
    other = FIXTURES.parent / "example-community" / "discharges" / "plain.csv"
    result = run("translate", LETTER, other, "--out", tmp_path / "fhir")
    assert result.returncode == 2
    assert not (tmp_path / "fhir").exists()


def test_validate_says_the_line_of_each_of_several(tmp_path: Path) -> None:
    lines = tmp_path / "several.ndjson"
    lines.write_text('{"resourceType":"Patient"}\n{"resourceType":"Patient","gender":"x"}\n')
    result = run("validate", lines)
    assert result.returncode == 1
    assert [json.loads(line)["issue"][0]["severity"] for line in result.stdout.splitlines()] == ["information", "error"]
    assert f"{lines}:2: not valid" in result.stderr


def test_validate_gives_an_operation_outcome(tmp_path: Path) -> None:
    good = run("validate", FIXTURES / "discharge-letter" / "plain.r4.json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["resourceType"] == "OperationOutcome"
    (tmp_path / "bad.json").write_text('{"resourceType": "Patient", "gender": "femail"}')
    bad = run("validate", tmp_path / "bad.json")
    assert bad.returncode == 1
    (issue,) = json.loads(bad.stdout)["issue"]
    assert issue["expression"] == ["Patient.gender"]
    assert "femail" not in bad.stdout + bad.stderr


def test_explain_a_code_a_mapping_and_neither() -> None:
    assert "mend" in run("explain", "E104").stdout
    assert "discharged_at" in run("explain", "example-mental-health/discharge-letter").stdout
    assert run("explain", "E999").returncode == 2
    assert run("explain", "nobody/nothing").returncode == 2


def test_functions_and_schema(tmp_path: Path) -> None:
    assert "code(value, table" in run("functions").stdout
    assert "lines" in {f["name"] for f in json.loads(run("functions", "--json").stdout)}
    assert run("schema", "--out", tmp_path).returncode == 0
    schema = json.loads((tmp_path / "mental-health-inpatient-discharge.schema.json").read_bytes())
    assert "discharged_at" in schema["properties"]["items"]["properties"]


def test_the_demonstration_relays_and_the_accounts_add_up(tmp_path: Path) -> None:
    result = run("demo", "--out", tmp_path)
    assert result.returncode == 0
    rows = {
        c[0]: c[1:]
        for line in result.stdout.splitlines()
        if len(c := [p.strip() for p in line.strip("│ ").split("│")]) == 9
    }
    received, translated, filtered, waiting, delivered, acknowledged, parked, overdue = map(int, rows["all"])
    assert received == translated + filtered + waiting + parked
    # A row that takes back what nobody was sent waits for what it takes back.
    assert waiting == 1
    assert len({feed.partition("/")[0] for feed in rows if "/" in feed}) == 3  # suppliers
    assert delivered == acknowledged > translated > 0
    assert parked > 0
    assert overdue == 1
    assert "they add up" in result.stdout
    assert "Safety plan" in result.stdout
    assert "overdue: message" in result.stdout
    assert "to gp-practice" in result.stdout
    assert len(list((tmp_path / "documents").glob("*.json"))) > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(command: str) -> None:
    result = run(command, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout


def test_nonsense_is_a_usage_error() -> None:
    assert run("translat").returncode == 2
    assert run("translate").returncode == 2
    assert run("serve", "--config", "nothing.toml").returncode == 2


def test_a_letter_of_an_event_is_refused_in_a_line() -> None:
    result = run("translate", FIXTURES / "adt" / "a03-discharge.hl7", "--target", "letter")
    assert (result.returncode, result.stdout) == (1, "")
    assert "a letter is made of documents" in result.stderr


def test_a_restricted_message_is_shown_and_exits_with_one() -> None:
    result = run("translate", FIXTURES / "adt" / "a01-restricted-patient.hl7")
    assert result.returncode == 1
    assert "M740" in result.stderr
    assert json.loads(result.stdout)["type"] == "transaction"


def test_a_message_of_another_suppliers_system_is_not_taken(tmp_path: Path) -> None:
    """A supplier that names its senders takes theirs and no others: a stranger's is taken for HL7 v2 from anywhere."""
    (tmp_path / "a03.hl7").write_bytes(
        (FIXTURES / "adt" / "a03-discharge.hl7").read_bytes().replace(b"EXMH-PAS|EXMH", b"OTHER|PAS")
    )
    result = run("translate", tmp_path / "a03.hl7", "--report")
    assert result.returncode == 0
    assert "international/v2-adt" in result.stderr
    assert run("translate", tmp_path / "a03.hl7", "--mapping", "example-mental-health/adt").returncode == 0


def test_what_is_there_for_anybody_takes_nothing_that_a_supplier_takes(tmp_path: Path) -> None:
    own = tmp_path / "mappings" / "suppliers" / "new"
    own.mkdir(parents=True)
    (own / "supplier.yaml").write_text("supplier: new\ntitle: New\n")
    event = (BUILT_IN / "v2-adt.yaml").read_text("utf-8")
    (own / "adt.yaml").write_text(event.replace("mapping: international/v2-adt", "mapping: new/adt"), "utf-8")
    shutil.copytree(BUILT_IN / "codes", own / "codes")
    message = FIXTURES.parent / "international" / "v2-adt" / "a01-admission.hl7"
    arguments = ("translate", message, "--report")
    assert "international/v2-adt" in run(*arguments).stderr
    assert "new/adt" in run(*arguments, "--mappings", tmp_path / "mappings").stderr


def test_a_folder_too_deep_is_said_to_be(tmp_path: Path) -> None:
    folder = tmp_path / "suppliers" / "new"
    folder.mkdir(parents=True)
    (folder / "supplier.yaml").write_text("supplier: new\ntitle: New\n")
    result = run("check", "--mappings", folder)
    assert result.returncode == 2
    assert str(tmp_path) in result.stderr


def test_replay_of_an_unknown_supplier_or_of_nothing_is_said(tmp_path: Path) -> None:
    assert run("replay", tmp_path).returncode == 2
    (tmp_path / "nobody" / "adt").mkdir(parents=True)
    (tmp_path / "nobody" / "adt" / "x.hl7").write_bytes((FIXTURES / "adt" / "a03-discharge.hl7").read_bytes())
    result = run("replay", tmp_path, "--update")
    assert result.returncode == 1
    assert "there is no supplier 'nobody'" in result.stderr
    assert len(list((tmp_path / "nobody" / "adt").iterdir())) == 1


def test_validate_reads_what_translate_prints(tmp_path: Path) -> None:
    several = run("translate", FIXTURES / "adt" / "a01-admission.hl7", FIXTURES / "adt" / "a03-discharge.hl7")
    (tmp_path / "several.ndjson").write_text(several.stdout)
    assert run("validate", tmp_path / "several.ndjson", "--quiet").returncode == 0


def test_a_store_that_cannot_be_made_is_said_and_exits_with_three(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    configured = '[gateway]\nstore = "sqlite:file/m.db"\n[http]\nlisten = "127.0.0.1:0"\n'
    (tmp_path / "mhbridge.toml").write_text(configured)
    result = run("serve", folder=tmp_path)
    assert result.returncode == 3
    assert "S216: " in result.stderr


def test_nothing_to_receive_from_and_no_store_to_look_into_are_said_with_a_hint(tmp_path: Path) -> None:
    served = run("serve", folder=tmp_path)
    assert (served.returncode, served.stdout) == (2, "")
    assert "C823: " in served.stderr
    looked = run("status", folder=tmp_path)
    assert (looked.returncode, looked.stdout) == (3, "")
    assert str(tmp_path / "var" / "mhbridge.db") in looked.stderr
    assert "--config" in looked.stderr
    assert list(tmp_path.iterdir()) == []
