"""The acknowledgement of HL7 v2: who is told what, in whose words, and that nothing of the patient goes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mhbridge.formats.hl7v2 import FORMAT
from mhbridge.model import Answer, Issue, Severity, Verdict

AT = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
ACCEPTED = Answer(Verdict.ACCEPTED, "Safely stored.", AT, reference="r1")
REFUSED = Answer(Verdict.REFUSED, "It cannot be translated.", AT, code="I601", reference="r1")
REJECTED = Answer(Verdict.REJECTED, "No mapping takes this message.", AT, code="M710")

HEADER = r"MSH|^~\&|PAS|RXX|HUB|RYY|20260101120000||ADT^A03^ADT_A03|C1|P|2.4"
PATIENT = "PID|1||9990000018^^^NHS||TESTPATIENT^ANNA"


def message(header: str = HEADER, *more: str) -> bytes:
    return "".join(f"{segment}\r" for segment in (header, *(more or (PATIENT,)))).encode()


def acknowledge(body: bytes, answer: Answer = ACCEPTED) -> list[str]:
    written = FORMAT.acknowledge(body, answer, name="example-hub").decode()
    assert not written or written.endswith("\r")
    return written.split("\r")[:-1]


def with_conditions(accept: str, application: str) -> bytes:
    return message(f"{HEADER}|||{accept}|{application}")


def test_it_is_complete() -> None:
    msh, msa = acknowledge(message())
    fields = msh.split("|")
    assert fields.pop(9).isalnum()
    assert "|".join(fields) == r"MSH|^~\&|HUB|RYY|PAS|RXX|20260101120005+0000||ACK^A03^ACK|P|2.4"
    assert msa == "MSA|AA|C1|Safely stored."


def test_its_control_id_is_derived() -> None:
    def number(body: bytes, answer: Answer) -> str:
        return acknowledge(body, answer)[0].split("|")[9]

    first = number(message(), ACCEPTED)
    assert len(first) == 20
    assert number(message(), replace(ACCEPTED, repeated=True)) == first
    assert number(message(), replace(ACCEPTED, reference="r2")) != first
    nothing_stored = replace(ACCEPTED, reference="")
    assert number(message(), nothing_stored) == number(message(), nothing_stored)
    assert number(message(HEADER.replace("C1", "C2")), nothing_stored) != number(message(), nothing_stored)


@pytest.mark.parametrize(
    ("accept", "application", "codes"),
    [
        # HL7 v2.5.1 §2.9.2, §2.9.3 and table 0155, every pair of them: (accepted, refused, rejected); "" is no answer.
        ("", "", ("AA", "AE", "AR")),  # original mode
        ('""', '""', ("AA", "AE", "AR")),
        ("", "AL", ("AA", "AE", "AR")),  # MSH-15 empty beside a MSH-16 wants no accept acknowledgement
        ("", "NE", ("", "", "")),
        ("", "ER", ("", "AE", "AR")),
        ("", "SU", ("AA", "", "")),
        ("AL", "", ("CA", "CE", "CR")),  # the accept acknowledgement comes first, and is the only one
        ("AL", "AL", ("CA", "CE", "CR")),
        ("AL", "NE", ("CA", "CE", "CR")),
        ("AL", "ER", ("CA", "CE", "CR")),
        ("AL", "SU", ("CA", "CE", "CR")),
        ("NE", "", ("", "", "")),
        ("NE", "AL", ("AA", "AE", "AR")),
        ("NE", "NE", ("", "", "")),
        ("NE", "ER", ("", "AE", "AR")),
        ("NE", "SU", ("AA", "", "")),
        ("ER", "", ("", "CE", "CR")),
        ("ER", "AL", ("AA", "CE", "CR")),  # what was taken has no accept acknowledgement, but one of the application
        ("ER", "NE", ("", "CE", "CR")),
        ("ER", "ER", ("", "CE", "CR")),
        ("ER", "SU", ("AA", "CE", "CR")),
        ("SU", "", ("CA", "", "")),
        ("SU", "AL", ("CA", "AE", "AR")),
        ("SU", "NE", ("CA", "", "")),
        ("SU", "ER", ("CA", "AE", "AR")),
        ("SU", "SU", ("CA", "", "")),
        ("??", "", ("CA", "CE", "CR")),  # no value of the table: an answer too many stops no feed
        ("", "??", ("AA", "AE", "AR")),
    ],
)
def test_the_sender_says_which_answers_it_wants(accept: str, application: str, codes: tuple[str, str, str]) -> None:
    for answer, code in zip((ACCEPTED, REFUSED, REJECTED), codes, strict=True):
        written = acknowledge(with_conditions(accept, application), answer)
        assert (written[1].split("|")[1] if written else "") == code


@pytest.mark.parametrize(
    ("kind", "version", "expected"),
    [
        ("ADT^A03^ADT_A03", "2.4", "ACK^A03^ACK"),
        ("ADT^A03", "2.3.1", "ACK^A03^ACK"),
        ("ADT^A03", "2.3", "ACK^A03"),
        ("ADT^A03", "2.1", "ACK^A03"),
        ("ADT", "2.4", "ACK"),
        ("", "2.4", "ACK"),
        ("ADT^A \\T\\ B", "2.4", "ACK"),
    ],
)
def test_it_names_the_event(kind: str, version: str, expected: str) -> None:
    header = HEADER.replace("ADT^A03^ADT_A03", kind).replace("2.4", version)
    fields = acknowledge(message(header))[0].split("|")
    assert (fields[8], fields[11]) == (expected, version)


@pytest.mark.parametrize(
    ("version", "told"), [("2.1", True), ("2.4", True), ("2.6", True), ("2.7", False), ("2.8.2", False), ("", True)]
)
def test_the_text_of_msa_was_withdrawn(version: str, told: bool) -> None:
    written = acknowledge(message(HEADER.replace("2.4", version)))
    assert written[1] == ("MSA|AA|C1|Safely stored." if told else "MSA|AA|C1")


ISSUES = (
    Issue("I601", Severity.ERROR, "this is not a date & time", path="PV1-45"),
    Issue("I602", Severity.WARNING, "the code is not in the table", path="PID-3[2].4.1"),
    Issue("I604", Severity.INFORMATION, "nobody reads it", path="Encounter.period"),
)


def test_issues_up_to_v2_4_are_repetitions_of_err_1() -> None:
    written = acknowledge(message(), replace(REFUSED, issues=ISSUES))
    assert "|".join(written[2:]) == (
        "ERR|PV1^1^45^102&Data type error&HL70357&I601&this is not a date \\T\\ time&L"
        "~PID^1^3^103&Table value not found&HL70357&I602&the code is not in the table&L"
        "~^^^207&Application internal error&HL70357&I604&nobody reads it&L"
    )


def test_issues_from_v2_5_have_a_segment_each() -> None:
    written = acknowledge(message(HEADER.replace("2.4", "2.5.1")), replace(ACCEPTED, issues=ISSUES))
    assert written[2:] == [
        "ERR||PV1^1^45^1|102^Data type error^HL70357|E|I601^^L|||this is not a date \\T\\ time",
        "ERR||PID^1^3^2^4^1|103^Table value not found^HL70357|W|I602^^L|||the code is not in the table",
        "ERR|||0^Message accepted^HL70357|I|I604^^L|||nobody reads it",
    ]


CONDITIONS = {
    "I601": "102^Data type error",
    "I602": "103^Table value not found",
    "I611": "101^Required field missing",
    "I612": "101^Required field missing",
    "I650": "0^Message accepted",
    "M703": "103^Table value not found",
    "M706": "100^Segment sequence error",
    "M708": "101^Required field missing",
    "M710": "200^Unsupported message type",
    "M720": "101^Required field missing",
    "M742": "202^Unsupported processing id",
    "D912": "100^Segment sequence error",
    # Failures, mappings and routes of ours:
    "D903": "207^Application internal error",
    "M711": "207^Application internal error",
    "M750": "207^Application internal error",
    "S201": "207^Application internal error",
}


@pytest.mark.parametrize(("code", "condition"), CONDITIONS.items())
def test_the_condition_is_that_of_the_cause(code: str, condition: str) -> None:
    issue = Issue(code, Severity.ERROR, "why")
    written = acknowledge(message(HEADER.replace("2.4", "2.5.1")), replace(REFUSED, issues=(issue,)))
    assert written[2].split("|")[3] == f"{condition}^HL70357"


def test_where_an_error_is_never_names_a_file_of_ours() -> None:
    issue = Issue("I601", Severity.ERROR, "why", "PV1-45", "discharged_at", "/srv/canary/suppliers/x/y.yaml:1:2")
    for version in ("2.4", "2.5.1"):
        written = acknowledge(message(HEADER.replace("2.4", version)), replace(REFUSED, issues=(issue,)))
        assert "canary" not in "".join(written)
        assert "yaml" not in "".join(written)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_without_a_control_id_none_is_made_up(mark: str) -> None:
    written = acknowledge(message(mark + HEADER.replace("|C1|", "||")), ACCEPTED)
    assert written[1].split("|")[:3] == ["MSA", "AA", ""]


def test_there_are_twenty_issues_at_most() -> None:
    many = replace(REFUSED, issues=ISSUES[:1] * 50)
    assert len(acknowledge(message(HEADER.replace("2.4", "2.5")), many)[2:]) == 20
    assert acknowledge(message(), many)[2].count("~") == 19


def test_a_refusal_always_says_why() -> None:
    assert acknowledge(message(), REJECTED)[2] == (
        "ERR|^^^200&Unsupported message type&HL70357&M710&No mapping takes this message.&L"
    )
    assert acknowledge(message(HEADER.replace("2.4", "2.7")), REJECTED)[2].endswith(
        "|M710^^L|||No mapping takes this message."
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("MSH#@!?%#PAS#RXX#HUB#RYY#2026##ADT@A03#C?F?1#P#2.4", "MSA#AA#C?F?1#Safely stored."),
        (HEADER.replace("C1", r"C\T\1^x&y~z"), r"MSA|AA|C\T\1^x&y~z|Safely stored."),
        (r"MSH|^~|PAS|RXX|HUB|RYY|2026||ADT^A03|C\1|P|2.4", "MSA|AA|C\\1|Safely stored."),
        (HEADER.replace("C1", ""), "MSA|AA||Safely stored."),
        (HEADER.replace("C1", "C" * 199), f"MSA|AA|{'C' * 199}|Safely stored."),
        (HEADER.replace("C1", "C" * 200), "MSA|AA||Safely stored."),
        (HEADER.replace("C1", "C\x1c1"), "MSA|AA||Safely stored."),
    ],
)
def test_their_control_id_goes_back_as_it_came(header: str, expected: str) -> None:
    assert acknowledge(message(header))[1] == expected


def test_our_words_are_escaped_with_their_separators() -> None:
    odd = replace(ACCEPTED, text="a#b@c")
    assert acknowledge(message("MSH#@!?%#PAS#RXX#HUB#RYY#2026##ADT@A03#C1#P#2.4"), odd)[1] == "MSA#AA#C1#a?F?b?S?c"
    without_escape = acknowledge(message("MSH|^~|PAS|RXX|HUB|RYY|2026||ADT^A03|C1|P|2.4"), REFUSED)
    assert without_escape[2] == "ERR|^^^102"


def test_we_name_ourselves_where_they_do_not() -> None:
    fields = acknowledge(message(r"MSH|^~\&|PAS|RXX|||2026||ADT^A03|C1|P|2.4"))[0].split("|")
    assert fields[2:6] == ["example-hub", "", "PAS", "RXX"]


@pytest.mark.parametrize(
    ("charset", "codec", "copied"),
    [
        ("8859/1", "iso8859-1", "8859/1"),
        ("UNICODE UTF-8", "utf-8", "UNICODE UTF-8"),
        ("", "utf-8", ""),
        ("ASCII", "ascii", "ASCII"),
        ("UNICODE UTF-16", "utf-16", "UNICODE UTF-16"),
        ("UNICODE UTF-16", "utf-16-be", "UNICODE UTF-16"),
        ("MARTIAN", "ascii", ""),
        ("UNICODE UTF-16", "ascii", ""),
    ],
)
def test_the_answer_is_in_their_charset(charset: str, codec: str, copied: str) -> None:
    sender = "PAS" if codec == "ascii" else "PÄS"
    header = f"{HEADER.replace('PAS', sender)}||||||{charset}\r"
    written = FORMAT.acknowledge(header.encode(codec), replace(ACCEPTED, text="naïve – stored"), name="hub")
    msh, msa = written.decode(codec).split("\r")[:2]
    fields = msh.split("|")
    assert fields[4] == sender
    assert (fields[17] if len(fields) > 17 else "") == copied
    assert msa.split("|")[3] == {"iso8859-1": "na?ve ? stored", "ascii": "na?ve ? stored"}.get(codec, "naïve – stored")


def test_bytes_that_are_not_as_declared_go_back_as_they_came() -> None:
    written = FORMAT.acknowledge(
        message(HEADER.replace("PAS", "P\xc4S")).replace("Ä".encode(), b"\xc4"), REJECTED, name="hub"
    )
    assert b"|P\xc4S|RXX|" in written
    assert b"MSA|AR|C1|" in written


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"MSH",
        b"MSH|",
        b"MSH||",
        b"msh|^~\\&|A",
        b"PID|1\r",
        b"\xff\xfe\x00\xd8\x00",
        b"MSH\r^~",
    ],
)
def test_without_a_header_the_answer_is_the_least_there_can_be(body: bytes) -> None:
    msh, msa, err = acknowledge(body, REJECTED)
    assert msh.startswith("MSH|^~\\&|example-hub||||20260101120005+0000||ACK|")
    assert msh.endswith("|P|2.4")
    assert msa == "MSA|AR||No mapping takes this message."
    assert "&M710&" in err


def test_a_malformed_message_with_a_header_is_answered_to_its_sender() -> None:
    written = acknowledge(message(HEADER, PATIENT, "a line of text", "NTE|1||\x00"), REJECTED)
    assert written[0].split("|")[2:6] == ["HUB", "RYY", "PAS", "RXX"]
    assert written[1].startswith("MSA|AR|C1|")


@pytest.mark.parametrize(
    ("header", "control"),
    [("FHS|^~\\&|PAS|RXX|HUB|RYY|2026||f.hl7||F1\r", "F1"), ("BHS|^~\\&|PAS|RXX|||2026||||B1\r", "B1")],
)
def test_a_batch_is_answered_by_its_own_control_id(header: str, control: str) -> None:
    written = acknowledge(header.encode() + message() + b"BTS|1\r")
    assert written[0].split("|")[4:6] == ["PAS", "RXX"]
    assert written[1] == f"MSA|AA|{control}|Safely stored."


def test_several_messages_are_answered_by_the_first() -> None:
    assert acknowledge(message() + message(HEADER.replace("C1", "C2")))[1].startswith("MSA|AA|C1|")


@pytest.mark.parametrize(
    "body",
    [
        b"MSH|^~\\&|A|B|C|D|2026||ACK^A03|9|P|2.4\rMSA|AA|1\r",
        b"\r\nMSH|^~\\&|A|B|C|D|2026||ACK|9|P|2.4\n",
        b"MSH|^~\\&|A|B|C|D|2026||RSP^K21|9|P|2.5\r\nMSA|AA|1\r\n",
        b"MSH|^~\\&|A|B|C|D|2026||RSP^K21|9|P|2.5\r\nSFT|x\r\nMSA|AA|1\r\n",
        "MSH|^~\\&|A|B|C|D|2026||ACK^A03|9|P|2.4\rMSA|AA|1\r".encode("utf-16"),
        b"MSH|^~\\&|A|B|C|D|2026||ACK^A03|9|P|2.4\rMSA|AA|\x00\r",
    ],
)
def test_an_answer_is_never_answered(body: bytes) -> None:
    for answer in (ACCEPTED, REFUSED, REJECTED):
        assert FORMAT.acknowledge(body, answer, name="hub") == b""


def test_nothing_of_the_patient_goes_back() -> None:
    body = message(
        HEADER.replace("|P|2.4", "|ANNA|ANNA") + "|ANNA|ANNA|AL|AL|ANNA|ANNA", PATIENT.replace("TESTPATIENT", "ANNA")
    )
    for answer in (ACCEPTED, REFUSED, REJECTED):
        written = FORMAT.acknowledge(body, answer, name="hub")
        assert written
        assert b"ANNA" not in written
        assert b"9990000018" not in written


def test_a_codec_that_is_declared_and_a_header_that_is_not_in_it() -> None:
    written = FORMAT.acknowledge(message(f"{HEADER}||||||ASCII").replace(b"PAS", b"P\xffS"), REJECTED, name="hub")
    assert b"P\xffS" in written
