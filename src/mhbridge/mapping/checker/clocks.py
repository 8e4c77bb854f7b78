"""
Reads `documents/<type>/clocks.yaml`, and that of the parts it names, into clocks (mapping language §9).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mhbridge.errors import Span
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.environment import ANY, Environment, is_text
from mhbridge.mapping.checker.expressions import Resolver
from mhbridge.mapping.checker.items import Codes
from mhbridge.mapping.checker.layers import entries
from mhbridge.mapping.checker.lists import Lists
from mhbridge.mapping.checker.structure import loop_over
from mhbridge.mapping.clocks import LEVELS, ClockRule, EachRule, Length, MetBy, Rung, Word, length_of
from mhbridge.mapping.expression import parse
from mhbridge.mapping.library import Library
from mhbridge.mapping.nodes import AliasOf, AnyOf, Condition, Expression, ItemOf, reads
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.reader import Items, Node, Pairs, Text, YamlFile

__all__ = ["TIMES", "Documents", "PackReading", "items_of", "read_clocks"]

_KEYS: Final = (
    "starts", "noticed_when", "from", "within", "per", "met_by", "excluded_when", "excluded_by", "ladder", "source",
)  # fmt: skip
#: Of a clock that each entry of a list has.
_EACH: Final = (
    "each", "called", "due", "done_when", "done_at", "excluded_when", "excluded_by", "ladder", "source",
)  # fmt: skip
#: What another document of the patient says of a clock.
_WORD: Final = ("document", "by", "when", "at")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
TIMES: Final = frozenset({"date", "dateTime", "instant"})
_SEVERITIES: Final = ("normal", "high", "critical")

Documents = Callable[[str], DocumentType | None]


def read_clocks(library: Library, document: DocumentType, documents: Documents, codes: Codes) -> tuple[ClockRule, ...]:
    """The clocks of a document type and its parts, in order. What is wrong is reported, and left out."""
    found = []
    for one in entries(library, document, codes, "clocks"):
        reading = _Reading(library, one.file, document, documents, codes, one.lists)
        found.append(reading.clock(one.name, one.node, one.key))
    return tuple(clock for clock in found if clock is not None)


class PackReading:
    """Reads what a file says over the items of document types."""

    def __init__(
        self,
        library: Library,
        file: YamlFile,
        document: DocumentType,
        documents: Documents,
        codes: Codes,
        lists: Lists,
    ) -> None:
        self.library = library
        self.file = file
        self.document = document
        self.documents = documents
        self.codes = codes
        self.lists = lists

    def name(self, name: str, of: str, key: Span) -> None:
        """A name is one that can be written everywhere."""
        if not _NAME.fullmatch(name):
            self.file.report("E509", f"{name!r} cannot be the name of {of}", key, "lower-case letters, digits, -")

    def _environment(self, document: DocumentType) -> Environment:
        lists = Lists(document.lists, document.code_lists) | self.lists
        return Environment(
            self.file, self.codes.systems, document=document, lists=lists.members, code_lists=lists.files, message=False
        )  # fmt: skip

    def _expression(self, what: Declaration, key: str, document: DocumentType) -> Expression | None:
        node = what.entries[key]
        if not isinstance(node, Text):
            self.file.report("E042", f"{key!r} is one expression", node.span)
            return None
        tree = parse(self.file, node, None, condition=True)
        return None if tree is None else Resolver(self._environment(document)).expression(tree, ANY)

    def _condition(self, what: Declaration, key: str, document: DocumentType) -> Condition | None:
        node = what.node(key)
        return None if node is None else Resolver(self._environment(document)).test(node)

    def _any_of(
        self, what: Declaration, key: str, document: DocumentType, env: Environment | None = None
    ) -> Condition | None:
        """One condition, or a list of which one is enough."""
        node = what.node(key)
        resolver = Resolver(self._environment(document) if env is None else env)
        if not isinstance(node, Items):
            return None if node is None else resolver.test(node)
        terms = tuple(term for entry in node.entries if (term := resolver.test(entry)) is not None)
        return AnyOf(node.span, terms) if terms else None

    def _length(self, what: Declaration, key: str) -> Length | None:
        found = length_of(what.text(key))
        if found is None and isinstance(what.entries[key], Text):
            hint = "PT24H: 24 hours go by; P3D: to the end of the third day after"
            self.file.report("E505", f"{key!r} is a length of time", what.entries[key].span, hint)
        return found


class _Reading(PackReading):
    """Reads the clocks of one file."""

    def clock(self, name: str, node: Node, key: Span) -> ClockRule | None:
        self.name(name, "a clock", key)
        if isinstance(node, Pairs) and "each" in node.entries:
            return self._clock_of_each(name, node, key)
        what = Declaration(self.file, node, "a clock", _KEYS, at=key)
        if not what.require("starts", "within", "met_by", "ladder"):
            return None
        others = self._sources(what)
        seen = self._vocabulary(what, others)
        starts = self._expression(what, "starts", seen)
        noticed, excluded = self._condition(what, "noticed_when", seen), self._any_of(what, "excluded_when", seen)
        within, met_by = self._length(what, "within"), self._met_by(what)
        ladder = self._ladder(what, within)
        if starts is not None and not (TIMES.issuperset(starts.type.names) and not starts.type.many):
            self.file.report(
                "E501",
                f"a clock starts at a date or dateTime, and this is a {starts.type}",
                what.entries["starts"].span,
                did_you_mean("at", [n for n, item in seen.items.items() if item.type.name in TIMES], least=0.2),
            )
            starts = None
        if starts is None or within is None or met_by is None or not ladder:
            return None
        return ClockRule(
            name=name,
            document=self.document.name,
            sources=(*(other.name for other in others), self.document.name),
            identity=self.document.identity,
            starts=starts,
            noticed_when=noticed,
            excluded_when=excluded,
            within=within,
            met_by=met_by,
            ladder=ladder,
            begins=items_of(starts) | items_of(noticed),
            reads=items_of(starts) | items_of(noticed) | items_of(excluded),
            span=key,
        )

    def _clock_of_each(self, name: str, node: Node, key: Span) -> ClockRule | None:
        what = Declaration(self.file, node, "a clock of each entry", _EACH, at=key)
        if not what.require("each", "called", "due", "done_when", "ladder"):
            return None
        seen = self._vocabulary(what, [])
        env = self._environment(seen)
        loop = loop_over(env, what.entries["each"])
        if loop is None:
            return None
        over, alias, element = loop
        within = env.with_alias(alias, element)
        called, due = self._said(what, "called", within), self._said(what, "due", within)
        done_when = Resolver(within).test(what.entries["done_when"])
        done_at = self._said(what, "done_at", within) if "done_at" in what else None
        excluded = self._any_of(what, "excluded_when", seen, within)
        ladder = self._ladder(what, None)
        for of, tree in (("called", called), ("due", due), ("done_when", done_when), ("done_at", done_at)):
            if tree is not None and not any(isinstance(read, AliasOf) for read in reads(tree)):
                text = f"{of!r} is about an entry, and this says the same of all of them"
                self.file.report("E521", text, what.entries[of].span, f"it begins with `{alias}.`")
        if called is not None and (called.type.many or not is_text(called.type)):
            self.file.report("E521", f"an entry is known by a text, and this is a {called.type}", called.span)
            called = None
        for of, tree in (("due", due), ("done_at", done_at)):
            if tree is not None and not (TIMES.issuperset(tree.type.names) and not tree.type.many):
                text = f"{of!r} is a date or dateTime, and this is a {tree.type}"
                self.file.report("E501", text, what.entries[of].span)
                due = None
        words = self._words(what, "excluded_by", excludes=True)
        if called is None or due is None or done_when is None or not ladder:
            return None
        trees = (over, called, due, done_when, done_at, excluded)
        return ClockRule(
            name=name,
            document=self.document.name,
            sources=(self.document.name,),
            identity=self.document.identity,
            starts=None,
            noticed_when=None,
            excluded_when=excluded,
            within=None,
            met_by=MetBy(words=words),
            ladder=ladder,
            begins=items_of(over),
            reads=frozenset().union(*map(items_of, trees)),
            span=key,
            each=EachRule(over, alias, called, due, done_when, done_at),
        )

    def _said(self, what: Declaration, key: str, env: Environment) -> Expression | None:
        """What an entry says."""
        node = what.entries[key]
        if not isinstance(node, Text):
            self.file.report("E042", f"{key!r} is one expression", node.span)
            return None
        tree = parse(self.file, node, None, condition=True)
        return None if tree is None else Resolver(env).expression(tree, ANY)

    # -- what it may read -----------------------------------------------------------------------------------

    def _sources(self, what: Declaration) -> list[DocumentType]:
        """The other document types whose messages start it, too."""
        found = []
        for text in what.texts("from"):
            other = self.documents(text.value)
            if other is None:
                hint = did_you_mean(text.value, self.library.folders("documents"))
                self.file.report("E045", f"there is no document type {text.value!r}", text.span, hint)
                continue
            own = [name for name in self.document.identity if name in self.document.items]
            missing = [name for name in own if name not in other.items]
            if missing:
                self.file.report(
                    "E502",
                    f"nothing in {text.value} says which stay it is of: it has no item {missing[0]!r}",
                    text.span,
                    f"the identity of {self.document.name} is {', '.join(self.document.identity)}",
                )
            found.append(other)
        return found

    def _vocabulary(self, what: Declaration, others: Sequence[DocumentType]) -> DocumentType:
        """The items of all types that start it. Derived ones are not among them: they belong to one type."""
        items = {name: item for name, item in self.document.items.items() if not item.derived}
        records, members, files = dict(self.document.records), dict(self.document.lists), dict(self.document.code_lists)
        for other in others:
            for name, item in other.items.items():
                if item.derived:
                    continue
                if name in items and items[name].type != item.type:
                    types = f"{items[name].type} in {self.document.name} and {item.type} in {other.name}"
                    self.file.report("E504", f"the item {name!r} is a {types}", what.entries["from"].span)
                items.setdefault(name, item)
            records = {**other.records, **records}
            members, files = {**other.lists, **members}, {**other.code_lists, **files}
        lists = Lists(members, files) | self.lists
        return replace(
            self.document, items=items, records=records, lists=lists.members, code_lists=lists.files, derived=()
        )

    # -- what it asks ---------------------------------------------------------------------------------------

    def _met_by(self, what: Declaration) -> MetBy | None:
        excludes = self._words(what, "excluded_by", excludes=True)
        if isinstance(what.node("met_by"), Items):
            if "per" in what:
                self.file.report("E508", "another document meets it once, not per recipient", what.keys["per"])
            words = self._words(what, "met_by")
            return MetBy(words=(*words, *excludes)) if words else None
        pairs = what.pairs("met_by")
        if pairs is None:
            return None
        met = Declaration(self.file, pairs, "'met_by'", ("delivered", *_WORD))
        per = what.choice("per", ("recipient",), "recipient") if "per" in what else ""
        if ("delivered" in met) == ("document" in met):
            self.file.report("E508", "a clock is met by what is delivered, or by another document", pairs.span)
            return None
        if "delivered" in met:
            if not per:
                hint = "per: recipient"
                self.file.report("E508", "what is delivered is delivered to each recipient", pairs.span, hint)
            if "excluded_by" in what:
                self.file.report(
                    "E508", "another document ends only what another document meets", what.keys["excluded_by"]
                )
            return MetBy(needs=LEVELS[met.choice("delivered", LEVELS, "accepted")])
        if per:
            self.file.report("E508", "another document meets it once, not per recipient", what.keys["per"])
        word = self._word(met)
        return None if word is None else MetBy(words=(word, *excludes))

    def _words(self, what: Declaration, key: str, *, excludes: bool = False) -> tuple[Word, ...]:
        """What other documents of the patient say of it: one, or a list of which one is enough."""
        node = what.node(key)
        if node is None:
            return ()
        found = [
            self._word(Declaration(self.file, one, f"{key!r}", _WORD), excludes=excludes)
            for one in (node.entries if isinstance(node, Items) else (node,))
        ]
        return tuple(word for word in found if word is not None)

    def _word(self, met: Declaration, *, excludes: bool = False) -> Word | None:
        if not met.require("by", "when", "at"):
            return None
        name = met.text("document")
        other = self.documents(name)
        if other is None:
            hint = did_you_mean(name, self.library.folders("documents"))
            self.file.report("E045", f"there is no document type {name!r}", met.entries["document"].span, hint)
            return None
        met.choice("by", ("patient_key",), "patient_key")
        when, at = self._condition(met, "when", other), self._expression(met, "at", other)
        if at is not None and not (TIMES.issuperset(at.type.names) and not at.type.many):
            what = f"it is met at a date or dateTime, and this is a {at.type}"
            self.file.report("E501", what, met.entries["at"].span)
            return None
        return None if when is None or at is None else Word(name, when, at, excludes)

    def _ladder(self, what: Declaration, within: Length | None) -> tuple[Rung, ...]:
        """The steps: before it is due and then; of a clock of each entry, when that is due and after."""
        each = "each" in what
        found: list[Rung] = []
        last: tuple[str, int] = ("", 0)
        nodes = what.items("ladder")
        for number, node in enumerate(nodes, 1):
            rung = Declaration(self.file, node, "a step", ("at", "tell", "severity"))
            if not isinstance(node, Pairs) or not rung.require("at", "tell"):
                continue
            queue, when = rung.text("tell"), rung.text("at")
            if not _NAME.fullmatch(queue):
                hint = "lower-case letters, digits, -"
                self.file.report("E509", f"{queue!r} cannot be the name of a queue", rung.entries["tell"].span, hint)
            at = None if when == "due" else self._length(rung, "at")
            if at is not None:
                unit, most = at.about
                if each and number == 1:
                    self.file.report(
                        "E506", "the first step is at 'due', and others come after", rung.entries["at"].span
                    )
                elif within is not None and (within.about[0] != unit or most >= within.about[1]):
                    limit = f"a step stands before {what.text('within')}, in the same unit, or is at 'due'"
                    self.file.report("E506", limit, rung.entries["at"].span)
                elif last[0] and most <= last[1]:
                    self.file.report("E506", "a step comes after the one above it", rung.entries["at"].span)
                last = at.about
            if when == "due" and each and number > 1:
                self.file.report("E506", "the step at 'due' is the first one", rung.entries["at"].span)
            if when == "due" and not each and number != len(nodes):
                self.file.report("E506", "the step at 'due' is the last one", rung.entries["at"].span)
            severity = rung.choice("severity", _SEVERITIES, "normal")
            found.append(Rung(at, queue, severity))  # type: ignore[arg-type]  # choice gives one of them
        if nodes and all(rung.at is not None for rung in found):
            hint = "- {at: due, tell: …, severity: critical}"
            self.file.report("E507", "nobody is told when it is due", what.entries["ladder"].span, hint)
        return tuple(found)


def items_of(tree: Expression | Condition | None) -> frozenset[str]:
    """The items that an expression or a condition reads."""
    return frozenset(read.name for read in reads(tree) if isinstance(read, ItemOf)) if tree is not None else frozenset()
