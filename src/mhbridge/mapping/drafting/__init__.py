"""
A first mapping from sample messages: what is plain is bound, the rest is listed by where it is and what it looks like.

What there is to try stands in `patterns`. A pattern is tried on the samples like any mapping, and a line stays that
found something. Nothing of what a sample says goes into the text but names of message types, columns, issuers, and the
codes that say which part of a letter a segment is. This package must never bind what is only likely.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap
from typing import Final

from mhbridge.errors import MhbridgeError
from mhbridge.formats import Format, Source
from mhbridge.mapping import marks
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.codes import Table
from mhbridge.mapping.drafting.columns import Columns, binding, names_of, plain_name
from mhbridge.mapping.drafting.outline import Branch, Entry, Leaf, leaves, prune, written
from mhbridge.mapping.drafting.patterns import first_of_each, pattern_of
from mhbridge.mapping.drafting.shapes import shape
from mhbridge.mapping.drafting.sketches import Sample, Sketch, samples_of, sections, sketch
from mhbridge.mapping.drafting.suppliers import WORD, Newcomer
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.ledger import detailed
from mhbridge.mapping.library import Library, Snapshot
from mhbridge.mapping.packs import DocumentType, Item
from mhbridge.model import LeafState, Severity

__all__ = ["Draft", "draft"]

_TABLE: Final = re.compile(r"\bcode\(([^()]*)\)")
#: Of a line of a draft.
_WIDTH: Final = 116
#: When samples are read; nothing of a draft depends on it.
_RECEIVED: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
_FOUND: Final = frozenset({marks.READ, marks.READ_IN_PART, marks.FAILED, marks.FAILED_WHOLE, marks.DELETES,
                           marks.DROPPED})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """
    A first mapping.

    Args:
        files: path below the folder of mappings → text; the mapping, and what it needs and nobody has.
        bound: the items that are bound.
        open: paths that nothing is made of yet.
        wanted: mandatory items that are not bound yet.
        samples: the messages that were looked at.
        keep: paths of which a fixture may take what samples say.
    """

    name: str
    files: Mapping[str, str]
    bound: tuple[str, ...]
    open: tuple[str, ...]
    wanted: tuple[str, ...]
    samples: tuple[Sample, ...]
    source: Source
    keep: frozenset[str]


def draft(
    snapshot: Snapshot,
    name: str,
    document: DocumentType,
    format_: Format,
    bodies: Sequence[bytes],
    title: str = "",
    proposed: Sequence[str] = (),
) -> Draft:
    """
    A first mapping of a feed.

    Args:
        snapshot: the mappings that there are.
        name: `supplier/feed`.
        bodies: the samples.
        title: the supplier's name for people.
        proposed: another `source:` that the samples may have, to be thought about by a person.

    Raises:
        MessageError: the samples cannot be read.
    """
    return _Drafting(snapshot, name, document, format_, bodies, title, proposed).done()


class _Drafting:
    def __init__(
        self,
        snapshot: Snapshot,
        name: str,
        document: DocumentType,
        format_: Format,
        bodies: Sequence[bytes],
        title: str,
        proposed: Sequence[str],
    ) -> None:
        self.proposed = proposed
        self.snapshot, self.name, self.document, self.format = snapshot, name, document, format_
        self.supplier = name.partition("/")[0]
        self.title = title or f"{self.supplier} (say its name here)"
        self.newcomer = Newcomer(snapshot, self.supplier, self.title)
        self.sketch: Sketch = sketch(format_, bodies)
        options = dict(self.sketch.options)
        formats = [format_.name]
        if self.sketch.names and format_.name in ("json", "document"):
            formats.append("csv")  # names are names, of columns, members or what an index says
        words = {"supplier": self.supplier, "title": self.title}
        self.pattern = pattern_of(snapshot, formats, document.name, words)
        self.columns = Columns(self.sketch.names, self.pattern.columns)
        if (
            self.format.name == "csv"
            and self.pattern.control_id
            and (path := self.columns.path(self.pattern.control_id))
        ):
            options["control_id"] = path[1:-1]
        self.control_id = str(options.get("control_id", ""))
        self.source = format_.declare("Europe/London", self.sketch.charset, options)
        self.samples = samples_of(format_, bodies, self.source)
        self.files: dict[str, str] = {}

    # -- trying ---------------------------------------------------------------------------------------------

    def done(self) -> Draft:
        items = self.pattern.items
        if self.sketch.names:
            self.columns.filled(items)
            first_of_each(items)
            self._by_name(items)
            prune(items, lambda _leaf: True)
        else:
            first_of_each(items)
            self._parts(items)
        items.entries = [entry for entry in items.entries if entry.key in self.document.items]
        lines = [leaf.raw for leaf in leaves(items)]
        said = ((like, text) for sample in self.samples for like, *_, text in sample.leaves)
        self.files |= self.newcomer.systems(lines, self._tables(items))
        self.files |= self.newcomer.supplier(said, self.sketch.senders)
        self._refuse_what_is_wrong(items)
        if not self.sketch.names:  # the name of an empty column is as plain as that of a full one
            self._drop_what_found_nothing(items)
        self._fitting_tables(items)
        text = self._text(items, self._left(items))
        relative = f"suppliers/{self.name}.yaml"
        self.files = {**self._needed(items), relative: text}
        mapping = self._catalogue({relative: text}).mapping(self.name)
        wanted = tuple(one for one in mapping.file.mandatory if all(one != bound.name for bound in mapping.file.items))
        return Draft(
            self.name, self.files, tuple(entry.key for entry in items.entries), tuple(self._open), wanted,
            tuple(self.samples), self.source, frozenset(self.pattern.keep),
        )  # fmt: skip

    def _by_name(self, items: Branch) -> None:
        """Items whose name or label is the name of a column, where the pattern has nothing for them."""
        bound = {entry.key for entry in items.entries if not all(leaf.refused for leaf in leaves(entry.node))}
        items.entries = [entry for entry in items.entries if entry.key in bound]
        for item in self.document.items.values():
            path = "" if item.derived or item.name in bound else self.columns.of_item(item)
            if path and path not in self.columns.used and (made := binding(item, path)) is not None:
                items.entries.append(Entry(item.name, made))

    def _parts(self, items: Branch) -> None:
        """Parts of a letter whose title is the label of an item that is a text."""
        bound = {entry.key for entry in items.entries}
        labels = {plain_name(known): item for item in self.document.items.values() for known in names_of(item)}
        for rule in self.pattern.told_apart:
            for code, titles in self._kinds(rule).items():
                for title in (*titles, code):
                    item = labels.get(plain_name(title))
                    if item is not None and item.name not in bound and item.type.name == "text" and not item.derived:
                        path = f'{rule["segment"]}[{rule["by"]}="{code}"]-{rule["value"]}'
                        through = "" if item.type.many else f" | {rule['through']}"
                        items.entries.append(Entry(item.name, Leaf(f"= {path}{through}")))
                        bound.add(item.name)
                        break

    def _kinds(self, rule: Mapping[str, str]) -> dict[str, list[str]]:
        """The codes that say which part a segment is → its titles; only what looks like a code."""
        by, title = f"{rule['segment']}-{rule['by']}", f"{rule['segment']}-{rule['title']}"
        found: dict[str, dict[str, None]] = {}
        for sample in self.samples:
            here: dict[str, dict[str, str]] = {}
            for like, exact, _, _, text in sample.leaves:
                if _same(like, by) or _same(like, title):
                    here.setdefault(exact.partition("-")[0], {})["by" if _same(like, by) else "title"] = text
            for one in here.values():
                if WORD.fullmatch(one.get("by", "")):
                    found.setdefault(one["by"], {})[one.get("title", "")] = None
        return {code: list(titles) for code, titles in found.items()}

    def _catalogue(self, files: Mapping[str, str]) -> Catalogue:
        """What there is with these files laid over it."""
        more = {path: (path, text.encode()) for path, text in {**self.files, **files}.items()}
        # The compiler notes a word that several conditions ask for once; its twin notes each.
        return Catalogue(Library(Snapshot({**self.snapshot.files, **more})), engine=Interpreter)

    def _refuse_what_is_wrong(self, items: Branch) -> None:
        """Lines that this document type or version has no place for, until nothing is wrong any more."""
        relative = f"suppliers/{self.name}.yaml"
        for _ in range(20):
            lines = self._lines(items, with_ignored=False)
            text = "\n".join(line for line, _ in lines) + "\n"
            catalogue = self._catalogue({**self._needed(items), relative: text})
            with contextlib.suppress(MhbridgeError):
                catalogue.mapping(self.name)
            found = [d for d in catalogue.diagnostics() if d.severity is Severity.ERROR]
            if not found:
                return
            hit = False
            for diagnostic in found:
                leaf = lines[diagnostic.span.line - 1][1] if diagnostic.span.file == relative else None
                if leaf is not None and not leaf.refused:
                    leaf.refused = hit = True
            if not hit:
                raise MhbridgeError(found[0].code, found[0].render())
            prune(items, lambda _leaf: True)

    def _drop_what_found_nothing(self, items: Branch) -> None:
        relative = f"suppliers/{self.name}.yaml"
        lines = self._lines(items, with_ignored=False)
        text = "\n".join(line for line, _ in lines) + "\n"
        mapping = self._catalogue({**self._needed(items), relative: text}).mapping(self.name)
        alive: set[int] = set()
        for sample in self.samples:
            _, (_, trace) = mapping.read_traced(sample.message, _RECEIVED)
            found = (mark for mark, kind, _, _ in trace if kind > marks.PLAIN or kind in _FOUND)
            alive |= {int(mark.rule.rsplit(":", 2)[1]) for mark in found if mark.rule}
        at = {id(leaf) for number, (_, leaf) in enumerate(lines, 1) if leaf is not None and number in alive}
        prune(items, lambda leaf: id(leaf) in at)

    def _fitting_tables(self, items: Branch) -> None:
        """Where a pattern has several tables for one list, `gender` and `gender~2`, the one that knows most codes."""
        for name in self._tables(items):
            several = [raw for key, raw in self.pattern.tables.items() if key.partition("~")[0] == name]
            if len(several) > 1:
                self.pattern.tables[name] = min(several, key=lambda raw: self._not_known(items, name, raw))

    def _not_known(self, items: Branch, name: str, raw: str) -> int:
        """How many codes of the samples a table does not have."""
        self.pattern.tables[name] = raw
        relative = f"suppliers/{self.name}.yaml"
        text = "\n".join(line for line, _ in self._lines(items, with_ignored=False)) + "\n"
        mapping = self._catalogue({**self._needed(items), relative: text}).mapping(self.name)
        missed: list[Table] = []
        for sample in self.samples:
            mapping.read_traced(sample.message, _RECEIVED, lambda table, _codings, _words: missed.append(table))
        return sum(table.name == name for table in missed)

    # -- writing --------------------------------------------------------------------------------------------

    def _head(self) -> list[str]:
        source: list[str] = []
        for key, value, comment in self.sketch.source:
            line = f"  {key}: {value}{'  # ' + comment if comment else ''}"
            if len(line) > _WIDTH and comment:
                source.append(f"  # {comment}")
                line = f"  {key}: {value}"
            source += wrap(line, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        if self.control_id:
            source.append(f"  control_id: {self.control_id}")
        return [
            f"mapping: {self.name}",
            f"document: {self.document.name}",
            *(f"{key}: {value}" for key, value in self.pattern.flags.items()),
            "draft: true  # what is missing is only warned of, and no live gateway takes it; in the end take this out",
            "source:",
            f"  format: {self.format.name}",
            *source,
        ]

    def _lines(self, items: Branch, *, with_ignored: bool = True) -> list[tuple[str, Leaf | None]]:
        lines: list[tuple[str, Leaf | None]] = [(line, None) for line in self._head()]
        if tables := self._tables(items):
            lines.append(("tables:", None))
            lines += [(f"  {name}: {raw}", None) for name, raw in tables.items()]
        lines.append(("items:" if items.entries else "items: {}", None))
        lines += written(items, "  ")
        ignored = self._ignored(items) if with_ignored else {}
        if ignored:
            lines.append(("ignore:", None))
            lines += [(f"  {path}: {reason}", None) for path, reason in ignored.items()]
        return lines

    def _tables(self, items: Branch) -> dict[str, str]:
        used = {
            argument.strip()
            for leaf in leaves(items)
            for arguments in _TABLE.findall(leaf.raw)
            for argument in arguments.split(",")
        }
        return {name: raw for name, raw in self.pattern.tables.items() if name in used}

    def _ignored(self, items: Branch) -> dict[str, str]:
        paths = {like for sample in self.samples for like, *_ in sample.leaves}
        bound = {word for leaf in leaves(items) for word in re.findall(r"[A-Z0-9]{3}-\d+", leaf.raw)}
        return {
            path: reason
            for path, reason in self.pattern.ignore.items()
            if path not in bound and any(one == path or one.startswith((f"{path}.", f"{path}-")) for one in paths)
        }

    def _needed(self, items: Branch) -> dict[str, str]:
        """Files that the mapping needs and nobody has: tables without a row, code systems, the supplier."""
        found = {path: text for path, text in self.files.items() if not path.endswith(f"{self.name}.yaml")}
        return found | self.newcomer.empty_tables(self._tables(items))

    def _left(self, items: Branch) -> dict[str, tuple[int, list[str]]]:
        """What no line mentions: path → in how many samples, and what it looks like."""
        relative = f"suppliers/{self.name}.yaml"
        text = "\n".join(line for line, _ in self._lines(items)) + "\n"
        mapping = self._catalogue({**self._needed(items), relative: text}).mapping(self.name)
        found: dict[str, tuple[int, list[str]]] = {}
        for sample in self.samples:
            taken = [mapping.read_traced(sample.message, _RECEIVED)[1]]
            looks = {exact: shape(text) for _, exact, _, _, text in sample.leaves}
            seen: set[str] = set()
            for leaf in detailed(sample.message, taken):
                if leaf.state is LeafState.UNMAPPED:
                    count, shapes = found.setdefault(leaf.like, (0, []))
                    if looks.get(leaf.path, "") not in shapes:
                        shapes.append(looks.get(leaf.path, ""))
                    found[leaf.like] = (count + (leaf.like not in seen), shapes)
                    seen.add(leaf.like)
        self._open = list(found)
        return found

    def _text(self, items: Branch, left: Mapping[str, tuple[int, list[str]]]) -> str:
        lines = [
            f"# {self.name}: a first mapping, begun by `mhbridge new` from {len(self.samples)} messages. Of what they",
            "# say it holds names of columns, message types, issuers and parts, and never a value.",
        ]
        schema = f"schema/{self.document.name}.schema.json"
        lines.insert(0, f"# yaml-language-server: $schema=../../{schema}")
        body = self._lines(items)
        cut = next((number for number, (line, _) in enumerate(body) if line == "ignore:"), len(body))
        if self.proposed:
            at = next(number for number, (line, _) in enumerate(body) if line.startswith(("tables:", "items:")))
            lines += [line for line, _ in body[:at]]
            lines.append(
                "# The samples are several tables, and what stands below is made of the first alone. As one set their"
            )
            lines.append("# source may be this; a path is then [Table.Column] (mappings/REFERENCE.md, Several tables).")
            lines += [f"#   {line}" for line in self.proposed]
            lines += [line for line, _ in body[at:cut]]
        else:
            lines += [line for line, _ in body[:cut]]
        lines += self._wanted(items)
        lines += self._unbound_kinds(items)
        if left:
            lines += [
                "",
                "  # --- what the samples have and no line mentions: bind it above, or say below under `ignore:` why",
                "  # it has no place. A is a capital, a a small letter, 9 a digit.",
            ]
            width = min(32, max(len(path) for path in left))
            for path, (count, shapes) in left.items():
                looks = "  ".join(shapes[:3])
                lines.append(f"  #   {path:<{width}}  in {count} of {len(self.samples)}  {looks}".rstrip())
        lines += [line for line, _ in body[cut:]]
        return "\n".join(lines) + "\n"

    def _wanted(self, items: Branch) -> list[str]:
        given = {entry.key for entry in items.entries}
        lines: list[str] = []
        for need, words in (("mandatory", "must be bound"), ("required", "are wanted if they are known")):
            wanted = [
                one
                for one in self.document.items.values()
                if one.need == need and not one.derived and one.name not in given
            ]
            if wanted and not (need == "mandatory" and "partial" in self.pattern.flags):
                lines += ["", f"  # --- items that {words}; `type` decides what they can be made of"]
                lines += [_described(item) for item in wanted]
        return lines

    def _unbound_kinds(self, items: Branch) -> list[str]:
        bound = "\n".join(leaf.raw for leaf in leaves(items))
        lines: list[str] = []
        for rule in self.pattern.told_apart:
            open_ = [code for code in self._kinds(rule) if f'="{code}"' not in bound]
            if open_:
                lines += ["", f"  # --- parts in {rule['segment']} that no item has yet"]
                through = f" | {rule['through']}"
                lines += [
                    f'  #   = {rule["segment"]}[{rule["by"]}="{code}"]-{rule["value"]}{through}' for code in open_
                ]
        if self.source.options.get("dialect") == "cda":
            found = Counter(way for sample in self.samples for way in sections(self.format.cursor(sample.message)))
            # What only one of several says may be about its patient.
            usual = [tests for tests, count in found.items() if count > 1 or len(self.samples) == 1]
            ways = [tests[0] for tests in usual if not any(f"//section[{test}]" in bound for test in tests)]
            if ways:
                lines += ["", "  # --- sections that no item has yet; a text takes one as lines"]
                lines += [f"  #   = //section[{way}]" for way in ways]
        return lines


def _described(item: Item) -> str:
    about = item.help or item.label
    return f"  #   {item.name} ({item.type}): {about}"


def _same(like: str, wanted: str) -> bool:
    """`OBX-3` is `OBX-3.1` where nothing else is in it."""
    return like == wanted or (wanted.endswith(".1") and like == wanted[:-2])
