r"""
Malformed input of our own making, one or more for each way of being malformed: the bytes, and exactly what is said.

Everything in here is invented; NHS numbers are of the 999 range. The answer to an HL7 v2 case is written as
MSA-1 and MSA-2, then the code of each message in it (or its state, where there is none): `AA K1 done`, `AR - M701`.
"""

from __future__ import annotations

from mhbridge.adapters.mllp.framing import frame

__all__ = ["CSV", "EXPRESSIONS", "FRAMES", "HL7V2", "MAPPINGS"]

VT, FS, CR = b"\x0b", b"\x1c", b"\r"


def msh(control: bytes = b"K1", *, kind: bytes = b"ADT^A03", processing: bytes = b"P", more: bytes = b"") -> bytes:
    return (
        b"MSH|^~\\&|WARDSYS|NOWHERE|HUB|NOWHERE|20260105083000||" + kind + b"|" + control + b"|" + processing
        + b"|2.4" + more + b"\r"
    )  # fmt: skip


def message(
    *,
    control: bytes = b"K1",
    ids: bytes = b"9997770013^^^NHS",
    name: bytes = b"NOBODY^NELLIE",
    born: bytes = b"19700229",
    admitted: bytes = b"202601010900",
    left: bytes = b"202601050800",
    note: bytes = b"",
    tail: bytes = b"",
    **header: bytes,
) -> bytes:
    born = b"19700228" if born == b"19700229" else born
    pv1 = b"PV1|1|I|ELM" + b"|" * 16 + b"S77" + b"|" * 25 + admitted + b"|" + left
    notes = b"NTE|1||" + note + b"\r" if note else b""
    return (
        msh(control, **header) + b"EVN|A03|" + left + b"\rPID|1||" + ids + b"||" + name + b"||" + born + b"\r"
        + pv1 + b"\r" + notes + tail
    )  # fmt: skip


GOOD = message()
SECOND = message(control=b"K2", ids=b"9997770021^^^NHS", name=b"NOBODY^NORA")
BATCH = b"BHS|^~\\&|WARDSYS|NOWHERE|HUB|NOWHERE|20260105083000||||B7\r"

#: name → (bytes, what is said).
HL7V2: dict[str, tuple[bytes, str]] = {
    # what must not be refused
    "a plain message": (GOOD, "AA K1 done"),
    "line ends of Windows": (GOOD.replace(b"\r", b"\r\n"), "AA K1 done"),
    "line ends of Unix": (GOOD.replace(b"\r", b"\n"), "AA K1 done"),
    "blank lines": (GOOD.replace(b"\r", b"\r\r \r"), "AA K1 done"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "AA K1 done"),
    "other separators": (GOOD.translate(bytes.maketrans(b"|^~\\&", b"*:;!%")), "AA K1 done"),
    "every escape": (message(note=rb"\F\ \S\ \T\ \R\ \E\ \X0D0A\ \X41\ \.br\ \.sp2\ \.in+4\ \H\x\N\ "), "AA K1 done"),
    "Latin-1, declared": (message(name=b"N\xd6BODY^NELLIE", more=b"|||||||8859/1"[1:]), "AA K1 done"),
    "UTF-16, declared": (message(more=b"||||||UNICODE UTF-16").decode().encode("utf-16"), "AA K1 done"),
    "templates in a name": (message(name=b"NOBODY{{7*7}}^${x}%s%n{0.__class__}"), "AA K1 done"),
    "a right-to-left override in a name": (message(name="NOBODY^NE\u202eLLI".encode()), "AA K1 done"),
    "a line break hidden in the control id": (message(control=rb"K1\X0A\level=error"), r"AA K1\X0A\level=error done"),
    "a document": (message(tail=b"OBX|1|ED|D||^application^pdf^Base64^JVBERi0=\r"), "AA K1 done"),
    "an escape that is not ended": (message(note=rb"see \F"), "AA K1 done"),
    "an escape without digits": (message(note=rb"a \XZZ\ b \XF\ c \\"), "AA K1 done"),
    "two messages": (GOOD + SECOND, "AA K1 done done"),
    "a batch": (BATCH + GOOD + SECOND + b"BTS|2\r", "AA B7 done done"),
    # what cannot be read at all
    "nothing": (b"", "AR - M700"),
    "blanks": (b"\r\n \t\r\n", "AR - M700"),
    "text": (b"Dear colleague,\r", "AR - M701"),
    "another protocol": (b"POST / HTTP/1.1\r\nHost: hub\r\n\r\n", "AR - M701"),
    "a PDF": (b"%PDF-1.7\n\x00\x01\x02", "AR - M701"),
    "segments without MSH": (GOOD[GOOD.index(b"EVN") :], "AR - M701"),
    "MSH alone": (b"MSH", "AR - M702"),
    "MSH and a separator": (b"MSH|", "AR - M702"),
    "the field separator again in MSH-2": (b"MSH|||||WARDSYS\r", "AR - M702"),
    "one character for two parts": (b"MSH|^^\\&|WARDSYS\r", "AR - M702"),
    "letters as separators": (b"MSHABCDEAWARDSYS\r", "AR - M702"),
    "a line end as separator": (b"MSH\r^~\\&\rWARDSYS\r", "AR - M702"),
    "a blank as separator": (b"MSH ^~\\& WARDSYS NOWHERE\r", "AR - M702"),
    "small letters": (GOOD.lower(), "AR - M701"),
    "an acknowledgement without a kind": (msh(kind=b"") + b"MSA|AA|1\r", "none M708"),
    # what waits for a person
    "Windows-1252, not declared": (message(note=b"the patient\x92s \x93plan\x94"), "AA K1 M704"),
    "an overlong slash": (message(note=b"\xc0\xaf"), "AA K1 M704"),
    "half a letter": (message(note=b"N\xc3"), "AA K1 M704"),
    "a surrogate": (message(note=b"\xed\xa0\x80"), "AA K1 M704"),
    "UTF-16, not declared": (GOOD.decode().encode("utf-16"), "AA K1 M763"),
    "a character set nobody knows": (message(more=b"||||||KLINGON"), "AA K1 M703"),
    "NUL": (message(note=b"a\x00b"), "AA K1 M705"),
    "the characters of a frame": (message(note=b"a\x0bb\x1cc"), "AA K1 M705"),
    "a control character of C1": (message(note="a\x9bb".encode()), "AA K1 M705"),
    "a line that is no segment": (message(tail=b"and the dose is 5 mg\r"), "AA K1 M706"),
    "a segment in small letters": (message(tail=b"obx|1\r"), "AA K1 M706"),
    "no kind": (message(kind=b""), "AA K1 M708"),
    "a kind that is a sentence": (message(kind=b"please file this"), "AA K1 M708"),
    "a control id of 100,000 characters": (message(control=b"K" * 100_000), "AA - M709"),
    "20,000 segments": (message(tail=b"NTE|1||x\r" * 20_000), "AA K1 M707"),
    "2,000 fields": (message(tail=b"ZZZ" + b"|x" * 2_000 + b"\r"), "AA K1 M707"),
    "2,000 repetitions": (message(ids=b"~".join([b"9997770013^^^NHS"] * 2_000)), "AA K1 M707"),
    "2,000 components": (message(tail=b"ZZZ|" + b"^" * 2_000 + b"\r"), "AA K1 M707"),
    "all that is within the limits": (
        message(tail=(b"ZZZ" + b"|x" * 1_000 + b"\r" + b"ZZZ|" + b"~".join([b"a^b"] * 1_000) + b"\r")
        + b"ZZZ|" + b"^x" * 999 + b"|" + b"&x" * 9_999 + b"\rZZZ|\\X" + b"41" * 5_000 + b"\\\r"),
        "AA K1 done",
    ),
    "300,000 parts": (message(tail=(b"ZZZ" + b"|a^b" * 500 + b"\r") * 300), "AA K1 M707"),
    "20,000 subcomponents": (message(tail=b"ZZZ|" + b"&" * 20_000 + b"\r"), "AA K1 M707"),
    "an escape of 20,000 digits": (message(note=b"\\X" + b"41" * 10_000 + b"\\"), "AA K1 M707"),
    "a kind that nobody takes": (message(kind=b"XYZ^Q99"), "AA K1 M710"),
    "a trial": (message(processing=b"T"), "AA K1 M742"),
    "a message for debugging": (message(processing=b"D"), "AA K1 M742"),
    "two patients": (message(tail=b"PID|2||9997770021^^^NHS||NOBODY^NORA||19700228\r"), "AA K1 M721"),
    "two NHS numbers": (message(ids=b"9997770013^^^NHS~9997770021^^^NHS"), "AA K1 M721"),
    "the same NHS number twice": (message(ids=b"9997770013^^^NHS~999 777 0013^^^NHS"), "AA K1 done"),
    "an NHS number beside one that is none": (message(ids=b"9997770013^^^NHS~12^^^NHS"), "AA K1 done"),
    "an NHS number that is none": (message(ids=b"9997770014^^^NHS"), "AA K1 I601"),
    "a day that is none": (message(born=b"19700230"), "AA K1 I601"),
    "an hour that the clocks left out": (message(left=b"202603290130"), "AA K1 I601"),
    "discharged before admitted": (message(admitted=b"202601060900"), "AA K1 M750"),
    "a document that is not Base64": (message(tail=b"OBX|1|ED|D||^application^pdf^Base64^JVB*\r"), "AA K1 I601"),
    "a document cut off": (message(tail=b"OBX|1|ED|D||^application^pdf^Base64^JVBER\r"), "AA K1 I601"),
    # several, and what belongs to none
    "a broken one between two": (GOOD + msh(b"K9", kind=b"") + SECOND, "AA K1 done M708 done"),
    "a broken character set between two": (
        GOOD + message(control=b"K9", note=b"\xff") + SECOND, "AA K1 done M704 done",
    ),
    "a batch that lacks one": (BATCH + GOOD + b"BTS|2\r", "AA B7 done M761"),
    "a batch that is not closed": (BATCH + GOOD, "AA B7 done M762"),
    "a batch that was never opened": (GOOD + b"BTS|1\r", "AA K1 done M762"),
    "something before the first message": (b"HELLO\r" + GOOD, "AA K1 done M762"),
    "60,000 messages": (b"MSH|^~\\&|A\r" * 60_000, "AR - M707"),
    # an answer is never answered
    "an acknowledgement": (msh(kind=b"ACK^A03") + b"MSA|AA|1\r", "none M760"),
    "an acknowledgement in other words": (msh(kind=b"ADT^A03") + b"MSA|AA|1\r", "none M760"),
    # who asks for no answer gets none
    "no answer wanted": (message(more=b"|||NE|NE"), "none done"),
    "an answer to refusals alone": (message(note=b"\x00", more=b"|||ER|NE"), "none M705"),
}  # fmt: skip

HEAD = b"nhs_number,family,given,dob,discharge_dt,note\r\n"
ROW = b"9997770013,NOBODY,NELLIE,1970-02-28,2026-01-05T08:00,fine\r\n"

#: name → (bytes, codes or states).
CSV: dict[str, tuple[bytes, str]] = {
    "a plain file": (HEAD + ROW, "done"),
    "line ends of Unix": ((HEAD + ROW).replace(b"\r", b""), "done"),
    "a byte order mark": (b"\xef\xbb\xbf" + HEAD + ROW, "done"),
    "a formula": (HEAD + ROW.replace(b"fine", b"=cmd|'/c calc'!A1"), "done"),
    "quotes, commas and line ends": (HEAD + ROW.replace(b"fine", b'"a, ""b""\r\nc"'), "done"),
    "blanks in an NHS number": (HEAD + ROW.replace(b"9997770013", b"999 777 0013"), "done"),
    "nothing": (b"", "M700"),
    "no header": (ROW, "M770"),
    "another delimiter": ((HEAD + ROW).replace(b",", b"\t"), "M770"),
    "a column that is missing": ((HEAD + ROW).replace(b"dob,", b"").replace(b"1970-02-28,", b""), "M770"),
    "a column twice": (HEAD.replace(b"given", b"family") + ROW, "M770"),
    "20,000 columns": (b",".join(b"c%d" % n for n in range(20_000)) + b"\r\n", "M770"),
    "a row too long": (HEAD + ROW.replace(b"fine", b"fine,and,more") + ROW, "M771 done"),
    "a row too short": (HEAD + b"9997770013,NOBODY\r\n" + ROW, "M771 done"),
    "a quote that is not closed": (HEAD + ROW.replace(b"NOBODY", b'"NOBODY') + ROW, "M772"),
    "NUL": (HEAD + ROW + ROW.replace(b"NELLIE", b"NEL\x00IE"), "done M705"),
    "Windows-1252, not declared": (HEAD + ROW.replace(b"NELLIE", b"N\xcbLLIE") + ROW, "M704 done"),
    "a line of control characters": (HEAD + b"\x1d\x1d\r\n" + ROW, "M705 done"),
    "blank lines": (HEAD + b"\r\n" + ROW + b" ,,\t,,,\r\n\r\n" + ROW, "done done"),
    "a date of a spreadsheet": (HEAD + ROW.replace(b"1970-02-28", b"25627"), "I642"),
    "an NHS number of a spreadsheet": (HEAD + ROW.replace(b"9997770013", b"1E+10"), "I641"),
    "a spreadsheet": (b"PK\x03\x04\x14\x00\x06\x00" + bytes(200), "M770"),
}

#: name → (bytes on the wire, MSA-1 of each answer, codes of what is refused before it is a message).
FRAMES: dict[str, tuple[bytes, list[str], list[str]]] = {
    "one": (frame(GOOD), ["AA"], []),
    "fifty at once": (b"".join(frame(message(control=b"N%d" % n)) for n in range(50)), ["AA"] * 50, []),
    "FS and LF": (VT + GOOD + FS + b"\n" + frame(SECOND), ["AA", "AA"], []),
    "FS and the next": (VT + GOOD + FS + frame(SECOND), ["AA", "AA"], []),
    "noise before": (b"noise" * 100 + frame(GOOD), ["AR", "AA"], ["D910"]),
    "noise between": (frame(GOOD) + b"noise" + frame(SECOND), ["AA", "AR", "AA"], ["D910"]),
    "a message without a frame, then one with": (GOOD + frame(SECOND), ["AR", "AA"], ["D910"]),
    "never ended, then the next": (VT + GOOD + frame(SECOND), ["AR", "AA"], ["D914"]),
    "too large, then one that is not": (frame(message(note=b"x" * 9_000)) + frame(GOOD), ["AR", "AA"], ["D911"]),
    "too large, never ended, then the next": (VT + message(note=b"x" * 9_000) + frame(GOOD), ["AR", "AA"], ["D914"]),
    "five thousand VT, then one": (VT * 5_000 + frame(GOOD), ["AA"], []),
    "nothing in it": (frame(b"") + frame(GOOD), ["AR", "AA"], ["M700"]),
    "another protocol in it": (frame(b"GET / HTTP/1.1\r\n\r\n") + frame(GOOD), ["AR", "AA"], ["M701"]),
    "the characters of a frame in it": (frame(message(note=b"a\x0bb\x1cc")), ["AA"], []),
}

#: What is no expression of a mapping, and by which code it is refused.
EXPRESSIONS: dict[str, str] = {
    "().__class__": "E102",
    "PID-5.__class__": "E107",
    "message.__class__": "E102",
    'getattr(message, "x")': "E104",
    '__import__("os")': "E101",
    "lambda: 1": "E101",
    "[1][0]": "E101",
    "{x: 1}": "E101",
    "`id`": "E101",
    "$(id)": "E101",
    "1; 2": "E101",
    '"a" * 1000000': "E101",
    "9 ** 9": "E101",
    "x := 1": "E101",
    "PID-5 | eval": "E104",
    "PID-5 | lines()()": "E102",
    "(" * 3_000: "E112",
    "not " * 900 + "PID-5": "E112",
    "PID-5" + " | lines" * 400: "E112",
    "PID-5 or " * 2_000 + "PID-5": "E111",
    '"' + "x" * 5_000 + '"': "E111",
    "ｅval(PID-5)": "E101",
    "PID-5\u202e": "E012",
    '"open': "E109",
    "PID-5[": "E107",
    'PID-5[3="': "E107",
    "PID-99999999999": "E107",
    "PID-0": "E107",
}

#: Whole mapping files, and a code that is among what is said.
MAPPINGS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "E006"),
    "a tag": (b"mapping: !!python/object/apply:os.system [id]\n", "E004"),
    "a bomb": (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "E004"),
    "a key twice": (b"mapping: a/b\nmapping: c/d\n", "E003"),
    "a merge key": (b"<<: {a: b}\n", "E004"),
    "two documents": (b"a: b\n---\nc: d\n", "E004"),
    "not UTF-8": (b"mapping: \xff\n", "E001"),
    "UTF-16": ("mapping: a\n".encode("utf-16"), "E001"),
    "a tab": (b"mapping:\ta\n", "E012"),
    "a character that turns the line round": ("mapping: a\u202eb\n".encode(), "E012"),
    "NUL": (b"mapping: a\x00b\n", "E012"),
    "1,000 levels": (b"[" * 1_000 + b"]" * 1_000, "E010"),
    "2 MB": (b"# " + b"x" * 2_000_000, "E011"),
    "a mistyped key": (b"maping: x\n", "E040"),
}
