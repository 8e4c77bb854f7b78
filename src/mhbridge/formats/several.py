"""
Several files in one body: the tables of an extract, or a document with the file that says what it is.

What arrives so is a ZIP file, or a MIME multipart body (RFC 2046 §5.1) as a form posts it; what mhbridge itself puts
together (files that lay beside each other in a folder, the rows of one record) is the latter, because a person can read
it and because it is the same bytes at every time. Each part is a file under its name, its bytes exactly as they are.
Of tables that were taken apart, `Lines` says which lines of the supplier's file these are.

This module must never decode a part, never take a name for a path, and never unpack an archive that is not ordinary.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from typing import Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.archive import Limits, is_archive, looked_through, unpack

__all__ = ["File", "base_name", "first_name", "is_several", "read_files", "written"]

#: Files of one body: tables of a data set, or a document and what belongs to it.
_MOST: Final = 100
#: Of a body that is held in memory whole.
_SIZE: Final = 200_000_000
#: The headers of a part: a name and the numbers of lines.
_HEAD: Final = 100_000
_FIRST: Final = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})[ \t]*(\r\n|\n)")
_NAME: Final = re.compile(r'(?:^|;)\s*filename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_NUMBERS: Final = re.compile(r"\d{1,9}(?:-\d{1,9})?(?:,\d{1,9}(?:-\d{1,9})?)*")


@dataclass(frozen=True, slots=True)
class File:
    """
    One file.

    Args:
        lines: the number that each line had where it came from, as ranges (first, last); empty: 1, 2, 3 …
    """

    name: str
    body: bytes
    lines: tuple[tuple[int, int], ...] = ()


def base_name(name: str) -> str:
    """The last part of a name, whatever system wrote it."""
    return name.replace("\\", "/").rpartition("/")[2]


def is_several(head: bytes) -> bool:
    """Whether bytes that begin like `head` are several files: a ZIP file, or parts with their names."""
    if head.startswith(b"PK"):
        return is_archive(BytesIO(head))
    first = _FIRST.match(head)
    return first is not None and head[first.end() : first.end() + 8].lower() == b"content-"


def first_name(head: bytes) -> str:
    """The name of the first of several files, as far as their beginning tells; empty when it does not."""
    if head.startswith(b"PK\x03\x04"):
        length = int.from_bytes(head[26:28], "little")
        return base_name(head[30 : 30 + length].decode("utf-8", "replace"))
    named = _NAME.search(head.partition(b"\n\n")[0].partition(b"\r\n\r\n")[0].decode("utf-8", "replace"))
    return base_name(named[1]) if named else ""


def read_files(body: bytes) -> tuple[File, ...]:
    """
    The files of a body, in its order.

    Raises:
        MalformedMessage: M857, it is not whole, or a part has no name; D976, it is an archive that is not ordinary.
    """
    if body.startswith(b"PK"):
        return _unpacked(body)
    found = tuple(_parts(body))
    names = [file.name.casefold() for file in found]
    if len(set(names)) != len(names):
        raise _broken("two files have one name")
    return found


def _unpacked(body: bytes) -> tuple[File, ...]:
    stream = BytesIO(body)
    members = looked_through(stream, Limits(size=_SIZE, members=_MOST))
    found: list[File] = []
    with zipfile.ZipFile(stream) as archive:
        for member in members:
            into = BytesIO()
            unpack(archive, member, into)
            found.append(File(base_name(member.filename), into.getvalue()))
    if len({file.name.casefold() for file in found}) != len(found):
        raise _broken("two files have one name")
    return tuple(found)


def _parts(body: bytes) -> Iterator[File]:
    first = _FIRST.match(body)
    if first is None:
        raise _broken("there is no first part")
    end = first[2]
    mark = end + b"--" + first[1]
    at, number = first.end(), 0
    while True:
        number += 1
        if number > _MOST:
            raise _broken(f"there are more than {_MOST} files")
        close = body.find(mark, at - len(end))
        while close >= 0 and not _ends(body, close + len(mark), end):
            # A line of a file that begins like the mark.
            close = body.find(mark, close + 1)
        if close < 0:
            raise _broken("it ends within a file", number)
        yield _part(body[at - len(end) : close], end, number)
        after = close + len(mark)
        if body[after : after + 2] == b"--":
            if body[after + 2 :].strip():
                raise _broken("something follows the last file")
            return
        following = body.find(end, after)
        if following < 0:
            raise _broken("it ends where another file is to begin", number)
        at = following + len(end)


def _ends(body: bytes, at: int, end: bytes) -> bool:
    """Whether nothing but blanks, or the two hyphens of the last one, stands behind a mark."""
    line = body[at : body.find(end, at)] if body.find(end, at) >= 0 else body[at:]
    return line.strip(b" \t") in (b"", b"--")


def _part(part: bytes, end: bytes, number: int) -> File:
    """A part with the line end before it."""
    head, blank, content = part.partition(end + end)
    if not blank or len(head) > _HEAD:
        raise _broken("it has no headers", number)
    try:
        headers = head.decode("utf-8").replace("\r\n", "\n").strip("\n").split("\n")
    except UnicodeDecodeError:
        raise _broken("its name is not in UTF-8", number) from None
    told = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
    if told.get("content-transfer-encoding", "8bit").lower() not in ("7bit", "8bit", "binary"):
        raise _broken("it is encoded", number)
    named = _NAME.search(told.get("content-disposition", ""))
    name = base_name(re.sub(r"\\(.)", r"\1", named[1])) if named else ""
    if not name or not name.isprintable():
        raise _broken("it has no name", number)
    return File(name, content, _ranges(told.get("lines", ""), number))


def _ranges(text: str, number: int) -> tuple[tuple[int, int], ...]:
    if not text:
        return ()
    if not _NUMBERS.fullmatch(text):
        raise _broken("its line numbers are none", number)
    found: list[tuple[int, int]] = []
    for one in text.split(","):
        begin, _, end = one.partition("-")
        pair = int(begin), int(end or begin)
        if pair[0] > pair[1] or (found and pair[0] <= found[-1][1]):
            raise _broken("its line numbers do not rise", number)
        found.append(pair)
    return tuple(found)


def written(files: Iterable[File]) -> bytes:
    """Files as one body; the same files give the same bytes."""
    made: Sequence[File] = tuple(files)
    mark = _mark(made)
    pieces: list[bytes] = []
    for file in made:
        name = file.name.replace("\\", "\\\\").replace('"', '\\"')
        head = f'--{mark}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
        if file.lines:
            numbers = ",".join(f"{a}-{b}" if b > a else str(a) for a, b in file.lines)
            head += f"Lines: {numbers}\r\n"
        pieces += (head.encode(), b"\r\n", file.body, b"\r\n")
    pieces.append(f"--{mark}--\r\n".encode())
    return b"".join(pieces)


def _mark(files: Sequence[File]) -> str:
    """A line that stands in none of the files."""
    mark, tries = "mhbridge", 0
    while any(f"--{mark}".encode() in file.body for file in files):
        tries += 1
        digest = blake2b(str(tries).encode(), digest_size=8)
        for file in files:
            digest.update(file.body)
        mark = f"mhbridge-{digest.hexdigest()}"
    return mark


def _broken(why: str, number: int = 0) -> MalformedMessage:
    where = f"file {number}: " if number else ""
    return MalformedMessage("M857", f"several files were to be in it, and it is not in order: {where}{why}", offset=0)
