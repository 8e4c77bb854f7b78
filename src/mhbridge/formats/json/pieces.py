"""
A file to pieces: one document, a list of them, one in each line, or one in which a list holds the messages.

Each piece can be read again alone and then says the same. Of a list in a document each message has what stands around
the list, and of the list itself its own entry. A large file is taken in parts that are held one at a time. This module
must never leave out a byte that says something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats import Part
from mhbridge.formats.json import scanning
from mhbridge.formats.json.reading import BOM, read, read_at
from mhbridge.formats.json.scanning import Wrong
from mhbridge.model import NOTHING_BEFORE, Before

__all__ = ["Piece", "entries", "inside", "lines", "parts", "whole"]

#: Documents of one part of a large file, and bytes: so much is translated while others wait, and committed at once.
_MOST: Final = 25
_BYTES: Final = 1_000_000
#: Bytes of one document of a large file.
_LARGEST: Final = 20_000_000
#: Characters around a list of messages, which each of them has as well.
_AROUND: Final = 20_000
_CHUNK: Final = 1 << 16
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)|[\[\]{},]', re.DOTALL)
_BLANK: Final = b" \t\r\n"

#: A value, or the `Wrong` that says why it is none; the text of its own; where that begins.
Piece = tuple[Any, str, int]


def whole(text: str) -> Iterator[Piece]:
    """The one document of a text. Raises `Wrong`."""
    yield read(text), text, 0


def _at(text: str, at: int) -> int:
    found = scanning.BLANK.match(text, at)
    return found.end() if found is not None else at


def entries(text: str) -> Iterator[Piece]:
    """
    The entries of a list. One that is wrong is wrong alone, as long as it is seen where it ends.

    Raises:
        Wrong: from here on it is no JSON.
    """
    at = _at(text, _at(text, 0) + 1)
    if text.startswith("]", at):
        _ended(text, at + 1)
        return
    while True:
        try:
            value, end = read_at(text, at)
            yield value, text[at:end], at
        except Wrong as error:
            end, _ = scanning.fault(text, at)
            yield error, text[at:end], at
        at = _at(text, end)
        if text.startswith("]", at):
            _ended(text, at + 1)
            return
        if not text.startswith(",", at):
            raise Wrong("M820", "',' or ']' is expected", at)
        at = _at(text, at + 1)


def _ended(text: str, at: int) -> None:
    if (after := _at(text, at)) != len(text):
        raise Wrong("M827", "something follows the end of the list", after)


def lines(text: str) -> Iterator[Piece]:
    """Each line as a document of its own; one that is wrong is wrong alone."""
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        own = text[at:end].strip(" \t\r")
        if own:
            begin = text.index(own, at)
            try:
                # A line is read by itself, so that a bracket that is not closed takes nothing of the next.
                yield read(own), own, begin
            except Wrong as error:
                yield Wrong(error.code, error.message, begin + error.at), own, begin
        at = end + 1


def inside(text: str, names: Sequence[str]) -> Iterator[Piece]:
    """
    A document for each entry of a list in it.

    Raises:
        Wrong: it is no JSON, has no such list (M829), or too much stands around it (M826).
    """
    read(text)
    found = scanning.elements(text, names)
    if found is None:
        raise Wrong("M829", f"there is no list at $.{'.'.join(names)}", 0)
    begin, end, places = found
    if len(places) > 1 and len(text) - (end - begin) > _AROUND:
        raise Wrong("M826", f"more than {_AROUND} characters stand around the list of messages", end)
    for start, stop in places:
        own = text[: begin + 1] + text[start:stop] + text[end - 1 :]
        yield read(own), own, start


# --- large files -------------------------------------------------------------------------------------------


def parts(file: BinaryIO, before: Before = NOTHING_BEFORE, *, by_line: bool) -> Iterator[Part] | None:
    """
    A large file in parts; `None`: it is one document, or broken at its beginning, and is to be read whole.

    Raises:
        MalformedMessage: while the parts are gone through: M776 a document too large, M820 the list goes wrong.
    """
    file.seek(0)
    head = file.read(_CHUNK)
    first = head.removeprefix(BOM).lstrip(_BLANK)[:1]
    if head.startswith(BOM) or (first != b"[" and not by_line):
        return None
    if by_line:
        return _together(_lines(file, before), b"", b"\n", b"\n", before)
    start = before if before.rows else Before(0, 0, head.index(b"[") + 1)
    return _together(_entries(file, start), b"[", b",", b"]", start)


def _together(
    found: Iterator[tuple[bytes, int, int]], begin: bytes, between: bytes, end: bytes, start: Before
) -> Iterator[Part]:
    """(own bytes, lines, where it ends) of document after document, as parts."""
    held: list[bytes] = []
    before = after = start
    size = 0
    lost: MalformedMessage | None = None
    try:
        for own, count, ended in found:
            if held and (len(held) >= _MOST or size >= _BYTES):
                yield Part(begin + between.join(held) + end, before, after)
                before, held, size = after, [], 0
            held.append(own)
            size += len(own)
            after = Before(after.rows + 1, after.lines + count, ended)
    except MalformedMessage as error:
        text = f"{error.message}, after document {after.rows}; nothing after it was read"
        lost = MalformedMessage(error.code, text, path=f"document {after.rows + 1}", offset=after.offset)
    if held:
        yield Part(begin + between.join(held) + end, before, after)
    if lost is not None:
        raise lost


def _lines(file: BinaryIO, start: Before) -> Iterator[tuple[bytes, int, int]]:
    file.seek(start.offset)
    at, blank = start.offset, 0
    while line := file.readline(_LARGEST + 1):
        if len(line) > _LARGEST:
            raise MalformedMessage("M776", f"a line has more than {_LARGEST} bytes")
        at += len(line)
        if own := line.strip(_BLANK):
            yield own, blank + 1, at
            blank = 0
        else:
            blank += 1


def _entries(file: BinaryIO, start: Before) -> Iterator[tuple[bytes, int, int]]:
    """Entry after entry of the list whose bracket stands before `start`; each ends behind its comma."""
    file.seek(start.offset)
    held, offset = b"", start.offset
    depth = at = 0  # `at` is how far the bytes in hand have been looked through
    said = start.rows > 0
    while True:
        # Twice as much each time: an entry that goes on and on is looked through again.
        more = file.read(max(_CHUNK, len(held)))
        held += more
        if said and offset == start.offset and not held.strip(_BLANK):
            return  # the last part ended with the list
        begin = 0
        while (token := _TOKEN.search(held, at)) is not None:
            character = token[0][:1]
            if character == b'"':
                if token[1] != b'"':
                    break  # the text goes on in what is still to be read
                at = token.end()
                continue
            at = token.end()
            depth += (character in b"{[") - (character in b"}]")
            if depth < 0 or (depth == 0 and character == b","):
                own = held[begin : token.start()].strip(_BLANK)
                if own:
                    said = True
                    yield own, held.count(b"\n", begin, at), offset + at
                elif said or depth == 0:
                    raise MalformedMessage("M820", "an entry of the list is missing")
                if depth < 0:
                    if held[at:].strip(_BLANK) or file.read(_CHUNK).strip(_BLANK):
                        raise MalformedMessage("M827", "something follows the end of the list")
                    return
                begin = at
        if not more:
            raise MalformedMessage("M820", "the list does not end")
        held, offset, at = held[begin:], offset + begin, at - begin
        if len(held) > _LARGEST:
            raise MalformedMessage("M776", f"a document has more than {_LARGEST} bytes")
