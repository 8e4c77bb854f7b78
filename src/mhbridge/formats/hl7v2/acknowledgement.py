"""
The answer to a sender in its own words (HL7 v2.5.1 §2.9, §2.15): MSH, MSA and what is to be said about the message.

It is made from the bytes as received, because a message that cannot be parsed is the one that most needs an answer. It
carries of the message only what says whose message it answers: sender and receiver, control id, kind of message,
version, character set. Equal arguments give equal bytes. An acknowledgement is never answered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.encoding import decode
from mhbridge.formats.hl7v2.charset import WIDE, charset_codec, wide_codec
from mhbridge.formats.hl7v2.delimiters import Delimiters, delimiters
from mhbridge.model import Answer, Issue, Severity, Verdict

__all__ = ["acknowledgement"]

#: Issues told to the sender; a message with more of them is looked at by a person, not by reading an answer.
MAX_ISSUES: Final = 20
#: A header field longer than this is no name or number, and is not sent back (v2.7 allows MSH-10 199 characters).
MAX_COPIED: Final = 199

#: The codec that gives every byte back as it came, where a header is not in the character set it declares.
_AS_BYTES: Final = "latin-1"
#: The header is looked for so far; what comes later is no answerable message.
_FAR: Final = 65_536

_HEADER: Final = re.compile(r"(?:^|(?<=[\r\n]))(MSH|FHS|BHS)(?![A-Za-z0-9])([^\r\n]*)")
_SECOND: Final = re.compile(r"[\r\n]+(?:(?:SFT|UAC)[^\r\n]*[\r\n]+)*MSA(?![A-Za-z0-9])")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_C1: Final = re.compile("[\x80-\x9f]")
_EVENT: Final = re.compile(r"[A-Za-z0-9_]{1,5}")  # what is read as one
_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}")
_PLACE: Final = re.compile(r"([A-Z][A-Z0-9]{2})(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+)(?:\.(\d+))?)?)?")

# HL7 table 0008: original mode and application level, then accept level (§2.9.2, §2.9.3).
_CODES: Final = {
    Verdict.ACCEPTED: ("AA", "CA"),
    Verdict.REFUSED: ("AE", "CE"),
    Verdict.REJECTED: ("AR", "CR"),
}
# HL7 table 0357; what has no code of its own there is an internal error of the application, so that is what a sender
# cannot mend: a failure, a mapping or a route of ours.
_CONDITIONS: Final = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "202": "Unsupported processing id",
    "207": "Application internal error",
}
_CONDITION_OF: Final = {
    "I601": "102",
    "I602": "103",
    "I606": "102",
    "I610": "103",
    "I611": "101",
    "I612": "101",
    "I621": "102",
    "I622": "102",
    "I623": "102",
    "I631": "102",
    # The author is told something; of the message itself nothing is wrong.
    "I650": "0",
    "M745": "0",
    "D910": "100",
    "D911": "100",
    "D912": "100",
    "D913": "100",
    "D914": "100",
    "M700": "100",
    "M701": "100",
    "M702": "100",
    "M703": "103",
    "M704": "102",
    "M705": "102",
    "M706": "100",
    "M707": "100",
    "M708": "101",
    "M709": "102",
    "M710": "200",
    "M720": "101",
    "M721": "100",
    "M722": "101",
    "M742": "202",
    "M761": "100",
    "M762": "100",
    "M763": "102",
}
#: What a letter may leave out is no condition of the message, and an ERR in the answer to a good letter reads like one.
_ALLOWED: Final = "I613"
_SEVERITIES: Final = {Severity.ERROR: "E", Severity.WARNING: "W", Severity.INFORMATION: "I"}


@dataclass(frozen=True, slots=True)
class _Header:
    """
    What can be read of the sender's header.

    Args:
        fields: `fields[n]` is field n, as it stands.
        codec: of the answer.
        batch: it is the header of a batch, which has no kind and its control id elsewhere.
        answer: what it heads is an acknowledgement itself.
    """

    limits: Delimiters
    fields: Sequence[str]
    codec: str
    batch: bool = False
    answer: bool = False

    def raw(self, number: int) -> str:
        """A field exactly as it stands; empty when it is missing or nothing that should be sent back."""
        found = self.fields[number] if number < len(self.fields) else ""
        if len(found) > MAX_COPIED:
            return ""
        if found.isprintable():
            # Then there is none of what follows in it, and this takes no search.
            return found
        if _CONTROL.search(found):
            return ""
        # In bytes that could not be read these may be halves of letters; in text they are control characters as well.
        return "" if self.codec != _AS_BYTES and _C1.search(found) else found

    def part(self, number: int, component: int) -> str:
        """A component of a field's first repetition, as it stands."""
        parts = self.raw(number).split(self.limits.repetition, 1)[0].split(self.limits.component)
        return parts[component - 1] if component <= len(parts) else ""


def acknowledgement(body: bytes, answer: Answer, *, name: str) -> bytes:
    """
    The acknowledgement of an envelope: of its first message, or of its batch header.

    Empty when the sender asked for none, or sent an acknowledgement itself.

    Args:
        name: this gateway's own name, where the sender did not say to whom it spoke.
    """
    header = _read(body)
    if header is None:
        limits = delimiters("|", "^~\\&", "utf-8")
        assert limits is not None
        header = _Header(limits, (), "utf-8")
    if header.answer:
        return b""
    code = _code(header, answer.verdict)
    if not code:
        return b""
    return _write(header, answer, code, name, _number(answer.reference.encode() or body))


# --- reading -----------------------------------------------------------------------------------------------


def _read(body: bytes) -> _Header | None:
    """The first header of an envelope, or `None` when there is none that separates fields."""
    wide = wide_codec(body[:8])
    try:
        text = decode(body, wide, wide) if wide else body[:_FAR].decode("latin-1")
    except MalformedMessage:
        return None
    text = text.removeprefix("\ufeff").removeprefix("\xef\xbb\xbf").lstrip(" \t\r\n")
    found = _HEADER.search(text)
    if found is None:
        return None
    line = found[2]
    fields = line.split(line[:1]) if line else []
    limits = delimiters(line[:1], fields[1], "utf-8") if len(fields) > 1 else None
    if limits is None:
        return None
    fields[0] = line[0]
    # As in `Segment`: MSH-1 is the separator itself. Field 0 is the name.
    fields.insert(0, found[1])
    if found[1] != "MSH":
        return _Header(limits, fields, wide or _AS_BYTES, batch=True)
    charset = fields[18].split(limits.repetition, 1)[0].strip() if len(fields) > 18 else ""
    codec = charset_codec(charset) if charset else "utf-8"
    if codec is None or codec in WIDE:
        codec = "ascii"
    kind = fields[9].split(limits.component, 1)[0] if len(fields) > 9 else ""
    answers = kind == "ACK" or _SECOND.match(text, found.end()) is not None
    if wide:
        return _Header(limits, fields, wide, answer=answers)
    if line.isascii():
        # Which is the same in every character set that is not wide.
        return _Header(limits, fields, codec, answer=answers)
    try:
        # As characters, where they are what they are said to be; otherwise as the bytes they came as.
        read = [one.encode("latin-1").decode(codec) for one in fields]
    except UnicodeDecodeError:
        return _Header(limits, fields, _AS_BYTES, answer=answers)
    return _Header(limits, read, codec, answer=answers)


def _code(header: _Header, verdict: Verdict) -> str:
    """
    The acknowledgement code, or nothing when none is wanted.

    Original mode when MSH-15 and MSH-16 are both empty (§2.9.2). In enhanced mode (§2.9.3) MSH-15 says when an accept
    acknowledgement is wanted; where it wants none of this verdict but MSH-16 wants one of the application, that is
    what is sent.
    """
    application, accept = _CODES[verdict]
    wants_accept, wants_application = (header.raw(number).strip(' "') for number in (15, 16))
    if header.batch or not (wants_accept or wants_application):
        return application
    if _wanted(wants_accept or "NE", verdict):
        return accept
    if _wanted(wants_application or "NE", verdict):
        return application
    return ""


def _wanted(condition: str, verdict: Verdict) -> bool:
    """HL7 table 0155. A value that is not in it is read as AL: an answer too many stops no feed."""
    match condition:
        case "NE":
            return False
        case "ER":
            return verdict is not Verdict.ACCEPTED
        case "SU":
            return verdict is Verdict.ACCEPTED
        case _:
            return True


def _number(seed: bytes) -> str:
    """MSH-10 of the answer: 20 characters, derived, so that the same answer has the same number."""
    return blake2b(seed, digest_size=10).hexdigest().upper()


# --- writing -----------------------------------------------------------------------------------------------


def _write(header: _Header, answer: Answer, code: str, name: str, number: str) -> bytes:
    # A batch header has its control id in field 11, and neither kind nor version (§2.14.1, §2.14.2).
    control = header.raw(11) if header.batch else header.raw(10)
    at = header.limits.escape(f"{answer.answered_at:%Y%m%d%H%M%S%z}")  # a + may be a separator
    if header.batch or not control:
        return _written(header, answer, code, name, (at, number, control)).encode(header.codec)
    # All that two messages of one sender differ in; nothing of it is about a patient.
    told = tuple([tuple(header.fields[first:last]) for first, last in _TOLD])
    said = answer.verdict, answer.text, answer.code, answer.issues
    first, second, third, last = _around(header.limits, header.codec, told, said, code, name)
    return f"{first}{at}{second}{number}{third}{control}{last}".encode(header.codec)


#: Fields of the header that stand in an answer, but for the control id.
_TOLD: Final = ((0, 7), (9, 10), (11, 13), (18, 19))
#: Stands for what is different in each answer. It is in no field that is sent back.
_HERE: Final = "\x01"


@lru_cache(maxsize=256)
def _around(
    limits: Delimiters,
    codec: str,
    told: tuple[tuple[str, ...], ...],
    said: tuple[Verdict, str, str, tuple[Issue, ...]],
    code: str,
    name: str,
) -> list[str]:
    """What stands around the time, the number and the control id of answers that are otherwise the same."""
    fields = [""] * 19
    for (first, _), found in zip(_TOLD, told, strict=True):
        fields[first : first + len(found)] = found
    verdict, text, why, issues = said
    answer = Answer(verdict, text, datetime.min, why, issues)  # noqa: DTZ901  it is not looked at
    return _written(_Header(limits, fields, codec), answer, code, name, (_HERE, _HERE, _HERE)).split(_HERE)


def _written(header: _Header, answer: Answer, code: str, name: str, own: tuple[str, str, str]) -> str:
    limits, (at, number, control) = header.limits, own
    version = "" if header.batch or not _VERSION.fullmatch(header.part(12, 1)) else header.part(12, 1)
    numbers = tuple(int(one) for one in (version or "2.4").split("."))
    msh = {
        3: header.raw(5) or limits.escape(_own(name, header)),
        4: header.raw(6),
        5: header.raw(3),
        6: header.raw(4),
        7: at,
        9: _kind(header, numbers),
        10: number,
        11: header.part(11, 1) if not header.batch and header.part(11, 1) in ("D", "P", "T") else "P",
        12: version or limits.escape("2.4"),
        18: _charset(header),
    }
    msa = {1: code, 2: control}
    if numbers < (2, 7):  # withdrawn in v2.7, which has ERR-8 for it
        msa[3] = limits.escape(_own(answer.text, header))
    head = f"MSH{limits.field}{header.fields[2] if len(header.fields) > 2 else '^~' + chr(92) + '&'}"
    segments = [head + _fields(msh, 3, limits), "MSA" + _fields(msa, 1, limits)]
    issues = [issue for issue in answer.issues if issue.code != _ALLOWED][:MAX_ISSUES] or _reason(answer)
    if issues and numbers >= (2, 5):
        segments += ["ERR" + _fields(_error(issue, header), 1, limits) for issue in issues]
    elif issues:
        # Up to v2.4 there is one ERR, with one repetition of ERR-1 for each error (v2.4 §2.16.5).
        segments.append("ERR" + limits.field + limits.repetition.join(_old_error(issue, header) for issue in issues))
    return "\r".join(segments) + "\r"


def _charset(header: _Header) -> str:
    """MSH-18 as they say it, where it is what the answer is written in."""
    if header.codec in WIDE:
        return f"UNICODE {header.codec[:6].upper()}"
    charset = "" if header.batch else header.part(18, 1).strip()
    return charset if charset and charset_codec(charset) == header.codec else ""


def _own(text: str, header: _Header) -> str:
    """Words of ours as the answer's character set can write them; they never hold a value of the message."""
    try:
        text.encode("ascii" if header.codec == _AS_BYTES else header.codec)
    except UnicodeEncodeError:
        return "".join(one if one.isascii() else "?" for one in text)
    return text


def _fields(values: dict[int, str], first: int, limits: Delimiters) -> str:
    last = max((number for number, value in values.items() if value), default=0)
    return "".join(limits.field + values.get(number, "") for number in range(first, last + 1))


def _kind(header: _Header, version: tuple[int, ...]) -> str:
    event = "" if header.batch else header.part(9, 2)
    if not _EVENT.fullmatch(event):
        return "ACK"
    # The structure became a component of its own with v2.3.1.
    parts = ["ACK", event, "ACK"] if version >= (2, 3, 1) else ["ACK", event]
    return header.limits.component.join(parts)


def _reason(answer: Answer) -> tuple[Issue, ...]:
    """A refusal always says why, even where nothing about a single value is the reason."""
    if answer.verdict is Verdict.ACCEPTED:
        return ()
    return (Issue(answer.code, Severity.ERROR, answer.text),)


def _condition(issue: Issue) -> str:
    return _CONDITION_OF.get(issue.code, "207")


def _error(issue: Issue, header: _Header) -> dict[int, str]:
    """ERR of v2.5 and later (§2.15.4)."""
    limits, condition = header.limits, _condition(issue)
    join, escape = limits.component.join, limits.escape
    found = {
        4: _SEVERITIES[issue.severity],
        5: join((escape(issue.code), "", "L")) if issue.code else "",
        8: escape(_own(issue.text, header)),
    }
    if place := _PLACE.fullmatch(issue.path):
        segment, field, repetition, component, subcomponent = place.groups()
        # ERL: segment, its sequence, field, repetition, component, subcomponent.
        at = [segment, "1", *([field, repetition or "1", component or "", subcomponent or ""] if field else [])]
        found[2] = join(at).rstrip(limits.component)
    if issue.severity is Severity.INFORMATION:
        found[3] = join(("0", "Message accepted", "HL70357"))
    else:
        found[3] = join((condition, _CONDITIONS[condition], "HL70357"))
    return found


def _old_error(issue: Issue, header: _Header) -> str:
    """One ELD of ERR-1: segment, its sequence, field, and the error as a CE of subcomponents."""
    limits, condition = header.limits, _condition(issue)
    segment = field = ""
    if place := _PLACE.fullmatch(issue.path):
        segment, field = place[1], place[2] or ""
    code = [condition, _CONDITIONS[condition], "HL70357"]
    if issue.code:
        code += [limits.escape(issue.code), limits.escape(_own(issue.text, header)), "L"]
    # Without a separator for subcomponents only the code can be written.
    said = limits.subcomponent.join(code) if limits.subcomponent != "\x00" else condition
    return limits.component.join((segment, "1" if segment else "", field, said))
