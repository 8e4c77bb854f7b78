"""
Reads a supplier's mapping file (`suppliers/<supplier>/<feed>.yaml`): its source, its tables, where each item is, what
is ignored, and its own tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, get_args

from mhbridge.formats import DeclarationError, Format, Path, PathError, Scope, Source, format_named, formats
from mhbridge.mapping import nodes
from mhbridge.mapping.checker.bindings import Binder
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean, plain
from mhbridge.mapping.checker.environment import Environment
from mhbridge.mapping.checker.items import Codes, check_before, check_types, in_order, read_item
from mhbridge.mapping.checker.lists import Lists, read_lists
from mhbridge.mapping.checker.sharing import Layer, Names, layers_of
from mhbridge.mapping.checker.structure import check_name
from mhbridge.mapping.codes import Table
from mhbridge.mapping.library import Library
from mhbridge.mapping.packs import DocumentType, Item
from mhbridge.mapping.reader import Node, Pairs, Text, YamlFile
from mhbridge.model import Severity

__all__ = ["Example", "MappingFile", "declared_format", "header", "read_mapping"]

_KEYS = (
    "mapping",
    "document",
    "title",
    "source",
    "shares",
    "items",
    "extra_items",
    "ignore",
    "tests",
    "tables",
    "lists",
    "partial",
    "authors",
    "adds",
    "draft",
    "provenance",
)

TableLoader = Callable[[YamlFile, str, Node], Table | None]


@dataclass(frozen=True, slots=True)
class Example:
    """
    One entry of `tests:`.

    Args:
        message: path of a message, below the folder that holds the mappings' folder, or below where one stands.
        expect: item → its value as text; `absent`, `deleted` and `unknown` are themselves.
    """

    message: Text
    expect: Mapping[str, Text]


@dataclass(frozen=True, slots=True)
class MappingFile:
    """
    A supplier mapping, resolved.

    Args:
        ignored: (path, reason) of what it ignores, in the order of the file.
        mandatory: the mandatory items that it binds; of a draft all that it has to.
        tests: examples that `check` runs.
        provenance: a Provenance of every resource goes with it.
        draft: somebody is still writing it: what is missing is a warning, and a live gateway does not take it.
        adds: the mapping's own additions to a build, still as a parse tree.
    """

    name: str
    document: DocumentType
    source: Source
    items: tuple[nodes.BoundItem, ...]
    authors: bool
    partial: bool
    ignored: tuple[tuple[Path, str], ...] = ()
    mandatory: tuple[str, ...] = ()
    tests: tuple[Example, ...] = ()
    adds: Pairs | None = None
    draft: bool = False
    provenance: bool = False


_SOURCE: Final = re.compile(rb"^source:[ ]*\r?\n", re.MULTILINE)
_FORMAT: Final = re.compile(rb"format:[ ]+([a-z0-9_-]+)[ ]*(?:#.*)?\r?")


def declared_format(body: bytes) -> str:
    """
    The format that a mapping file declares, told by a glance at its `source:` block; empty where that is not plain.

    A YAML file has one such block, or is refused for it; nothing but dispatch may be decided by this.
    """
    block = _SOURCE.search(body)
    if block is None:
        return ""
    indent = 0
    for line in body[block.end() :].split(b"\n"):
        said = line.lstrip(b" ")
        if not said.strip() or said.startswith(b"#"):
            continue
        deep = len(line) - len(said)
        indent = indent or deep
        if not deep or deep < indent:
            break
        if (found := _FORMAT.fullmatch(line, indent)) is not None:
            return found[1].decode("ascii")
    return ""


def header(file: YamlFile, supplier: str, feed: str, timezone: str, charset: str) -> tuple[str, Format, Source] | None:
    """The document type, format and source that a mapping file declares; all that dispatch needs."""
    if file.root is None:
        return None
    top = Declaration(file, file.root, "a mapping", _KEYS)
    if not top.require("mapping", "document", "source", *(() if "shares" in top else ("items",))):
        return None
    if top.text("mapping") != f"{supplier}/{feed}":
        file.report(
            "E044",
            f"this file is suppliers/{supplier}/{feed}.yaml but declares {top.text('mapping')!r}",
            top.entries["mapping"].span,
        )
    pairs = top.pairs("source")
    if pairs is None:
        return None
    name = pairs.entries.get("format")
    format_ = format_named(name.value) if isinstance(name, Text) else None
    if format_ is None:
        wanted = name.value if isinstance(name, Text) else ""
        file.report(
            "E047",
            f"there is no format {wanted!r}",
            name.span if name else pairs.span,
            did_you_mean(wanted, formats(), f"one of {', '.join(formats())}"),
        )
        return None
    known = ("format", "timezone", "charset", *format_.keys)
    own = Declaration(file, pairs, f"a {format_.name} source", known)
    options = {key: plain(node) for key, node in own.entries.items() if key in format_.keys}
    try:
        source = format_.declare(own.text("timezone", timezone), own.text("charset", charset), options)
    except DeclarationError as error:
        node: Node = pairs
        for key in error.key.split("/"):
            if isinstance(node, Pairs) and key in node.entries:
                node = node.entries[key]
        file.report("E048", error.message, node.span, error.hint)
        return None
    return top.text("document"), format_, source


def read_mapping(
    library: Library,
    file: YamlFile,
    name: str,
    document: DocumentType,
    format_: Format,
    source: Source,
    codes: Codes,
    load_table: TableLoader,
    issuers: Collection[str] = (),
) -> MappingFile:
    """All of a mapping file, and of what it shares. What cannot be read is left out, with a diagnostic."""
    top = Declaration(file, file.root, "a mapping", _KEYS)
    layers = layers_of(library, file, top, name)
    for layer in layers:
        document = _extended(layer.file, layer.top, document, codes)
    folder = f"suppliers/{name.partition('/')[0]}/codes/lists"
    names = Names()
    bound: list[nodes.BoundItem] = []
    ignored: list[tuple[Path, str]] = []
    tables: dict[str, Table] = {}
    read: set[str] = set()
    lists, lost = Lists(), set[str]()
    for layer in layers:
        where = layer.file
        own, gone = _tables(layer, names, load_table)
        listed = read_lists(
            library, where, layer.top, codes.systems, (folder,), tuple(names.of(layer, "lists", "declared"))
        )
        tables, lists, lost = {**tables, **own}, lists | listed, lost | gone
        # A shared file is read with nothing but what stands in it: what it means does not hang on who shares it.
        seen, said, missing = (own, listed, gone) if layer.sharer else (tables, lists, lost)
        env = Environment(
            where, codes.systems, format=format_, scope=Scope(source), tables=seen,
            lists={**document.lists, **said.members}, code_lists={**document.code_lists, **said.files},
            issuers=issuers, lost_tables=missing, read_paths=read,
        )  # fmt: skip
        bound += _bound(Binder(env, document), layer, names)
        # Where something is wrong, a table that a line names is not also called unused.
        wrong = any(d.severity is Severity.ERROR for d in where.diagnostics)
        for unused in sorted(own.keys() - env.used_tables):
            if wrong and re.search(rf"\bcode\([^)\n]*\b{re.escape(unused)}\b", where.raw):
                continue
            declared = layer.top.pairs("tables")
            assert declared is not None
            where.report("E406", f"the table {unused!r} is never used", declared.keys[unused])
        ignored += _ignored(layer, names, format_, source)
    authors, partial, draft = top.flag("authors"), top.flag("partial"), top.flag("draft")
    unbound = _check_mandatory(layers, document, authors=authors, draft=draft) if authors or not partial else ()
    if draft and not unbound and not any(d.severity is Severity.ERROR for d in file.diagnostics):
        what = "nothing that is mandatory is missing any more"
        file.report("E561", what, top.keys["draft"], "take `draft: true` out", Severity.WARNING)
    if not read.isdisjoint(texts := {path.text for path, _ in ignored}):
        _check_ignored(layers, bound, texts)
    mandatory = tuple(b.name for b in bound if document.items[b.name].need == "mandatory")
    if draft:
        mandatory += unbound
    return MappingFile(
        name, document, source, tuple(bound), authors, partial, tuple(ignored),
        mandatory, _examples(file, top, document), top.pairs("adds"), draft, top.flag("provenance"),
    )  # fmt: skip


def _tables(layer: Layer, names: Names, load_table: TableLoader) -> tuple[dict[str, Table], set[str]]:
    """The tables that a file declares, and the names of those that could not be read."""
    declared = layer.top.pairs("tables")
    found: dict[str, Table] = {}
    lost: set[str] = set()
    for name in names.of(layer, "tables", "declared"):
        assert declared is not None
        check_name(layer.file, name, declared.keys[name], "a table")
        table = load_table(layer.file, name, declared.entries[name])
        if table is None:
            lost.add(name)
        else:
            found[name] = table
    return found, lost


def _bound(binder: Binder, layer: Layer, names: Names) -> list[nodes.BoundItem]:
    file, document = binder.file, binder.document
    bound: list[nodes.BoundItem] = []
    pairs = layer.top.pairs("items")
    for key in names.of(layer, "items", "bound"):
        assert pairs is not None
        node, span = pairs.entries[key], pairs.keys[key]
        item = document.items.get(key)
        if item is None:
            hint = did_you_mean(key, document.items, "declare the supplier's own under extra_items: x_…")
            if layer.sharer:
                hint = f"{layer.sharer} shares this file; what only some need stands in a shared file of its own"
            file.report("E202", f"{document.name} declares no item {key!r}", span, hint)
            continue
        if item.derived:
            file.report("E202", f"{key!r} is derived from other items and never bound", span)
            continue
        body = binder.body(node, item, binder.env.binding_of(item, key))
        if body is not None:
            bound.append(nodes.BoundItem(key, item.type, body))
    return bound


def _check_mandatory(
    layers: tuple[Layer, ...], document: DocumentType, *, authors: bool, draft: bool
) -> tuple[str, ...]:
    """The mandatory items that are not bound, each said."""
    file, top = layers[-1].file, layers[-1].top
    given = {name for layer in layers if (pairs := layer.top.pairs("items")) is not None for name in pairs.keys}
    unbound: list[str] = []
    for item in document.items.values():
        if item.need == "mandatory" and not item.derived and item.name not in given:
            hint = item.help or item.label or "bind it"
            if not authors:
                hint = hint.rstrip(".") + "; or `partial: true` if this mapping only adds to what is known"
            unbound.append(item.name)
            where = top.keys.get("items", top.span)
            if draft:
                what = f"still to be bound: {item.name!r} is mandatory"
                file.report("E560", what, where, item.help or item.label, Severity.WARNING)
            else:
                file.report("E203", f"the mandatory item {item.name!r} is not bound", where, hint)
    return tuple(unbound)


def _ignored(layer: Layer, names: Names, format_: Format, source: Source) -> list[tuple[Path, str]]:
    """`ignore:` path → why it has no place. Every path is one of the format, so that no slip hides anything."""
    file, pairs = layer.file, layer.top.pairs("ignore")
    found: list[tuple[Path, str]] = []
    resolved, scope = getattr(format_, "resolved", None), Scope(source)  # `formats.Prefixed`
    for path in names.of(layer, "ignore", "ignored"):
        assert pairs is not None
        node, key = pairs.entries[path], pairs.keys[path]
        if not isinstance(node, Text) or not node.value.strip():
            file.report("E042", "what is ignored has its reason beside it", node.span, "PV1-51: 'constant V'")
            continue
        try:
            checked = _checked_path(format_, path, scope)
            found.append((checked if resolved is None else resolved(checked, source), node.value))
        except PathError as error:
            file.report(error.code, error.message, key, error.hint)
    return found


def _check_ignored(layers: tuple[Layer, ...], bound: list[nodes.BoundItem], ignored: Collection[str]) -> None:
    """That no path is both bound and ignored. A condition only asks, and carries nothing, so it does not count."""
    found = nodes.walk(tuple(bound), closed=get_args(nodes.Condition))
    used = {node.path: node.span for node in found if isinstance(node, (nodes.Read, nodes.BindEach))}
    for layer in layers:
        pairs = layer.top.pairs("ignore")
        for path, span in (pairs.keys if pairs is not None else {}).items():
            if path in used and path in ignored:
                where = f"line {used[path].line}" if used[path].file == span.file else str(used[path])
                what = f"{path} is ignored, and it is bound in {where}"
                layer.file.report("E220", what, span, "take it out of one of the two", Severity.WARNING)


def _checked_path(format_: Format, text: str, scope: Scope) -> Path:
    """The path that a text is, to a value or to something to loop over. Raises `PathError`."""
    wrong: PathError | None = None
    for scan in (format_.scan, format_.scan_loop):
        scanned = None
        try:
            scanned = scan(text, 0, len(text))
            if scanned is None or scanned[1] != len(text):
                continue
            if scan == format_.scan:
                format_.source_type(scanned[0], scope)
            else:
                format_.loop(scanned[0], scope)
        except PathError as error:
            if error.code == "E207" and scanned is not None:  # it may be reached from inside another loop
                return scanned[0]
            wrong = wrong or error
        else:
            return scanned[0]
    raise wrong or PathError("E107", f"this is no path of {format_.name}")


def _examples(file: YamlFile, top: Declaration, document: DocumentType) -> tuple[Example, ...]:
    """`tests:` as written."""
    found: list[Example] = []
    for node in top.items("tests"):
        entry = Declaration(file, node, "a test", ("message", "expect"))
        message = entry.node("message")
        pairs = entry.pairs("expect")
        if not entry.require("message", "expect") or pairs is None:
            continue
        if not isinstance(message, Text):
            file.report("E042", "'message' is the path of a message", entry.span)
            continue
        expect: dict[str, Text] = {}
        for name, value in pairs.entries.items():
            if name not in document.items:
                file.report(
                    "E202",
                    f"{document.name} has no item {name!r}",
                    pairs.keys[name],
                    did_you_mean(name, document.items),
                )
            elif not isinstance(value, Text):
                file.report("E042", "what is expected is a single value", value.span)
            else:
                expect[name] = value
        found.append(Example(message, expect))
    return tuple(found)


def _extended(file: YamlFile, top: Declaration, document: DocumentType, codes: Codes) -> DocumentType:
    """The document type with the supplier's own `extra_items`."""
    extra = top.pairs("extra_items")
    if extra is None:
        return document
    own: dict[str, Item] = {}
    for name, node in extra.entries.items():
        check_name(file, name, extra.keys[name], "an item")
        if not name.startswith("x_"):
            file.report("E217", "a supplier's own items have names that begin x_", extra.keys[name])
            continue
        if name in document.items:
            other = document.items[name].span
            file.report("E307", f"an item named {name!r} is declared already, in {other}", extra.keys[name])
            continue
        item = read_item(file, name, node, extra.keys[name], codes, top_level=True)
        if item is None:
            continue
        if not item.heading:
            file.report("E217", f"{name!r} needs a heading, so that it reaches the narrative", extra.keys[name])
        if item.derived:
            file.report("E217", f"{name!r} is bound by this mapping, not derived", extra.keys[name])
            continue
        own[name] = item
        if item.before and isinstance(node, Pairs):
            check_before(file, item, node.entries["before"].span, {**document.items, **own})
    check_types(own.values(), document.records, file)
    return replace(document, items=in_order({**document.items, **own}))
