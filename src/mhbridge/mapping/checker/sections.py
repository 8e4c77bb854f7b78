"""
Sections of a document: headings in order, what their narrative shows, what stands there when nothing came (§6.4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mhbridge.errors import Span
from mhbridge.fhir.narrative import Field
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.literals import Literals
from mhbridge.mapping.codes import Heading
from mhbridge.mapping.packs import DocumentType, Item
from mhbridge.mapping.reader import Node, YamlFile
from mhbridge.mapping.types import Type
from mhbridge.model.frozen import frozen

__all__ = ["Section", "Sections"]


@frozen(frozen=True, slots=True)
class Section:
    """
    One section of the Composition.

    Args:
        codings: the codings of the heading in this target.
        fields: what its narrative shows, in order.
        entries: names of the resources it lists.
        empty: (code of emptyReason, sentence) when the standard requires the heading, else `None`: it is left out.
    """

    heading: str
    title: str
    codings: tuple[Mapping[str, str], ...]
    fields: tuple[Field, ...]
    entries: tuple[str, ...]
    empty: tuple[Mapping[str, Any], str] | None


@dataclass(slots=True)
class _Shared:
    """What the parts say of one heading, and where they say that it is never empty."""

    entries: list[str] = field(default_factory=list)
    empty: tuple[Mapping[str, Any], str] | None = None
    empty_at: Span | None = None


class Sections:
    """
    Reads the `sections:` of one build file. The document says which headings there are and in which order; what its
    parts say of a heading joins in where the document lists it.

    Args:
        known: the sections of the same build without what a mapping adds; what it adds are items of new names.
    """

    def __init__(
        self,
        file: YamlFile,
        document: DocumentType,
        headings: Mapping[str, Heading],
        literals: Literals,
        known: Iterable[Section] = (),
    ) -> None:
        self.file, self.document, self.headings, self.literals = file, document, headings, literals
        self.shared: dict[str, _Shared] = {}
        self.known = {section.heading: section for section in known}
        self.fields = {field.name: field for section in self.known.values() for field in section.fields}

    def read(self, top: Declaration, parts: Iterable[Declaration], resources: Collection[str]) -> tuple[Section, ...]:
        """The sections in order. Every item with a heading stands in exactly one of them."""
        for part in parts:
            for node in part.items("sections"):
                if (section := self._section(part.file, node)) is not None:
                    self._join(section, resources)
        found: list[Section] = []
        seen: dict[str, Span] = {}
        under: dict[str, list[Item]] = {}
        for item in self.document.items.values():
            under.setdefault(item.heading, []).append(item)
        for node in top.items("sections"):
            section = self._section(self.file, node)
            if section is None:
                continue
            heading, span = section.text("heading"), section.entries["heading"].span
            if heading in seen:
                self.file.report("E308", f"the heading {heading!r} is listed already, in {seen[heading]}", span)
                continue
            seen[heading] = span
            whole = self._join(section, resources)
            items = under.get(heading, [])
            if whole.empty is None and any(item.need == "mandatory" for item in items):
                self.file.report(
                    "E310",
                    f"the standard requires {heading!r}: say what stands there when nothing came",
                    span,
                    "when_empty: {reason: unavailable, text: Not recorded by the sender.}",
                )
            known = self.headings[heading]
            fields = tuple([self.fields.get(i.name) or self._field(i.name, i.label, i.type, ()) for i in items])
            codings = known.codings(self.literals.target)
            made = Section(heading, known.title, codings, fields, tuple(whole.entries), whole.empty)
            found.append(self.known[heading] if made == self.known.get(heading) else made)
        for item in self.document.items.values():
            if item.heading and item.heading not in seen:
                where = f"stands under {item.heading!r}, which is not among the sections"
                self.file.report("E308", f"the item {item.name!r} ({item.span}) {where}", top.span)
        return tuple(found)

    def _section(self, file: YamlFile, node: Node) -> Declaration | None:
        section = Declaration(file, node, "a section", ("heading", "entries", "when_empty"))
        if not section.require("heading"):
            return None
        heading, span = section.text("heading"), section.entries["heading"].span
        if heading in self.headings:
            return section
        file.report("E308", f"there is no heading {heading!r}", span, did_you_mean(heading, self.headings))
        return None

    def _join(self, section: Declaration, resources: Collection[str]) -> _Shared:
        """Adds what one file says of a heading to what others have said of it."""
        shared = self.shared.setdefault(section.text("heading"), _Shared())
        for text in section.texts("entries"):
            if text.value in shared.entries:
                section.file.report("E307", f"{text.value!r} is an entry of this section already", text.span)
            elif text.value in resources:
                shared.entries.append(text.value)
            else:
                near = did_you_mean(text.value, resources)
                section.file.report("E305", f"no resource {text.value!r} in this build", text.span, near)
        if "when_empty" in section:
            span = section.keys["when_empty"]
            if shared.empty_at is not None:
                section.file.report("E307", f"'when_empty' is said already, in {shared.empty_at}", span)
            else:
                shared.empty, shared.empty_at = self._when_empty(section), span
        return shared

    def _when_empty(self, section: Declaration) -> tuple[Mapping[str, Any], str] | None:
        pairs = section.pairs("when_empty")
        if pairs is None:
            return None
        empty = Declaration(section.file, pairs, "when_empty", ("reason", "text"))
        if not empty.require("reason", "text"):
            return None
        element = self.literals.definitions.element("Composition.section", "emptyReason")
        assert element is not None
        reason = self.literals.of(pairs.entries["reason"], element, "CodeableConcept", "", section.file)
        return None if reason is None else (reason, empty.text("text"))

    def _field(self, name: str, label: str, type_: Type, above: tuple[str, ...]) -> Field:
        return Field(
            name, label, type_.name if not type_.options else "any", type_.many, self._record_fields(type_.name, above)
        )

    def _record_fields(self, name: str, above: tuple[str, ...]) -> tuple[Field, ...]:
        record = self.document.records.get(name)
        if record is None or name in above:
            return ()
        return tuple(self._field(f.name, f.label, f.type, (*above, name)) for f in record.fields.values() if f.label)
