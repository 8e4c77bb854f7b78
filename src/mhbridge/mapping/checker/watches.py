"""
Reads `documents/<type>/watches.yaml` into watches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mhbridge.errors import Span
from mhbridge.mapping.checker.clocks import TIMES, Documents, PackReading, items_of
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.items import Codes
from mhbridge.mapping.checker.layers import entries
from mhbridge.mapping.library import Library
from mhbridge.mapping.nodes import Expression
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.reader import Node
from mhbridge.mapping.watches import Look, WatchRule

__all__ = ["read_watches"]

_KEYS: Final = ("stays", "signals", "contacts", "within", "forgotten_after", "verified_when", "source")
_STAY: Final = ("document", "begins", "ends", "when", "untrue_when", "open", "tells")
_SIGNAL: Final = ("document", "at", "when", "untrue_when", "of", "from", "tells")
_CONTACT: Final = ("document", "at", "when", "tells")


def read_watches(library: Library, document: DocumentType, documents: Documents, codes: Codes) -> tuple[WatchRule, ...]:
    """The watches that a document type tells of, in order. What is wrong is reported, and left out."""
    found = []
    for one in entries(library, document, codes, "watches"):
        reading = _Reading(library, one.file, document, documents, codes, one.lists)
        found.append(reading.watch(one.name, one.node, one.key))
    return tuple(watch for watch in found if watch is not None)


class _Reading(PackReading):
    """Reads the watches of one file."""

    def watch(self, name: str, node: Node, key: Span) -> WatchRule | None:
        self.name(name, "a watch", key)
        what = Declaration(self.file, node, "a watch", _KEYS, at=key)
        if not what.require("stays", "signals", "within"):
            return None
        stays = self._looks(what, "stays", self._stay)
        signals = self._looks(what, "signals", self._signal)
        contacts = self._looks(what, "contacts", self._contact) if "contacts" in what else ()
        within = self._length(what, "within")
        forgotten = self._length(what, "forgotten_after") if "forgotten_after" in what else None
        if not stays or not signals or within is None:
            return None
        # Every record has the number and its status, if any has: the first type says what they are.
        first = self.documents(stays[0].document)
        verified = None if first is None else self._condition(what, "verified_when", first)
        also = items_of(verified)
        stays, signals, contacts = (
            tuple(replace(look, also=also) for look in looks) for looks in (stays, signals, contacts)
        )
        return WatchRule(name, self.document.name, stays, signals, contacts, within, forgotten, key, verified)

    def _looks(self, what: Declaration, key: str, read: Callable[[Node], Look | None]) -> tuple[Look, ...]:
        return tuple(look for node in what.items(key) if (look := read(node)) is not None)

    def _stay(self, node: Node) -> Look | None:
        of = Declaration(self.file, node, "a stay", _STAY)
        other = self._document(of) if of.require("document", "begins", "tells") else None
        if other is None:
            return None
        begins, ends = self._instant(of, "begins", other), self._instant(of, "ends", other)
        when, untrue = self._condition(of, "when", other), self._any_of(of, "untrue_when", other)
        return Look(
            other.name, other.identity, begins, ends, when=when, untrue=untrue, tells=self._tells(of, other),
            open=of.flag("open"), reads=items_of(begins) | items_of(ends) | items_of(when) | items_of(untrue),
        )  # fmt: skip

    def _signal(self, node: Node) -> Look | None:
        of = Declaration(self.file, node, "a signal", _SIGNAL)
        other = self._document(of) if of.require("document", "at", "when", "tells") else None
        if other is None:
            return None
        at, when = self._instant(of, "at", other), self._condition(of, "when", other)
        untrue = self._any_of(of, "untrue_when", other)
        return Look(
            other.name, other.identity, at=at, when=when, untrue=untrue, tells=self._tells(of, other),
            whole=of.choice("of", ("patient", "stay"), "stay") == "patient",
            others=of.choice("from", ("anyone", "others"), "anyone") == "others",
            reads=items_of(at) | items_of(when) | items_of(untrue),
        )  # fmt: skip

    def _contact(self, node: Node) -> Look | None:
        of = Declaration(self.file, node, "a contact", _CONTACT)
        other = self._document(of) if of.require("document", "at", "tells") else None
        if other is None:
            return None
        at, when = self._instant(of, "at", other), self._condition(of, "when", other)
        reads = items_of(at) | items_of(when)
        return Look(other.name, other.identity, at=at, when=when, tells=self._tells(of, other), reads=reads)

    def _document(self, of: Declaration) -> DocumentType | None:
        name = of.text("document")
        other = self.documents(name)
        if other is None:
            hint = did_you_mean(name, self.library.folders("documents"))
            self.file.report("E045", f"there is no document type {name!r}", of.entries["document"].span, hint)
        return other

    def _instant(self, of: Declaration, key: str, document: DocumentType) -> Expression | None:
        if key not in of:
            return None
        found = self._expression(of, key, document)
        # That somebody has died may be said with a date or without one.
        if found is not None and (found.type.many or TIMES.isdisjoint(found.type.names)):
            what = f"{key!r} is a date or dateTime, and this is a {found.type}"
            self.file.report("E501", what, of.entries[key].span)
            return None
        return found

    def _tells(self, of: Declaration, document: DocumentType) -> tuple[str, ...]:
        found = []
        for text in of.texts("tells"):
            item = document.items.get(text.value)
            if item is None or item.derived:
                hint = did_you_mean(text.value, document.items)
                self.file.report("E202", f"{document.name} has no item {text.value!r}", text.span, hint)
                continue
            found.append(text.value)
        return tuple(found)
