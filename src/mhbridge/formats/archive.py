"""
ZIP files of suppliers: looked through whole before anything of them is used.

An archive is an instruction to somebody else's code to make files, so it is refused unless everything about it is
ordinary (OWASP ASVS 5.0, 5.2.3, 5.2.5 and 5.3.3): sizes, ratio and count within limits, plain files under plain names,
each once, none of them packed again, nothing encrypted, and every checksum right. What it unpacks to is not in memory.
A document of a word processor is a ZIP file too, and is taken as the file that it is: who reads it looks through it.
This module must never write a file under a name that an archive chose.
"""

from __future__ import annotations

import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, Final

from mhbridge.errors import MalformedMessage

__all__ = ["ORDINARY", "Limits", "is_archive", "is_set_aside", "looked_through", "unpack"]

#: A member's own header, and the end of an archive without members (APPNOTE 6.3.10, 4.3.7 and 4.3.16).
_BEGINS: Final = (b"PK\x03\x04", b"PK\x05\x06")
#: What is packed itself: ZIP, gzip, bzip2, xz, zstd, 7z, RAR.
_PACKED: Final = (*_BEGINS, b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!")
_END: Final = struct.Struct("<4s4H2LH")
_LONGEST_END: Final = _END.size + 0xFFFF
#: The directory of so many members with names of reasonable length.
_DIRECTORY_PER_MEMBER: Final = 2_000
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_LOCAL_HEADER: Final = 30
#: What stands first in a workbook or document (ECMA-376 part 2; OpenDocument 1.3 part 2, §3.3).
_OFFICE: Final = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"word/", b"mimetype")
_BLOCK: Final = 1 << 18
#: Names under which programs write what they will rename when it is whole: WinSCP, browsers, editors, Office, rsync.
_UNFINISHED: Final = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".swp", "~")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may be: bytes unpacked in all, bytes unpacked for each packed one, members."""

    size: int = 200_000_000
    ratio: int = 100
    members: int = 1_000


ORDINARY: Final = Limits()


def is_set_aside(name: str) -> bool:
    """Whether a name says that its file is hidden, or not finished."""
    return name.startswith((".", "~$")) or name.lower().endswith(_UNFINISHED)


def is_archive(file: BinaryIO) -> bool:
    """
    Whether a file begins like a ZIP file; nothing else that is taken does.

    A workbook or a document is one, too, but of parts that are nothing alone: what it is not is said by the format.
    """
    file.seek(0)
    head = file.read(_LOCAL_HEADER + 20)
    file.seek(0)
    if head[:4] == _BEGINS[1]:
        return True
    return head[:4] == _BEGINS[0] and len(head) > _LOCAL_HEADER and not _is_office(head)


def _is_office(head: bytes) -> bool:
    return head[:4] == _BEGINS[0] and head[_LOCAL_HEADER:].startswith(_OFFICE)


def looked_through(file: BinaryIO, limits: Limits) -> Sequence[zipfile.ZipInfo]:
    """
    The members of an archive that is in order, in its own order, without folders and what systems put beside files.

    Everything is unpacked once, and thrown away, so that nothing is taken of an archive that is damaged further on.

    Raises:
        MalformedMessage: D976, saying what is wrong, with the number of a member and never its name.
    """
    with _damaged():
        count = _look_at_end(file, limits)
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) != count:
                raise _refused("its directory has another number of members than it says")
            _look_at_directory(members, limits)
            for number, member in enumerate(members, 1):
                _look_at_content(archive, number, member, limits)
    return [member for member in members if not member.is_dir() and not _is_beside(member.filename)]


def unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, into: BinaryIO) -> None:
    """
    Unpack a member of an archive that was looked through, a block at a time.

    Raises:
        MalformedMessage: D976, when the file has changed meanwhile.
    """
    with _damaged():
        into.writelines(_blocks(archive, member))
        into.flush()


@contextmanager
def _damaged() -> Iterator[None]:
    """What the library raises, one way or another, of an archive that is not what it says."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError, struct.error) as error:
        # Not the error's own text: it holds the names of members.
        raise _refused(f"it is damaged ({type(error).__name__})") from None


def _look_at_end(file: BinaryIO, limits: Limits) -> int:
    """
    How many members there are, where the directory is small enough to be read at all: each entry becomes an object.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _LONGEST_END))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise _refused("it is not whole")
    _, disk, first, here, count, length, begin, _ = _END.unpack_from(tail, at)
    if 0xFFFF in (count, here) or 0xFFFFFFFF in (length, begin):
        raise _refused("it is of the kind for very large archives (ZIP64)")
    if disk or first or here != count:
        raise _refused("it is one of several parts")
    if count > limits.members:
        raise _refused(f"it has more than {limits.members} members")
    if length > count * _DIRECTORY_PER_MEMBER:
        raise _refused("its directory is too large")
    return int(count)


def _look_at_directory(members: Sequence[zipfile.ZipInfo], limits: Limits) -> None:
    names: set[str] = set()
    for number, member in enumerate(members, 1):
        _look_at_name(number, member, names)
        if member.header_offset < 0:
            raise _refused("it lies outside the archive", number)
        if member.flag_bits & _ENCRYPTED:
            raise _refused("it is encrypted", number)
        if member.compress_type not in _METHODS:
            raise _refused("it is packed in a way that is not taken", number)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > member.is_dir():
            raise _refused("it is a link, or no file", number)
        if member.is_dir() and member.file_size:
            raise _refused("it is a folder with content", number)
        if member.file_size > limits.ratio * max(member.compress_size, 1):
            raise _refused(f"it unpacks to more than {limits.ratio} times its size", number)
    if sum(member.file_size for member in members) > limits.size:
        raise _refused(f"it unpacks to more than {limits.size // 1_000_000} MB")
    # One stretch of bytes that is a member several times unpacks to what no ratio of a single one shows.
    in_order = sorted(members, key=lambda member: member.header_offset)
    for one, after in pairwise(in_order):
        if one.header_offset + _LOCAL_HEADER + one.compress_size > after.header_offset:
            raise _refused("its members lie in each other")


def _look_at_name(number: int, member: zipfile.ZipInfo, names: set[str]) -> None:
    # `orig_filename` is what stands there; `filename` ends at a NUL and has the separators of this system.
    name = member.orig_filename.replace("\\", "/")
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or ":" in parts[0] or ".." in parts or "" in parts:
        raise _refused("its name is a way out of the archive", number)
    if not name.isprintable():
        raise _refused("its name holds what cannot be shown", number)
    plain = unicodedata.normalize("NFC", name.rstrip("/")).casefold()
    if plain in names:
        raise _refused("another one has its name", number)
    names.add(plain)


def _look_at_content(archive: zipfile.ZipFile, number: int, member: zipfile.ZipInfo, limits: Limits) -> None:
    length, head = 0, b""
    for block in _blocks(archive, member):
        head = head or block[: _LOCAL_HEADER + 20]
        length += len(block)
        if length > limits.size:
            raise _refused(f"it unpacks to more than {limits.size // 1_000_000} MB", number)
    if length != member.file_size:
        raise _refused("it is not as long as it says", number)
    if head.startswith(_PACKED) and not _is_office(head):
        raise _refused("it is packed itself: one level is taken", number)


def _blocks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """What a member unpacks to. The checksum is looked at when the last block was read."""
    with archive.open(member) as stream:
        while block := stream.read(_BLOCK):
            yield block


def _is_beside(name: str) -> bool:
    """What a system put beside the files: hidden ones, and the shadows that macOS makes of each."""
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "__MACOSX" or is_set_aside(parts[-1])


def _refused(why: str, number: int = 0) -> MalformedMessage:
    return MalformedMessage("D976", f"the archive is refused: {f'member {number}: ' if number else ''}{why}")
