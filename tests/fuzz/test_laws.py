"""The laws that the fuzzer holds parsers to, held to what we have; and that each of them can be broken."""

from __future__ import annotations

import json as stdlib_json
import sys
from pathlib import Path

import pytest
import seeds
import steady
import targets
from run import RUNS

from mhbridge.adapters.mesh import heads
from mhbridge.adapters.mllp import framing
from mhbridge.formats import archive
from mhbridge.formats import csv as csv_format
from mhbridge.formats.csv import rows
from mhbridge.formats.csv.sets import reading as set_reading
from mhbridge.formats.document import message as document_reading
from mhbridge.formats.fhir import answering
from mhbridge.formats.hl7v2 import message
from mhbridge.formats.hl7v2.delimiters import Delimiters
from mhbridge.formats.json import reading
from mhbridge.formats.json.reading import Number
from mhbridge.formats.xml import parsing as xml_parsing
from mhbridge.formats.xml import plain as xml_plain
from mhbridge.mapping import expression, reader
from mhbridge.mapping.scanner import Broken

sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))
sys.path.insert(0, str(Path(__file__).parent.parent / "adapters"))
import cases
import json_cases
import test_archives
import xml_cases


@pytest.mark.parametrize("target", targets.TARGETS)
def test_what_the_fuzzer_begins_with_keeps_the_law(target):
    found = seeds.of(target)
    assert len(found) > 5
    for seed in found:
        targets.TARGETS[target](seed)


OWN = {
    "hl7v2": [body for body, _ in cases.HL7V2.values()],
    "csv": [body for body, _ in cases.CSV.values()],
    "json": [body for body, _, _ in json_cases.CASES.values()],
    "fhir": [body for body, kind, _ in json_cases.CASES.values() if kind == "fhir"],
    "xml": [body for body, _ in xml_cases.CASES.values()],
    "mllp": [sent for sent, _, _ in cases.FRAMES.values()],
    "mesh": [*seeds.of("mesh"), b"", b"Mex-Chunk-Range: 1:99999", b"Mex-From: \xff\n\n\x1f\x8b"],
    "yaml": [body for body, _ in cases.MAPPINGS.values()],
    "expression": [text.encode() for text in cases.EXPRESSIONS],
    "flow": [body for body, _ in cases.HL7V2.values()],
    "zip": [archive for archive, _ in test_archives.BAD.values()],
    "tables": [*seeds.of("tables"), *(archive for archive, _ in test_archives.BAD.values())],
    "document": [*seeds.of("document"), b"%PDF-1.7"],
}


@pytest.mark.parametrize("target", OWN)
def test_our_malformed_cases_keep_the_law(target):
    for body in OWN[target]:
        targets.TARGETS[target](body[:20_000])


def test_every_target_has_its_bounded_run_and_its_line_in_the_readme():
    readme = (Path(__file__).parent / "README.md").read_text("utf-8")
    assert set(RUNS) == set(targets.TARGETS) == set(OWN)
    assert all(f"| `{name}` |" in readme for name in RUNS)


# --- the controls: each law broken by a fault of its own -----------------------------------------------------


def broken(target: str) -> None:
    def hold() -> None:
        for body in [*OWN[target], *seeds.of(target)]:
            targets.TARGETS[target](body[:20_000])

    with pytest.raises(AssertionError):
        hold()


def test_a_bounded_run_is_the_same_each_time_and_another_one_is_not():
    own = seeds.of("tables")
    made = list(steady.inputs(own, 300, 2048))
    assert made == list(steady.inputs(own, 300, 2048)) != list(steady.inputs(own, 300, 2048, begin=2))
    assert made[: len(own)] == [seed[:2048] for seed in own]
    assert len(set(made)) > 250
    assert max(map(len, made)) <= 2048


def test_a_file_that_is_lost_breaks_the_law(monkeypatch):
    read = document_reading.read_files
    monkeypatch.setattr(document_reading, "read_files", lambda body: read(body)[:1])
    broken("document")


def test_a_row_that_is_lost_from_its_record_breaks_the_law(monkeypatch):
    joined = set_reading._Joined.record

    def loses(self, root):
        found, fault = joined(self, root)
        return found[:1], fault

    monkeypatch.setattr(set_reading._Joined, "record", loses)
    broken("tables")


def test_a_field_that_is_lost_breaks_the_law(monkeypatch):
    made = message.Segment.__init__

    def loses(self, *arguments):
        made(self, *arguments)
        self.fields = self.fields[:12]

    monkeypatch.setattr(message.Segment, "__init__", loses)
    broken("hl7v2")


def test_an_escape_that_is_not_undone_breaks_the_law(monkeypatch):
    monkeypatch.setattr(Delimiters, "escape", lambda _, text: text)
    with pytest.raises(AssertionError, match="escaped is unescaped"):
        targets.hl7v2(cases.message(note=rb"\E\X41\E\ "))


def test_a_row_that_is_passed_over_breaks_the_law(monkeypatch):
    """As it was: Python's `isspace` is true of control characters, and such a row said nothing."""
    monkeypatch.setattr(rows, "_blank", lambda cell: not cell or cell.isspace())
    with pytest.raises(AssertionError, match="passed over"):
        targets.csv(b"nhs_number,family,note\n1,2,3\n\x1d\n4,5,6\n")
    assert csv_format.FORMAT is targets.CSV


def test_a_number_that_is_rounded_breaks_the_law(monkeypatch):
    monkeypatch.setattr(reading, "_DECODER", stdlib_json.JSONDecoder(parse_float=lambda text: Number(text[:4])))
    broken("json")


def test_an_answer_that_is_answered_breaks_the_law(monkeypatch):
    made = answering.leaf
    monkeypatch.setattr(
        answering, "leaf", lambda node, *names: None if names[:1] == ("response",) else made(node, *names)
    )
    broken("fhir")


def test_the_first_of_two_values_breaks_the_law(monkeypatch):
    decoder = stdlib_json.JSONDecoder(object_pairs_hook=lambda pairs: dict(reversed(pairs)), parse_int=Number)
    monkeypatch.setattr(reading, "_DECODER", decoder)
    with pytest.raises(AssertionError, match="as others read it"):
        targets.json(b'{"a": 1, "a": 2}')


def test_a_frame_that_depends_on_its_packets_breaks_the_law(monkeypatch):
    """As it was: a frame run into by the next was seen only if both had come when the limit was looked at."""

    def whole_only(self, end):
        parts = framing._RUN_IN.split(bytes(self._buffer[1:end]))
        self._ready += [framing.Fault("D914", part[:4096], len(part)) for part in parts[:-1]]
        self._ready.append(framing.Frame(parts[-1]))
        self._drop(end + 1)

    monkeypatch.setattr(framing, "_OPENINGS", ())
    monkeypatch.setattr(framing.Framer, "_take", whole_only)
    with pytest.raises(AssertionError):
        targets.mllp(b"\x0bMSH|" + b"x" * 60 + b"\x0bMSH|y\x1c\r")


@pytest.mark.parametrize(
    ("module", "name", "unchecked", "body"),
    [
        (heads, "_word", lambda value: value, b"Mex-From: <a>"),
        (heads, "is_id", lambda _: True, b"Mex-MessageType: REPORT\nMex-LinkedMsgID: ../a"),
        (targets, "gunzip", lambda body, _: body + b"0" * 99_999, b""),
    ],
    ids=["a word", "an id", "what is packed"],
)
def test_what_is_taken_as_it_comes_breaks_the_law_of_a_mailbox(monkeypatch, module, name, unchecked, body):
    monkeypatch.setattr(module, name, unchecked)
    with pytest.raises(AssertionError):
        targets.mesh(body)


def test_a_place_outside_the_file_breaks_the_law(monkeypatch):
    made = reader.YamlFile.span
    # What was read before it was broken is not read again.
    monkeypatch.setattr(reader, "_read", reader._read.__wrapped__)
    monkeypatch.setattr(reader.YamlFile, "span", lambda self, a, b: made(self, a, b)._replace(end_line=10_000))
    broken("yaml")


def test_an_expression_without_tree_and_diagnostic_breaks_the_law(monkeypatch):
    def nothing(*_):
        raise Broken("E999", "?", 0, 1)

    monkeypatch.setattr(expression, "scan", nothing)
    broken("expression")


def test_a_member_that_is_not_looked_at_breaks_the_law(monkeypatch):
    monkeypatch.setattr(archive, "_look_at_name", lambda *_: None)
    with pytest.raises(AssertionError, match="no way out"):
        targets.archive(test_archives.BAD["above"][0])


def test_an_unknown_code_breaks_the_law(monkeypatch):
    monkeypatch.setattr(targets, "explanations", dict)
    broken("flow")


def test_a_text_after_a_comment_that_is_lost_breaks_the_law(monkeypatch):
    monkeypatch.setattr(xml_parsing, "plainly", lambda *_, **__: None)
    monkeypatch.setattr(xml_parsing._Builder, "comment", lambda self, _text: self.data.__self__.clear())
    broken("xml")


def test_an_attribute_that_is_lost_breaks_the_law(monkeypatch):
    class Losing(xml_parsing._Builder):
        def __init__(self):
            super().__init__()
            start = self.start
            self.start = lambda name, attributes: start(name, dict(list(attributes.items())[:1]))

    monkeypatch.setattr(xml_parsing, "_Builder", Losing)
    monkeypatch.setattr(xml_parsing, "plainly", lambda *_, **__: None)
    broken("xml")


def test_a_reference_that_is_left_as_it_stands_breaks_the_law(monkeypatch):
    monkeypatch.setattr(xml_plain, "_resolved", lambda text: text)
    broken("xml")
