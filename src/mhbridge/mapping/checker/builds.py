"""
Reads a build file (`documents/<type>/r4.yaml` and its parts'): how the items are said in one target's FHIR.

Every element, literal, extension and reference is checked against the definitions of the target (`fhir.definitions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mhbridge.errors import Span
from mhbridge.fhir.definitions import Definitions, r4
from mhbridge.mapping import nodes
from mhbridge.mapping.checker.bodies import Body, joined
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.expressions import Environment, Resolver, ResourceName, reads
from mhbridge.mapping.checker.literals import Literals
from mhbridge.mapping.checker.packs import Codes
from mhbridge.mapping.checker.sections import Section, Sections
from mhbridge.mapping.codes import CodeSystems
from mhbridge.mapping.expression import is_expression, parse, parse_loop
from mhbridge.mapping.library import Library
from mhbridge.mapping.packs import RESERVED, DocumentType
from mhbridge.mapping.reader import Pairs, Text, YamlFile
from mhbridge.mapping.syntax import NameNode
from mhbridge.mapping.types import Type

__all__ = ["BuildFile", "read_build"]

_TOP = ("build", "bundle", "resources", "sections", "adds", "lists")
_BUNDLES = ("document", "transaction", "collection")


@dataclass(frozen=True, slots=True)
class BuildFile:
    """One build, resolved. `identifier` and `timestamp` are of the Bundle."""

    target: str
    bundle: str
    identifier: nodes.Expression | None
    timestamp: nodes.Expression | None
    resources: tuple[nodes.Resource, ...]
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class _Declared:
    """A resource as written, before it is resolved."""

    name: str
    node: Pairs
    span: Span
    file: YamlFile
    part: str
    added: tuple[tuple[YamlFile, Pairs], ...] = ()


def read_build(
    library: Library,
    document: DocumentType,
    target: str,
    codes: Codes,
    systems: CodeSystems,
    adds: tuple[YamlFile, Pairs] | None = None,
) -> BuildFile | None:
    """
    The build of a document type for a target, its parts' resources joined in.

    Args:
        adds: a supplier's own additions.

    Returns `None` when there is no such build.
    """
    file = library.tree(f"documents/{document.name}/{target}.yaml")
    if file is None or file.root is None:
        return None
    top = Declaration(file, file.root, "a build", _TOP)
    if top.require("build", "bundle", "resources") and top.text("build") != target:
        file.report(
            "E044",
            f"this file is {target}.yaml but declares the build {top.text('build')!r}",
            top.entries["build"].span,
        )
    declared = _gather(library, document, target, file, top)
    _add(file, top.pairs("adds"), declared)
    if adds is not None:
        _add(adds[0], adds[1], declared)
    return _Build(document, target, codes, systems, file, top, declared).read()


def _gather(
    library: Library, document: DocumentType, target: str, file: YamlFile, top: Declaration
) -> dict[str, _Declared]:
    """The document's resources, then its parts'."""
    found: dict[str, _Declared] = {}
    sources: list[tuple[str, YamlFile, Pairs | None]] = [("", file, top.pairs("resources"))]
    for part in document.parts:
        tree = library.tree(f"parts/{part}/{target}.yaml")
        if tree is not None and tree.root is not None:
            shared = Declaration(tree, tree.root, "a part's build", ("build", "resources", "lists"))
            sources.append((part, tree, shared.pairs("resources")))
    for part, tree, pairs in sources:
        for name, node in (pairs.entries if pairs else {}).items():
            assert pairs is not None
            if not isinstance(node, Pairs):
                tree.report("E042", f"the resource {name!r} is written as `element: value` pairs", pairs.keys[name])
            elif name not in found:
                found[name] = _Declared(name, node, pairs.keys[name], tree, part)
            elif not _replaces(found[name].node):
                tree.report(
                    "E307",
                    f"a resource named {name!r} is declared already, in {found[name].span}",
                    pairs.keys[name],
                    "add to it with `adds:`, or take its place whole with `$replace: true`",
                )
    return found


def _replaces(node: Pairs) -> bool:
    flag = node.entries.get("$replace")
    return isinstance(flag, Text) and flag.value == "true"


def _add(file: YamlFile, pairs: Pairs | None, declared: dict[str, _Declared]) -> None:
    for name, node in (pairs.entries if pairs else {}).items():
        assert pairs is not None
        if name not in declared:
            file.report(
                "E305", f"there is no resource {name!r} to add to", pairs.keys[name], did_you_mean(name, declared)
            )
        elif isinstance(node, Pairs):
            declared[name] = replace(declared[name], added=(*declared[name].added, (file, node)))
        else:
            file.report("E042", "additions are written as `element: value` pairs", node.span)


class _Build:
    """Resolves one build."""

    def __init__(
        self,
        document: DocumentType,
        target: str,
        codes: Codes,
        systems: CodeSystems,
        file: YamlFile,
        top: Declaration,
        declared: Mapping[str, _Declared],
    ) -> None:
        self.document, self.target, self.codes, self.systems = document, target, codes, systems
        self.file, self.top, self.declared = file, top, declared
        self.definitions: Definitions = r4()
        self.names: dict[str, ResourceName] = {}
        self.read_names: set[str] = set()
        self.literals = Literals(self.definitions, systems, target)

    # -- the whole ------------------------------------------------------------------------------------------

    def read(self) -> BuildFile:
        bundle = Declaration(
            self.file, self.top.pairs("bundle"), "a bundle", ("type", "identifier", "timestamp", "focus")
        )
        kind = bundle.choice("type", _BUNDLES, "document") if bundle.require("type") else "document"
        for name, declared in self.declared.items():
            self.names[name] = self._name_of(declared)
        resources = [r for d in self.declared.values() if (r := self._resource(d)) is not None]
        first = [r for r in resources if r.type in ("Composition", "MessageHeader")]
        env = self._env(self.file)
        identifier = self._bundle_value(bundle, "identifier", Type("Identifier"), env)
        timestamp = self._bundle_value(bundle, "timestamp", Type("instant"), env)
        sections: tuple[Section, ...] = ()
        if kind == "document":
            sections = Sections(self.file, self.document, self.codes.headings, self.literals).read(self.top, self.names)
        self._check_written(kind)
        return BuildFile(
            self.target,
            kind,
            identifier,
            timestamp,
            tuple([*first, *(r for r in resources if r not in first)]),
            sections,
        )

    def _env(self, file: YamlFile) -> Environment:
        return Environment(file, self.systems, document=self.document, resources=self.names, lists=self.document.lists)

    def _bundle_value(self, bundle: Declaration, key: str, want: Type, env: Environment) -> nodes.Expression | None:
        node = bundle.node(key)
        if not isinstance(node, Text) or not is_expression(node):
            return None
        value = Resolver(env).value(node, want)
        if value is not None:
            self._note_reads(value)
        return value

    def _check_written(self, kind: str) -> None:
        derived = {
            read.name for d in self.document.derived for read in reads(d.value) if isinstance(read, nodes.ItemOf)
        }
        used = (
            self.read_names | derived | RESERVED | set(self.document.identity) | {d.name for d in self.document.derived}
        )
        for item in self.document.items.values():
            if item.name not in used and not (item.heading and kind == "document"):
                self.file.report(
                    "E312", f"the item {item.name!r} ({item.span}) is not written by this build", self.top.span
                )

    # -- resources ------------------------------------------------------------------------------------------

    def _name_of(self, declared: _Declared) -> ResourceName:
        for word, kind in (("$each", "each"), ("$for", "for")):
            text = declared.node.entries.get(word)
            if isinstance(text, Text):
                source = text.value.partition(" as ")[0].strip()
                return ResourceName(kind, source if kind == "for" else "", source if kind == "each" else "")
        return ResourceName("one")

    def _resource(self, declared: _Declared) -> nodes.Resource | None:
        file, node = declared.file, declared.node
        type_node = node.entries.get("resourceType")
        if not isinstance(type_node, Text):
            file.report("E041", "a resource needs a resourceType", declared.span)
            return None
        type_ = type_node.value
        if not self.definitions.is_resource(type_):
            file.report(
                "E301",
                f"there is no resource type {type_!r}",
                type_node.span,
                did_you_mean(type_, self.definitions.names("resource")),
            )
            return None
        env, over, alias, record = self._env(file), None, "", ""
        kind = self.names[declared.name].kind
        loop_text = node.entries.get("$each") or node.entries.get("$for")
        if isinstance(loop_text, Text):
            loop = parse_loop(file, loop_text, None)
            if loop is None:
                return None
            alias = loop.alias or ""
            if kind == "each":
                over = Resolver(env).expression(loop.over, Type("any", many=True))
                if over is None:
                    return None
                if not over.type.many:
                    file.report("E214", f"$each needs a list; this is one {over.type}", loop_text.span)
                    return None
                self._note_reads(over)
                element = Type(over.type.name, False, over.type.options)
            else:
                record = loop.over.parts[0] if isinstance(loop.over, NameNode) else ""
                if self.document.fields_of(record) is None and Resolver(env).fields(record) is None:
                    file.report(
                        "E215",
                        f"there is no record {record!r}",
                        loop_text.span,
                        did_you_mean(record, [*self.document.records, "person", "organisation", "place"]),
                    )
                    return None
                element = Type(record)
            if alias in self.document.items:
                file.report("E208", f"the alias {alias!r} hides the item of that name", loop_text.span)
            env = env.with_alias(alias, element)
        profile = node.entries.get("profile")
        profile_name = profile.value if isinstance(profile, Text) else ""
        known_profile = self.definitions.profile(profile_name) if profile_name else None
        if profile_name and known_profile is None:
            assert profile is not None
            file.report(
                "E313",
                f"there is no profile {profile_name!r}",
                profile.span,
                did_you_mean(profile_name, self.definitions.names("profile")),
            )
        puts = [nodes.Put(type_node.span, "resourceType", nodes.Fixed(type_node.span, type_), many=False)]
        if known_profile is not None and profile is not None:
            named = nodes.Put(profile.span, "profile", nodes.Fixed(profile.span, [known_profile.url]), many=False)
            puts.append(
                nodes.Put(profile.span, "meta", nodes.Build(profile.span, (named,), always=True), many=False, primitive=False)
            )
        body = Body(self.literals, env, profile_name)
        skip = ("$each", "$for", "$when", "$upsert", "$replace", "resourceType", "profile")
        puts = joined(file, puts, body.puts(node, type_, skip))
        for other, added in declared.added:
            extra = Body(self.literals, replace(env, file=other), profile_name)
            puts = joined(other, puts, extra.puts(added, type_, ("$upsert",)))
        build = nodes.Build(declared.span, tuple(puts), always=True)
        upsert = self._upsert(declared, env)
        exists = self._exists(declared, node, env, build, alias, kind)
        if exists is None:
            return None
        for put in puts:
            self._note_reads(put.node)
        return nodes.Resource(declared.span, declared.name, type_, kind, build, exists, over, alias, record, upsert)

    def _upsert(self, declared: _Declared, env: Environment) -> nodes.Expression | None:
        for file, node in ((declared.file, declared.node), *declared.added):
            text = node.entries.get("$upsert")
            if isinstance(text, Text):
                tree_env = replace(env, file=file)
                tree = parse(file, text, None, condition=True)
                value = None if tree is None else Resolver(tree_env).expression(tree, Type("Identifier"))
                if value is not None:
                    self._note_reads(value)
                    if value.type.name != "Identifier":
                        file.report("E303", f"$upsert takes an Identifier, not a {value.type}", text.span)
                        return None
                return value
        return None

    def _exists(
        self, declared: _Declared, node: Pairs, env: Environment, build: nodes.Build, alias: str, kind: str
    ) -> nodes.Condition | None:
        when = node.entries.get("$when")
        if isinstance(when, Text):
            condition = Resolver(env).test(when)
            if condition is not None:
                self._note_reads(condition)
            return condition
        found: dict[tuple[str, tuple[str, ...]], nodes.Condition] = {}
        for read in reads(build):
            if isinstance(read, nodes.ItemOf) and read.name == "message":
                continue
            if isinstance(read, nodes.AliasOf) and read.alias != alias:
                continue  # an alias of a loop inside the body: the list it runs over is read too
            if isinstance(read, nodes.ItemOf) and kind != "one":
                continue  # one per element or record: the element decides, not the message
            name = read.name if isinstance(read, nodes.ItemOf) else f"${read.alias}"
            found.setdefault((name, read.fields), nodes.Truth(read.span, read, boolean=False))
        if not found:
            declared.file.report(
                "E306",
                f"nothing decides whether {declared.name!r} exists: its body reads no item",
                declared.span,
                "add a $when",
            )
            return None
        return nodes.AnyOf(declared.span, tuple(found.values()))

    def _note_reads(self, node: Any) -> None:
        self.read_names |= {read.name for read in reads(node) if isinstance(read, nodes.ItemOf)}
        for reference in _references(node):
            if reference.element is not None:
                self._note_reads(reference.element)


def _references(node: Any) -> list[nodes.Reference]:
    """Every reference below a node."""
    found: list[nodes.Reference] = []

    def walk(value: Any) -> None:
        if isinstance(value, nodes.Reference):
            found.append(value)
        elif isinstance(value, tuple):
            for part in value:
                walk(part)
        elif hasattr(value, "__dataclass_fields__") and not isinstance(value, (Span, Type)):
            for name in value.__dataclass_fields__:
                walk(getattr(value, name))

    walk(node)
    return found
