"""
Sections of a document: headings in order, what their narrative shows, what stands there when nothing came (§6.4).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mhbridge.errors import Span
from mhbridge.fhir.narrative import Field
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.literals import Literals
from mhbridge.mapping.codes import Heading
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.reader import YamlFile
from mhbridge.mapping.types import Type

__all__ = ["Section", "Sections"]


@dataclass(frozen=True, slots=True)
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


class Sections:
    """Reads the `sections:` of one build file."""

    def __init__(
        self, file: YamlFile, document: DocumentType, headings: Mapping[str, Heading], literals: Literals
    ) -> None:
        self.file, self.document, self.headings, self.literals = file, document, headings, literals

    def read(self, top: Declaration, resources: Collection[str]) -> tuple[Section, ...]:
        """The sections in order. Every item with a heading stands in exactly one of them."""
        found: list[Section] = []
        seen: dict[str, Span] = {}
        for node in top.items("sections"):
            section = Declaration(self.file, node, "a section", ("heading", "entries", "when_empty"))
            if not section.require("heading"):
                continue
            heading, span = section.text("heading"), section.entries["heading"].span
            known = self.headings.get(heading)
            if known is None:
                self.file.report("E308", f"there is no heading {heading!r}", span, did_you_mean(heading, self.headings))
                continue
            if heading in seen:
                self.file.report("E308", f"the heading {heading!r} is listed already, in {seen[heading]}", span)
                continue
            seen[heading] = span
            entries = []
            for text in section.texts("entries"):
                if text.value in resources:
                    entries.append(text.value)
                else:
                    self.file.report(
                        "E305",
                        f"no resource {text.value!r} in this build",
                        text.span,
                        did_you_mean(text.value, resources),
                    )
            items = [item for item in self.document.items.values() if item.heading == heading]
            empty = self._when_empty(section)
            if empty is None and any(item.need == "mandatory" for item in items):
                self.file.report(
                    "E310",
                    f"the standard requires {heading!r}: say what stands there when nothing came",
                    span,
                    "when_empty: {reason: unavailable, text: Not recorded by the sender.}",
                )
            fields = tuple(self._field(item.name, item.label, item.type, ()) for item in items)
            found.append(
                Section(heading, known.title, known.codings(self.literals.target), fields, tuple(entries), empty)
            )
        for item in self.document.items.values():
            if item.heading and item.heading not in seen:
                where = f"stands under {item.heading!r}, which is not among the sections"
                self.file.report("E308", f"the item {item.name!r} ({item.span}) {where}", top.span)
        return tuple(found)

    def _when_empty(self, section: Declaration) -> tuple[Mapping[str, Any], str] | None:
        pairs = section.pairs("when_empty")
        if pairs is None:
            return None
        empty = Declaration(self.file, pairs, "when_empty", ("reason", "text"))
        if not empty.require("reason", "text"):
            return None
        element = self.literals.definitions.element("Composition.section", "emptyReason")
        assert element is not None
        reason = self.literals.of(pairs.entries["reason"], element, "CodeableConcept", "", self.file)
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
