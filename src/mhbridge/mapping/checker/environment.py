"""
Where an expression stands, and which types may stand for which: what resolving it needs to know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mhbridge.formats import Format, Scope
from mhbridge.mapping.codes import CodeList, CodeSystems, Table
from mhbridge.mapping.packs import DocumentType, Item
from mhbridge.mapping.reader import YamlFile
from mhbridge.mapping.types import Type

__all__ = [
    "ANY",
    "BOOLEAN",
    "CONCEPT",
    "TEXT",
    "Environment",
    "ResourceName",
    "assignable",
    "common",
    "comparable",
    "is_coded",
    "is_text",
]

TEXT: Final = Type("text")
BOOLEAN: Final = Type("boolean")
ANY: Final = Type("any")
CONCEPT: Final = Type("CodeableConcept")

#: Item types that another type takes as they are: every one is of the narrower kind.
_WIDER: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset(
        {"code", "text", "markdown", "id", "uri", "url", "nhs_number", "date", "dateTime", "time", "instant"}
    ),
    "markdown": frozenset({"string", "text", "code", "nhs_number"}),
    "text": frozenset({"string", "markdown", "code"}),
    "dateTime": frozenset({"date", "instant"}),
    "uri": frozenset({"url", "canonical", "oid", "uuid"}),
    "integer": frozenset({"positiveInt", "unsignedInt"}),
    "decimal": frozenset({"integer", "positiveInt", "unsignedInt"}),
    "positiveInt": frozenset({"integer"}),
    "unsignedInt": frozenset({"integer", "positiveInt"}),
    "Coding": frozenset({"CodeableConcept"}),
}

#: What `=` compares as texts, and what it compares as numbers.
_TEXTS: Final = frozenset(
    {
        "canonical", "code", "date", "dateTime", "id", "instant", "markdown", "nhs_number", "oid", "string", "text",
        "time", "uri", "url", "uuid",
    }
)  # fmt: skip
_NUMBERS: Final = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_CODED: Final = frozenset({"CodeableConcept", "Coding"})


def assignable(have: str, want: str) -> bool:
    """Whether a value of item type `have` may stand where `want` is wanted, without a conversion."""
    return want in (have, "any") or have in _WIDER.get(want, ())


def common(types: Iterable[Type]) -> Type:
    """The type of what may be any of several: one of them where they agree, else `any of` them."""
    found = list(types)
    names = dict.fromkeys(name for one in found for name in one.names if name != "any")
    many = any(one.many for one in found)
    if len(names) > 1:
        return Type("any", many, tuple(names))
    return Type(next(iter(names), "any"), many)


def is_coded(type_: Type) -> bool:
    """Whether it is, or may be, a coded value."""
    return not _CODED.isdisjoint(type_.names)


def is_text(type_: Type) -> bool:
    """Whether it is one value that is a text."""
    return not type_.many and _TEXTS.issuperset(type_.names)


def comparable(left: Type, right: Type) -> bool:
    """Whether `=` can find two values equal: primitives of one kind."""
    if left.many or right.many:
        return False
    both = {*left.names, *right.names}
    return any(kind.issuperset(both) for kind in (_TEXTS, _NUMBERS, frozenset({"boolean"})))


@dataclass(frozen=True, slots=True)
class ResourceName:
    """
    How a resource of a build is declared, for `ref`.

    Args:
        kind: `one`, `each` or `for`.
        record: type of what it is made for: the elements of the list, or the record of the template.
    """

    kind: str
    record: str = ""


@dataclass(slots=True)
class Environment:
    """
    Where an expression stands. Nothing of it is changed but `used_tables` and `read_paths`; it is not frozen because
    one is made for each thing that is bound, and to make a frozen one takes three times as long.

    Args:
        format: the source format; `None` in a build.
        scope: the loops around a path; `None` in a build.
        document: whose items names mean; `None` while binding, where items cannot be read.
        aliases: alias → type of one element.
        resources: names that `ref` may take; `None` where references make no sense.
        code_lists: the lists that stand in files, for `member`.
        message: whether there is a message whose facts `message.x` are.
        item: the item being bound, for issues.
        on_bad: what a value that will not convert costs.
        allowed: names of the code systems that the item may have; empty: any.
        binding: value set that the item's codes come from.
        issuers: what the supplier calls issuers of identifiers; `None` where no supplier is known.
        lost_tables: names of tables that are declared and could not be read, which is said where they are declared.
        used_tables: names of the tables that were used, filled while expressions are resolved.
        read_paths: paths whose values go somewhere, and those of loops; filled in the same way.
    """

    file: YamlFile
    systems: CodeSystems
    format: Format | None = None
    scope: Scope | None = None
    document: DocumentType | None = None
    aliases: Mapping[str, Type] = field(default_factory=dict)
    resources: Mapping[str, ResourceName] | None = None
    tables: Mapping[str, Table] = field(default_factory=dict)
    lists: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    code_lists: Mapping[str, CodeList] = field(default_factory=dict)
    message: bool = True
    item: str = ""
    on_bad: str = "omit"
    allowed: tuple[str, ...] = ()
    binding: str = ""
    issuers: Collection[str] | None = None
    lost_tables: Collection[str] = ()
    used_tables: set[str] = field(default_factory=set)
    read_paths: set[str] = field(default_factory=set)

    def with_alias(self, alias: str, type_: Type) -> Environment:
        """Inside a loop of a build."""
        return replace(self, aliases={**self.aliases, alias: type_})

    def inside(self, scope: Scope) -> Environment:
        """Inside a loop of a binding."""
        # Once for each, as below, so it is written out: `replace` asks for the fields one by one.
        return Environment(
            self.file, self.systems, self.format, scope, self.document, self.aliases, self.resources, self.tables,
            self.lists, self.code_lists, self.message, self.item, self.on_bad, self.allowed, self.binding, self.issuers,
            self.lost_tables, self.used_tables, self.read_paths,
        )  # fmt: skip

    def binding_of(self, item: Item, name: str) -> Environment:
        """While an item, or a field of a record, is bound."""
        return Environment(
            self.file, self.systems, self.format, self.scope, self.document, self.aliases, self.resources, self.tables,
            self.lists, self.code_lists, self.message, name, item.on_bad, item.systems, item.binding, self.issuers,
            self.lost_tables, self.used_tables, self.read_paths,
        )  # fmt: skip
