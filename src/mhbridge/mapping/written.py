"""
The ledger of items: what of an item a build does not write.

Every item has a place in every build (E312), but a record may have fields that a build leaves out: a bed, where the
target has room for the ward alone. What is read and not written is said in the report (I607), never lost quietly. Read
off the resolved tree once, when a mapping is loaded; nothing here looks at a value, but for which fields there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

from mhbridge.mapping import nodes
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.types import BUILT_IN_RECORDS
from mhbridge.model import State

if TYPE_CHECKING:
    from mhbridge.mapping.checker.builds import BuildFile

__all__ = ["Written", "not_written", "written_fields"]

#: Item that is a record → its fields that the build writes. Items of which all is written are not in it.
Written: TypeAlias = Mapping[str, frozenset[str]]
#: An item or template, and the fields on the way down from it.
_Path: TypeAlias = tuple[str, ...]

_CONDITIONS: Final = get_args(nodes.Condition)
#: What `words` looks at.
_WORDS: Final = ("name", "ward", "text", "coding")


def not_written(written: Written, items: Mapping[str, Any]) -> tuple[str, ...]:
    """`item.field` of all that is present and that the build does not write."""
    found: dict[str, None] = {}
    for name, fields in written.items():
        value = items.get(name)
        for record in value if isinstance(value, list) else (value,):
            if isinstance(record, Mapping):
                for key, part in record.items():
                    if key not in fields and not isinstance(part, State):
                        found[f"{name}.{key}"] = None
    return tuple(found)


def written_fields(build: BuildFile, document: DocumentType) -> Written:
    """The records of which a build writes some fields and not others."""
    reads = _Reads()
    for resource in build.resources:
        aliases: dict[str, _Path] = {}
        if resource.kind == "for":
            aliases[resource.alias] = (f"@{resource.name}",)
        elif isinstance(resource.over, nodes.ItemOf):
            aliases[resource.alias] = (resource.over.name, *resource.over.fields)
        reads.visit(resource.body, aliases)
        reads.visit(resource.upsert, aliases)
    for part in (build.identifier, build.timestamp, *(one.value for one in document.derived)):
        reads.visit(part, {})
    found: dict[str, frozenset[str]] = {}
    for item in document.items.values():
        declared = document.records.get(item.type.name)
        shown = bool(item.heading) and build.bundle == "document"
        known = declared.fields.keys() if declared is not None else BUILT_IN_RECORDS.get(item.type.name, {}).keys()
        if not known or (shown and declared is None):
            continue  # it is no record, or the narrative says all of it
        fields = reads.fields(item.name)
        if fields is None:
            continue
        if shown and declared is not None:
            fields |= {name for name, one in declared.fields.items() if one.label}
        if known - fields:
            found[item.name] = frozenset(fields)
    return found


class _Reads:
    """What is read of items and templates, and which records are handed to which templates."""

    def __init__(self) -> None:
        self.paths: set[_Path] = set()
        self.handed: dict[_Path, set[str]] = {}

    def fields(self, item: str) -> set[str] | None:
        """The fields of an item that are read; `None` when it is read whole."""
        found: set[str] = set()
        for path in self._below((item,), set()):
            if len(path) == 1:
                return None
            found.add(path[1])
        return found

    def _below(self, start: _Path, seen: set[_Path]) -> Iterator[_Path]:
        if start in seen:
            return
        seen.add(start)
        for path in self.paths:
            if path[: len(start)] == start:
                yield path
        for path, templates in self.handed.items():
            if path[: len(start)] == start:
                for template in templates:
                    for inner in self._below((f"@{template}",), seen):
                        yield (*path, *inner[1:])

    def visit(self, node: Any, aliases: Mapping[str, _Path]) -> None:
        """Note what is read below a node. What only decides something is not written."""
        match node:
            case tuple():
                for part in node:
                    self.visit(part, aliases)
            case nodes.ItemOf() | nodes.AliasOf():
                if (path := _path(node, aliases)) is not None:
                    self.paths.add(path)
            case nodes.Reference():
                path = None if node.element is None else _path(node.element, aliases)
                if path is not None:
                    self.handed.setdefault(path, set()).add(node.resource)
            case nodes.BuildEach():
                path = _path(node.value, aliases)
                self.visit(node.body, {**aliases, node.alias: path} if path is not None else aliases)
            case nodes.Apply() if node.name == "words":
                for path in (_path(arg, aliases) for arg in node.args):
                    if path is not None:
                        self.paths.update((*path, field) for field in _WORDS)
            case _ if isinstance(node, _CONDITIONS):
                return
            case _ if type(node).__module__ == nodes.__name__:
                self.visit(tuple(_parts(node)), aliases)


def _parts(node: Any) -> Iterable[Any]:
    return (getattr(node, name) for name in node.__dataclass_fields__)


def _path(node: Any, aliases: Mapping[str, _Path]) -> _Path | None:
    if isinstance(node, nodes.ItemOf):
        return (node.name, *node.fields)
    if isinstance(node, nodes.AliasOf) and node.alias in aliases:
        return (*aliases[node.alias], *node.fields)
    return None
