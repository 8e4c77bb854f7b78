"""
The ledger of items: what of an item a build does not write.

Every item has a place in every build (E312), but a record may have fields that a build leaves out: a bed, where the
target has room for the ward alone. What is read and not written is said in the report (I607), never lost quietly. Read
off the resolved tree once, when a mapping is loaded; nothing here looks at a value, but for which fields there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from mhbridge.mapping import nodes
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.types import BUILT_IN_RECORDS
from mhbridge.model import State

if TYPE_CHECKING:
    from mhbridge.mapping.checker.builds import BuildFile

__all__ = ["Reads", "Written", "not_written", "reads_of", "written_fields"]

#: (item) or (item, field) that is a record → its fields that the build writes. Where all is written, it is not in it.
Written: TypeAlias = Mapping[tuple[str, ...], frozenset[str]]
#: An item or template, and the fields on the way down from it.
_Path: TypeAlias = tuple[str, ...]

_CONDITIONS: Final = frozenset(get_args(nodes.Condition))
#: What is told from the rest that has parts.
_TOLD: Final = frozenset({nodes.ItemOf, nodes.AliasOf, nodes.Reference, nodes.BuildEach, nodes.Apply})
#: What `words` looks at.
_WORDS: Final = ("name", "ward", "text", "coding")


def not_written(written: Written, items: Mapping[str, Any]) -> tuple[str, ...]:
    """`item.field` of all that is present and that the build does not write."""
    found: dict[str, None] = {}
    for path, fields in written.items():
        value = items.get(path[0])
        if value is None:
            continue
        records = (value,) if type(value) is dict and len(path) == 1 else _records(value, path[1:])
        for record in records:
            if record.keys() <= fields:
                continue
            for key, part in record.items():
                if key not in fields and not isinstance(part, State) and not _instead(key, record, fields):
                    found[".".join((*path, key))] = None
    return tuple(found)


def _records(value: Any, rest: _Path) -> Sequence[Mapping[str, Any]]:
    """The records that a value is or holds, or those in a field of them."""
    found: list[Any] = []
    for record in value if type(value) is list else (value,):
        if type(record) is dict:
            if not rest:
                found.append(record)
            elif (inner := record.get(rest[0])) is not None:
                found += _records(inner, rest[1:])
    return found


def _instead(key: str, record: Mapping[str, Any], fields: frozenset[str]) -> bool:
    """The narrative says the identifier of a person who has no name."""
    return key == "identifiers" and "name" in fields and "name" not in record


def reads_of(resource: nodes.Resource) -> Reads:
    """What a resource of a build reads."""
    reads, aliases = Reads(), dict[str, _Path]()
    if resource.kind == "for":
        aliases[resource.alias] = (f"@{resource.name}",)
    elif isinstance(resource.over, nodes.ItemOf):
        aliases[resource.alias] = (resource.over.name, *resource.over.fields)
    reads.visit(resource.body, aliases)
    reads.visit(resource.upsert, aliases)
    return reads


def written_fields(build: BuildFile, document: DocumentType, read: Iterable[Reads]) -> Written:
    """
    The records of which a build writes some fields and not others.

    Args:
        read: what its resources read.
    """
    reads = Reads()
    for of_one in read:
        reads.add(of_one)
    for part in (build.identifier, build.timestamp, *(one.value for one in document.derived)):
        reads.visit(part, {})
    found: dict[tuple[str, ...], frozenset[str]] = {}
    made = {one.name for one in document.derived}  # of others, of which it is said
    for item in document.items.values():
        if item.name in made or item.for_letters:
            continue
        shown = bool(item.heading) and build.bundle == "document"
        declared = document.records.get(item.type.name)
        if declared is None:
            _note(found, reads, (item.name,), item.type.name, shown=shown)
            continue
        fields = reads.fields((item.name,))
        if fields is None:
            continue
        if shown:
            fields |= {name for name, one in declared.fields.items() if one.label}
        if declared.fields.keys() - fields:
            found[(item.name,)] = frozenset(fields)
        for name, one in declared.fields.items():
            _note(found, reads, (item.name, name), one.type.name, shown=shown and bool(one.label))
    return found


def _note(found: dict[tuple[str, ...], frozenset[str]], reads: Reads, path: _Path, type_: str, *, shown: bool) -> None:
    """A person, organisation or place. The narrative says all of it, but not the number of a person with a name."""
    known = BUILT_IN_RECORDS.get(type_, {}).keys()
    fields = reads.fields(path) if known else None
    if fields is None:
        return
    if shown:
        fields |= known - {"identifiers"} if type_ == "person" else known
    if known - fields:
        found[path] = frozenset(fields)


class Reads:
    """What is read of items and templates, and which records are handed to which templates."""

    __slots__ = ("handed", "paths")

    def __init__(self) -> None:
        #: Item or template → the paths that begin at it, and those of them that are handed to templates.
        self.paths: dict[str, set[_Path]] = {}
        self.handed: dict[str, dict[_Path, set[str]]] = {}

    def add(self, other: Reads) -> None:
        """What else is read."""
        for head, paths in other.paths.items():
            self.paths.setdefault(head, set()).update(paths)
        for head, handed in other.handed.items():
            for path, templates in handed.items():
                self.handed.setdefault(head, {}).setdefault(path, set()).update(templates)

    def fields(self, start: _Path) -> set[str] | None:
        """The fields of a record that are read; `None` when it is read whole, or as part of what is."""
        found: set[str] = set()
        paths = self.paths.get(start[0], ())
        if any(start[:length] in paths for length in range(1, len(start))):
            return None
        for path in self._below(start, set()):
            if len(path) == len(start):
                return None
            found.add(path[len(start)])
        return found

    def _below(self, start: _Path, seen: set[_Path]) -> Iterator[_Path]:
        if start in seen:
            return
        seen.add(start)
        for path in self.paths.get(start[0], ()):
            if path[: len(start)] == start:
                yield path
        for path, templates in self.handed.get(start[0], {}).items():
            if path[: len(start)] == start:
                for template in templates:
                    for inner in self._below((f"@{template}",), seen):
                        yield (*path, *inner[1:])

    def visit(self, node: Any, aliases: Mapping[str, _Path]) -> None:
        """Note what is read below a node. What only decides something is not written."""
        kind = node.__class__
        if kind not in _TOLD:
            for part in nodes.parts(node) if kind not in _CONDITIONS else ():
                self.visit(part, aliases)
            return
        match node:
            case nodes.ItemOf() | nodes.AliasOf():
                if (path := _path(node, aliases)) is not None:
                    self.paths.setdefault(path[0], set()).add(path)
            case nodes.Reference():
                path = None if node.element is None else _path(node.element, aliases)
                if path is not None:
                    self.handed.setdefault(path[0], {}).setdefault(path, set()).add(node.resource)
            case nodes.BuildEach():
                path = _path(node.value, aliases)
                self.visit(node.body, {**aliases, node.alias: path} if path is not None else aliases)
            case nodes.Apply() if node.name == "words":
                for path in (_path(arg, aliases) for arg in node.args):
                    if path is not None:
                        self.paths.setdefault(path[0], set()).update((*path, field) for field in _WORDS)
            case _:
                self.visit(node.args, aliases)


def _path(node: Any, aliases: Mapping[str, _Path]) -> _Path | None:
    if isinstance(node, nodes.ItemOf):
        return (node.name, *node.fields)
    if isinstance(node, nodes.AliasOf) and node.alias in aliases:
        return (*aliases[node.alias], *node.fields)
    return None
