"""
Loads mappings: files → checked trees → compiled functions, each once, on demand.

Nothing stops at the first problem: what is broken is `None` here, and its diagnostics lie in the library. This module
must never look at a message.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from mhbridge.errors import Diagnostic, Span
from mhbridge.fhir.narrative import telling
from mhbridge.fhir.stated import stated
from mhbridge.fhir.wording import Wording
from mhbridge.formats import Format, Source
from mhbridge.mapping import nodes
from mhbridge.mapping.assembly import Made
from mhbridge.mapping.checker.builds import BuildFile, read_build
from mhbridge.mapping.checker.checks import read_checks
from mhbridge.mapping.checker.clocks import read_clocks
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.items import Codes
from mhbridge.mapping.checker.mapping_file import header, read_mapping
from mhbridge.mapping.checker.packs import read_pack
from mhbridge.mapping.checker.sections import Section
from mhbridge.mapping.checker.sharing import shared_files
from mhbridge.mapping.checker.watches import read_watches
from mhbridge.mapping.checks import ReadyCheck
from mhbridge.mapping.clocks import EachRule, ReadyClock, ReadyEach, ReadyWord
from mhbridge.mapping.code_files import load_headings, load_systems, load_table
from mhbridge.mapping.codes import NO_SYSTEMS, Heading, Table
from mhbridge.mapping.compiler import Compiler
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.ledger import FieldLedger
from mhbridge.mapping.library import Library
from mhbridge.mapping.lineage import paths_by_rule
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.reader import Node, Pairs, Text, YamlFile
from mhbridge.mapping.run import uri_table
from mhbridge.mapping.supplier import Supplier, SupplierMapping
from mhbridge.mapping.translation import Heading as ReadyHeading
from mhbridge.mapping.translation import ReadyBuild, always_said
from mhbridge.mapping.watches import Look, ReadyLook, ReadyWatch, sign_of
from mhbridge.mapping.written import Reads, Written, reads_of, written_fields
from mhbridge.model import Severity

__all__ = ["TARGETS", "Loader"]

#: The targets that a document type can have builds for.
TARGETS = ("r4",)

_SUPPLIER_KEYS = ("supplier", "title", "timezone", "charset", "identifiers", "ods", "senders", "anybody")


#: Resources by name, and what makes the identifier and the timestamp of the Bundle.
_Compiled: TypeAlias = "tuple[dict[str, Made], Callable[..., Any] | None, Callable[..., Any] | None]"


class Loader:
    """
    Args:
        library: where the files are.
        engine: makes functions of resolved trees; the interpreter only in tests.
    """

    def __init__(self, library: Library, *, engine: type[Compiler | Interpreter] = Compiler) -> None:
        self.library = library
        self._compiler: Any = Compiler(library.line) if engine is Compiler else Interpreter()
        self._codes: dict[str, Codes] = {}
        self._suppliers: dict[str, Supplier | None] = {}
        self._documents: dict[str, DocumentType | None] = {}
        self._headers: dict[str, tuple[str, Format, Source] | None] = {}
        self._builds: dict[tuple[str, str, str], BuildFile | None] = {}
        #: By the identity of a build, which `_builds` keeps alive.
        self._builds_compiled: dict[int, _Compiled] = {}
        #: By the identity of a resource, which is kept with it: builds with a mapping's additions share the others.
        self._resources: dict[int, tuple[nodes.Resource, Made]] = {}
        self._reads: dict[int, tuple[nodes.Resource, Reads]] = {}
        #: By the identity of a section, which is kept with it.
        self._sections: dict[int, tuple[Section, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
        #: By the identities of a build and a document type, which are kept with it.
        self._written: dict[tuple[int, int], tuple[BuildFile, DocumentType, Written]] = {}
        #: By the identity of the derived items of a document type, which are kept with it.
        self._derived: dict[int, tuple[tuple[nodes.Derived, ...], Callable[[dict[str, Any], Any], None]]] = {}
        self._clocks: dict[str, tuple[ReadyClock, ...]] = {}
        self._checks: dict[str, tuple[ReadyCheck, ...]] = {}
        self._watches: dict[str, tuple[ReadyWatch, ...]] = {}
        #: By document type: the files that all its mappings consist of, and the hash of those so far.
        self._shared_files: dict[str, list[str]] = {}
        self._hashed: dict[str, tuple[list[str], hashlib.blake2b]] = {}

    # -- what mappings share --------------------------------------------------------------------------------

    def codes(self, supplier: str) -> Codes:
        """Code systems and headings, the supplier's own systems laid over the shared ones."""
        if supplier not in self._codes:
            shared = self.codes("") if supplier else Codes(NO_SYSTEMS, self._headings())
            path = f"suppliers/{supplier}/codes/systems.csv" if supplier else "codes/systems.csv"
            systems, found = shared.systems, self.library.table(path)
            if found is not None and found[1] is not None:
                systems, problems = load_systems([(found[0], found[1])], systems)
                self.library.reported.extend(problems)
            self._codes[supplier] = Codes(systems, shared.headings)
        return self._codes[supplier]

    def _headings(self) -> Mapping[str, Heading]:
        listed = self.library.table("codes/headings.csv")
        if listed is None or listed[1] is None:
            return {}
        headings, problems = load_headings(listed[0], listed[1])
        self.library.reported.extend(problems)
        return headings

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

    # -- mappings -------------------------------------------------------------------------------------------

    def mapping(self, name: str) -> SupplierMapping | None:
        """A mapping, compiled; `None` when it, or something that it needs, has errors."""
        supplier_name = name.partition("/")[0]
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
            where = node.span if node else tree.span(0, 1)
            tree.report("E045", f"there is no document type {document_name!r}", where, hint)
            return None
        codes = self.codes(supplier_name)

        def table(file: YamlFile, table_name: str, node: Node) -> Table | None:
            return self._table(supplier_name, file, table_name, node, codes)

        bound = read_mapping(self.library, tree, name, document, format_, source, codes, table, supplier.identifiers)
        own = name if bound.adds is not None or bound.document is not document else ""
        adds = (tree, bound.adds) if bound.adds is not None else None
        found = {target: self.build(bound.document, target, own, supplier_name, adds) for target in TARGETS}
        clocks, checks = self.clocks(document_name), self.checks(document_name)
        if self._broken(name):
            return None
        builds = {
            target: self._made(build, bound.document, codes) for target, build in found.items() if build is not None
        }
        span = tree.span(0, 1)
        silent = Context(
            ZoneInfo(source.timezone),
            supplier.identifiers,
            codes.systems,
            str(source.options.get("dates", "")),
            supplier_name,
        )
        # What is read in every message is known of the paths before they are compiled.
        ledger = FieldLedger(format_, source, bound.items, bound.ignored, silent)
        return SupplierMapping(
            name=name,
            supplier=supplier,
            document=bound.document,
            format=format_,
            source=source,
            file=bound,
            hash=self._hash(name, document),
            systems=codes.systems,
            bind=self._bind(bound.items, span),
            ledger=ledger,
            paths=cache(partial(paths_by_rule, [item.body for item in bound.items])),
            derive=self._derive(bound.document),
            builds=builds,
            trees={target: build for target, build in found.items() if build is not None},
            clocks=clocks,
            checks=checks,
        )

    def _derive(self, document: DocumentType) -> Callable[[dict[str, Any], Any], None]:
        """What derives items: the same for all mappings to a document type."""
        derived = document.derived
        known = self._derived.get(id(derived))
        if known is None:
            # Where they stand, so that a traceback points there.
            span = derived[0].value.span if derived else Span(f"documents/{document.name}/items.yaml", 1, 1, 1, 1)
            known = self._derived[id(derived)] = derived, self._compiler.derive(derived, span)
        return known[1]

    def _bind(self, items: tuple[nodes.BoundItem, ...], span: Span) -> Callable[[Any, Any], dict[str, Any]]:
        """What binds items: a function for each file that they stand in, because its lines are that file's own."""
        files: dict[str, list[nodes.BoundItem]] = {}
        for item in items:
            files.setdefault(item.body.span.file, []).append(item)
        made: tuple[Callable[[Any, Any], dict[str, Any]], ...] = tuple(
            self._compiler.bind(tuple(own), span if file == span.file else Span(file, 1, 1, 1, 1))
            for file, own in files.items()
        )
        if len(made) == 1:
            return made[0]

        def bind(cursor: Any, run: Any) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for one in made:
                found |= one(cursor, run)
            return found

        return bind

    def extract(self, letter: SupplierMapping, name: str) -> SupplierMapping | None:
        """What is made of a mapping's letters as another document type; `None` when that has errors."""
        document, supplier = self.document(name), letter.supplier.name
        if document is None:
            return None
        # What only this supplier has stands under a heading, too, and goes where the others do.
        own = {
            key: item
            for key, item in letter.document.items.items()
            if key not in document.items and item.heading in document.takes_under and not item.derived
        }
        records = {key: record for key, record in letter.document.records.items() if key not in document.records}
        if own:
            document = replace(document, items={**document.items, **own}, records={**document.records, **records})
        codes = self.codes(supplier)
        found = {target: self.build(document, target, letter.name if own else "", supplier) for target in TARGETS}
        if self._broken(letter.name):
            return None
        trees = {target: build for target, build in found.items() if build is not None}
        return replace(
            letter,
            document=document,
            derive=self._derive(document),
            builds={target: self._made(build, document, codes) for target, build in trees.items()},
            trees=trees,
            clocks=(),
            checks=(),
        )

    def build(
        self, document: DocumentType, target: str, own: str, supplier: str = "", adds: Any = None
    ) -> BuildFile | None:
        """A build of a document type; `own` names the mapping that adds to it, where one does."""
        key = (document.name, target, own)
        if key not in self._builds:
            codes = self.codes(supplier if own else "")
            elsewhere = {name for clock in self.clocks(document.name) for name in clock.rule.reads}
            elsewhere |= {name for check in self.checks(document.name) for name in check.rule.reads}
            without = self._build_without(document, target, codes) if own else None
            self._builds[key] = read_build(
                self.library, document, target, codes, codes.systems, adds, elsewhere=elsewhere, without=without
            )
            if self._builds[key] is None and (tree := self.library.tree(f"documents/{document.name}/items.yaml")):
                tree.report("E045", f"there is no build documents/{document.name}/{target}.yaml", tree.span(0, 1))
        return self._builds[key]

    def _build_without(self, document: DocumentType, target: str, codes: Codes) -> BuildFile | None:
        """
        The build without what a mapping adds, if nothing is wrong in it and every system is written as the same URI:
        what else a supplier's own file says of a system (its OIDs, what a sender calls it) is no matter to a build.
        """
        plain, own = self.document(document.name), codes.systems
        known = self.codes("").systems.by_name
        if plain is None or any(own.uri(name, target) != system.uris.get(target) for name, system in known.items()):
            return None
        build = self.build(plain, target, "")
        files = {f"documents/{document.name}/{target}.yaml", *(f"parts/{part}/{target}.yaml" for part in plain.parts)}
        trees = [tree for file in files if (tree := self.library.tree(file)) is not None]
        return None if any(tree.diagnostics for tree in trees) else build

    def clocks(self, name: str) -> tuple[ReadyClock, ...]:
        """The clocks of a document type, compiled."""
        if name not in self._clocks:
            document = self.document(name)
            rules = () if document is None else read_clocks(self.library, document, self.document, self.codes(""))
            compiler = self._compiler
            self._clocks[name] = tuple(
                ReadyClock(
                    rule,
                    starts=None if rule.starts is None else compiler.expression(rule.starts),
                    noticed=None if rule.noticed_when is None else compiler.condition(rule.noticed_when),
                    excluded=None
                    if rule.excluded_when is None
                    else compiler.condition(rule.excluded_when, rule.each.alias if rule.each else ""),
                    words=tuple(
                        ReadyWord(word, compiler.condition(word.when), compiler.expression(word.at))
                        for word in rule.met_by.words
                    ),
                    each=None if rule.each is None else self._each(rule.each),
                )
                for rule in rules
            )
        return self._clocks[name]

    def _each(self, rule: EachRule) -> ReadyEach:
        compiler, alias = self._compiler, rule.alias
        return ReadyEach(
            compiler.expression(rule.over),
            compiler.expression(rule.called, alias),
            compiler.expression(rule.due, alias),
            compiler.condition(rule.done_when, alias),
            None if rule.done_at is None else compiler.expression(rule.done_at, alias),
        )

    def watches(self, name: str) -> tuple[ReadyWatch, ...]:
        """The watches that a document type tells of, compiled."""
        if name not in self._watches:
            document = self.document(name)
            rules = () if document is None else read_watches(self.library, document, self.document, self.codes(""))
            self._watches[name] = tuple(
                ReadyWatch(
                    rule,
                    tuple(map(self._look, rule.stays)),
                    tuple(map(self._look, rule.signals)),
                    tuple(map(self._look, rule.contacts)),
                    None if rule.verified_when is None else self._compiler.condition(rule.verified_when),
                )
                for rule in rules
            )
        return self._watches[name]

    def _look(self, look: Look) -> ReadyLook:
        compiler = self._compiler
        begins, ends, at = (
            None if one is None else compiler.expression(one) for one in (look.begins, look.ends, look.at)
        )
        when, untrue = (None if one is None else compiler.condition(one) for one in (look.when, look.untrue))
        signs = [sign_of(one) for one in (look.when, look.untrue) if one is not None]
        ready = tuple([compiler.condition(sign) for sign in signs if sign is not None])
        return ReadyLook(look, begins, ends, at, when, untrue, ready if len(ready) == len(signs) else ())

    def checks(self, name: str) -> tuple[ReadyCheck, ...]:
        """The safety checks of a document type, compiled."""
        if name not in self._checks:
            document, compiler = self.document(name), self._compiler
            rules = () if document is None else read_checks(self.library, document, self.codes(""))
            self._checks[name] = tuple(
                ReadyCheck(
                    rule,
                    fails=compiler.condition(rule.fails_when, rule.alias),
                    over=None if rule.over is None else compiler.expression(rule.over),
                )
                for rule in rules
            )
        return self._checks[name]

    def _made(self, build: BuildFile, document: DocumentType, codes: Codes) -> ReadyBuild:
        """A build ready to run. What it is made of is compiled once, the code systems are the supplier's."""
        made, identifier, timestamp = self._compiled(build, document)
        systems = codes.systems

        @lru_cache(maxsize=1024)
        def titles(name: str) -> str:
            known = systems.by_name.get(systems.of_uri(name))
            return known.title if known is not None and known.title else name

        words, uris = Wording(titles), stated(uri_table(systems, build.target))
        known = self._written.get((id(build), id(document)))
        if known is None:
            known = build, document, written_fields(build, document, map(self._read, build.resources))
            self._written[id(build), id(document)] = known
        written = known[2]
        return ReadyBuild(
            build.target,
            build.bundle,
            made,
            tuple([self._heading(section, words) for section in build.sections]),
            identifier,
            timestamp,
            uris,
            written,
        )

    def _heading(self, section: Section, words: Wording) -> ReadyHeading:
        """A section ready to be told; what it always says is the same in all builds that have it."""
        known = self._sections.get(id(section))
        if known is None:
            known = self._sections[id(section)] = section, always_said(section)
        return ReadyHeading(section, telling(section.fields, words), *known[1])

    def _read(self, resource: nodes.Resource) -> Reads:
        """What a resource reads: the same in all builds that have it."""
        known = self._reads.get(id(resource))
        if known is None:
            known = self._reads[id(resource)] = resource, reads_of(resource)
        return known[1]

    def _compiled(self, build: BuildFile, document: DocumentType) -> _Compiled:
        """The functions of a build: the same for all mappings that add nothing to it."""
        known = self._builds_compiled.get(id(build))
        if known is not None:
            return known
        compiler = self._compiler
        made: dict[str, Made] = {}
        for resource in build.resources:
            one = self._resources.get(id(resource))
            if one is None:
                one = self._resources[id(resource)] = resource, self._resource(resource, document)
            made[resource.name] = one[1]
        identifier = None if build.identifier is None else compiler.node(build.identifier, "identifier")
        timestamp = None if build.timestamp is None else compiler.node(build.timestamp, "timestamp")
        self._builds_compiled[id(build)] = found = (made, identifier, timestamp)
        return found

    def _resource(self, resource: nodes.Resource, document: DocumentType) -> Made:
        compiler = self._compiler
        record = document.records.get(resource.over.type.name if resource.over is not None else resource.record)
        return Made(
            name=resource.name,
            type=resource.type,
            kind=resource.kind,
            exists=compiler.condition(resource.exists, resource.alias),
            body=compiler.node(resource.body, resource.name, resource.alias),
            over=None if resource.over is None else compiler.expression(resource.over),
            upsert=None if resource.upsert is None else compiler.expression(resource.upsert, resource.alias),
            key=record.key if record is not None else (),
            declared=resource.kind == "for" and record is not None,
            rule=str(resource.span),
        )

    def _table(self, supplier: str, file: YamlFile, name: str, node: Node, codes: Codes) -> Table | None:
        declared = Declaration(file, node, "a table", ("file", "unmapped"))
        if not declared.require("file"):
            return None
        wanted, unmapped = declared.text("file"), declared.choice("unmapped", ("keep", "omit", "refuse"), "keep")
        folders = (f"suppliers/{supplier}/codes/tables", "codes/tables")
        for folder in folders:
            found = self.library.table(f"{folder}/{wanted}")
            if found is not None:
                if found[1] is None:
                    return None
                table, diagnostics = load_table(found[0], found[1], codes.systems, unmapped=unmapped, name=name)
                self.library.reported.extend(diagnostics)
                return table
        known = [f"{one}.csv" for folder in folders for one in self.library.names(folder, ".csv")]
        # Written with its folders, or in capitals where the name has none.
        alone = wanted.replace("\\", "/").rpartition("/")[2].lower()
        near = did_you_mean(alone if alone in known else wanted, known, least=0.75)
        hint = f"{near} It is looked for in {folders[0]}/ and {folders[1]}/".lstrip()
        file.report("E205", f"there is no table file {wanted!r}", declared.entries["file"].span, hint)
        return None

    # -- what belongs to a mapping --------------------------------------------------------------------------

    def concerning(self, name: str) -> list[Diagnostic]:
        """The diagnostics of the files that a mapping consists of."""
        head = self.header(name)
        pack = self._documents.get(head[0]) if head else None
        files = self._files(name, head[0] if head else "", pack)
        found = self.library.diagnostics()
        paths = {self.library.shown(relative) for relative in files} if found else ()
        return [one for one in found if one.span.file in paths]

    def _broken(self, name: str) -> bool:
        return any(d.severity is Severity.ERROR for d in self.concerning(name))

    def _files(self, name: str, document: str, pack: DocumentType | None) -> list[str]:
        """The files that a mapping consists of: its own, those of its document type and of what is made beside it."""
        supplier = name.partition("/")[0]
        found = [
            f"suppliers/{name}.yaml",
            *shared_files(self.library.tree(f"suppliers/{name}.yaml"), supplier),
            f"suppliers/{supplier}/supplier.yaml",
            *self._files_of_all(document, pack),
        ]
        own = f"suppliers/{supplier}/codes"
        return found + self._tables_in(own, f"{own}/tables", f"{own}/lists")

    def _files_of_all(self, document: str, pack: DocumentType | None) -> list[str]:
        """The same of those that all mappings to a document type consist of."""
        if pack is not None and (known := self._shared_files.get(document)) is not None:
            return known
        beside = [self.document(one) for one in (pack.extracts if pack is not None else ())]
        packs = [one for one in (pack, *beside) if one is not None]
        names = dict.fromkeys([document, *(one.name for one in packs)])
        parts = dict.fromkeys([part for one in packs for part in one.parts])
        folders = [*(f"documents/{one}" for one in names), *(f"parts/{one}" for one in parts)]
        found = ["codes/systems.csv", "codes/headings.csv"]
        found += [f"{folder}/{file}.yaml" for folder in folders for file in self.library.names(folder, ".yaml")]
        found += self._tables_in("codes/tables", "codes/lists")
        if pack is not None:
            self._shared_files[document] = found
        return found

    def _tables_in(self, *folders: str) -> list[str]:
        return [f"{folder}/{file}.csv" for folder in folders for file in self.library.names(folder, ".csv")]

    def _hash(self, name: str, document: DocumentType) -> str:
        """Of the names and bytes of all files, in order; those of no supplier stand first, and are hashed once."""
        files = sorted(self._files(name, document.name, document))
        own = bisect_left(files, "suppliers/")
        shared = self._hashed.get(document.name)
        if shared is None or shared[0] != files[:own]:
            shared = self._hashed[document.name] = files[:own], hashlib.blake2b(digest_size=16)
            self._digest(shared[1], files[:own])
        digest = shared[1].copy()
        self._digest(digest, files[own:])
        return digest.hexdigest()

    def _digest(self, digest: hashlib.blake2b, files: Iterable[str]) -> None:
        for relative in files:
            found = self.library.text(relative)
            if found is not None:
                digest.update(relative.encode() + b"\0" + len(found[1]).to_bytes(8, "big") + found[1])


@cache
def _zones() -> frozenset[str]:
    """The names of all time zones: they lie in some hundred files."""
    return frozenset(available_timezones())


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
    identifiers: dict[str, str] = {}
    for key, node in (pairs.entries if pairs else {}).items():
        if isinstance(node, Text):
            identifiers[key] = node.value
        else:
            tree.report("E042", f"{key!r} is a single value", node.span)
    senders = frozenset(text.value for text in top.texts("senders"))
    timezone = top.text("timezone", "Europe/London")
    if timezone not in _zones():
        near = did_you_mean(timezone, _zones(), "for example Europe/London")
        tree.report("E048", f"{timezone!r} is not an IANA time zone", top.entries["timezone"].span, near)
        timezone = "Europe/London"
    charset, anybody = top.text("charset"), top.flag("anybody")
    return Supplier(name, top.text("title", name), timezone, charset, identifiers, senders, anybody)
