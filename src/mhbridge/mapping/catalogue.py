"""
All mappings there are: suppliers, their feeds, document types, compiled on demand and kept.

Mapping files become immutable values keyed by content hash. A mapping with errors never runs: asking for it raises
`MappingError` with every diagnostic at once. `check` asks for all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from mhbridge.errors import Diagnostic, MalformedMessage, MappingError, MessageError, Span
from mhbridge.formats import Format, Message, Source, sniff
from mhbridge.mapping.assembly import Made
from mhbridge.mapping.checker.bindings import MappingFile, header, read_bindings
from mhbridge.mapping.checker.builds import BuildFile, read_build
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.packs import Codes, read_pack
from mhbridge.mapping.code_files import load_headings, load_systems, load_table
from mhbridge.mapping.codes import CodeSystems, Heading, Table
from mhbridge.mapping.compiler import Compiler
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.library import Library, default_roots
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.reader import Node, Pairs, Text, YamlFile
from mhbridge.mapping.run import Run, uri_table
from mhbridge.mapping.translation import ReadyBuild, Translation, identity_text, seed_of
from mhbridge.model import ABSENT, DELETED, MASKED, Act, Issue, Key, MessageFacts, Reading, Severity, State

__all__ = ["Catalogue", "SupplierMapping", "Supplier", "load"]

_SUPPLIER_KEYS = ("supplier", "title", "timezone", "charset", "identifiers", "ods", "senders")
#: Sensitivities that forbid automatic routing: HL7 v3 Confidentiality R and V, PDS `R` and `V`, and the word itself.
RESTRICTED = frozenset({"R", "V", "restricted", "very-restricted"})

_ACTS = frozenset(act.value for act in Act)


@dataclass(frozen=True, slots=True)
class Supplier:
    """
    A supplier: what all its feeds share.

    Args:
        identifiers: assigning authority → system name or URI.
        senders: `MSH-3|MSH-4` of its systems, to recognise a message by; empty: not told apart.
    """

    name: str
    title: str
    timezone: str = "Europe/London"
    charset: str = ""
    identifiers: Mapping[str, str] = field(default_factory=dict)
    senders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SupplierMapping:
    """
    A supplier mapping, compiled. `read` and `build` are pure: the same message gives the same result.

    Args:
        hash: content hash of every file that it consists of.
    """

    name: str
    supplier: Supplier
    document: DocumentType
    format: Format
    source: Source
    file: MappingFile
    hash: str
    systems: CodeSystems
    bind: Callable[[Any, Run], dict[str, Any]]
    derive: Callable[[dict[str, Any], Run], None]
    builds: Mapping[str, ReadyBuild]

    def run(self, facts: MessageFacts, received_at: datetime, target: str = "r4") -> Run:
        """A fresh run for one message."""
        zone, systems, supplier = ZoneInfo(self.source.timezone), self.systems, self.supplier

        def context(note: Callable[[str, str], None]) -> Context:
            return Context(
                timezone=zone,
                authorities=supplier.identifiers,
                systems=systems,
                dates=str(self.source.options.get("dates", "")),
                supplier=supplier.name,
                note=note,
            )

        instant = received_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Run(facts, supplier=supplier.name, received_at=instant, context=context, uris=_uris(systems, target))

    def read(self, message: Message, received_at: datetime) -> Reading:
        """What the message says: its items, bound; a reason to park it, if there is one."""
        run = self.run(message.facts, received_at)
        items = self.bind(self.format.cursor(message), run)
        parked = run.parked
        if not self.file.partial:
            missing = self._missing(items, run)
            parked = parked or missing
        restricted = items.get("sensitivity") in RESTRICTED
        if restricted:
            self._withhold(items)
        episode = "|".join(filter(None, (identity_text(items.get(name)) for name in self.document.identity)))
        if not episode and not parked:
            parked = "M720"
            run.issues.append(
                Issue("M720", Severity.ERROR, "nothing in the message says which stay it belongs to", rule=self.name)
            )
        act = items.get("act", "new")
        effective = items.get("effective_at", "")
        return Reading(
            facts=message.facts,
            supplier=self.supplier.name,
            mapping=self.name,
            mapping_hash=self.hash,
            document=self.document.name,
            items=items,
            issues=tuple(run.issues),
            parked=parked,
            act=Act(act) if act in _ACTS else Act.NEW,
            patient=_key(items.get("patient_key")),
            merged_from=_key(items.get("merged_from")),
            episode=episode,
            effective_at="" if isinstance(effective, State) else effective,
            authors=self.file.authors,
            restricted=restricted,
        )

    def _missing(self, items: Mapping[str, Any], run: Run) -> str:
        """Note the mandatory items that the sender did not give; the code when one of them parks the message."""
        parked = ""
        for name in self.file.mandatory:
            if items.get(name, ABSENT) in (ABSENT, DELETED):
                item = self.document.items[name]
                run.item, run.rule = name, str(item.span)
                run.note("I611", f"the sender did not give the mandatory item {name}")
                parked = "I611" if item.on_bad == "park" else parked
        return parked

    def _withhold(self, items: dict[str, Any]) -> None:
        """Contact details, next of kin and GP of a restricted patient never leave (design §12)."""
        for item in self.document.items.values():
            if item.withhold and item.name in items:
                items[item.name] = MASKED

    def build(
        self, reading: Reading, items: Mapping[str, Any], received_at: datetime, target: str = "r4"
    ) -> Translation:
        """
        The document that `items` (of this reading, or folded with what is known) make in a target.

        Raises:
            KeyError: the document type has no build for the target.
        """
        ready = self.builds[target]
        run = self.run(reading.facts, received_at, target)
        complete = dict(items)
        self.derive(complete, run)
        seed = seed_of(self.supplier.name, self.document.name, self.document.identity, complete)
        resource, identifier = ready.run(complete, run, seed)
        return Translation(
            self.name, self.document.name, target, ready.kind, resource, identifier, (*reading.issues, *run.issues)
        )

    def derived(self, reading: Reading, items: Mapping[str, Any], received_at: datetime) -> dict[str, Any]:
        """The items with the derived ones: what routing conditions read."""
        complete = dict(items)
        self.derive(complete, self.run(reading.facts, received_at))
        return complete


def _key(value: Any) -> Key | None:
    """A patient key: the Identifier's system and value."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, Mapping) and value.get("value"):
        return Key(str(value.get("system", "")), str(value["value"]))
    return None


_URI_TABLES: dict[tuple[int, str], dict[str, str]] = {}


def _uris(systems: CodeSystems, target: str) -> Mapping[str, str]:
    key = (id(systems), target)
    if key not in _URI_TABLES:
        _URI_TABLES[key] = uri_table(systems, target)
    return _URI_TABLES[key]


class Catalogue:
    """
    Args:
        library: where the files are.
        engine: makes functions of resolved trees; the interpreter only in tests.
    """

    def __init__(self, library: Library, *, engine: type[Compiler] | type[Interpreter] = Compiler) -> None:
        self.library = library
        self._compiler: Any = Compiler(self._line) if engine is Compiler else Interpreter()
        self._diagnostics: list[Diagnostic] = []
        self._codes: dict[str, Codes] = {}
        self._suppliers: dict[str, Supplier | None] = {}
        self._documents: dict[str, DocumentType | None] = {}
        self._headers: dict[str, tuple[str, Format, Source] | None] = {}
        self._mappings: dict[str, SupplierMapping | None] = {}
        self._builds: dict[tuple[str, str, str], BuildFile | None] = {}
        self._tables: dict[str, Table | None] = {}

    # -- asking ---------------------------------------------------------------------------------------------

    def suppliers(self) -> list[str]:
        """Names of all suppliers."""
        return self.library.folders("suppliers")

    def feeds(self, supplier: str) -> list[str]:
        """Names (`supplier/feed`) of a supplier's mappings."""
        names = self.library.names(f"suppliers/{supplier}", ".yaml")
        return [f"{supplier}/{name}" for name in names if name != "supplier"]

    def names(self) -> list[str]:
        """Names of all mappings."""
        return [name for supplier in self.suppliers() for name in self.feeds(supplier)]

    def header(self, name: str) -> tuple[str, Format, Source] | None:
        """Document type, format and source of a mapping: all that dispatch needs. Cheap: nothing is compiled."""
        if name not in self._headers:
            supplier_name, _, feed = name.partition("/")
            supplier, tree = self.supplier(supplier_name), self.library.tree(f"suppliers/{name}.yaml")
            self._headers[name] = (
                None
                if supplier is None or tree is None
                else header(tree, supplier_name, feed, supplier.timezone, supplier.charset)
            )
        return self._headers[name]

    def mapping(self, name: str) -> SupplierMapping:
        """
        A compiled mapping.

        Raises:
            KeyError: there is no such mapping.
            MappingError: it, or something it needs, has errors.
        """
        if name not in self._mappings:
            if self.library.find(f"suppliers/{name}.yaml") is None:
                raise KeyError(name)
            self._mappings[name] = self._load(name)
        loaded = self._mappings[name]
        errors = [d for d in self._concerning(name) if d.severity is Severity.ERROR]
        if loaded is None or errors:
            raise MappingError(errors or self.diagnostics())
        return loaded

    def check(self) -> list[Diagnostic]:
        """Every diagnostic of every mapping, document type and table, in the order of files and lines."""
        for name in self.names():
            if name not in self._mappings:
                self._mappings[name] = self._load(name)
        for document in self.library.folders("documents"):
            pack = self.document(document)
            for target in self.library.names(f"documents/{document}", ".yaml"):
                if target in ("r4", "stu3") and pack is not None:
                    self._build(pack, target, "")
        return self.diagnostics()

    def diagnostics(self) -> list[Diagnostic]:
        """What was found so far, each once, by place."""
        return sorted(set(self.library.diagnostics()) | set(self._diagnostics), key=lambda d: (d.span, d.code))

    def condition(
        self, text: str, document: str, *, where: str = "configuration"
    ) -> Callable[[Mapping[str, Any]], bool]:
        """
        An expression over items as a function, for routes (`when = "= not sensitive"`).

        Raises:
            MappingError: it is not a condition over the items of the document type.
        """
        from mhbridge.mapping.checker.expressions import Environment, Resolver
        from mhbridge.mapping.reader import read

        body = text.removeprefix("=").strip()
        tree = read(where, f"when: '{body.replace(chr(39), chr(39) * 2)}'".encode())
        pack = self.document(document)
        node = tree.root.entries["when"] if isinstance(tree.root, Pairs) else None
        condition = None
        if pack is not None and isinstance(node, Text):
            env = Environment(tree, self.codes("").systems, document=pack, lists=pack.lists)
            condition = Resolver(env).test(node)
        if condition is None:
            raise MappingError(
                tree.diagnostics
                or [Diagnostic("E202", f"there is no document type {document!r}", Span(where, 1, 1, 1, 2))]
            )
        made = Compiler(lambda _file, _line: tree.raw).condition(condition)
        return lambda items: made(items, None, None, None, 0)

    def recognise(self, body: bytes) -> Iterator[tuple[Message | MessageError, list[str]]]:
        """
        The messages in some bytes, each with the names of the mappings that take it, told by format, type and sender.

        Raises:
            MalformedMessage: no format that a mapping declares can read them.
        """
        names = [name for name in self.names() if self.header(name) is not None]
        format_ = sniff(body)
        own = [
            (name, head) for name in names if (head := self.header(name)) and format_ and head[1].name == format_.name
        ]
        if format_ is None or not own:
            raise MalformedMessage("M701", "no mapping's format recognises these bytes")
        for message, takers in format_.messages(body, [head[2] for _, head in own]):
            found = [own[index][0] for index in takers]
            if not isinstance(message, MessageError):
                told = [name for name in found if message.facts.sender in self._senders(name)]
                found = told or [name for name in found if not self._senders(name)] or found
            yield message, found

    def _senders(self, name: str) -> frozenset[str]:
        supplier = self.supplier(name.partition("/")[0])
        return supplier.senders if supplier is not None else frozenset()

    # -- loading --------------------------------------------------------------------------------------------

    def _line(self, file: str, number: int) -> str:
        lines = self._lines_of(file)
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def _lines_of(self, file: str) -> Sequence[str]:
        return next((tree.lines for tree in self.library.trees() if tree.path == file), ())

    def codes(self, supplier: str) -> Codes:
        """Code systems and headings, the supplier's own systems laid over the shared ones."""
        if supplier not in self._codes:
            paths = ["codes/systems.csv"] + ([f"suppliers/{supplier}/codes/systems.csv"] if supplier else [])
            layers = [(found[0], found[1].decode("utf-8-sig")) for path in paths if (found := self.library.text(path))]
            systems, problems = load_systems(layers)
            headings: Mapping[str, Heading] = {}
            more: tuple[Diagnostic, ...] = ()
            if listed := self.library.text("codes/headings.csv"):
                headings, more = load_headings(listed[0], listed[1].decode("utf-8-sig"))
            self._diagnostics += [*problems, *more]
            self._codes[supplier] = Codes(systems, headings)
        return self._codes[supplier]

    def supplier(self, name: str) -> Supplier | None:
        """What `supplier.yaml` says; `None` when there is no such file."""
        if name not in self._suppliers:
            tree = self.library.tree(f"suppliers/{name}/supplier.yaml")
            self._suppliers[name] = None if tree is None else _supplier(tree, name)
        return self._suppliers[name]

    def document(self, name: str) -> DocumentType | None:
        """A document type; `None` when there is none of the name."""
        if name not in self._documents:
            tree = self.library.tree(f"documents/{name}/items.yaml")
            self._documents[name] = None if tree is None else read_pack(self.library, name, self.codes(""), tree)
        return self._documents[name]

    def _load(self, name: str) -> SupplierMapping | None:
        supplier_name, _, _feed = name.partition("/")
        supplier, tree, head = (
            self.supplier(supplier_name),
            self.library.tree(f"suppliers/{name}.yaml"),
            self.header(name),
        )
        if supplier is None and tree is not None:
            tree.report("E045", f"there is no suppliers/{supplier_name}/supplier.yaml", tree.span(0, 1))
        if supplier is None or tree is None or head is None:
            return None
        document_name, format_, source = head
        document = self.document(document_name)
        if document is None:
            node = tree.root.entries["document"] if isinstance(tree.root, Pairs) else None
            hint = did_you_mean(document_name, self.library.folders("documents"))
            tree.report(
                "E045", f"there is no document type {document_name!r}", node.span if node else tree.span(0, 1), hint
            )
            return None
        codes = self.codes(supplier_name)

        def table(file: YamlFile, table_name: str, node: Node) -> Table | None:
            return self._table(supplier_name, file, table_name, node, codes)

        bound = read_bindings(tree, name, document, format_, source, codes, codes.systems, table)
        own = name if bound.adds is not None or bound.document is not document else ""
        builds: dict[str, ReadyBuild] = {}
        for target in ("r4",):
            adds = (tree, bound.adds) if bound.adds is not None else None
            build = self._build(bound.document, target, own, supplier_name, adds)
            if build is not None and not self._broken(name):
                builds[target] = self._ready(build, bound.document, codes)
        if self._broken(name):
            return None
        return SupplierMapping(
            name, supplier, bound.document, format_, source, bound, self._hash(name, document), codes.systems,
            self._compiler.bind(bound.items, tree.span(0, 1)), self._compiler.derive(bound.document.derived, tree.span(0, 1)), builds,
        )  # fmt: skip

    def _broken(self, name: str) -> bool:
        return any(d.severity is Severity.ERROR for d in self._concerning(name))

    def _build(
        self, document: DocumentType, target: str, own: str, supplier: str = "", adds: Any = None
    ) -> BuildFile | None:
        key = (document.name, target, own)
        if key not in self._builds:
            codes = self.codes(supplier if own else "")
            self._builds[key] = read_build(self.library, document, target, codes, codes.systems, adds)
        return self._builds[key]

    def _ready(self, build: BuildFile, document: DocumentType, codes: Codes) -> ReadyBuild:
        compiler = self._compiler
        made: dict[str, Made] = {}
        for resource in build.resources:
            record = document.records.get(resource.over.type.name) if resource.over is not None else None
            made[resource.name] = Made(
                name=resource.name,
                type=resource.type,
                kind=resource.kind,
                exists=compiler.condition(resource.exists, resource.alias),
                body=compiler.body(resource.body, resource.name, resource.alias),
                over=None if resource.over is None else compiler.expression(resource.over),
                upsert=None if resource.upsert is None else compiler.expression(resource.upsert, resource.alias),
                key=record.key if record is not None else (),
                rule=str(resource.span),
            )
        systems = codes.systems

        def titles(name: str) -> str:
            known = systems.by_name.get(systems.of_uri(name))
            return known.title if known is not None and known.title else name

        identifier = None if build.identifier is None else compiler.expression(build.identifier)
        timestamp = None if build.timestamp is None else compiler.expression(build.timestamp)
        return ReadyBuild(build.target, build.bundle, made, build.sections, identifier, timestamp, titles)

    def _table(self, supplier: str, file: YamlFile, name: str, node: Node, codes: Codes) -> Table | None:
        declared = Declaration(file, node, "a table", ("file", "unmapped"))
        if not declared.require("file"):
            return None
        wanted, unmapped = declared.text("file"), declared.choice("unmapped", ("keep", "omit", "refuse"), "keep")
        for relative in (f"suppliers/{supplier}/codes/tables/{wanted}", f"codes/tables/{wanted}"):
            found = self.library.text(relative)
            if found is not None:
                table, diagnostics = load_table(
                    found[0], found[1].decode("utf-8-sig"), codes.systems, unmapped=unmapped, name=name
                )
                self._diagnostics += diagnostics
                return table
        known = [
            *self.library.names(f"suppliers/{supplier}/codes/tables", ".csv"),
            *self.library.names("codes/tables", ".csv"),
        ]
        file.report(
            "E205",
            f"there is no table file {wanted!r}",
            declared.entries["file"].span,
            did_you_mean(
                wanted,
                [f"{n}.csv" for n in known],
                f"it is looked for in suppliers/{supplier}/codes/tables/ and codes/tables/",
            ),
        )
        return None

    # -- what belongs to a mapping --------------------------------------------------------------------------

    def _files(self, name: str, document: str, parts: Iterable[str]) -> list[str]:
        supplier = name.partition("/")[0]
        folders = [f"documents/{document}", *(f"parts/{part}" for part in parts)]
        found = [
            f"suppliers/{name}.yaml",
            f"suppliers/{supplier}/supplier.yaml",
            "codes/systems.csv",
            "codes/headings.csv",
        ]
        found += [f"{folder}/{file}.yaml" for folder in folders for file in self.library.names(folder, ".yaml")]
        for folder in (f"suppliers/{supplier}/codes", f"suppliers/{supplier}/codes/tables", "codes/tables", "codes/lists"):
            found += [f"{folder}/{file}.csv" for file in self.library.names(folder, ".csv")]
        return found

    def _concerning(self, name: str) -> list[Diagnostic]:
        """The diagnostics of the files that a mapping consists of."""
        from mhbridge.mapping.library import shown

        head = self.header(name)
        pack = self._documents.get(head[0]) if head else None
        files = self._files(name, head[0] if head else "", pack.parts if pack else ())
        paths = {shown(path) for relative in files if (path := self.library.find(relative)) is not None}
        return [d for d in self.diagnostics() if d.span.file in paths]

    def _hash(self, name: str, document: DocumentType) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for relative in sorted(self._files(name, document.name, document.parts)):
            found = self.library.text(relative)
            if found is not None:
                digest.update(relative.encode() + b"\0" + len(found[1]).to_bytes(8, "big") + found[1])
        return digest.hexdigest()


def _supplier(tree: YamlFile, name: str) -> Supplier:
    top = Declaration(tree, tree.root, "a supplier", _SUPPLIER_KEYS)
    top.require("supplier", "title")
    if top.text("supplier", name) != name:
        tree.report(
            "E044",
            f"this file stands in suppliers/{name}/ but declares {top.text('supplier')!r}",
            top.entries["supplier"].span,
        )
    pairs = top.pairs("identifiers")
    identifiers = {key: node.value for key, node in (pairs.entries if pairs else {}).items() if isinstance(node, Text)}
    senders = frozenset(text.value for text in top.texts("senders"))
    timezone = top.text("timezone", "Europe/London")
    if timezone not in available_timezones():
        near = did_you_mean(timezone, available_timezones(), "for example Europe/London")
        tree.report("E048", f"{timezone!r} is not an IANA time zone", top.entries["timezone"].span, near)
        timezone = "Europe/London"
    return Supplier(
        name, top.text("title", name), timezone, top.text("charset"), identifiers, senders
    )


def load(first: Iterable[str | Path] = (), *, only: bool = False) -> Catalogue:
    """
    The catalogue of the folders given, `./mappings`, installed packages and the built-in mappings.

    Args:
        only: nothing but the folders given.
    """
    return Catalogue(Library([Path(root) for root in first] if only else default_roots(first)))
