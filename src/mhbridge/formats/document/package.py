"""
The parts of a DOCX: a ZIP file of XML documents that name each other by relationships (ECMA-376 part 2, §8 and §9).

The archive is looked through before anything of it is used, and each part is read as any XML document is: no document
type, no entity, bounded in every dimension. This module must never follow a relationship out of the file.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from io import BytesIO
from typing import Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.archive import Limits, looked_through, unpack
from mhbridge.formats.document.blocks import Unread
from mhbridge.formats.xml.encoding import decoded
from mhbridge.formats.xml.parsing import parsed

__all__ = ["Package", "Part", "is_on"]

#: A letter with its letterhead and a scan: far more than one has. Styles of Word pack to a fiftieth.
_LIMITS: Final = Limits(size=50_000_000, ratio=1_000, members=1_000)
#: One part of XML.
_LARGEST: Final = 20_000_000
_MAIN: Final = "wordprocessingml.document.main+xml"
_RELATIONSHIPS: Final = (
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships/",
    "http://purl.oclc.org/ooxml/officeDocument/relationships/",
)
#: Namespace → the prefix by which it is called here. Of those in pairs the second is that of the strict conformance
#: class (ECMA-376 part 1, annex A).
_PREFIXES: Final[Mapping[str, str]] = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main": "w",
    "http://purl.oclc.org/ooxml/wordprocessingml/main": "w",
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships": "r",
    "http://purl.oclc.org/ooxml/officeDocument/relationships": "r",
    "http://schemas.openxmlformats.org/drawingml/2006/main": "a",
    "http://purl.oclc.org/ooxml/drawingml/main": "a",
    "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing": "wp",
    "http://purl.oclc.org/ooxml/drawingml/wordprocessingDrawing": "wp",
    "http://schemas.openxmlformats.org/drawingml/2006/picture": "pic",
    "http://purl.oclc.org/ooxml/drawingml/picture": "pic",
    "http://schemas.openxmlformats.org/officeDocument/2006/math": "m",
    "http://purl.oclc.org/ooxml/officeDocument/math": "m",
    "http://schemas.openxmlformats.org/markup-compatibility/2006": "mc",
    "http://schemas.microsoft.com/office/word/2010/wordprocessingShape": "wps",
    "http://schemas.microsoft.com/office/word/2010/wordprocessingGroup": "wpg",
    "http://schemas.microsoft.com/office/word/2010/wordprocessingCanvas": "wpc",
    "http://www.w3.org/XML/1998/namespace": "xml",
    "urn:schemas-microsoft-com:vml": "v",
    "urn:schemas-microsoft-com:office:office": "o",
}


def _short(name: str) -> str:
    space, brace, local = name.rpartition("}")
    if not brace:
        return name
    return f"{_PREFIXES.get(space[1:], '?')}:{local}"


def is_on(said: str) -> bool:
    """A switch (§17.17.4, ST_OnOff): there without a value, it is on."""
    return said not in ("0", "false", "off")


class Part:
    """An XML document of the package; its elements by their numbers, named with the usual prefixes."""

    def __init__(self, name: str, body: bytes) -> None:
        self.name = name
        tree = self._tree = parsed(decoded(body).text)
        shorts = {full: _short(full) for full in set(tree.names)}
        self.names = [shorts[full] for full in tree.names]

    def children(self, index: int) -> list[int]:
        """The elements directly in one."""
        return self._tree.children(index)

    def inside(self, index: int) -> range:
        """All below one."""
        return range(index + 1, self._tree.ends[index])

    def past(self, index: int) -> int:
        """The first element after one that is not inside it."""
        return self._tree.ends[index]

    def text(self, index: int) -> str:
        """What an element says itself."""
        return self._tree.texts[index]

    def said(self, index: int, attribute: str, otherwise: str = "") -> str:
        """What an attribute says."""
        for key, value in self._tree.held(index).items():
            if _short(key) == attribute:
                return value
        return otherwise

    def child(self, index: int, *path: str) -> int | None:
        """The first element at a path below one."""
        at: int | None = index
        for name in path:
            assert at is not None
            at = next((child for child in self.children(at) if self.names[child] == name), None)
            if at is None:
                return None
        return at

    def value(self, index: int | None, *path: str, otherwise: str = "") -> str:
        """`w:val` of the element at a path."""
        at = None if index is None else self.child(index, *path)
        return otherwise if at is None else self.said(at, "w:val", otherwise)

    def switch(self, index: int | None, name: str) -> bool | None:
        """Whether a switch is on; `None`: it is not there."""
        at = None if index is None else self.child(index, name)
        return None if at is None else is_on(self.said(at, "w:val"))

    def named(self, name: str) -> Iterator[int]:
        """All elements of a name."""
        return (index for index, own in enumerate(self.names) if own == name)


class Package:
    """
    A DOCX that is in order.

    Raises:
        Unread: it is not.
    """

    def __init__(self, body: bytes) -> None:
        file = BytesIO(body)
        try:
            looked_through(file, _LIMITS)
            self._archive = zipfile.ZipFile(file)
        except MalformedMessage:
            raise Unread("its package is damaged, encrypted or too large") from None
        self._members = {"/" + member.filename.lstrip("/"): member for member in self._archive.infolist()}
        self._relations: dict[str, dict[str, tuple[str, str]]] = {}
        self._parts: dict[str, Part] = {}

    @cached_property
    def main(self) -> Part:
        """The part that the letter is written in."""
        found = [target for kind, target in self._related("/").values() if kind == "officeDocument"]
        part = self.part(found[0]) if len(found) == 1 else None
        if part is None or not self._type(part.name).endswith(_MAIN):
            raise Unread("it is no document of a word processor, or one with macros")
        return part

    def part(self, name: str) -> Part | None:
        """A part by its name; `None`: there is none."""
        if name in self._parts:
            return self._parts[name]
        member = self._members.get(name)
        if member is None:
            return None
        if member.file_size > _LARGEST:
            raise Unread("it is too large")
        content = BytesIO()
        try:
            unpack(self._archive, member, content)
            made = self._parts[name] = Part(name, content.getvalue())
        except MalformedMessage:
            raise Unread("a part of its package is damaged, too large, or not the XML that it should be") from None
        return made

    def of(self, part: Part, kind: str) -> Part | None:
        """The part that another names for a purpose."""
        found = [target for other, target in self._related(part.name).values() if other == kind]
        return self.part(found[0]) if found else None

    def target(self, part: Part, identifier: str) -> Part | None:
        """The part that another names by an identifier."""
        found = self._related(part.name).get(identifier)
        return None if found is None else self.part(found[1])

    def _related(self, name: str) -> Mapping[str, tuple[str, str]]:
        """What a part names: identifier → purpose, and name of the part."""
        known = self._relations.get(name)
        if known is not None:
            return known
        found = self._relations[name] = {}
        folder, _, own = name.rpartition("/")
        part = self.part(f"{folder}/_rels/{own}.rels")
        for index in part.children(0) if part is not None else ():
            assert part is not None
            kind = part.said(index, "Type")
            space = next((space for space in _RELATIONSHIPS if kind.startswith(space)), None)
            if space is None or part.said(index, "TargetMode") == "External":
                continue
            target = posixpath.normpath(posixpath.join(folder or "/", part.said(index, "Target")))
            found[part.said(index, "Id")] = kind.removeprefix(space), target
        return found

    def _type(self, name: str) -> str:
        """The media type of a part."""
        types = self.part("/[Content_Types].xml")
        for index in types.children(0) if types is not None else ():
            assert types is not None
            if types.said(index, "PartName").casefold() == name.casefold():
                return types.said(index, "ContentType")
        return ""
