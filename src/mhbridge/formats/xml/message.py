"""
A document as a message: what it says about itself, and which mappings take it.

Of a CDA the id names it (HL7 CDA R2 §4.2.1.4), and a document has one; of any other document the path that the mapping
declares, or else its bytes. This module must never decide what a document means.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import BrokenMessage, Source
from mhbridge.formats.xml.declaration import CDA, is_cda
from mhbridge.formats.xml.encoding import Misdeclared, decoded
from mhbridge.formats.xml.itk import Wrapped, unwrapped
from mhbridge.formats.xml.parsing import parsed
from mhbridge.formats.xml.path import XmlPath
from mhbridge.formats.xml.reach import Route, route
from mhbridge.formats.xml.tree import BLANKS, TEXT, Element, Leaf, Tree, written_name
from mhbridge.formats.xml.writing import written
from mhbridge.model import Issue, MessageFacts

__all__ = ["MAX_MESSAGES", "XmlMessage", "read_messages", "structural", "taken_by"]

#: Messages of one document.
MAX_MESSAGES: Final = 10_000
#: Elements that hold messages: a list of them, seldom some lists.
MAX_PARENTS: Final = 50

_DOCUMENT: Final = f"{{{CDA}}}ClinicalDocument"
#: W3C XInclude 1.1: what it names was meant to be part of the document, and is never fetched.
_INCLUDE: Final = "{http://www.w3.org/2001/XInclude}include"
#: NHS CDA: which message of the NHS this is (`POCD_MT…`), by the extension of this element.
_MESSAGE_TYPE: Final = "{NPFIT:HL7:Localisation}messageType"
_LONGEST_ID: Final = 256


class XmlMessage:
    """
    One message.

    Args:
        body: its own bytes.
    """

    __slots__ = ("_acted", "_issues", "body", "facts", "root", "tree")

    def __init__(self, tree: Tree, body: bytes, facts: MessageFacts, wrapped: Wrapped | None) -> None:
        self.tree = tree
        self.root = tree.root
        self.body = body
        self.facts = facts
        self._issues = wrapped.issues if wrapped is not None else ()
        self._acted = wrapped.acted if wrapped is not None else ()

    @property
    def acted(self) -> tuple[tuple[Element, int], ...]:
        """What is read of the envelope: element, number of the bit."""
        return self._acted

    @property
    def patients(self) -> int:
        """How many record targets a CDA has (HL7 CDA R2 §4.2.2.11); of anything else nobody knows but the mapping."""
        tree = self.tree
        return 1 if tree.names[tree.top] != _DOCUMENT else _children(tree, f"{{{CDA}}}recordTarget")

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """The control id, and of a CDA the ids of its patient and of the encounter."""
        found = [("control_id", self.facts.control_id)]
        if self.tree.root.name == _DOCUMENT:
            for what, path in (("patient", _PATIENT), ("visit", _VISIT)):
                for element in path.elements(self.tree.root):
                    value = element.attributes.get("extension", "").strip()
                    if value:
                        found.append((what, value))
                        found.append((what, f"{element.attributes.get('root', '').strip()}|{value}"))
        return tuple(dict.fromkeys((what, value) for what, value in found if value))

    def noted(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """`issues`, after what the envelope asks for."""
        return (*self._issues, *issues)


def _of(text: str) -> Route:
    from mhbridge.formats.xml.path import scan_path

    found = scan_path(text, 0, len(text))
    assert found is not None
    return route(found[0], (("", CDA),))


_PATIENT: Final = _of("/ClinicalDocument/recordTarget/patientRole/id")
_VISIT: Final = _of("/ClinicalDocument/componentOf/encompassingEncounter/id")


# --- bytes to messages -------------------------------------------------------------------------------------


def read_messages(
    body: bytes, sources: Sequence[Source]
) -> Iterator[tuple[XmlMessage | MessageError, tuple[int, ...]]]:
    """
    The messages of a document: itself, or the documents in its envelope, or the elements of `message_per`.

    Raises:
        MalformedMessage: it is not XML that may be read (M700, M800, M801, M802, M804).
    """
    try:
        text = decoded(body, next((source.charset for source in sources if source.charset), ""))
    except Misdeclared as error:
        yield BrokenMessage(error, MessageFacts("xml", "unreadable"), body), ()
        return
    tree = parsed(text.text, sound=True)
    try:
        wrapped = unwrapped(tree.outer)
    except MalformedMessage as error:
        yield BrokenMessage(error, MessageFacts("xml", "DistributionEnvelope"), body), ()
        return
    if wrapped is not None and len(wrapped.documents) > 1:
        for number, document in enumerate(wrapped.documents, 1):
            yield from _one(_alone(wrapped, document), sources, f"payload {number}")
        return
    if wrapped is not None:
        tree.root = wrapped.documents[0]
    per = _message_per(tree, sources)
    if per:
        if len(per) > MAX_MESSAGES or len({element.parent for element in per}) > MAX_PARENTS:
            raise MalformedMessage("M802", f"the document has more than {MAX_MESSAGES:,} messages")
        if len(per) > 1:
            for number, own in enumerate(_cut(tree.outer, per), 1):
                yield from _one(own, sources, f"message {number}")
            return
    yield _made(tree, body, sources, wrapped, "")


def _one(
    body: bytes, sources: Sequence[Source], place: str
) -> Iterator[tuple[XmlMessage | MessageError, tuple[int, ...]]]:
    """A message that was cut out of a document, read from its own bytes, as it will be read when it is worked again."""
    tree = parsed(body.decode())
    wrapped = unwrapped(tree.outer)
    if wrapped is not None:
        tree.root = wrapped.documents[0]
    yield _made(tree, body, sources, wrapped, place)


def _alone(wrapped: Wrapped, document: Element) -> bytes:
    """The envelope with one of its payloads, and what its manifest says of that one."""
    payload = document.parent
    assert payload is not None
    name = payload.attributes.get("id", "")
    manifest = payload.name.replace("}payload", "}manifestitem")

    def keep(element: Element) -> bool:
        if element.name == payload.name:
            return element == payload
        return element.name != manifest or element.attributes.get("id", "") == name

    return written(wrapped.envelope, keep)


def _cut(outer: Element, elements: Sequence[Element]) -> Iterator[bytes]:
    """The document with one of the elements that are messages, for each of them; in time that its size bounds."""
    away = {element.index for element in elements}
    parents = {one.parent.index: one.parent for one in elements if one.parent is not None}
    frames = {
        index: [child for child in parent.children if child.index not in away] for index, parent in parents.items()
    }
    whole = {index: parent.children for index, parent in parents.items()}
    for element in elements:
        for index, parent in parents.items():
            parent.children = frames[index]
        if element.parent is not None:
            frame = frames[element.parent.index]
            element.parent.children = sorted((*frame, element), key=lambda child: child.index)
        body = written(outer)
        for index, parent in parents.items():
            parent.children = whole[index]
        yield body


def _message_per(tree: Tree, sources: Sequence[Source]) -> Sequence[Element]:
    """The elements that are messages, by the first source that says so and takes the document."""
    for source in sources:
        path = source.options.get("message_per")
        if isinstance(path, XmlPath) and tree.root.name == source.options["root"]:
            return _route(path, source).elements(tree.root)
    return ()


def _made(
    tree: Tree, body: bytes, sources: Sequence[Source], wrapped: Wrapped | None, place: str
) -> tuple[XmlMessage | MessageError, tuple[int, ...]]:
    facts = _facts(tree, body, wrapped, place)
    fault = _fault(tree)
    if fault is not None:
        return BrokenMessage(fault, facts, body), ()
    takers = tuple(number for number, source in enumerate(sources) if taken_by(tree, source))
    if takers and (path := sources[takers[0]].options.get("control_id")) is not None:
        facts = replace(facts, control_id=_said(_route(path, sources[takers[0]]), tree.root))
    return XmlMessage(tree, body, facts, wrapped), takers


def _fault(tree: Tree) -> MalformedMessage | None:
    if tree.names[tree.top] == _DOCUMENT and _children(tree, f"{{{CDA}}}id") > 1:
        return MalformedMessage("M808", "the document has more than one id", path="/ClinicalDocument/id")
    if _INCLUDE in tree.names:
        return MalformedMessage("M809", "the document wants another to be included, which is not fetched")
    return None


def _children(tree: Tree, name: str) -> int:
    """How many children of a name the root element has."""
    return [tree.names[child] for child in tree.children(tree.top)].count(name)


# --- what a message says about itself ----------------------------------------------------------------------


def _facts(tree: Tree, body: bytes, wrapped: Wrapped | None, place: str) -> MessageFacts:
    root = tree.root
    local = written_name(root.name)[1]
    kind, control, sent, version = local if local.isprintable() and len(local) <= 64 else "xml", "", "", ""
    if root.name == _DOCUMENT:
        parts = {child.name.rpartition("}")[2]: child for child in reversed(root.children)}
        if (own := parts.get("id")) is not None:
            ends = (own.attributes.get("root", "").strip(), own.attributes.get("extension", "").strip())
            control = "^".join(filter(None, ends))
        if (time := parts.get("effectiveTime")) is not None:
            sent = time.attributes.get("value", "").strip()
        of = next((child for child in root.children if child.name == _MESSAGE_TYPE), None)
        if of is not None:
            version = of.attributes.get("extension", "").strip()
        elif (code := parts.get("code")) is not None:
            version = code.attributes.get("code", "").strip()
    else:
        control = hashlib.blake2b(body, digest_size=8).hexdigest()
    sender = wrapped.sender if wrapped is not None else ""
    control, sender, sent, version = (_plain(text) for text in (control, sender, sent, version))
    return MessageFacts("xml", kind, control_id=control, sender=sender, sent_at=sent, version=version, place=place)


def _plain(text: str) -> str:
    return text if text.isprintable() and len(text) <= _LONGEST_ID else ""


def _said(found: Route, root: Element) -> str:
    value = found.first(root)
    text = value.text if isinstance(value, Leaf) else value.words() if isinstance(value, Element) else ""
    return _plain(text.strip(BLANKS))


def structural(message: XmlMessage, source: Source) -> Iterator[tuple[int, int]]:
    """What is acted upon beside the items: what names the message, is read of its envelope, or chose the feed."""
    for element, bit in message.acted:
        yield element.index, 1 << bit
    root = message.tree.root
    path = source.options.get("control_id")
    if path is not None:
        value = _route(path, source).first(root)
        if isinstance(value, Leaf):
            yield value.index, 1 << value.bit
        elif isinstance(value, Element):
            yield from ((index, TEXT) for index, mask in root.tree.populated(value.index, value.end) if mask & TEXT)
    elif root.name == _DOCUMENT:
        yield from _named(root, f"{{{CDA}}}id", ("root", "extension"))
    if root.name == _DOCUMENT:
        own = any(child.name == _MESSAGE_TYPE for child in root.children)
        yield from _named(root, _MESSAGE_TYPE if own else f"{{{CDA}}}code", ("extension", "code"))
        yield from _named(root, f"{{{CDA}}}effectiveTime", ("value",))
    for element, name in _dispatching(root, source):
        yield element.index, 1 << element.bit(name)
    for choices in source.options.get("where", ()):
        for choice in choices:
            for stage, elements in _route(choice, source).asked(root):
                yield from stage.looked(root.tree, elements)


def _named(root: Element, name: str, attributes: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """The attributes of the first child of a name that say something."""
    child = next((child for child in root.children if child.name == name), None)
    for attribute in attributes:
        if child is not None and child.attributes.get(attribute, "").strip():
            yield child.index, 1 << child.bit(attribute)


# --- who takes it ------------------------------------------------------------------------------------------


def taken_by(tree: Tree, source: Source) -> bool:
    """Whether a document is of those that a source takes."""
    options: Mapping[str, object] = source.options
    root = tree.root
    if root.name != options["root"]:
        return False
    if "templates" in options and not any(True for _ in _dispatching(root, source)):
        return False
    where = options.get("where", ())
    assert isinstance(where, tuple)
    return all(any(_route(path, source).found(tree, tree.top) for path in choices) for choices in where)


def _dispatching(root: Element, source: Source) -> Iterator[tuple[Element, str]]:
    """The template ids of the document that the source names: element, attribute."""
    wanted = source.options.get("templates", ())
    if not wanted or not is_cda(source):
        return
    for child in root.children:
        if child.name == f"{{{CDA}}}templateId":
            own, extension = (child.attributes.get(name, "").strip() for name in ("root", "extension"))
            if own in wanted:
                yield child, "root"
            elif f"{own}:{extension}" in wanted:
                yield child, "root"
                yield child, "extension"


def _route(path: XmlPath, source: Source) -> Route:
    return route(path, tuple(source.options["namespaces"].items()))
