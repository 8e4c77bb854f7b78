"""`translate` and `validate` in a test harness: what comes on standard input, and the same bytes at every time."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from click.testing import CliRunner

from mhbridge.cli.translating import translate, validate
from mhbridge.mapping.library import built_in

LETTER = built_in("fixtures") / "example-mental-health" / "discharge-letter" / "plain.hl7"
THEN = ("--received-at", "2026-01-05T09:00:00Z")


def run(command, *arguments: object, given: bytes = b""):
    return CliRunner().invoke(command, [str(one) for one in arguments], input=BytesIO(given), standalone_mode=False)


def test_standard_input_is_read_as_a_file_is() -> None:
    of_file = run(translate, LETTER, *THEN, "--compact")
    piped = run(translate, "-", *THEN, "--compact", given=LETTER.read_bytes())
    assert piped.return_value == of_file.return_value == 0
    assert piped.stdout == of_file.stdout
    assert json.loads(piped.stdout)["timestamp"].startswith("2026-01-05T09:00:00")
    traced = run(translate, "-", *THEN, "--trace", given=LETTER.read_bytes())
    assert "Patient[1].birthDate" in traced.stderr
    judged = run(validate, "-", "--quiet", given=piped.stdout.encode())
    assert (judged.return_value, judged.stderr) == (0, "-: valid\n")


@pytest.mark.parametrize("instant", ["2026-01-05T09:00:00", "yesterday", ""])
def test_an_instant_without_an_offset_is_none(instant: str) -> None:
    made = run(translate, LETTER, "--received-at", instant)
    assert made.exit_code != 0
    assert "is no instant with an offset" in str(made.exception)
