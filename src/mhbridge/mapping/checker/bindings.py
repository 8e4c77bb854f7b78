"""
Reads a supplier's mapping file (`suppliers/<supplier>/<feed>.yaml`): where in the source each item is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mhbridge.errors import Span
from mhbridge.formats import DeclarationError, Format, PathError, Scope, Source, format_named
from mhbridge.mapping import nodes
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean, plain
from mhbridge.mapping.checker.expressions import Environment, Resolver, assignable
from mhbridge.mapping.checker.packs import Codes, read_item, read_lists
from mhbridge.mapping.codes import CodeSystems, Table
from mhbridge.mapping.expression import is_expression, parse_loop
from mhbridge.mapping.packs import DocumentType, Item, RecordType
from mhbridge.mapping.reader import Items, Node, Pairs, Text, YamlFile
from mhbridge.mapping.syntax import PathNode
from mhbridge.mapping.types import BUILT_IN_RECORDS, Type

__all__ = ["MappingFile", "header", "read_bindings"]

_KEYS = (
    "mapping",
    "document",
    "title",
    "source",
    "items",
    "extra_items",
    "ignore",
    "tests",
    "tables",
    "lists",
    "partial",
    "authors",
    "adds",
)

TableLoader = Callable[[YamlFile, str, Node], Table | None]


@dataclass(frozen=True, slots=True)
class MappingFile:
    """
    A supplier mapping, resolved.

    Args:
        ignored: path → reason.
        mandatory: the mandatory items that it binds.
        adds: the mapping's own additions to a build, still as a parse tree.
    """

    name: str
    document: DocumentType
    source: Source
    items: tuple[nodes.BoundItem, ...]
    authors: bool
    partial: bool
    ignored: Mapping[str, str] = field(default_factory=dict)
    mandatory: tuple[str, ...] = ()
    adds: Pairs | None = None


def header(file: YamlFile, supplier: str, feed: str, timezone: str, charset: str) -> tuple[str, Format, Source] | None:
    """The document type, format and source that a mapping file declares; all that dispatch needs."""
    if file.root is None:
        return None
    top = Declaration(file, file.root, "a mapping", _KEYS)
    if not top.require("mapping", "document", "source", "items"):
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
        from mhbridge.formats import formats

        wanted = name.value if isinstance(name, Text) else ""
        file.report(
            "E047",
            f"there is no format {wanted!r}",
            name.span if name else pairs.span,
            did_you_mean(wanted, formats(), f"one of {', '.join(formats())}"),
        )
        return None
    known = {"format", "timezone", "charset", *format_.keys}
    own = Declaration(file, pairs, f"a {format_.name} source", known)
    options = {key: plain(node) for key, node in own.entries.items() if key in format_.keys}
    try:
        source = format_.declare(own.text("timezone", timezone), own.text("charset", charset), options)
    except DeclarationError as error:
        node = pairs.entries.get(error.key)
        file.report("E048", error.message, node.span if node else pairs.span, error.hint)
        return None
    return top.text("document"), format_, source


class _Binder:
    """Turns the nodes of one mapping file into bindings."""

    def __init__(self, env: Environment, document: DocumentType) -> None:
        self.env = env
        self.file = env.file
        self.document = document

    def body(self, node: Node, item: Item, env: Environment) -> nodes.Binding | None:
        """What binds an item or a field."""
        match node:
            case Text():
                return self._value(node, item, env)
            case Items():
                return self._list(node, item, env)
            case Pairs():
                return self._map(node, item, env)

    def _value(self, node: Text, item: Item, env: Environment) -> nodes.Binding | None:
        if is_expression(node):
            value = Resolver(env).value(node, item.type)
            if value is None:
                return None
            if not all(any(assignable(have, want) for want in item.type.names) for have in value.type.names):
                self.file.report("E204", f"this gives a {value.type}, but {item.name!r} is a {item.type}", node.span)
                return None
            return nodes.BindValue(node.span, value)
        literal = literal_value(node.value, item.type)
        if literal is None:
            self.file.report(
                "E204",
                f"a literal cannot be a {item.type}",
                node.span,
                "an expression begins with =" if "-" in node.value else "",
            )
            return None
        return nodes.BindValue(node.span, nodes.Literal(node.span, Type(item.type.name), literal))

    def _list(self, node: Items, item: Item, env: Environment) -> nodes.Binding | None:
        if not item.type.many:
            self.file.report("E214", f"{item.name!r} is one {item.type}, not a list", node.span)
            return None
        entries = [self.body(entry, item, env) for entry in node.entries]
        return nodes.BindList(node.span, tuple(e for e in entries if e is not None))

    def _map(self, node: Pairs, item: Item, env: Environment) -> nodes.Binding | None:
        if "$case" in node.entries:
            return self._case(node, item, env)
        if "$each" in node.entries:
            return self._each(node, item, env)
        if "$value" in node.entries:
            return self._guarded(node, item, env)
        return self._record(node, item, env)

    def _each(self, node: Pairs, item: Item, env: Environment) -> nodes.Binding | None:
        if not item.type.many:
            self.file.report(
                "E214",
                f"{item.name!r} is one {item.type}, and $each gives a list",
                node.keys["$each"],
                "read the first one with a plain path",
            )
            return None
        text = node.entries["$each"]
        assert env.format is not None
        assert env.scope is not None
        loop = parse_loop(self.file, text, env.format) if isinstance(text, Text) else None
        if loop is None:
            return None
        assert isinstance(loop.over, PathNode)
        try:
            cursors, inside = env.format.loop(loop.over.path, env.scope)
        except PathError as error:
            Resolver(env).report_path(error, text.span)
            return None
        rest = Pairs(
            node.span,
            {k: v for k, v in node.entries.items() if k != "$each"},
            {k: v for k, v in node.keys.items() if k != "$each"},
        )
        element = replace(item, type=Type(item.type.name, False, item.type.options))
        body = self._map(rest, element, replace(env, scope=inside))
        return None if body is None else nodes.BindEach(node.span, cursors, loop.over.path.text, body)

    def _guarded(self, node: Pairs, item: Item, env: Environment) -> nodes.Binding | None:
        self._only(node, "$when", "$value")
        condition = self._condition(node, env)
        body = self.body(node.entries["$value"], item, env)
        if body is None:
            return None
        return nodes.BindCase(node.span, ((condition, body),)) if condition is not None else body

    def _case(self, node: Pairs, item: Item, env: Environment) -> nodes.Binding | None:
        self._only(node, "$case")
        branches = []
        choices = node.entries["$case"]
        for branch in choices.entries if isinstance(choices, Items) else ():
            if not isinstance(branch, Pairs):
                self.file.report("E042", "a branch of $case is a map", branch.span)
                continue
            condition = self._condition(branch, env)
            rest = Pairs(branch.span, {k: v for k, v in branch.entries.items() if k != "$when"}, branch.keys)
            body = self._map(rest, item, env)
            if body is not None:
                branches.append((condition, body))
        return nodes.BindCase(node.span, tuple(branches))

    def _record(self, node: Pairs, item: Item, env: Environment) -> nodes.Binding | None:
        fields = self._fields(item.type.name)
        if fields is None:
            self.file.report("E204", f"{item.name!r} is a {item.type}, which has no fields to bind", node.span)
            return None
        bound: list[tuple[str, nodes.Binding]] = []
        for key, value in node.entries.items():
            if key == "$when":
                continue
            if key not in fields:
                self.file.report(
                    "E202", f"a {item.type.name} has no field {key!r}", node.keys[key], did_you_mean(key, fields)
                )
                continue
            inner = fields[key]
            body = self.body(value, inner, replace(env, on_bad=inner.on_bad, item=f"{item.name}.{key}"))
            if body is not None:
                bound.append((key, body))
        record = self.document.records.get(item.type.name)
        for name, declared in (record.fields if record else {}).items():
            if declared.need == "mandatory" and name not in node.keys:
                self.file.report("E203", f"a {item.type.name} needs {name!r}", node.span)
        return nodes.BindRecord(node.span, tuple(bound), self._condition(node, env), self._whole(record, bound, env))

    def _whole(
        self, record: RecordType | None, bound: list[tuple[str, nodes.Binding]], env: Environment
    ) -> tuple[str, tuple[Callable[[Any, Any], str], ...]] | None:
        """For an atomic record: where its text is kept, and what reads the text of every path in it."""
        if record is None or not record.atomic:
            return None
        keeper = next(
            (n for n, f in record.fields.items() if f.need == "mandatory" and f.type == Type("CodeableConcept")), None
        )
        if keeper is None:
            return None
        assert env.format is not None
        texts: list[Callable[[Any, Any], str]] = []
        for _, body in bound:
            texts += [raw_text(env.format, path, env.scope) for path in _paths(body, env)]
        return keeper, tuple(texts)

    def _fields(self, name: str) -> Mapping[str, Item] | None:
        record = self.document.records.get(name)
        if record is not None:
            return record.fields
        known = BUILT_IN_RECORDS.get(name)
        if known is None:
            known = Resolver(self.env).fields(name)
        return None if known is None else {n: Item(n, t, Span("", 1, 1, 1, 1)) for n, t in known.items()}

    def _condition(self, node: Pairs, env: Environment) -> nodes.Condition | None:
        text = node.entries.get("$when")
        return Resolver(env).test(text) if isinstance(text, Text) else None

    def _only(self, node: Pairs, *keys: str) -> None:
        for key, span in node.keys.items():
            if key not in keys:
                self.file.report("E040", f"{key!r} has no place beside {keys[-1]}", span)


def _paths(body: nodes.Binding, env: Environment) -> list[Any]:
    """The parsed paths that a binding reads."""
    found: list[Any] = []

    def walk(node: Any) -> None:
        if isinstance(node, nodes.Read):
            assert env.format is not None
            scanned = env.format.scan(node.path, 0, len(node.path))
            if scanned is not None and scanned[0] not in found:
                found.append(scanned[0])
            return
        for name in getattr(node, "__dataclass_fields__", ()):
            value = getattr(node, name)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, tuple):
                    for piece in part:
                        walk(piece)
                else:
                    walk(part)

    walk(body)
    return found


def raw_text(format_: Format, path: Any, scope: Scope | None) -> Callable[[Any, Any], str]:
    """cursor → the text at a path, or nothing."""
    assert scope is not None
    find, text = format_.first(path, scope), format_.text

    def read(cursor: Any, _run: Any) -> str:
        raw = find(cursor)
        return text(raw) if raw or not hasattr(raw, "passes") else ""

    return read


def literal_value(text: str, type_: Type) -> Any:
    """A literal of a binding in the shape of its type; `None` when the type has no literals."""
    match type_.name:
        case "boolean":
            return {"true": True, "false": False}.get(text)
        case "integer" | "positiveInt" | "unsignedInt":
            return int(text) if text.isdigit() else None
        case "CodeableConcept":
            system, hash_, code = text.partition("#")
            return {"coding": [{"system": system, "code": code}]} if hash_ else {"text": text}
        case name if name in ("string", "text", "markdown", "code", "uri", "date", "dateTime", "time", "id"):
            return text
        case _:
            return None


def read_bindings(
    file: YamlFile,
    name: str,
    document: DocumentType,
    format_: Format,
    source: Source,
    codes: Codes,
    systems: CodeSystems,
    load_table: TableLoader,
) -> MappingFile:
    """All of a mapping file. What cannot be read is left out, with a diagnostic."""
    top = Declaration(file, file.root, "a mapping", _KEYS)
    document = _extended(file, top, document, codes)
    tables: dict[str, Table] = {}
    declared = top.pairs("tables")
    for table_name, node in (declared.entries if declared else {}).items():
        table = load_table(file, table_name, node)
        if table is not None:
            tables[table_name] = table
    lists = {**document.lists, **read_lists(file, top, systems)}
    env = Environment(file, systems, format=format_, scope=Scope(source), tables=tables, lists=lists)
    binder = _Binder(env, document)
    bound: list[nodes.BoundItem] = []
    pairs = top.pairs("items")
    for key, node in (pairs.entries if pairs else {}).items():
        span = pairs.keys[key] if pairs else node.span
        item = document.items.get(key)
        if item is None:
            file.report(
                "E202",
                f"{document.name} declares no item {key!r}",
                span,
                did_you_mean(key, document.items, "declare the supplier's own under extra_items: x_…"),
            )
            continue
        if item.derived:
            file.report("E202", f"{key!r} is derived from other items and never bound", span)
            continue
        body = binder.body(node, item, replace(env, item=key, on_bad=item.on_bad))
        if body is not None:
            bound.append(nodes.BoundItem(key, item.type, body))
    authors, partial = top.flag("authors"), top.flag("partial")
    if not partial:
        given = pairs.keys if pairs else {}
        for item in document.items.values():
            if item.need == "mandatory" and not item.derived and item.name not in given:
                file.report(
                    "E203",
                    f"the mandatory item {item.name!r} is not bound",
                    top.keys["items"] if "items" in top.keys else top.span,
                    f"{item.help or item.label or 'bind it'}; or `partial: true` if this mapping only adds to what is known",
                )
    for unused in sorted(tables.keys() - env.used_tables):
        assert declared is not None
        file.report("E406", f"the table {unused!r} is never used", declared.keys[unused])
    ignored = top.pairs("ignore")
    reasons = {key: node.value for key, node in (ignored.entries if ignored else {}).items() if isinstance(node, Text)}
    mandatory = tuple(b.name for b in bound if document.items[b.name].need == "mandatory")
    return MappingFile(name, document, source, tuple(bound), authors, partial, reasons, mandatory, top.pairs("adds"))


def _extended(file: YamlFile, top: Declaration, document: DocumentType, codes: Codes) -> DocumentType:
    """The document type with the supplier's own `extra_items`."""
    extra = top.pairs("extra_items")
    if extra is None:
        return document
    items = dict(document.items)
    for name, node in extra.entries.items():
        if not name.startswith("x_"):
            file.report("E217", "a supplier's own items have names that begin x_", extra.keys[name])
            continue
        item = read_item(file, name, node, extra.keys[name], codes, top_level=True)
        if item is not None:
            if not item.heading:
                file.report("E217", f"{name!r} needs a heading, so that it reaches the narrative", extra.keys[name])
            items[name] = item
    return replace(document, items=items)
