"""HL7 v2 bytes to messages: what is read, what a message says about itself, and what is refused with which code."""

from __future__ import annotations

import pytest

from mhbridge.errors import MalformedMessage, MessageError, UnsupportedMessage, explanations
from mhbridge.formats import BrokenMessage, DeclarationError, Scope, Source, format_named, sniff
from mhbridge.formats.hl7v2 import FORMAT, Message
from mhbridge.formats.hl7v2.message import MAX_FIELDS, MAX_REPETITIONS, MAX_SEGMENTS

HEADER = r"MSH|^~\&|PAS|RXX|HUB|RYY|20260101120000||ADT^A03^ADT_A03|C1|P|2.4"
EVENT = "EVN|A03|20260101120000"
PATIENT = "PID|1||9990000018^^^NHS^NH~L1^^^RXX^PI||TESTPATIENT^ANNA||19800101|F"
VISIT = "PV1|1|I|WARD1||||||||||||||||V1^^^RXX"


def declare(messages: list[str] | None = None, *, charset: str = "", **options: object) -> Source:
    return FORMAT.declare("Europe/London", charset, {"messages": messages or ["ADT^A03"], **options})


ADT = declare()


def lines(*segments: str, end: str = "\r") -> str:
    return end.join(segments) + end


def items(body: bytes, *sources: Source) -> list[Message | MessageError]:
    return [item for item, _ in FORMAT.messages(body, sources)]


def one(body: bytes | str, *sources: Source) -> Message:
    found = items(body.encode() if isinstance(body, str) else body, *sources)
    assert len(found) == 1
    assert isinstance(found[0], Message)
    return found[0]


def read(message: Message, path: str, source: Source = ADT) -> str:
    scanned = FORMAT.scan(path, 0, len(path))
    assert scanned is not None
    assert scanned[1] == len(path)
    value = FORMAT.first(scanned[0], Scope(source))(message)
    return FORMAT.text(value) if value else repr(value)


def refused(body: bytes | str, *sources: Source) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        items(body.encode() if isinstance(body, str) else body, *sources)
    assert caught.value.code in explanations()
    return caught.value


# --- segments and separators -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lines(HEADER, EVENT, PATIENT), id="CR"),
        pytest.param(lines(HEADER, EVENT, PATIENT, end="\n"), id="LF"),
        pytest.param(lines(HEADER, EVENT, PATIENT, end="\r\n"), id="CRLF"),
        pytest.param(f"{HEADER}\r{EVENT}\r{PATIENT}", id="no last end"),
        pytest.param(f"{HEADER}\r\n{EVENT}\n{PATIENT}\r", id="mixed"),
        pytest.param("\ufeff" + lines(HEADER, EVENT, PATIENT), id="byte order mark"),
        pytest.param("\r\n\n" + lines(HEADER, EVENT, PATIENT) + "\n\n", id="blank lines round it"),
        pytest.param("\ufeff\r\n" + lines(HEADER, EVENT, PATIENT), id="mark and blank line"),
        pytest.param(lines(HEADER, "", EVENT, "  ", PATIENT, ""), id="blank lines inside"),
    ],
)
def test_a_message_is_the_same_whatever_ends_its_segments(body: str) -> None:
    message = one(body, ADT)
    assert message.names == ["MSH", "EVN", "PID"]
    assert read(message, "PID-5.1") == "TESTPATIENT"
    assert read(message, "PID-8") == "F"
    assert message.body == body.encode()


@pytest.mark.parametrize(
    ("header", "path", "text"),
    [
        (HEADER, "MSH-1", "|"),
        (HEADER, "MSH-2", "^~\\&"),
        (HEADER, "MSH-3", "PAS"),
        (HEADER, "MSH-9.2", "A03"),
        (HEADER, "MSH-12", "2.4"),
        (r"MSH|^~\&#|PAS|RXX|||2026||ADT^A03|C1|P|2.7|A\P\B", "MSH-13", "A#B"),
        (r"MSH|^~\&#|PAS|RXX|||2026||ADT^A03|C1|P|2.7", "MSH-2", "^~\\&#"),
        # Escape and subcomponent are optional (HL7 v2.4 §2.7): the characters are then plain text.
        (r"MSH|^~\|PAS|RXX|||2026||ADT^A03|C1|P|2.4|A&B\T\C", "MSH-13", r"A&B\T\C"),
        (r"MSH|^~|PAS|RXX|||2026||ADT^A03|C1|P|2.4|A&B\F\C", "MSH-13", r"A&B\F\C"),
        ("MSH#@!?%#PAS#RXX###2026##ADT@A03#C1#P#2.4#A?F?B|^~&", "MSH-13", "A#B|^~&"),
        ("MSH#@!?%#PAS#RXX###2026##ADT@A03#C1#P#2.4", "MSH-9.2", "A03"),
    ],
)
def test_the_header_declares_the_separators(header: str, path: str, text: str) -> None:
    assert read(one(lines(header)), path) == text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "M700"),
        ("\r\n \n", "M700"),
        ("\ufeff", "M701"),
        ("GET / HTTP/1.1\r\n\r\n", "M701"),
        ("%PDF-1.7\n", "M701"),
        (lines(EVENT, PATIENT), "M701"),
        (lines(HEADER).lower(), "M701"),
        ("BTS|0\r", "M701"),
        ("MSH", "M702"),
        ("MSH|", "M702"),
        ("MSH||", "M702"),
        ("MSH|^", "M702"),
        ("MSH|^|", "M702"),
        ("MSH\r^~\\&\rPAS\r", "M702"),
        (HEADER.replace("^~\\&", "^~\\|"), "M708"),
        (HEADER.replace("^~\\&", "^^\\&"), "M702"),
        (HEADER.replace("^~\\&", "^~\\&#+"), "M702"),
        (HEADER.replace("^~\\&", "a~\\&"), "M702"),
        (HEADER.replace("^~\\&", '"~\\&'), "M702"),
        (HEADER.replace("|", " "), "M702"),
        (HEADER.replace("|", "é"), "M702"),
        (HEADER.replace("|", "\x0b"), "M702"),
        (lines(HEADER, "pid|1"), "M706"),
        (lines(HEADER, "PI|1"), "M706"),
        (lines(HEADER, "1ID|1"), "M706"),
        (lines(HEADER, "PIDX|1"), "M706"),
        (lines(HEADER, " PID|1"), "M706"),
        (lines(HEADER, "PID^1"), "M706"),
        (lines(HEADER, "a line of text"), "M706"),
        (lines(HEADER, "OBX|1|TX|||one\ntwo"), "M706"),
        (lines(HEADER, *["NTE"] * MAX_SEGMENTS), "M707"),
        (lines(HEADER, "NTE" + "|" * (MAX_FIELDS + 1)), "M707"),
        (lines(HEADER, "PID|||" + "~" * MAX_REPETITIONS), "M707"),
        (lines(HEADER.replace("ADT^A03^ADT_A03", "")), "M708"),
        (lines(HEADER.replace("ADT^A03^ADT_A03", "^A03")), "M708"),
        (lines(HEADER.replace("ADT^A03^ADT_A03", "JONES, ANNA")), "M708"),
        (lines(HEADER.replace("ADT^A03^ADT_A03", "ADT^ward one")), "M708"),
        ("MSH|^~\\&|BROKEN", "M708"),
        (lines(HEADER.replace("C1", "C" * 200)), "M709"),
        (lines(HEADER, "NTE|1||a\x00b"), "M705"),
        (lines(HEADER, "NTE|1||a\x0bb"), "M705"),
        (lines(HEADER, "NTE|1||a\x1cb"), "M705"),
        (lines(HEADER, "NTE|1||a\x7fb"), "M705"),
        (lines(HEADER, "NTE|1||a\x85b"), "M705"),
    ],
)
def test_what_is_no_message_is_refused_by_name(body: str, code: str) -> None:
    error = refused(body)
    assert error.code == code
    for word in ("ANNA", "JONES", "anna", "two", "ward", "PAS"):
        assert word not in error.message


@pytest.mark.parametrize(
    "body",
    [
        lines(HEADER, *["NTE"] * (MAX_SEGMENTS - 1)),
        lines(HEADER, "NTE" + "|" * MAX_FIELDS),
        lines(HEADER, "PID|||" + "~" * (MAX_REPETITIONS - 1)),
        lines(HEADER, "OBX|1|TX|||" + "text with ~ and | " * 60),
        lines(HEADER.replace("C1", "C" * 199)),
        lines(HEADER, "NTE|1||a\tb"),
        lines(HEADER, "NTE"),
    ],
)
def test_what_is_just_within_the_limits_is_read(body: str) -> None:
    assert one(body).kind == "ADT^A03"


def test_a_long_text_is_not_taken_for_many_repetitions() -> None:
    long = "x~" * 300
    message = one(lines(HEADER, f"NTE|1|{long}|{long}|{long}|{long}"))
    assert read(message, "NTE-2[300]") == "x"


# --- character sets ----------------------------------------------------------------------------------------


def with_charset(name: str, codec: str, text: str = "Zoë", *extra: str) -> bytes:
    return lines(f"{HEADER}||||||{name}", f"NTE|1||{text}", *extra).encode(codec)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("", "utf-8"),
        ('""', "utf-8"),
        ("UNICODE", "utf-8"),
        ("UNICODE UTF-8", "utf-8"),
        ("utf-8", "utf-8"),
        ("UTF8", "utf-8"),
        ("8859/1", "iso8859-1"),
        ("8859/9", "iso8859-9"),
        ("8859/15", "iso8859-15"),
        ("ISO-8859-1", "iso8859-1"),
        ("8859-1", "iso8859-1"),
        ("WINDOWS-1252", "cp1252"),
        ("GB 18030-2000", "gb18030"),
        ("8859/1~UNICODE UTF-8", "iso8859-1"),
        ("UNICODE UTF-16", "utf-16"),
        ("UNICODE UTF-16", "utf-16-le"),
        ("UNICODE UTF-16", "utf-16-be"),
        ("UNICODE UTF-32", "utf-32"),
    ],
)
def test_a_message_is_decoded_as_it_says(name: str, codec: str) -> None:
    body = with_charset(name, codec)
    message = one(body)
    assert read(message, "NTE-3") == "Zoë"
    assert message.body == body
    assert FORMAT.recognise(body[:64])


@pytest.mark.parametrize("number", [*range(1, 10), 15])
def test_every_part_of_8859_in_table_0211_is_known(number: int) -> None:
    letter = bytes([0xE9]).decode(f"iso8859-{number}")
    assert read(one(with_charset(f"8859/{number}", f"iso8859-{number}", letter)), "NTE-3") == letter


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(with_charset("ASCII", "utf-8"), "M704", id="high bytes in ASCII"),
        pytest.param(with_charset("UNICODE", "iso8859-1"), "M704", id="Latin-1 called Unicode"),
        pytest.param(with_charset("", "iso8859-1"), "M704", id="Latin-1 that says nothing"),
        pytest.param(with_charset("", "cp1252", "the patient’s"), "M704", id="Windows quotes that say nothing"),
        pytest.param(with_charset("", "utf-8").replace("ë".encode(), b"\xc0\xaf"), "M704", id="overlong"),
        pytest.param(with_charset("8859/1", "cp1252", "the patient’s"), "M705", id="Windows quotes called Latin-1"),
        pytest.param(with_charset("8859/12", "utf-8"), "M703", id="no such part"),
        pytest.param(with_charset("ISO IR87", "utf-8"), "M703", id="switched by escapes"),
        pytest.param(with_charset("MARTIAN", "utf-8"), "M703", id="unknown"),
        pytest.param(with_charset("rot13", "utf-8"), "M703", id="a codec that is no character set"),
        pytest.param(with_charset("UNICODE UTF-16", "utf-8"), "M763", id="called UTF-16"),
        pytest.param(with_charset("", "utf-16"), "M763", id="UTF-16 that says nothing"),
        pytest.param(with_charset("UNICODE UTF-16", "utf-32"), "M763", id="UTF-32 called UTF-16"),
        pytest.param(b"\xef\xbb\xbf" + with_charset("8859/1", "utf-8"), "M763", id="marked as UTF-8"),
        pytest.param(with_charset("UNICODE UTF-16", "utf-16-le")[:-1], "M704", id="half a character"),
    ],
)
def test_what_is_not_as_declared_is_refused_and_nothing_is_guessed(body: bytes, code: str) -> None:
    error = refused(body)
    assert error.code == code
    assert "Zo" not in error.message


def test_the_byte_is_said_and_no_content() -> None:
    body = with_charset("UNICODE", "iso8859-1")
    error = refused(body)
    assert error.offset == body.index(b"\xeb")
    assert error.message == f"not UNICODE: undecodable at byte {error.offset}"
    assert error.__suppress_context__, "the cause would show the bytes"


def test_a_control_character_is_said_with_its_byte() -> None:
    body = with_charset("8859/1", "cp1252", "naïve ’")
    error = refused(body)
    assert (error.offset, body[error.offset or 0]) == (body.index(b"\x92"), 0x92)
    assert "U+0092" in error.message


def test_a_source_says_the_charset_where_the_message_does_not() -> None:
    latin = declare(charset="ISO-8859-1")
    assert read(one(with_charset("", "iso8859-1"), latin), "NTE-3") == "Zoë"
    assert read(one(with_charset("UNICODE", "utf-8"), latin), "NTE-3") == "Zoë"
    wide = declare(charset="utf-16")
    assert read(one(with_charset("", "utf-16"), wide), "NTE-3") == "Zoë"
    assert refused(with_charset("", "utf-8"), wide).code == "M763"


def test_only_the_sources_that_take_a_message_say_its_charset() -> None:
    latin, other = declare(charset="8859-1"), declare(["MDM^T02"], charset="UTF-8")
    assert read(one(with_charset("", "iso8859-1"), other, latin), "NTE-3") == "Zoë"
    assert refused(with_charset("", "iso8859-1"), latin, declare(charset="cp1252")).code == "M703"
    assert read(one(with_charset("", "iso8859-1"), latin, declare(charset="ISO8859-1")), "NTE-3") == "Zoë"


# --- what a message says about itself ----------------------------------------------------------------------


def test_facts_and_identities() -> None:
    message = one(lines(HEADER, EVENT, PATIENT, VISIT), ADT)
    facts = message.facts
    assert (facts.format, facts.kind, facts.control_id, facts.sender) == ("hl7v2", "ADT^A03", "C1", "PAS|RXX")
    assert (facts.sent_at, facts.version, facts.place) == ("20260101120000", "2.4", "")
    assert message.facts is facts
    assert message.identities == (
        ("control_id", "C1"),
        ("patient", "9990000018"),
        ("patient", "NHS|9990000018"),
        ("patient", "L1"),
        ("patient", "RXX|L1"),
        ("visit", "V1"),
    )
    assert message.patients == 1


def test_facts_of_a_bare_message_are_empty() -> None:
    message = one(r"MSH|^~\&|||||||ADT^A03")
    assert (message.facts.control_id, message.facts.sender, message.facts.version) == ("", "", "")
    assert message.identities == ()
    assert message.patients == 0


@pytest.mark.parametrize(
    ("kind", "event", "expected"),
    [
        ("ADT^A03^ADT_A03", "EVN|A08", "ADT^A03"),
        ("ADT^A03", "EVN|A08", "ADT^A03"),
        ("ADT", "EVN|A03", "ADT^A03"),
        ("ADT", "PV1|1", "ADT"),
        ("ADT", "EVN", "ADT"),
    ],
)
def test_the_event_may_be_in_evn_alone(kind: str, event: str, expected: str) -> None:
    assert one(lines(HEADER.replace("ADT^A03^ADT_A03", kind), event)).kind == expected


def test_an_identifier_never_hides_a_line_break() -> None:
    assert one(lines(HEADER.replace("C1", r"C1\X0A\level=error"))).facts.control_id == r"C1\X0A\level=error"
    assert one(lines(HEADER.replace("C1", r"A\T\B"))).facts.control_id == "A&B"


def test_a_version_is_one_or_nothing() -> None:
    assert one(lines(HEADER.replace("2.4", "ANNA"))).facts.version == ""
    assert one(lines(HEADER.replace("2.4", "2.5.1^GBR"))).facts.version == "2.5.1"


@pytest.mark.parametrize(
    ("pids", "expected"),
    [
        (["PID|1||1^^^A", "PID|1||2^^^A"], 2),
        (["PID|1||1^^^A", "PID|1||1^^^A^MR"], 2),
        (["PID|1||1^^^A~2^^^B", "PID|1||2^^^B^^"], 1),
        (["PID|1||1^^^A", "PID|1||2^^^A", "PID|1||1^^^A~2^^^A"], 1),
        (["PID|1", "PID|1"], 2),
    ],
)
def test_patients_are_told_apart_by_their_identifiers(pids: list[str], expected: int) -> None:
    assert one(lines(HEADER, *pids)).patients == expected


@pytest.mark.parametrize(
    ("messages", "version", "taken"),
    [
        (["ADT^A03"], "", True),
        (["ADT^A01", "ADT^A03"], "2.4", True),
        (["ADT"], "2.4", True),
        (["ADT^A01"], "", False),
        (["ADT^A03"], "2.5", False),
        (["ADT^A03"], "2.3.1", False),
        (["MDM"], "", False),
    ],
)
def test_a_source_takes_by_kind_and_version(messages: list[str], version: str, taken: bool) -> None:
    source = declare(messages, **({"version": version} if version else {}))
    ((_, takers),) = FORMAT.messages(lines(HEADER).encode(), [declare(["ZZZ^Z01"]), source])
    assert takers == ((1,) if taken else ())


@pytest.mark.parametrize(("version", "taken"), [("2.5", True), ("2.5.1", True), ("2.50", False), ("", False)])
def test_a_version_takes_those_below_it(version: str, taken: bool) -> None:
    ((_, takers),) = FORMAT.messages(lines(HEADER.replace("2.4", version)).encode(), [declare(version="2.5")])
    assert bool(takers) is taken


def test_no_content_in_representations() -> None:
    message = one(lines(HEADER, PATIENT))
    segment = message.named("PID")[0]
    value = segment.message.named("PID")[0]
    for thing in (message, segment, value):
        assert "ANNA" not in repr(thing)


# --- several messages --------------------------------------------------------------------------------------


def message(number: int) -> str:
    return lines(HEADER.replace("C1", f"C{number}"), EVENT, PATIENT)


def summary(body: str) -> list[str]:
    return [
        f"{item.code} {item.path}" if isinstance(item, MessageError) else f"{item.facts.control_id} {item.facts.place}"
        for item in items(body.encode())
    ]


BATCH = "BHS|^~\\&|PAS\r"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(message(1) + message(2), ["C1 message 1", "C2 message 2"], id="two in one body"),
        pytest.param(
            "FHS|^~\\&|PAS\r" + BATCH + message(1) + message(2) + "BTS|2\rFTS|1\r",
            ["C1 message 1", "C2 message 2"],
            id="file and batch",
        ),
        pytest.param("FHS|^~\\&\r" + message(1) + "FTS|1\r", ["C1 "], id="file without a batch"),
        pytest.param(BATCH + message(1) + "BTS\r", ["C1 "], id="count left out"),
        pytest.param(BATCH + "BTS|0\r", [], id="empty batch"),
        pytest.param("BHS#@!?%#PAS\r" + message(1) + "BTS#1#note\r", ["C1 "], id="separators of its own"),
        pytest.param(
            "FHS|^~\\&\r" + BATCH + message(1) + "BTS|1\r" + BATCH + message(2) + "BTS|01\rFTS|2\r",
            ["C1 message 1", "C2 message 2"],
            id="two batches",
        ),
        pytest.param(
            message(1) + "MSH|^~\\&|BROKEN\r" + message(3),
            ["C1 message 1", "M708 message 2", "C3 message 3"],
            id="a broken neighbour",
        ),
        pytest.param(
            message(1) + message(2).lower() + message(3),
            ["C1 message 1", "M701 message 2", "C3 message 3"],
            id="a neighbour in lower case",
        ),
        pytest.param(message(1) + "msh|^~\\&|x\r", ["C1 message 1", "M701 message 2"], id="only the second is broken"),
        pytest.param(
            message(1).replace("ANNA", "AN\x00NA") + message(2), ["M705 message 1", "C2 message 2"], id="a NUL"
        ),
        pytest.param(
            BATCH + message(1) + message(2) + "BTS|3\r",
            ["C1 message 1", "C2 message 2", "M761 batch"],
            id="one is missing",
        ),
        pytest.param(BATCH + message(1) + "BTS|many\r", ["C1 ", "M761 batch"], id="a count that is none"),
        pytest.param(
            "FHS|^~\\&\r" + BATCH + message(1) + "BTS|1\rFTS|2\r", ["C1 ", "M761 batch"], id="a batch is missing"
        ),
        pytest.param(BATCH + message(1), ["C1 ", "M762 batch"], id="no trailer"),
        pytest.param(message(1) + "BTS|1\r", ["C1 ", "M762 batch"], id="no header"),
        pytest.param(message(1) + "FTS|1\r", ["C1 ", "M762 batch"], id="no file header"),
        pytest.param(BATCH + BATCH + message(1) + "BTS|1\r", ["C1 ", "M762 batch"], id="header twice"),
        pytest.param("PID|1\r" + message(1), ["C1 ", "M762 batch"], id="something before"),
        pytest.param(BATCH + "PID|1\r" + message(1) + "BTS|1\r", ["C1 ", "M762 batch"], id="something between"),
        pytest.param(BATCH + message(1) + "BTS|1\rPID|1\r", ["C1 ", "M762 batch"], id="something after"),
        pytest.param(
            "\ufeff" + BATCH + message(1) + "BTS|2\r", ["C1 ", "M761 batch"], id="byte order mark before a batch"
        ),
        pytest.param(BATCH + message(1) + "MSA|AA|1\rBTS|1\r", ["C1 "], id="an MSA that is not second is no answer"),
    ],
)
def test_batches(body: str, expected: list[str]) -> None:
    assert summary(body) == expected


def test_each_message_of_a_batch_has_its_own_bytes_and_charset() -> None:
    first, second = with_charset("8859/1", "iso8859-1"), with_charset("UNICODE", "utf-8")
    found = items(BATCH.encode() + first + second + b"BTS|2\r")
    assert [item.body for item in found if isinstance(item, Message)] == [first, second]
    assert {read(item, "NTE-3") for item in found if isinstance(item, Message)} == {"Zoë"}


def test_an_offset_counts_from_the_beginning_of_the_envelope() -> None:
    body = message(1).encode() + with_charset("UNICODE", "iso8859-1")
    error = items(body)[1]
    assert isinstance(error, MalformedMessage)
    assert error.offset == body.index(b"\xeb")


def test_a_batch_in_utf_16() -> None:
    text = lines(f"{HEADER}||||||UNICODE UTF-16", "NTE|1||Zoë")
    found = items((text + text).encode("utf-16"))
    assert [item.facts.place for item in found if isinstance(item, Message)] == ["message 1", "message 2"]
    again = [items(item.body) for item in found if isinstance(item, Message)]
    assert all(read(again_item, "NTE-3") == "Zoë" for (again_item,) in again if isinstance(again_item, Message))


def test_large_bodies_are_read_like_small_ones() -> None:
    long = lines(HEADER, "OBX|1|ED|||^AP^PDF^Base64^" + "A" * 1_500_000)
    (alone,) = items(b"\xef\xbb\xbf\r\n" + long.encode())
    assert isinstance(alone, Message)
    assert (alone.facts.place, len(read(alone, "OBX-5.5"))) == ("", 1_500_000)
    assert summary(long + message(2)) == ["C1 message 1", "C2 message 2"]
    assert refused(long + "a line of text").code == "M706"


def test_a_broken_message_says_whose_it_is() -> None:
    body = lines(HEADER, "NTE|1||\x00")
    error = refused(body)
    assert isinstance(error, BrokenMessage)
    assert (error.facts.kind, error.facts.control_id, error.facts.sender) == ("ADT^A03", "C1", "PAS|RXX")
    assert error.body == body.encode()
    unreadable = refused("MSH|^")
    assert isinstance(unreadable, BrokenMessage)
    assert unreadable.facts.kind == "unreadable"


@pytest.mark.parametrize(
    "body",
    [
        "MSH|^~\\&|A|B|C|D|2026||ACK^A03|9|P|2.4\rMSA|AA|1\r",
        "MSH|^~\\&|A|B|C|D|2026||ACK|9|P|2.4\r",
        "MSH|^~\\&|A|B|C|D|2026||RSP^K21|9|P|2.5\rMSA|AA|1\r",
        "MSH|^~\\&|A|B|C|D|2026||ORR^O02|9|P|2.5\rSFT|x\rMSA|AA|1\r",
    ],
)
def test_an_answer_is_no_message(body: str) -> None:
    ((error, takers),) = FORMAT.messages(body.encode(), [declare(["ACK", "RSP^K21", "ORR"])])
    assert isinstance(error, UnsupportedMessage)
    assert (error.code, takers) == ("M760", ())


# --- the door ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "recognised"),
    [
        (b"MSH|^~\\&|", True),
        (b"\xef\xbb\xbf\r\nMSH|", True),
        (b"  \n MSH|", True),
        (b"FHS|^~\\&", True),
        (b"BHS|^~\\&", True),
        (b"msh|^~\\&|", True),
        ("MSH|^~\\&|".encode("utf-16"), True),
        (b"\xff\xfe\x00\xd8\x00\xd8", False),
        (b"BTS|1", False),
        (b"MSHX", False),
        (b"MSH1|", False),
        (b"PID|1", False),
        (b"<xml/>", False),
        (b"", False),
    ],
)
def test_it_is_recognised_by_its_beginning(head: bytes, recognised: bool) -> None:
    assert FORMAT.recognise(head) is recognised


def test_it_is_registered() -> None:
    assert format_named("hl7v2") is FORMAT
    assert sniff(lines(HEADER).encode()) is FORMAT


@pytest.mark.parametrize(
    ("key", "timezone", "charset", "options"),
    [
        ("timezone", "Europe/Londn", "", {}),
        ("timezone", "Europe", "", {}),
        ("timezone", "", "", {}),
        ("timezone", "../etc/passwd", "", {}),
        ("charset", "Europe/London", "utf8x", {}),
        ("charset", "Europe/London", "rot13", {}),
        ("messages", "Europe/London", "", {"messages": []}),
        ("messages", "Europe/London", "", {"messages": "ADT^A03"}),
        ("messages", "Europe/London", "", {"messages": ["adt^a03"]}),
        ("messages", "Europe/London", "", {"messages": ["ADT^A03", "ADT^A03"]}),
        ("version", "Europe/London", "", {"version": "3"}),
        ("groups", "Europe/London", "", {"groups": ["OBR"]}),
        ("groups", "Europe/London", "", {"groups": {"OBR": "NTE"}}),
        ("groups", "Europe/London", "", {"groups": {"OBR": []}}),
        ("groups", "Europe/London", "", {"groups": {"OBR": ["NTE", "NTE"]}}),
        ("groups", "Europe/London", "", {"groups": {"OBR": ["nte"]}}),
        ("groups", "Europe/London", "", {"groups": {"OBR": ["XYQ"]}}),
        ("groups", "Europe/London", "", {"groups": {"MSH": ["PID"]}}),
        ("groups", "Europe/London", "", {"groups": {"OBR": ["OBR"]}}),
        ("groups", "Europe/London", "", {"groups": {"OBR": ["OBX"], "OBX": ["NTE"], "NTE": ["OBR"]}}),
        ("group", "Europe/London", "", {"group": {}}),
    ],
)
def test_a_source_that_cannot_be_is_refused(key: str, timezone: str, charset: str, options: dict[str, object]) -> None:
    with pytest.raises(DeclarationError) as caught:
        FORMAT.declare(timezone, charset, {"messages": ["ADT^A03"], **options})
    assert caught.value.key == key
    assert caught.value.message


def test_a_source_is_compared_by_what_it_declares() -> None:
    options = {"messages": ["ORU^R01"], "version": "2.4", "groups": {"OBR": ["NTE", "OBX"], "OBX": ["NTE"]}}
    source = FORMAT.declare("Europe/London", "utf-8", options)
    assert source == FORMAT.declare("Europe/London", "utf-8", options)
    with pytest.raises(TypeError):
        source.options["version"] = "2.5"  # type: ignore[index]
