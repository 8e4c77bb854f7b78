"""
Bytes as received to messages: where each begins, which characters its bytes are, and whether a batch is complete.

A body is one message, several one after another, or a batch (HL7 v2.5.1 §2.10.3: [FHS] { [BHS] {MSH …} [BTS] } [FTS]).
Each message has its own encoding characters and character set, so the body is cut while it is still bytes. A message
that is broken is its own error and hurts no neighbour; what belongs to no message is an error too, never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mhbridge.errors import MalformedMessage, MessageError, UnsupportedMessage
from mhbridge.formats import BrokenMessage, Source
from mhbridge.formats.encoding import decode, refuse_controls
from mhbridge.formats.hl7v2.charset import WIDE, charset_codec, wide_codec
from mhbridge.formats.hl7v2.delimiters import delimiters
from mhbridge.formats.hl7v2.message import Message, split
from mhbridge.model import MessageFacts

__all__ = ["Found", "begins", "is_answer", "own_bytes", "read_messages", "takes"]

Found: TypeAlias = tuple[Message | MessageError, tuple[int, ...]]

#: Larger bodies are looked through for several messages before anything is parsed.
_USUAL: Final = 1_000_000

#: Of one envelope. A batch of real ones within the limits of the transports has fewer; of empty ones, millions.
MAX_MESSAGES: Final = 50_000

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n"

#: Longest control id of any version (v2.7, MSH-10); a longer one is no identifier.
MAX_CONTROL_ID: Final = 199

# `msh` is found as well, so that such a message is refused by itself and not as a part of the one before it.
_MARK: Final = re.compile(rb"(MSH|msh|FHS|BHS|BTS|FTS)(?![A-Za-z0-9])")
_NEXT_MARK: Final = re.compile(rb"[\r\n]" + _MARK.pattern)
_LEADING: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*")
_LINE_END: Final = re.compile(rb"[\r\n]")
# ACK^A03, ADT^A03, ZZZ^Z01: codes of three characters (HL7 v2.5.1 tables 0076 and 0003), and a little more for those
# who make up their own. It is shown in lists and answers and is kept in clear, so it must not be any word: where a
# sender's fields have slipped, a name may stand there.
_KIND: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{2}(?:\^[A-Za-z0-9_]{1,5})?")
_UNREADABLE: Final = "unreadable"
_ANSWER: Final = frozenset({"MSA"})
_ENVELOPE: Final = frozenset({"FHS", "BHS", "BTS", "FTS"})
#: What may stand between MSH and MSA in an answer (v2.5 SFT, v2.7 UAC).
_BEFORE_MSA: Final = frozenset({"MSH", "SFT", "UAC"})


def begins(head: bytes) -> bool:
    """Whether bytes begin like HL7 v2; `msh` does, so that its sender is told what is wrong with it."""
    if wide := wide_codec(head[:8]):
        try:
            head = _plain(head[: len(head) & ~3], wide)  # whole characters only
        except MalformedMessage:
            return False
    found = _MARK.match(head, _beginning(head))
    return found is not None and found[1] not in (b"BTS", b"FTS")


def read_messages(body: bytes, sources: Sequence[Source]) -> Iterator[Found]:
    """
    The messages of an envelope in order, each with the sources that take it.

    Raises:
        MalformedMessage: nothing of the envelope can be read.
    """
    text, wide, begin = body, "", 0
    if not body.startswith(b"MSH"):
        if not body.strip(_BLANK + b"\x00"):
            raise MalformedMessage("M700", "the envelope is empty")
        if codec := wide_codec(body[:8]):
            text, wide = _plain(body, codec), codec
        begin = _beginning(text)
    if text.startswith(b"MSH", begin) and len(text) <= _USUAL:
        # The usual case first: one message and nothing else. That it is so costs less to see when it is parsed.
        alone: Found | MalformedMessage
        try:
            alone = _one(_Part(text, begin, len(text), wide, original=body), sources)
        except MalformedMessage as error:
            alone = error
        if isinstance(alone, tuple) and isinstance(alone[0], Message):
            if alone[0].lacks(_ENVELOPE) and len(alone[0].named("MSH")) == 1:
                yield alone
                return
        elif not _NEXT_MARK.search(text, begin):
            if isinstance(alone, MalformedMessage):
                raise alone
            yield alone
            return
    marks = _marks(text)
    if not any(name in (b"MSH", b"FHS", b"BHS") for _, name in marks):
        raise MalformedMessage("M701", "no line begins with MSH, so this is not HL7 v2", offset=0)
    if len(marks) > MAX_MESSAGES:
        raise MalformedMessage("M707", f"more than {MAX_MESSAGES} messages")
    yield from _Batch(text, marks, wide, body, sources).read()


def own_bytes(body: bytes, number: int, of: int) -> bytes | None:
    """
    The bytes of one message of an envelope, from its MSH on; `None` when they cannot be told.

    Args:
        number: its place among all that `read_messages` gives for the envelope, from 0.
        of: how many that gives; what is wrong with a batch comes last there, after the messages.
    """
    if wide_codec(body[:8]) or not begins(body[:4096]):
        return None
    marks = _marks(body)
    ends = [begin for begin, _ in marks[1:]] + [len(body)]
    own = [body[begin:end] for (begin, name), end in zip(marks, ends, strict=True) if name == b"MSH"]
    return own[number] if number < len(own) <= of else None


def _beginning(text: bytes) -> int:
    """Where something begins, after a byte order mark and blanks."""
    found = _LEADING.match(text)
    assert found is not None
    return found.end()


def _marks(text: bytes) -> list[tuple[int, bytes]]:
    """Offset and name of every line that begins a message or is a header or trailer."""
    begin = _beginning(text)
    first = _MARK.match(text, begin)
    found = [first] if first else []
    return [(one.start(1), one[1].upper()) for one in (*found, *_NEXT_MARK.finditer(text, begin))]


def _plain(body: bytes, codec: str) -> bytes:
    """UTF-16 and UTF-32 as UTF-8, which can be cut at bytes."""
    return decode(body, codec, codec.upper()).removeprefix("\ufeff").encode()


@dataclass(slots=True)
class _Part:
    """
    A message's own stretch of the envelope.

    Args:
        text: the envelope in a codec that contains ASCII: as received, or UTF-8 when it came in UTF-16 or UTF-32.
        wide: the codec it came in when that was one of these.
        original: the envelope as received, when the message is the whole of it.
    """

    text: bytes
    begin: int
    end: int
    wide: str
    place: str = ""
    original: bytes | None = None

    def received(self, part: bytes) -> bytes:
        """The bytes of this message alone, as received; `part` is its stretch of `text`."""
        if self.original is not None:
            return self.original
        return part.decode().encode(self.wide) if self.wide else part


def _one(part: _Part, sources: Sequence[Source]) -> Found:
    """
    One message, or the error that it is none to be worked.

    Raises:
        BrokenMessage: M701 to M709 or M763.
    """
    body = part.text[part.begin : part.end] if part.begin or part.end != len(part.text) else part.text
    try:
        message = _parse(part, body, sources)
    except MalformedMessage as error:
        error.path = part.place
        raise BrokenMessage(error, _facts(body, part.place), part.received(body)) from None
    if is_answer(message):
        answer = UnsupportedMessage("M760", "an acknowledgement is not acknowledged and not worked", path=part.place)
        return answer, ()
    return message, tuple(
        [i for i, source in enumerate(sources) if takes(source, message.kind, message.version)] if sources else ()
    )


def takes(source: Source, kind: str, version: str) -> bool:
    """
    Whether a source takes messages of a kind and version.

    `ADT^A03` takes that event, `ADT` every event of the type; version `2.4` takes 2.4 and 2.4.x.
    """
    wanted = source.options.get("version", "")
    return _takes_kind(source, kind) and (not wanted or version == wanted or version.startswith(f"{wanted}."))


def _takes_kind(source: Source, kind: str) -> bool:
    messages = source.options.get("messages", ())
    return kind in messages or kind.partition("^")[0] in messages


def is_answer(message: Message) -> bool:
    """An acknowledgement or response: such a message is never acknowledged, or two systems would answer for ever."""
    if message.kind.partition("^")[0] == "ACK":
        return True
    if message.lacks(_ANSWER):
        return False
    return _BEFORE_MSA.issuperset(message.names[: message.named("MSA")[0].position])


def _header_line(body: bytes) -> str:
    # What MSH says about reading the message is ASCII in every character set here; Latin-1 reads any byte.
    line_end = body.find(b"\r")
    head = body[:line_end] if line_end >= 0 else body
    return head.partition(b"\n")[0].decode("latin-1")


def _facts(body: bytes, place: str) -> MessageFacts:
    """What the header of a broken message says, as far as it can be read and is what it should be."""
    line = _header_line(body)
    fields = line.split(line[3:4]) if line.startswith("MSH") and line[3:4] else []
    limits = delimiters(line[3], fields[1], "utf-8") if len(fields) > 1 else None
    if limits is None:
        return MessageFacts("hl7v2", _UNREADABLE, place=place)
    read = [one if one.isascii() and one.isprintable() and len(one) <= MAX_CONTROL_ID else "" for one in fields]
    read += [""] * (13 - len(read))
    kind = "^".join(read[8].split(limits.component)[:2])
    return MessageFacts(
        "hl7v2",
        kind if _KIND.fullmatch(kind) else _UNREADABLE,
        control_id=read[9],
        sender=f"{read[2]}|{read[3]}" if read[2] or read[3] else "",
        place=place,
        sequence=read[12],
    )


def _parse(part: _Part, body: bytes, sources: Sequence[Source]) -> Message:
    line = _header_line(body)
    if not line.startswith("MSH"):
        raise MalformedMessage("M701", "a segment MSH in lower case is none", offset=part.begin)
    separator = line[3:4]
    fields = line.split(separator) if separator else [line]
    limits = delimiters(separator, fields[1], "utf-8") if len(fields) > 1 else None
    if limits is None:
        raise MalformedMessage("M702", "MSH-1 and MSH-2 do not declare separators", offset=part.begin + 3)
    charset, codec = _charset(fields, limits.component, limits.repetition, part, sources)
    limits = delimiters(separator, fields[1], part.wide or codec) or limits
    text = decode(body, codec, charset, start=part.begin)
    refuse_controls(body, text, codec, start=part.begin)
    lines, index = split(text, limits)
    message = Message(lines, index, limits, body=part.received(body), place=part.place)
    if not _KIND.fullmatch(message.kind):
        raise MalformedMessage("M708", "MSH-9 does not say what kind of message this is")
    if len(message.named("MSH")[0].first(10)) > MAX_CONTROL_ID:
        raise MalformedMessage("M709", f"MSH-10 is longer than {MAX_CONTROL_ID} characters")
    return message


def _charset(
    fields: list[str], component: str, repetition: str, part: _Part, sources: Sequence[Source]
) -> tuple[str, str]:
    """The name and the codec of a message's character set: MSH-18, or else the sources', or else UTF-8."""
    # MSH-1 is the separator itself, so MSH-18 is the 18th piece. Its first repetition is the message's character set,
    # the others may be switched to by escapes (§2.14.9.18), which stay as they are.
    name = fields[17].split(repetition, 1)[0].split(component, 1)[0].strip() if len(fields) > 17 else ""
    if name in ("", '""'):
        kind = "^".join(fields[8].split(component)[:2]) if len(fields) > 8 else ""
        name = _declared_charset(kind, sources) or "UTF-8"
    codec = charset_codec(name)
    if codec is None:
        raise MalformedMessage("M703", "MSH-18 names an unknown character set")
    if bool(part.wide) is not (codec in WIDE) or (part.wide and part.wide[:6] != codec[:6]):
        shown = part.wide.upper() or "single bytes"
        raise MalformedMessage("M763", f"declared {codec.upper()}, but its bytes are {shown}")
    if part.text.startswith(_BOM) and codec != "utf-8" and not part.text.isascii():
        raise MalformedMessage("M763", f"declared {codec.upper()}, but marked as UTF-8")
    return name.upper(), "utf-8" if part.wide else codec


def _declared_charset(kind: str, sources: Sequence[Source]) -> str:
    """The character set that the sources of a message declare; those of any message when none takes it."""
    asked = [source for source in sources if _takes_kind(source, kind)] or sources
    names = sorted({source.charset for source in asked if source.charset})
    if len({charset_codec(name) for name in names}) > 1:
        raise MalformedMessage("M703", "MSH-18 is empty and the mappings declare different character sets")
    return names[0] if names else ""


@dataclass(slots=True)
class _Batch:
    """
    A body of several messages, or with batch headers.

    Args:
        marks: (offset, name) of every line that begins a message or is a header or trailer.
        problems: what is wrong with the batch itself; yielded after the messages, so that none of them is lost for it.
    """

    text: bytes
    marks: list[tuple[int, bytes]]
    wide: str
    body: bytes
    sources: Sequence[Source]
    problems: list[MalformedMessage] = field(default_factory=list)

    def read(self) -> Iterator[Found]:
        first = self.marks[0][0]
        if first > _beginning(self.text):
            self._stray(0)
        several = sum(name == b"MSH" for _, name in self.marks) > 1
        number = batched = batches = 0
        opened: dict[bytes, str] = {}
        for i, (begin, name) in enumerate(self.marks):
            end = self.marks[i + 1][0] if i + 1 < len(self.marks) else len(self.text)
            if name == b"MSH":
                number += 1
                batched += 1
                place = f"message {number}" if several else ""
                try:
                    yield _one(_Part(self.text, begin, end, self.wide, place), self.sources)
                except MalformedMessage as error:
                    if len(self.marks) == 1 and not self.problems:
                        raise  # there is nothing else to read
                    yield error, ()
                continue
            line, *rest = _LINE_END.split(self.text[begin:end], 1)
            if rest and rest[0].strip(_BLANK):
                self._stray(begin + len(line))
            if name in (b"FHS", b"BHS"):
                if name in opened:
                    self._incomplete(name, begin)
                opened[name] = line[3:4].decode("latin-1")
                if name == b"BHS":
                    batched, batches = 0, batches + 1
                continue
            header = b"FHS" if name == b"FTS" else b"BHS"
            if header not in opened:
                self._problem("M762", f"{name.decode()} without {header.decode()} before it", begin)
            separator = opened.pop(header, line[3:4].decode("latin-1"))
            # FTS-1 counts batches; messages that stand in no batch make up one (§2.10.3.1).
            count = batched if name == b"BTS" else batches or min(number, 1)
            self._count(name.decode(), line.decode("latin-1"), separator, count, begin)
        for header in opened:
            self._incomplete(header, len(self.text))
        yield from ((problem, ()) for problem in self.problems)

    def _problem(self, code: str, message: str, offset: int) -> None:
        self.problems.append(MalformedMessage(code, message, path="batch", offset=offset))

    def _stray(self, offset: int) -> None:
        self._problem("M762", f"what begins at byte {offset} belongs to no message", offset)

    def _incomplete(self, header: bytes, offset: int) -> None:
        trailer = "BTS" if header == b"BHS" else "FTS"
        self._problem("M762", f"{header.decode()} without {trailer}: the end may be missing", offset)

    def _count(self, name: str, line: str, separator: str, count: int, offset: int) -> None:
        fields = line.split(separator) if separator else [line]
        said = fields[1].strip() if len(fields) > 1 else ""
        if said and (said.lstrip("0") or "0") != str(count):
            what = "messages" if name == "BTS" else "batches"
            self._problem("M761", f"{name}-1 does not say the number of {what} that arrived, which is {count}", offset)
