"""
Static lineage: element ← item ← source path ← place in the mapping. Read off the resolved trees; no message is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from mhbridge.mapping import nodes
from mhbridge.mapping.checker.sections import Section

__all__ = ["Line", "items_by_resource", "lineage", "paths_by_resource", "paths_by_rule", "paths_of", "sources_of"]

_CONDITIONS: Final = get_args(nodes.Condition)
#: Derived items that are made of derived items; the checker has no circles of them.
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Line:
    """
    One way from the source to an element.

    Args:
        element: `Encounter.period.start`; empty where the target does not write the item.
        build: place in the build.
        item: the item, and the field of it: `diagnoses.code`; empty where the build states the value.
        path: the source path; empty where the mapping states the value, or derives it.
        place: place in the mapping.
        as_: `value`, `condition` (it decides whether the element is written), `narrative`, or `stated`.
    """

    element: str
    build: str
    item: str
    path: str
    place: str
    as_: str

    def plain(self) -> dict[str, str]:
        """For JSON and CSV."""
        return {
            "element": self.element, "item": self.item, "path": self.path, "place": self.place, "build": self.build,
            "as": self.as_,
        }  # fmt: skip


def paths_of(binding: Any) -> list[str]:
    """The source paths below a binding, in order, each once; a loop's own path comes before those inside it."""
    found = (node.path for node in nodes.walk(binding) if isinstance(node, (nodes.Read, nodes.BindEach)))
    return list(dict.fromkeys(found))


def paths_by_rule(bindings: Iterable[nodes.Binding]) -> dict[str, str]:
    """Place of a function in the mapping → the source paths below it: of what it says, only the place is known."""
    return {
        str(node.span): ", ".join(paths_of(node.args))
        for binding in bindings
        for node in nodes.walk(binding)
        if isinstance(node, nodes.Apply)
    }


# --- from items to paths -----------------------------------------------------------------------------------


def sources_of(body: nodes.Binding, fields: Sequence[str]) -> list[tuple[str, str]]:
    """
    (source path, place) of what a binding reads for one of its fields; nothing where it does not have the field. What
    stands in a loop and begins with a dot is shown with the path of the loop.
    """
    found: dict[tuple[str, str], None] = {}
    for part, loop in _below(body, tuple(fields), ""):
        reads = [node for node in nodes.walk(part) if isinstance(node, nodes.Read)]
        for read in reads:
            found[f"{loop}{read.path}" if read.path.startswith(".") else read.path, str(read.span)] = None
        if not reads:
            found["", str(part.span)] = None
    return list(found)


def _below(body: nodes.Binding, fields: tuple[str, ...], loop: str) -> list[tuple[nodes.Binding, str]]:
    """The values that a field is made of, in every branch and entry that has it, each with the loop it stands in."""
    match body:
        case nodes.BindRecord():
            inside = [inner for name, inner in body.fields if not fields or name == fields[0]]
            return [one for inner in inside for one in _below(inner, fields[1:], loop)]
        case nodes.BindEach():
            return _below(body.body, fields, body.path)
        case nodes.BindCase():
            return [one for _, branch in body.branches for one in _below(branch, fields, loop)]
        case nodes.BindList():
            return [one for entry in body.entries for one in _below(entry, fields, loop)]
        case _:
            return [(body, loop)]


# --- from elements to items --------------------------------------------------------------------------------

#: An item and fields of it: `("diagnoses", "code")`.
_Name = tuple[str, ...]


class _Elements:
    """Walks a build. `aliases`: what a loop's or template's alias may stand for."""

    def __init__(self, resources: Iterable[nodes.Resource]) -> None:
        self.asked: dict[str, list[_Name]] = {}
        self.resources = tuple(resources)
        for _ in range(3):  # templates ask for templates, a few deep
            for resource in self.resources:
                self._ask(resource)

    def _ask(self, resource: nodes.Resource) -> None:
        """Note what every `ref(template, …)` below hands to its template."""
        aliases = self._own(resource)
        for node in nodes.walk(resource.body):
            if isinstance(node, nodes.BuildEach):
                aliases = {**aliases, node.alias: self.names(node.value, aliases)}
        for node in nodes.walk(resource.body):
            if isinstance(node, nodes.Reference) and node.element is not None:
                known = self.asked.setdefault(node.resource, [])
                known += [name for name in self.names(node.element, aliases) if name not in known]

    def _own(self, resource: nodes.Resource) -> dict[str, list[_Name]]:
        if resource.over is not None:
            return {resource.alias: self.names(resource.over, {})}
        return {resource.alias: self.asked.get(resource.name, [])} if resource.alias else {}

    def names(self, tree: Any, aliases: Mapping[str, list[_Name]]) -> list[_Name]:
        """The items that an expression or condition reads."""
        found: dict[_Name, None] = {}
        for node in nodes.walk(tree):
            if isinstance(node, nodes.ItemOf):
                found[node.name, *node.fields] = None
            elif isinstance(node, nodes.AliasOf):
                found.update(dict.fromkeys((*name, *node.fields) for name in aliases.get(node.alias, [])))
        return list(found)

    def lines(self, resource: nodes.Resource) -> Iterator[tuple[str, str, list[_Name], str]]:
        """(element, place, items, as what) of a resource."""
        yield from self._node(resource.body, resource.type, self._own(resource), ())

    def _node(
        self, node: nodes.Node, path: str, aliases: Mapping[str, list[_Name]], asked: tuple[_Name, ...]
    ) -> Iterator[tuple[str, str, list[_Name], str]]:
        match node:
            case nodes.Fixed():
                yield path, str(node.span), [], "stated"
                if asked:
                    yield path, str(node.span), list(asked), "condition"
            case nodes.Write():
                yield path, str(node.span), self.names(_values(node.value), aliases), "value"
                decide = [*asked, *self.names(_conditions(node.value), aliases)]
                if decide:
                    yield path, str(node.span), decide, "condition"
            case nodes.Build():
                if node.base is not None:
                    yield from self._node(node.base, path, aliases, asked)
                for put in node.puts:
                    yield from self._node(put.node, f"{path}.{put.key}", aliases, asked)
            case nodes.BuildEach():
                inner = {**aliases, node.alias: self.names(node.value, aliases)}
                yield from self._node(node.body, path, inner, asked)
            case nodes.BuildWhen():
                more = (*asked, *self.names(node.condition, aliases))
                yield from self._node(node.body, path, aliases, more)
            case nodes.BuildCase():
                for condition, body in node.branches:
                    more = asked if condition is None else (*asked, *self.names(condition, aliases))
                    yield from self._node(body, path, aliases, more)
            case nodes.BuildList():
                for entry in node.entries:
                    yield from self._node(entry, path, aliases, asked)


def _values(node: Any) -> tuple[Any, ...]:
    """The parts of an expression whose value goes on."""
    match node:
        case nodes.Choose():
            return (*_values(node.then), *(() if node.otherwise is None else _values(node.otherwise)))
        case nodes.Alternatives():
            return tuple(one for term in node.terms for one in _values(term))
        case nodes.Reference():
            return () if node.element is None else (node.element,)
        case _:
            return (node,)


def _conditions(node: Any) -> tuple[Any, ...]:
    return tuple(found for found in nodes.walk(node, closed=_CONDITIONS) if isinstance(found, _CONDITIONS))


def paths_by_resource(
    items: Iterable[nodes.BoundItem], derived: Iterable[nodes.Derived], resources: Iterable[nodes.Resource]
) -> dict[str, tuple[str, ...]]:
    """Name of a resource → the source paths that its values may come from, in the order of the build."""
    bound = {item.name: item.body for item in items}
    made = {item.name: item.value for item in derived}
    elements = _Elements(resources)

    def paths(name: _Name, depth: int = 0) -> Iterator[str]:
        if name[0] in bound:
            yield from (path for path, _ in sources_of(bound[name[0]], name[1:]) if path)
        elif name[0] in made and depth < _DEEPEST:
            for one in nodes.walk(made[name[0]]):
                if isinstance(one, nodes.ItemOf):
                    yield from paths((one.name, *one.fields), depth + 1)

    found: dict[str, tuple[str, ...]] = {}
    for resource in elements.resources:
        names = [name for _, _, names, as_ in elements.lines(resource) if as_ == "value" for name in names]
        found[resource.name] = tuple(dict.fromkeys(path for name in names for path in paths(name)))
    return found


def items_by_resource(
    derived: Iterable[nodes.Derived], resources: Iterable[nodes.Resource]
) -> dict[str, tuple[str, ...]]:
    """Name of a resource → the items that its values may come from, derived ones through what they are made of."""
    made = {item.name: item.value for item in derived}
    elements = _Elements(resources)

    def behind(name: str, depth: int = 0) -> Iterator[str]:
        yield name
        if name in made and depth < _DEEPEST:
            for one in nodes.walk(made[name]):
                if isinstance(one, nodes.ItemOf):
                    yield from behind(one.name, depth + 1)

    found: dict[str, tuple[str, ...]] = {}
    for resource in elements.resources:
        names = [name[0] for _, _, names, as_ in elements.lines(resource) if as_ == "value" for name in names]
        found[resource.name] = tuple(dict.fromkeys(item for name in names for item in behind(name)))
    return found


# --- the whole ---------------------------------------------------------------------------------------------


def lineage(
    items: Iterable[nodes.BoundItem],
    derived: Iterable[nodes.Derived],
    resources: Iterable[nodes.Resource],
    sections: Iterable[Section] = (),
) -> list[Line]:
    """
    The lineage of a mapping in one target: every element with each item and source path that it may come from, in the
    order of the build; then the items that no element has.
    """
    bound = {item.name: item.body for item in items}
    made = {item.name: item.value for item in derived}
    found: dict[Line, None] = {}
    written: set[str] = set()

    def ways(name: _Name, depth: int = 0) -> Iterator[tuple[str, str, str]]:
        shown = ".".join(name)
        if name[0] in bound:
            yield from ((shown, path, place) for path, place in sources_of(bound[name[0]], name[1:]))
        elif name[0] in made and depth < _DEEPEST:
            written.update(one.name for one in nodes.walk(made[name[0]]) if isinstance(one, nodes.ItemOf))
            inner = [one for one in nodes.walk(made[name[0]]) if isinstance(one, nodes.ItemOf)]
            for one in inner:
                for item, path, place in ways((one.name, *one.fields), depth + 1):
                    yield f"{shown} ({item})", path, place
        elif name[0] == "message":
            yield shown, "", "the receipt"

    elements = _Elements(resources)
    for resource in elements.resources:
        for element, build, names, as_ in elements.lines(resource):
            if as_ == "stated":
                found[Line(element, build, "", "", "", as_)] = None
            for name in dict.fromkeys(names):
                written.add(name[0])
                for item, path, place in ways(name):
                    found[Line(element, build, item, path, place, as_)] = None
    for section in sections:
        for field in section.fields:
            written.add(field.name)
            for item, path, place in ways((field.name,)):
                element = f"Composition.section[{section.heading}].text"
                found[Line(element, "", item, path, place, "narrative")] = None
    for item_name in bound:
        if item_name not in written:
            for item, path, place in ways((item_name,)):
                found[Line("", "", item, path, place, "value")] = None
    return list(found)
