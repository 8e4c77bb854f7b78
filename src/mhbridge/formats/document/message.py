"""
A document and what is said of it: files in one body to messages.

Which kind a document is, is said by the ending of its name and by how it begins, and both must agree: what is sent on
under a media type that it is not opens nowhere. This module must never change a byte of a document, and never make
text of one whose text it cannot tell.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import BrokenMessage, Source
from mhbridge.formats.document.declaration import Declared, of_source
from mhbridge.formats.encoding import codec_named, decode
from mhbridge.formats.several import File, is_several, read_files, written
from mhbridge.model import Issue, MessageFacts

__all__ = ["Content", "Cursor", "Letter", "read_letters"]

_TYPES: Final[Mapping[str, str]] = {
    "pdf": "application/pdf",
    "rtf": "text/rtf",
    "html": "text/html",
    "htm": "text/html",
    "txt": "text/plain",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
#: How a document of a type begins. ISO 32000-1 §7.5.2; RTF 1.9.1; ECMA-376 part 2.
_BEGINS: Final[Mapping[str, re.Pattern[bytes]]] = {
    "application/pdf": re.compile(rb"%PDF-\d"),
    "text/rtf": re.compile(rb"\{\\rtf"),
    "text/html": re.compile(rb"<[!a-zA-Z?]"),
    _TYPES["docx"]: re.compile(rb"PK\x03\x04"),
}
#: HTML, "prescan a byte stream to determine its encoding": the first 1024 bytes.
_META: Final = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_LEADS: Final = b"\xef\xbb\xbf \t\r\n"


@dataclass(frozen=True, slots=True)
class Content:
    """
    A document, as it came.

    Args:
        text: of HTML, RTF and plain text what is written, with its markup; `None`: `reading` says what is
            written, where it can.
    """

    name: str
    body: bytes = field(repr=False)
    media_type: str
    text: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Cursor:
    """A place in a letter: one in its index, and the letter itself."""

    inner: Any
    letter: Letter


class Letter:
    """
    A message: a document with what its name and its index say.

    Args:
        fields: what the name says.
        inner: the message that the index is; `None`: there is none.
        files: both files, as they came.
    """

    def __init__(
        self, content: Content, fields: Mapping[str, str], inner: Any, files: Sequence[File], declared: Declared
    ) -> None:
        self.content = content
        self.fields = fields
        self.inner = inner
        self.files = files
        self.declared = declared
        control = fields[declared.control_id] if declared.control_id else inner.facts.control_id
        self.facts = MessageFacts("document", "letter", control_id=control)

    @cached_property
    def cursor(self) -> Cursor:
        """The outermost place."""
        format_ = self.declared.format
        return Cursor(None if format_ is None else format_.cursor(self.inner), self)

    @property
    def body(self) -> bytes:
        """Both files."""
        return written(self.files)

    @property
    def patients(self) -> int:
        """As many as the index says."""
        return 1 if self.inner is None else int(self.inner.patients)

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """Its own number, and what the index has besides."""
        own = (("control_id", self.facts.control_id),) if self.facts.control_id else ()
        others = () if self.inner is None else self.inner.identities
        return (*own, *(one for one in others if one[0] != "control_id"))

    def noted(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """`issues` with their places: in the document or its name, or in the index as its format has them."""
        own = [issue.path.startswith("[file:") for issue in issues]
        placed: list[Issue] = []
        for issue, mine in zip(issues, own, strict=True):
            if mine:
                where = "the document" if issue.path == "[file:content]" else "the name of the document"
                placed.append(replace(issue, path=where))
            elif self.inner is None:
                placed.append(issue)
            else:
                placed += [
                    replace(one, path=f"index, {one.path}" if one.path else "") for one in self.inner.noted([issue])
                ]
        return tuple(placed)


def read_letters(body: bytes, sources: Sequence[Source]) -> Iterator[tuple[Letter | MessageError, tuple[int, ...]]]:
    """
    The letters in a body, each with its index.

    What is not a whole letter waits for a person: M860 when one of the two is missing, M861 when a file is neither,
    M862 when the index does not say one letter, M863 when a document is not what its name says.

    Raises:
        MalformedMessage: M857 or D976, they are not several files, or not in order.
    """
    if not body.strip():
        yield _broken("M700", "the file is empty", body), ()
        return
    files = read_files(body) if is_several(body[:4096]) else ()
    if not files:
        yield _broken("M860", "a document came without its name, and without what says whose it is", body), ()
        return
    groups: dict[tuple[int, tuple[str, ...]], dict[str, File]] = {}
    for number, file in enumerate(files, 1):
        placed = next(
            ((i, *found) for i, source in enumerate(sources) if (found := placed_by(source, file.name))), None
        )
        if placed is None:
            text = f"file {number} is neither a letter nor an index by its name"
            yield _broken("M861", text, written([file])), ()
            continue
        i, key, role = placed
        group = groups.setdefault((i, key), {})
        if role in group:
            yield _broken("M861", f"file {number} is a second {role} of one letter", written([file])), ()
            continue
        group[role] = file
    for (i, _), group in groups.items():
        taken = tuple(other for other, source in enumerate(sources) if source == sources[i])
        made = _letter(group, sources[i])
        yield made, taken if isinstance(made, Letter) else ()


def placed_by(source: Source, name: str) -> tuple[tuple[str, ...], str] | None:
    """What a file of this name belongs to, and whether it is the letter or the index."""
    declared = of_source(source)
    for role, pattern in (("index", declared.index), ("letter", declared.letter)):
        found = pattern.read(name) if pattern is not None else None
        if found is not None:
            if declared.index is None:
                return (name.casefold(),), role
            return tuple(found[field].casefold() for field in declared.key), role
    return None


def _letter(group: Mapping[str, File], source: Source) -> Letter | BrokenMessage:
    declared = of_source(source)
    files = tuple(group[role] for role in ("letter", "index") if role in group)
    body = written(files)
    if "letter" not in group:
        return _broken("M860", "the index is here, and its document is not", body)
    if declared.index is not None and "index" not in group:
        return _broken("M860", "the document is here, and the index that says whose it is is not", body)
    file = group["letter"]
    fields = declared.letter.read(file.name)
    assert fields is not None
    content = _content(file, source)
    if isinstance(content, MalformedMessage):
        return BrokenMessage(content, MessageFacts("document", "unreadable"), body)
    inner = _index(group["index"], declared) if declared.index is not None else None
    if isinstance(inner, MessageError):
        text = f"the index: {inner.message}"
        error = MalformedMessage(inner.code, text, path=inner.path, offset=inner.offset)
        return BrokenMessage(error, MessageFacts("document", "unreadable"), body)
    return Letter(content, fields, inner, files, declared)


def _index(file: File, declared: Declared) -> Any:
    """The one message of an index."""
    assert declared.inner is not None
    format_ = declared.format
    assert format_ is not None
    try:
        found = [item for item, _ in format_.messages(file.body, [declared.inner[1]])]
    except MalformedMessage as error:
        return error
    if len(found) == 1:
        return found[0]
    if not found:
        return MalformedMessage("M862", "it says no letter", offset=0)
    return MalformedMessage("M862", f"it says {len(found)} letters, and lies beside one", offset=0)


def _content(file: File, source: Source) -> Content | MalformedMessage:
    ending = file.name.rpartition(".")[2].lower()
    media_type = _TYPES.get(ending)
    if media_type is None:
        return MalformedMessage("M863", f"a document is {', '.join(_TYPES)} by the ending of its name", offset=0)
    begins = _BEGINS.get(media_type)
    if not file.body.strip() or (begins is not None and not begins.match(file.body.lstrip(_LEADS))):
        return MalformedMessage("M863", f"it is called .{ending} and does not begin like one", offset=0)
    text: str | None = None
    try:
        if media_type == "text/rtf":
            # RTF is ASCII; what stands beyond that, against its rules, is of the code page that it names.
            text = file.body.decode("latin-1")
        elif media_type.startswith("text/"):
            # What a letter says of itself comes first: it may be of another encoding than the index beside it.
            charset = _charset(file.body, media_type) or source.charset or "UTF-8"
            codec = codec_named(charset)
            if codec is None:
                return MalformedMessage("M704", "the document says an encoding that nobody knows", offset=0)
            text = decode(file.body, codec, charset).removeprefix("\ufeff")
    except MalformedMessage as error:
        return error
    return Content(file.name, file.body, media_type, text)


def _charset(body: bytes, media_type: str) -> str:
    """What a document says of its encoding: by its first bytes, or in the head of HTML (WHATWG HTML §13.2.3.2)."""
    if body.startswith(BOM_UTF8):
        return "UTF-8"
    found = _META.search(body[:1024]) if media_type == "text/html" else None
    return found[1].decode("ascii") if found else ""


def _broken(code: str, text: str, body: bytes) -> BrokenMessage:
    return BrokenMessage(MalformedMessage(code, text, offset=0), MessageFacts("document", "unreadable"), body)
