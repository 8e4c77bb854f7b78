"""
All mappings there are: which suppliers and feeds, what is wrong with them, and each compiled when it is asked for.

A mapping with errors never runs: asking for it raises `MappingError` with every diagnostic at once. `check` asks for
all of them. How files become mappings is `loading`; what a mapping can do is `supplier`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from mhbridge.errors import Diagnostic, MalformedMessage, MappingError, MessageError, Span
from mhbridge.formats import Format, Message, Source, sniff
from mhbridge.mapping.checker.environment import Environment
from mhbridge.mapping.checker.expressions import Resolver
from mhbridge.mapping.checker.mapping_file import declared_format
from mhbridge.mapping.checker.sharing import shared_files
from mhbridge.mapping.codes import CodeSystems
from mhbridge.mapping.compiler import Compiler
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.examples import failing
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.library import Library, default_roots
from mhbridge.mapping.loading import TARGETS, Loader
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.reader import Pairs, read
from mhbridge.mapping.reviews import Review, path_of, read_reviews
from mhbridge.mapping.run import Run
from mhbridge.mapping.supplier import Supplier, SupplierMapping
from mhbridge.mapping.watches import ReadyWatch
from mhbridge.model import MessageFacts, Severity

#: What a folder of a document type or a part holds.
_READ: Final = ("items", "clocks", "checks", "watches", *TARGETS)

__all__ = ["Catalogue", "Supplier", "SupplierMapping", "load"]


class Catalogue:
    """
    Args:
        library: where the files are.
        engine: makes functions of resolved trees; the interpreter only in tests.
    """

    def __init__(self, library: Library, *, engine: type[Compiler | Interpreter] = Compiler) -> None:
        self.library = library
        self._loader = Loader(library, engine=engine)
        self._mappings: dict[str, SupplierMapping | None] = {}
        self._thaws = False
        self._extracts: dict[tuple[str, str], SupplierMapping] = {}

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

    def supplier(self, name: str) -> Supplier | None:
        """What `supplier.yaml` says; `None` when there is no such file."""
        return self._loader.supplier(name)

    def document(self, name: str) -> DocumentType | None:
        """A document type; `None` when there is none of the name."""
        return self._loader.document(name)

    def watches(self, name: str) -> tuple[ReadyWatch, ...]:
        """The watches that a document type tells of, compiled."""
        return self._loader.watches(name)

    def systems(self, supplier: str = "") -> CodeSystems:
        """The code systems that a supplier's mappings know; without one, those that all know."""
        return self._loader.codes(supplier).systems

    def header(self, name: str) -> tuple[str, Format, Source] | None:
        """Document type, format and source of a mapping: all that dispatch needs. Cheap: nothing is compiled."""
        return self._loader.header(name)

    def mapping(self, name: str) -> SupplierMapping:
        """
        A compiled mapping.

        Raises:
            KeyError: there is no such mapping.
            MappingError: it, or something it needs, has errors.
        """
        if name not in self._mappings and not self.library.has(f"suppliers/{name}.yaml"):
            raise KeyError(name)
        loaded = self._loaded(name)
        errors = [d for d in self._loader.concerning(name) if d.severity is Severity.ERROR]
        if loaded is None or errors:
            raise MappingError(errors or self.diagnostics())
        return loaded

    def extract(self, name: str, document: str) -> SupplierMapping:
        """
        What is made of the letters of a mapping as another document type.

        Raises:
            KeyError: there is no such mapping, or nothing is made of its letters as that.
            MappingError: it, or something it needs, has errors.
        """
        if (name, document) not in self._extracts:
            letter = self.mapping(name)
            if document not in letter.document.extracts:
                raise KeyError(document)
            found = self._loader.extract(letter, document)
            if found is None:
                raise MappingError(self.diagnostics())
            self._extracts[name, document] = found
        return self._extracts[name, document]

    def extracts(
        self, mappings: Iterable[SupplierMapping], documents: Collection[str] | None = None
    ) -> dict[str, tuple[SupplierMapping, ...]]:
        """
        Name of a mapping → what is made beside its letters. Raises what `extract` does.

        Args:
            documents: of these types alone; `None`: of all.
        """
        found = {
            mapping.name: tuple(
                self.extract(mapping.name, one)
                for one in mapping.document.extracts
                if documents is None or one in documents
            )
            for mapping in mappings
            if mapping.file.authors
        }
        return {name: extracts for name, extracts in found.items() if extracts}

    def reviews(self, supplier: str) -> tuple[Review, ...]:
        """All reviews of a supplier's mappings, in the order in which they were made."""
        found = self.library.table(path_of(supplier))
        if found is None or found[1] is None:
            return ()
        reviews, problems = read_reviews(found[0], found[1])
        self.library.reported.extend(problems)
        return reviews

    def review(self, mapping: SupplierMapping) -> Review | None:
        """The last review of a mapping as it is now, with everything that it consists of; `None` without one."""
        own = (one for one in reversed(self.reviews(mapping.supplier.name)) if one.mapping == mapping.name)
        return next((one for one in own if one.hash == mapping.hash), None)

    def check(self) -> list[Diagnostic]:
        """Every diagnostic of every mapping, document type and table, in the order of files and lines."""
        for name in self.names():
            self._loaded(name)
        for folder in self.library.folders("documents"):
            pack = self.document(folder)
            if pack is not None:
                for target in TARGETS:
                    self._loader.build(pack, target, "")
                self._loader.clocks(folder)
                self._loader.checks(folder)
                self._loader.watches(folder)
            self._check_read(f"documents/{folder}")
        for supplier in self.suppliers():
            self.reviews(supplier)
            self._check_shared(supplier)
        for folder in self.library.folders("parts"):
            self._check_read(f"parts/{folder}")
        failed = [diagnostic for name in self.names() for diagnostic in self.run_tests(name)]
        return sorted({*self.diagnostics(), *failed}, key=_place)

    def check_of(self, name: str) -> list[Diagnostic]:
        """What is found when one mapping, with all that it needs, is loaded and its tests are run."""
        self._loaded(name)
        return sorted({*self.diagnostics(), *self.run_tests(name)}, key=_place)

    def run_tests(self, name: str) -> list[Diagnostic]:
        """What of the `tests:` of a mapping does not hold; nothing while the mapping itself has errors."""
        loaded = self._loaded(name)
        tree = self.library.tree(f"suppliers/{name}.yaml")
        return [] if loaded is None or tree is None else failing(loaded, self.library, tree)

    def diagnostics(self) -> list[Diagnostic]:
        """What was found so far, each once, by place."""
        return sorted(set(self.library.diagnostics()), key=_place)

    def _loaded(self, name: str) -> SupplierMapping | None:
        if name not in self._mappings:
            if not self._mappings:
                self._thaws = not gc.get_freeze_count()
            with _uncollected(thaws=self._thaws):
                self._mappings[name] = self._loader.mapping(name)
        return self._mappings[name]

    def _check_read(self, folder: str) -> None:
        """A file that nothing reads would be a rule that never holds."""
        for name in self.library.names(folder, ".yaml"):
            tree = self.library.tree(f"{folder}/{name}.yaml") if name not in _READ else None
            if tree is not None:
                hint = f"here are read {', '.join(f'{read}.yaml' for read in _READ)}"
                tree.report("E317", f"nothing reads {name}.yaml", tree.span(0, 1), hint)

    def _check_shared(self, supplier: str) -> None:
        """A shared file that no mapping shares says nothing of any message."""
        folder = f"suppliers/{supplier}/shared"
        trees = (self.library.tree(f"suppliers/{feed}.yaml") for feed in self.feeds(supplier))
        read = {path for tree in trees for path in shared_files(tree, supplier)}
        for name in self.library.names(folder, ".yaml"):
            tree = self.library.tree(f"{folder}/{name}.yaml") if f"{folder}/{name}.yaml" not in read else None
            if tree is not None:
                what = f"no mapping of {supplier} shares {name!r}"
                tree.report("E317", what, tree.span(0, 1), f"a mapping says it: shares: [{name}]")

    # -- routes and dispatch --------------------------------------------------------------------------------

    def condition(
        self, text: str, document: str, *, where: str = "configuration"
    ) -> Callable[[Mapping[str, Any]], bool]:
        """
        An expression over items as a function, for routes (`when = "= not sensitive"`).

        Raises:
            MappingError: it is not a condition over the items of the document type.
        """
        body = text.removeprefix("=").strip()
        tree = read(where, f"when: '{body.replace(chr(39), chr(39) * 2)}'".encode())
        pack = self.document(document)
        systems = self._loader.codes("").systems
        condition = None
        if pack is not None and isinstance(tree.root, Pairs):
            env = Environment(tree, systems, document=pack, lists=pack.lists, code_lists=pack.code_lists, message=False)
            condition = Resolver(env).test(tree.root.entries["when"])
        if condition is None:
            raise MappingError(
                tree.diagnostics
                or [Diagnostic("E202", f"there is no document type {document!r}", Span(where, 1, 1, 1, 2))]
            )
        made = Compiler(lambda _file, _line: tree.raw).condition(condition)

        def context(note: Callable[[str, str], None]) -> Context:
            return Context(timezone=ZoneInfo("Europe/London"), systems=systems, note=note)

        def holds(items: Mapping[str, Any]) -> bool:
            run = Run(MessageFacts("", ""), supplier="", received_at="", context=context)
            return made(items, None, run, None, 0)

        return holds

    def candidates(self, body: bytes) -> list[str]:
        """
        The mappings whose format recognises some bytes, as far as a glance at the mappings tells.

        A directory of mappings has many, of formats that need not even be imported to read one message.
        """
        format_ = sniff(body)
        if format_ is None:
            return self.names()
        found = []
        for name in self.names():
            text = self.library.text(f"suppliers/{name}.yaml")
            if text is not None and declared_format(text[1]) in ("", format_.name):
                found.append(name)
        return found

    def recognise(self, body: bytes) -> Iterator[tuple[Message | MessageError, list[str]]]:
        """
        The messages in some bytes, each with the names of the mappings that take it, told by format, type and sender.

        Raises:
            MalformedMessage: no format that a mapping declares can read them.
        """
        format_ = sniff(body)
        heads = [(name, head) for name in self.candidates(body) if (head := self.header(name)) is not None]
        own = [(name, head) for name, head in heads if format_ is not None and head[1].name == format_.name]
        if format_ is None or not own:
            raise MalformedMessage("M701", "no mapping's format recognises these bytes")
        for message, takers in format_.messages(body, [head[2] for _, head in own]):
            found = [own[index][0] for index in takers]
            if not isinstance(message, MessageError):
                # A supplier that names its senders takes theirs and no others, and nobody else takes theirs.
                owners = {name for name in self.suppliers() if message.facts.sender in self._senders(name)}
                found = [n for n in found if n.partition("/")[0] in owners or not (owners or self._senders(n))]
                found = [name for name in found if not self._anybody(name)] or found
            yield message, found

    def _anybody(self, name: str) -> bool:
        supplier = self.supplier(name.partition("/")[0])
        return supplier is not None and supplier.anybody

    def _senders(self, name: str) -> frozenset[str]:
        supplier = self.supplier(name.partition("/")[0])
        return supplier.senders if supplier is not None else frozenset()


@contextmanager
def _uncollected(*, thaws: bool) -> Iterator[None]:
    """
    While a mapping is made, the collector of cycles would go through all that there is again and again: what is made
    stays, or is thrown away without its help. So it counts as old at once: it is frozen and thawed.

    Args:
        thaws: nothing else is frozen, as it is in a gateway that runs (`app.serving`), which would be thawed with it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if thaws:
            gc.freeze()
            gc.unfreeze()
        if enabled:
            gc.enable()


def _place(diagnostic: Diagnostic) -> tuple[Span, str, str, str]:
    return diagnostic.span, diagnostic.code, diagnostic.message, diagnostic.hint


def load(first: Iterable[str | Path] = (), *, only: bool = False) -> Catalogue:
    """
    The catalogue of the folders given, `./mappings`, installed packages and the built-in mappings.

    Args:
        only: nothing but the folders given.
    """
    return Catalogue(Library([Path(root) for root in first] if only else default_roots(first)))
