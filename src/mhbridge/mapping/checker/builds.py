"""
Reads a build file (`documents/<type>/r4.yaml` and its parts'): how the items are said in one target's FHIR.

Every element, literal, extension and reference is checked against the definitions of the target (`fhir.definitions`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mhbridge.errors import Span
from mhbridge.fhir.definitions import Definitions, r4
from mhbridge.mapping import nodes
from mhbridge.mapping.checker.bodies import Body, joined
from mhbridge.mapping.checker.declarations import Declaration, did_you_mean
from mhbridge.mapping.checker.environment import Environment, ResourceName, assignable
from mhbridge.mapping.checker.expressions import Resolver, existence
from mhbridge.mapping.checker.items import Codes
from mhbridge.mapping.checker.lists import Lists, read_lists
from mhbridge.mapping.checker.literals import Literals
from mhbridge.mapping.checker.sections import Section, Sections
from mhbridge.mapping.checker.structure import check_alias, check_name, loop_over
from mhbridge.mapping.codes import CodeSystems
from mhbridge.mapping.expression import is_expression, parse, parse_loop
from mhbridge.mapping.library import Library
from mhbridge.mapping.packs import RESERVED, DocumentType
from mhbridge.mapping.reader import Node, Pairs, Text, YamlFile
from mhbridge.mapping.syntax import NameNode
from mhbridge.mapping.types import BUILT_IN_RECORDS, Type
from mhbridge.mapping.writing import writer

__all__ = ["BuildFile", "read_build"]

_TOP = ("build", "bundle", "resources", "sections", "adds", "lists")
_BUNDLES = ("document", "transaction", "collection")


@dataclass(frozen=True, slots=True)
class BuildFile:
    """One build, resolved. `identifier` and `timestamp` are of the Bundle."""

    target: str
    bundle: str
    identifier: nodes.Write | None
    timestamp: nodes.Write | None
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
    *,
    elsewhere: Collection[str] = (),
    without: BuildFile | None = None,
) -> BuildFile | None:
    """
    The build of a document type for a target, its parts' resources joined in.

    Args:
        adds: a supplier's own additions.
        without: the build without them, where it is without fault: what they do not touch is not resolved again.
        elsewhere: items that a clock or a check reads, so that this build need not write them.

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
    declared, lists, shared = _gather(library, document, target, file, top, systems)
    for part in shared:
        _add(part.file, part.pairs("adds"), declared)
    _add(file, top.pairs("adds"), declared)
    if adds is not None:
        _add(adds[0], adds[1], declared)
    adding = None if adds is None else adds[0]
    return _Build(
        document, target, codes, systems, file, top, declared, lists, shared, elsewhere, without, adding
    ).read()  # fmt: skip


def _gather(
    library: Library, document: DocumentType, target: str, file: YamlFile, top: Declaration, systems: CodeSystems
) -> tuple[dict[str, _Declared], dict[str, Lists], list[Declaration]]:
    """The document's resources, then its parts'; the lists that each of the files declares; the parts' builds."""
    found: dict[str, _Declared] = {}
    builds: list[Declaration] = []
    lists = {file.path: read_lists(library, file, top, systems)}
    sources: list[tuple[str, YamlFile, Pairs | None]] = [("", file, top.pairs("resources"))]
    for part in document.parts:
        tree = library.tree(f"parts/{part}/{target}.yaml")
        if tree is not None and tree.root is not None:
            shared = Declaration(tree, tree.root, "a part's build", ("build", "resources", "adds", "sections", "lists"))
            builds.append(shared)
            lists[tree.path] = read_lists(library, tree, shared, systems)
            sources.append((part, tree, shared.pairs("resources")))
    replaced: set[str] = set()
    for part, tree, pairs in sources:
        for name, node in (pairs.entries if pairs else {}).items():
            assert pairs is not None
            check_name(tree, name, pairs.keys[name], "a resource")
            if not isinstance(node, Pairs):
                tree.report("E042", f"the resource {name!r} is written as `element: value` pairs", pairs.keys[name])
            elif name not in found:
                found[name] = _Declared(name, node, pairs.keys[name], tree, part)
            elif _replaces(found[name].node):
                replaced.add(name)
            else:
                tree.report(
                    "E307",
                    f"a resource named {name!r} is declared already, in {found[name].span}",
                    pairs.keys[name],
                    "add to it with `adds:`, or take its place whole with `$replace: true`",
                )
    for name, one in found.items():
        if "$replace" in one.node.entries and name not in replaced:
            span = one.node.keys["$replace"]
            if _replaces(one.node):
                one.file.report("E305", f"no part has a resource {name!r} that this one could replace", span)
            else:
                one.file.report("E043", "'$replace' is true, or is left out", span)
    return found, lists, builds


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
        lists: Mapping[str, Lists],
        parts: Iterable[Declaration],
        elsewhere: Collection[str],
        without: BuildFile | None,
        adding: YamlFile | None,
    ) -> None:
        self.document, self.target, self.codes, self.systems, self.parts = document, target, codes, systems, parts
        self.file, self.top, self.declared, self.lists = file, top, declared, lists
        self.definitions: Definitions = r4()
        #: The resources, and the sections, as they are without what `adding` adds to them.
        self.known = {} if without is None else {one.name: one for one in without.resources}
        self.told = () if without is None else without.sections
        self.adding = adding
        self.names: dict[str, ResourceName] = {}
        self.read_names: set[str] = set(elsewhere)
        self.literals = Literals(self.definitions, systems, target)
        self.kind = "document"

    # -- the whole ------------------------------------------------------------------------------------------

    def read(self) -> BuildFile:
        bundle = Declaration(self.file, self.top.pairs("bundle"), "a bundle", ("type", "identifier", "timestamp"))
        kind = self.kind = bundle.choice("type", _BUNDLES, "document") if bundle.require("type") else "document"
        for name, declared in self.declared.items():
            self.names[name] = self._name_of(declared)
        resources = [r for d in self.declared.values() if (r := self._resource(d)) is not None]
        first = [r for r in resources if r.type in ("Composition", "MessageHeader")]
        env = self._env(self.file)
        identifier = self._bundle_value(bundle, "identifier", Type("Identifier"), env)
        timestamp = self._bundle_value(bundle, "timestamp", Type("instant"), env)
        sections: tuple[Section, ...] = ()
        if kind == "document":
            if [r.kind for r in resources if r.type == "Composition"] != ["one"]:
                self.file.report("E315", "a document has exactly one Composition", bundle.span)
            reader = Sections(self.file, self.document, self.codes.headings, self.literals, self.told)
            sections = reader.read(self.top, self.parts, self.names)
        elif "sections" in self.top:
            self.file.report("E040", f"a {kind} has no sections", self.top.keys["sections"], "only a document has")
        self._check_written(kind)
        return BuildFile(
            self.target,
            kind,
            identifier,
            timestamp,
            (*first, *(r for r in resources if r not in first)),
            sections,
        )

    def _env(self, file: YamlFile) -> Environment:
        lists = self.lists.get(file.path, Lists())
        return Environment(
            file, self.systems, document=self.document, resources=self.names,
            lists={**self.document.lists, **lists.members},
            code_lists={**self.document.code_lists, **lists.files},
        )  # fmt: skip

    def _bundle_value(self, bundle: Declaration, key: str, want: Type, env: Environment) -> nodes.Write | None:
        node = bundle.node(key)
        if node is None:
            return None
        if not isinstance(node, Text) or not is_expression(node):
            self.file.report("E303", f"{key!r} of a bundle is an expression", node.span, f"{key}: = …")
            return None
        value = Resolver(env).value(node, want)
        if value is None:
            return None
        self._note_reads(value)
        if value.type.many or value.type.options or not assignable(value.type.name, want.name):
            self.file.report("E303", f"{key!r} of a bundle is a {want}, and this is a {value.type}", node.span)
            return None
        return nodes.Write(node.span, value, writer(value.type.name, want.name))

    def _check_written(self, kind: str) -> None:
        derived = {
            read.name for d in self.document.derived for read in nodes.reads(d.value) if isinstance(read, nodes.ItemOf)
        }
        used = (
            self.read_names | derived | RESERVED | set(self.document.identity) | {d.name for d in self.document.derived}
        )
        for item in self.document.items.values():
            if item.name not in used and not item.for_letters and not (item.heading and kind == "document"):
                self.file.report(
                    "E312", f"the item {item.name!r} ({item.span}) is not written by this build", self.top.span
                )

    # -- resources ------------------------------------------------------------------------------------------

    def _name_of(self, declared: _Declared) -> ResourceName:
        for word, kind in (("$each", "each"), ("$for", "for")):
            text = declared.node.entries.get(word)
            if isinstance(text, Text):
                source = text.value.partition(" as ")[0].strip()
                item = self.document.items.get(source)
                record = source if kind == "for" else item.type.name if item is not None else ""
                return ResourceName(kind, record)
        return ResourceName("one")

    def _resource(self, declared: _Declared) -> nodes.Resource | None:
        known, added = self.known.get(declared.name), declared.added
        if known is not None and not (added := tuple(one for one in added if one[0] is self.adding)):
            self.read_names |= known.items
            return known
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
        if "$each" in node.entries and "$for" in node.entries:
            file.report("E040", "'$for' has no place beside $each", node.keys["$for"])
        if "$each" in node.entries:
            loop = loop_over(env, node.entries["$each"])
            if loop is None:
                return None
            over, alias, element = loop
            self._note_reads(over)
            env = env.with_alias(alias, element)
        elif "$for" in node.entries:
            template = self._template(env, node.entries["$for"])
            if template is None:
                return None
            record, alias = template
            env = env.with_alias(alias, Type(record))
        profile = node.entries.get("profile")
        url = "" if profile is None else self._profile(file, profile, type_)
        profile_name = profile.value if url and isinstance(profile, Text) else ""
        puts = [nodes.Put(type_node.span, "resourceType", nodes.Fixed(type_node.span, type_), many=False)]
        if url and profile is not None:
            named = nodes.Put(profile.span, "profile", nodes.Fixed(profile.span, [url]), many=False)
            meta = nodes.Build(profile.span, (named,), always=True)
            puts.append(nodes.Put(profile.span, "meta", meta, many=False, primitive=False))
        body = Body(self.literals, env, profile_name)
        skip = ("$each", "$for", "$when", "$upsert", "$replace", "resourceType", "profile")
        if known is None:
            puts = joined(file, puts, body.puts(node, type_, skip, complete=False))
        else:
            puts = list(known.body.puts)
        for other, more in added:
            extra = Body(self.literals, replace(env, file=other), profile_name, partial=True)
            puts = joined(other, puts, extra.puts(more, type_, ("$upsert",)))
        written = self._elements(node, type_).union(*[self._elements(more, type_) for _, more in declared.added])
        body.check_required(type_, written, declared.span)
        build = nodes.Build(declared.span, tuple(puts), always=True)
        upsert = self._upsert(declared, env)
        exists = self._exists(declared, node, env, build, alias, kind)
        if exists is None:
            return None
        items = self._note_reads((over, build, exists, upsert))
        return nodes.Resource(
            declared.span, declared.name, type_, kind, build, exists, over, alias, record, upsert, items
        )

    def _profile(self, file: YamlFile, node: Node, type_: str) -> str:
        """The URL of a profile; empty when there is none of the name, or when it is of another resource type."""
        if not isinstance(node, Text):
            file.report("E042", "'profile' is a single value", node.span)
            return ""
        profile = self.definitions.profile(node.value)
        if profile is None:
            hint = did_you_mean(node.value, self.definitions.names("profile"))
            file.report("E313", f"there is no profile {node.value!r}", node.span, hint)
            return ""
        if profile.type != type_:
            file.report("E313", f"{node.value} is a profile of {profile.type}, not of {type_}", node.span)
            return ""
        return profile.url

    def _elements(self, node: Pairs, type_: str) -> set[str]:
        """Paths of the elements that a body writes; a choice is one element."""
        found = (self.definitions.element(type_, key) for key in node.keys)
        return {element.path for element in found if element is not None}

    def _template(self, env: Environment, node: Node) -> tuple[str, str] | None:
        """The record that a template is made for, and its alias."""
        loop = parse_loop(env.file, node, None) if isinstance(node, Text) else None
        if loop is None:
            if not isinstance(node, Text):
                env.file.report("E042", "$for is written as in: person as p", node.span)
            return None
        record = loop.over.parts[0] if isinstance(loop.over, NameNode) else ""
        if self.document.fields_of(record) is None and record not in BUILT_IN_RECORDS:
            hint = did_you_mean(record, [*self.document.records, *BUILT_IN_RECORDS])
            env.file.report("E215", f"there is no record {record!r}", node.span, hint)
            return None
        check_alias(env, loop.alias or "", loop.alias_span or node.span)
        return record, loop.alias or ""

    def _upsert(self, declared: _Declared, env: Environment) -> nodes.Expression | None:
        for file, node in ((declared.file, declared.node), *declared.added):
            if "$upsert" not in node.entries:
                continue
            text = node.entries["$upsert"]
            if self.kind != "transaction":
                file.report("E040", f"'$upsert' has no place in a {self.kind}", node.keys["$upsert"])
                return None
            if not isinstance(text, Text):
                file.report("E042", "$upsert takes one expression", text.span)
                return None
            tree = parse(file, text, None, condition=True)
            value = None if tree is None else Resolver(replace(env, file=file)).expression(tree, Type("Identifier"))
            if value is not None:
                self._note_reads(value)
                if value.type != Type("Identifier"):
                    file.report("E303", f"$upsert takes an Identifier, not a {value.type}", text.span)
                    return None
            return value
        return None

    def _exists(
        self, declared: _Declared, node: Pairs, env: Environment, build: nodes.Build, alias: str, kind: str
    ) -> nodes.Condition | None:
        when = node.entries.get("$when")
        if when is not None:
            condition = Resolver(existence(env)).test(when)
            if condition is not None:
                self._note_reads(condition)
            return condition
        found: dict[tuple[str, tuple[str, ...]], nodes.Condition] = {}
        for read in nodes.reads(build):
            if isinstance(read, nodes.ItemOf) and read.name == "message":
                continue
            if isinstance(read, nodes.AliasOf) and read.alias != alias:
                continue  # an alias of a loop inside the body: the list it runs over is read too
            if isinstance(read, nodes.ItemOf) and kind != "one":
                continue  # one per element or record: the element decides, not the message
            name = read.name if isinstance(read, nodes.ItemOf) else f"${read.alias}"
            found.setdefault((name, read.fields), nodes.Present(read.span, read))
        if not found:
            declared.file.report(
                "E306",
                f"nothing decides whether {declared.name!r} exists: its body reads no item",
                declared.span,
                "add a $when",
            )
            return None
        return nodes.AnyOf(declared.span, tuple(found.values()))

    def _note_reads(self, tree: Any) -> frozenset[str]:
        """Note that what stands in a tree is read, and say which items that is."""
        found = frozenset([read.name for read in nodes.walk(tree) if isinstance(read, nodes.ItemOf)])
        self.read_names |= found
        return found
