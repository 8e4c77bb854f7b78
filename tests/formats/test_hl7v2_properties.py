"""
Laws of the HL7 v2 format, for any separators and any bytes, and python-hl7 as a second opinion.

Set TEST_CORPUS to a folder of messages to run the same laws over real ones: `hl7v2/` holds what others have
published, `badinput/` what is made to break parsers.
"""

from __future__ import annotations

import json
import os
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import hl7
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mhbridge.errors import MalformedMessage, MessageError, explanations
from mhbridge.formats import PathError, Scope
from mhbridge.formats.hl7v2 import FORMAT, Message, Value
from mhbridge.formats.hl7v2.delimiters import delimiters
from mhbridge.formats.hl7v2.structure import structure
from mhbridge.model import ABSENT, DELETED, Answer, Issue, Severity, Verdict

SOURCE = FORMAT.declare("Europe/London", "", {"messages": ["ADT^A03", "ADT", "ORU^R01"]})
ANSWERS = [
    Answer(
        verdict,
        "Said & done | ^ ~ \\",
        datetime(2026, 1, 1, tzinfo=UTC),
        code="M701",
        issues=(Issue("I601", Severity.ERROR, "not | a ^ date", "PV1-45"),),
    )
    for verdict in Verdict
]
HEAD = b"MSH|^~\\&|PAS|RXX|HUB|RYY|2026||ADT^A03|C1|P|2.4"
PUNCTUATION = sorted(set(string.punctuation) - {'"'})
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
SEPARATORS = st.permutations(PUNCTUATION).map(lambda found: "".join(found[:5]))
# Fields as lists of repetitions as lists of components as lists of subcomponents.
FIELDS = st.lists(
    st.lists(st.lists(st.lists(TEXT, min_size=1, max_size=3), min_size=1, max_size=3), min_size=1, max_size=3),
    max_size=4,
)


def code_of(body: bytes) -> str:
    try:
        ((found, _),) = FORMAT.messages(body, [])
    except MalformedMessage as error:
        return error.code
    return found.code if isinstance(found, MessageError) else ""


def acknowledged(body: bytes) -> None:
    """Every answer is nothing, or a message that can be read and has what it needs."""
    for answer in ANSWERS:
        written = FORMAT.acknowledge(body, answer, name="hub")
        if not written:
            continue
        assert FORMAT.acknowledge(body, answer, name="hub") == written
        assert FORMAT.acknowledge(written, answer, name="hub") == b"", "an answer to an answer goes on for ever"
        # What came undecodable goes back as it came, for it is the sender's own name and number.
        assert code_of(written) in ("M760" if body.isascii() else ("M760", "M704", "M705"))


def laws(body: bytes) -> list[Message | MessageError]:
    """What holds for any bytes."""
    FORMAT.recognise(body[:4096])
    acknowledged(body)
    try:
        found = [item for item, _ in FORMAT.messages(body, [SOURCE])]
    except MalformedMessage as error:
        found = [error]
    for item in found:
        if isinstance(item, MessageError):
            assert item.code in explanations()
            continue
        assert item.facts.kind
        assert "\x00" not in "".join(value for _, value in item.identities)
        for name in dict.fromkeys(item.names):
            for segment in item.named(name):
                for number in range(1, len(segment.fields)):
                    read_all(item, name, number)
        # A message is the same when it is sent again alone.
        again = [one for one, _ in FORMAT.messages(item.body, [SOURCE])]
        assert [one.facts.kind for one in again if isinstance(one, Message)] == [item.facts.kind]
    return found


def read_all(message: Message, name: str, number: int) -> None:
    if number > 1000 or not (name.startswith("Z") or name in KNOWN):
        return
    path, _ = FORMAT.scan(f"{name}-{number}", 0, 20) or (None, 0)
    assert path is not None
    for raw in FORMAT.every(path, Scope(SOURCE))(message):
        assert raw is DELETED or isinstance(raw, Value)
        if isinstance(raw, Value):
            assert isinstance(raw.text, str)
            assert isinstance(raw.component(1), str)


KNOWN = structure("2.4").segments.keys()


# --- join and split ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(SEPARATORS, st.lists(FIELDS, max_size=4))
def test_what_is_joined_is_split_again(separators: str, segments: list[list[list[list[list[str]]]]]) -> None:
    limits = delimiters(separators[0], separators[1:], "utf-8")
    assert limits is not None
    field, component, repetition, _, subcomponent = separators
    kind = f"ADT{component}A03"
    header = field.join(("MSH", separators[1:], "", "", "", "", "", "", kind, "C1", "P", "2.4"))

    def written(fields: list[list[list[list[str]]]]) -> str:
        return field.join(
            repetition.join(
                component.join(subcomponent.join(limits.escape(sub) for sub in subs) for subs in components)
                for components in repetitions
            )
            for repetitions in fields
        )

    body = "".join(f"{line}\r" for line in (header, *(f"ZZ1{field}{written(fields)}" for fields in segments)))
    (message,) = laws(body.encode())
    assert isinstance(message, Message)
    read = message.named("ZZ1")
    assert len(read) == len(segments)
    for segment, fields in zip(read, segments, strict=True):
        for number, repetitions in enumerate(fields, 1):
            found = segment.repetitions(number)
            assert len(found) == len(repetitions)
            for encoded, components in zip(found, repetitions, strict=True):
                value = Value(encoded, segment, 0)
                for place, subs in enumerate(components, 1):
                    plain = ["" if sub == '""' else sub for sub in subs]
                    if encoded != '""':
                        assert [value.component(place, n) for n in range(1, len(subs) + 1)] == plain


WORD = st.text(alphabet=string.ascii_letters + string.digits + ".,-", max_size=8)


COMPONENTS = st.lists(WORD, min_size=1, max_size=3).map("^".join)
REPETITIONS = st.lists(COMPONENTS, min_size=1, max_size=3).map("~".join)


def components_of(repetition: hl7.Repetition | str) -> list[str]:
    # python-hl7 unwraps a list of one.
    return [str(part) for part in repetition] if isinstance(repetition, hl7.Repetition) else [str(repetition)]


@settings(deadline=None)
@given(st.lists(st.lists(REPETITIONS, min_size=1, max_size=6), min_size=1, max_size=6))
def test_python_hl7_reads_the_same(rows: list[list[str]]) -> None:
    body = HEAD.decode() + "\r" + "".join(f"PID|{'|'.join(row)}\r" for row in rows)
    (ours,) = laws(body.encode())
    assert isinstance(ours, Message)
    for mine, other in zip(ours.named("PID"), hl7.parse(body).segments("PID"), strict=True):
        assert len(mine.fields) == len(other)
        for number in range(1, len(mine.fields)):
            assert [
                [Value(encoded, mine, 0).component(n) for n in range(1, encoded.count("^") + 2)]
                for encoded in mine.repetitions(number)
            ] == [components_of(repetition) for repetition in other[number]]


# --- any bytes ---------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        HEAD,
        b"MSH|",
        b"msh|",
        b"MSA|AA|1",
        b"EVN|A03",
        b"PID|1||1^^^A~2",
        b"OBX|1|TX|||a\\F\\b\\X41\\\\.br\\\\Zx\\",
        b"BHS|^~\\&|",
        b"BTS|1",
        b"FHS|^~\\&|",
        b"FTS|1",
        b"||||||UNICODE UTF-16",
        b"|8859/1",
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\x00",
        b"\x85",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b'""',
        b"\\",
        b"#",
    ]
)


@settings(deadline=None)
@given(st.binary(max_size=120) | st.lists(PIECES, max_size=14).map(b"".join))
@example(b"\xff\xfeM\x00S\x00H\x00")
@example(b"MSH|^~\\&|||||||ACK")
@example(b"\x00\x00\x00M")
def test_any_bytes_give_messages_or_errors(body: bytes) -> None:
    laws(body)
    laws(HEAD + body)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 255))
def test_any_one_byte_may_be_wrong(place: int, byte: int) -> None:
    body = HEAD + b"||||||8859/1\rPID|1||9990000018^^^NHS||TESTPATIENT^ANNA\rOBX|1|TX|||a\\F\\b\\X41\\c\r"
    at = place % len(body)
    laws(body[:at] + bytes([byte]) + body[at + 1 :])
    laws(body[:at])


@settings(deadline=None)
@given(st.text(alphabet='PIDOBXZ1-.[]="\\ andNHS!/0', max_size=24))
def test_any_text_is_a_path_or_an_error(text: str) -> None:
    for scan in (FORMAT.scan, FORMAT.scan_loop):
        try:
            found = scan(text, 0, len(text))
        except PathError as error:
            wrong = error
        else:
            wrong = None
        if wrong is not None:
            assert wrong.code in ("E107", "E205")
            assert 0 <= wrong.offset <= len(text)
        elif found is not None:
            path, end = found
            assert text[:end] == path.text
            assert scan(path.text, 0, end) == found


@settings(deadline=None)
@given(st.text(alphabet='|^~\\&"A \r\n', max_size=40))
def test_a_value_is_in_one_of_its_states(text: str) -> None:
    body = HEAD + b"\rPID|" + text.replace("\r", "").replace("\n", "").encode()
    (message,) = laws(body)
    assert isinstance(message, Message)
    for path in ("PID-1", "PID-1.2", "PID-1.2.2", "PID-2[2]", 'PID-1[1="A"].2'):
        parsed, _ = FORMAT.scan(path, 0, len(path)) or (None, 0)
        assert parsed is not None
        first, every = FORMAT.first(parsed, Scope(SOURCE))(message), FORMAT.every(parsed, Scope(SOURCE))(message)
        assert (
            first is ABSENT or first is DELETED or (isinstance(first, Value) and not first.empty and not first.deleted)
        )
        if first is not ABSENT:
            shown = [raw.text if isinstance(raw, Value) else raw for raw in every]
            assert shown[0] == (first.text if isinstance(first, Value) else first)


# --- a corpus, where there is one --------------------------------------------------------------------------


def corpus(folder: str, *endings: str) -> Iterator[Path]:
    root = os.environ.get("TEST_CORPUS")
    if root:
        yield from sorted(p for p in Path(root, folder).rglob("*") if p.is_file() and p.name.endswith(endings))


@pytest.mark.skipif(not os.environ.get("TEST_CORPUS"), reason="TEST_CORPUS names no folder of messages")
def test_published_messages_are_read() -> None:
    read = broken = 0
    for path in corpus("hl7v2", ".hl7", ".er7"):
        for item in laws(path.read_bytes()):
            read += isinstance(item, Message)
            broken += isinstance(item, MessageError)
    assert read > 20 * broken


@pytest.mark.skipif(not os.environ.get("TEST_CORPUS"), reason="TEST_CORPUS names no folder of messages")
def test_bad_input_is_survived_and_judged() -> None:
    for path in corpus("badinput", ".hl7", ".er7", ".bin", ".txt", ".csv"):
        laws(path.read_bytes()[:200_000])
    for manifest in corpus("badinput", "MANIFEST.jsonl"):
        for line in manifest.read_text("utf-8").splitlines():
            case = json.loads(line)
            if case["file"].startswith("hl7v2/") and case["expect"] in ("accept", "reject"):
                found = laws((manifest.parent / case["file"]).read_bytes())
                accepted = [isinstance(item, Message) for item in found]
                assert all(accepted) if case["expect"] == "accept" else not any(accepted), case["file"]
