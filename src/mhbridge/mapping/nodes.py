"""
The resolved tree of a mapping: what is left of the files when every name, type, scope and conversion is decided.

The checker makes it, the compiler turns it into Python, the interpreter walks it. Nodes are frozen and know their place
in the files. A node must never hold anything that changes from message to message. `walk` goes through any of it;
nothing else needs to know how a tree is put together.

At run time there are three arguments: the *cursor* (a place in the source message), the *items* (name → value) and the
*run* (`mapping.run.Run`: what is collected about this one message).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, TypeAlias

from mhbridge.errors import Span
from mhbridge.formats import Loop as SourceLoop
from mhbridge.formats import Plan
from mhbridge.mapping.marks import Mark
from mhbridge.mapping.types import Type
from mhbridge.model.frozen import frozen

# --- expressions -------------------------------------------------------------------------------------------


@frozen(frozen=True, slots=True)
class Read:
    """
    Values of a source path, converted to the type wanted here.

    Args:
        find: cursor → what stands at the path; a list where all values are wanted.
        take: (what was found, cursor, run) → the value, or a list of them.
        plan: how `find` finds it, where that can be done in steps.
        quick: (what stands at the place in the row, the row, cursor, run) → what `take` gives of what `plan` finds, or
            (cursor, run) → what it gives of what `find` finds where there is no plan; quicker where that is plain.
            `None` where that cannot be.
        alone: the same as `quick` where no list holds what it gives: it may be the very object that it gave before.
        texts: cursor → all that stands at the path, as received; for records that are kept whole.
        mark: stands for it in the field ledger.
    """

    span: Span
    type: Type
    path: str
    find: Callable[[Any], Any]
    take: Callable[[Any, Any, Any], Any]
    plan: Plan | None
    texts: Callable[[Any], list[str]]
    mark: Mark
    quick: Callable[..., Any] | None = None
    alone: Callable[..., Any] | None = None


@frozen(frozen=True, slots=True)
class Literal:
    """A value that the mapping itself states."""

    span: Span
    type: Type
    value: Any


@frozen(frozen=True, slots=True)
class ItemOf:
    """An item (`fields` empty) or a field of one; `message.x` is the item `message` with the field `x`."""

    span: Span
    type: Type
    name: str
    fields: tuple[str, ...] = ()


@frozen(frozen=True, slots=True)
class AliasOf:
    """The element that a loop or template stands at, or a field of it."""

    span: Span
    type: Type
    alias: str
    fields: tuple[str, ...] = ()


@frozen(frozen=True, slots=True)
class PositionOf:
    """The 1-based place of a loop's element."""

    span: Span
    type: Type
    alias: str


@frozen(frozen=True, slots=True)
class Apply:
    """
    A function call. `call(run, *values)`; not called when a value argument is not present: its state is the result.

    Args:
        passing: for each argument, whether its state passes through (value arguments of ordinary functions).
        coded: the same as `quick` of what it reads, and then calling it: of a function that remembers words.
        alone: the same as `alone` of what it reads.
    """

    span: Span
    type: Type
    name: str
    call: Callable[..., Any]
    args: tuple[Expression, ...]
    passing: tuple[bool, ...]
    coded: Callable[[Any, Any, Any, Any], Any] | None = None
    alone: Callable[[Any, Any, Any, Any], Any] | None = None


@frozen(frozen=True, slots=True)
class Alternatives:
    """`a or b` as a value: the first that is present or stops (mapping language §3.1)."""

    span: Span
    type: Type
    terms: tuple[Expression, ...]


@frozen(frozen=True, slots=True)
class Choose:
    """`if c then a else b`; absent when there is no `else`."""

    span: Span
    type: Type
    condition: Condition
    then: Expression
    otherwise: Expression | None


@frozen(frozen=True, slots=True)
class Reference:
    """
    `ref(resource)`, or `ref(resource, element)`: a FHIR Reference, or all of them where the resource is a loop.

    Args:
        kind: how the resource is declared: `one`, `each` or `for`.
    """

    span: Span
    type: Type
    resource: str
    kind: str
    element: Expression | None


@frozen(frozen=True, slots=True)
class Decide:
    """A condition in the place of a value: true or false, always present."""

    span: Span
    type: Type
    condition: Condition


Expression: TypeAlias = (
    Read | Literal | ItemOf | AliasOf | PositionOf | Apply | Alternatives | Choose | Reference | Decide
)


# --- conditions --------------------------------------------------------------------------------------------


@frozen(frozen=True, slots=True)
class Truth:
    """A boolean is its truth, anything else is true when it is present."""

    span: Span
    value: Expression


@frozen(frozen=True, slots=True)
class Present:
    """Whether there is a value at all; `false` is one. What decides the existence of a resource."""

    span: Span
    value: Expression


@frozen(frozen=True, slots=True)
class AnyOf:
    """`a or b` as a condition."""

    span: Span
    terms: tuple[Condition, ...]


@frozen(frozen=True, slots=True)
class AllOf:
    """`a and b`."""

    span: Span
    terms: tuple[Condition, ...]


@frozen(frozen=True, slots=True)
class Negation:
    """`not a`."""

    span: Span
    term: Condition


@frozen(frozen=True, slots=True)
class Equal:
    """`a = b`: false when either side is not present."""

    span: Span
    left: Expression
    right: Expression


@frozen(frozen=True, slots=True)
class OneOf:
    """`a in ("x", "y")`, or a primitive code in a list."""

    span: Span
    value: Expression
    members: frozenset[str]


@frozen(frozen=True, slots=True)
class Coded:
    """`a in list`, `a = snomed#1`: any coding of the concept is one of (system name, code)."""

    span: Span
    value: Expression
    members: frozenset[tuple[str, str]]


Condition: TypeAlias = Truth | Present | AnyOf | AllOf | Negation | Equal | OneOf | Coded


# --- bindings ----------------------------------------------------------------------------------------------


@frozen(frozen=True, slots=True)
class BindValue:
    """One value, or with a list type all of them."""

    span: Span
    value: Expression


@frozen(frozen=True, slots=True)
class BindRecord:
    """
    One record: present when any expression in it is; literals are carried and do not count.

    When nothing in it is present and something was deleted, the record is deleted.

    Args:
        whole: for an atomic record, the field that keeps its text when a part of it fails; else empty.
        solid: of a FHIR data type, whose parts are there or not; when none is, the whole is what the last one was.
    """

    span: Span
    fields: tuple[tuple[str, Binding], ...]
    when: Condition | None
    whole: str = ""
    solid: bool = False


@frozen(frozen=True, slots=True)
class BindEach:
    """One element for every cursor of the loop. `mark` stands for what its predicates look at."""

    span: Span
    loop: SourceLoop
    path: str
    body: Binding
    mark: Mark


@frozen(frozen=True, slots=True)
class BindCase:
    """The first branch whose condition holds."""

    span: Span
    branches: tuple[tuple[Condition | None, Binding], ...]


@frozen(frozen=True, slots=True)
class BindList:
    """Several sources of one list, spliced in order."""

    span: Span
    entries: tuple[Binding, ...]


Binding: TypeAlias = BindValue | BindRecord | BindEach | BindCase | BindList


@frozen(frozen=True, slots=True)
class BoundItem:
    """One item of a binding file."""

    name: str
    type: Type
    body: Binding


# --- builds ------------------------------------------------------------------------------------------------


@frozen(frozen=True, slots=True)
class Fixed:
    """A value that the build itself states, ready for JSON."""

    span: Span
    value: Any


@frozen(frozen=True, slots=True)
class Write:
    """
    The value of an expression. `write(value, run)` makes it the target's: system names become URIs, and what has no
    place in the target becomes absent. `None` means as it is.
    """

    span: Span
    value: Expression
    write: Callable[[Any, Any], Any] | None


@frozen(frozen=True, slots=True)
class Put:
    """
    One key of an object.

    Args:
        key: JSON key; for an open choice that of its first type.
        many: the element repeats, so the value is a list.
        required: minimum 1, so that an unknown value is written as a data-absent-reason.
        primitive: the element is a primitive, so that its extension goes to `_key`.
        choice: for an open choice, (value) → key.
    """

    span: Span
    key: str
    node: Node
    many: bool
    required: bool = False
    primitive: bool = True
    choice: Callable[[Any], str] | None = None


@frozen(frozen=True, slots=True)
class Build:
    """
    An object: written when no expression stands in it, or when at least one that does is present (§6.2.1).

    Args:
        base: `$from`: the object to start from; the keys beside it fill what it lacks.
        always: a resource's own body, whose existence is decided elsewhere.
    """

    span: Span
    puts: tuple[Put, ...]
    base: Write | None = None
    always: bool = False


@frozen(frozen=True, slots=True)
class BuildEach:
    """One output per element of a list."""

    span: Span
    value: Expression
    alias: str
    body: Node


@frozen(frozen=True, slots=True)
class BuildWhen:
    """The body when the condition holds; it then counts as present even when it is a literal."""

    span: Span
    condition: Condition
    body: Node


@frozen(frozen=True, slots=True)
class BuildCase:
    """The first branch whose condition holds."""

    span: Span
    branches: tuple[tuple[Condition | None, Node], ...]


@frozen(frozen=True, slots=True)
class BuildList:
    """The entries in order, lists among them spliced."""

    span: Span
    entries: tuple[Node, ...]


Node: TypeAlias = Fixed | Write | Build | BuildEach | BuildWhen | BuildCase | BuildList


@frozen(frozen=True, slots=True)
class Resource:
    """
    One resource of a build.

    Args:
        kind: `one`, `each` (one per element of `over`) or `for` (a template: one per record that a reference asks for).
        record: for a template, the record type it takes.
        exists: the condition that decides existence; for `each` and `for` it may name the alias.
        upsert: in a transaction, the Identifier to update by.
        items: names of the items that it reads, wherever.
    """

    span: Span
    name: str
    type: str
    kind: str
    body: Build
    exists: Condition
    over: Expression | None = None
    alias: str = ""
    record: str = ""
    upsert: Expression | None = None
    items: frozenset[str] = frozenset()


@frozen(frozen=True, slots=True)
class Derived:
    """A derived item, in an order in which each finds what it reads."""

    name: str
    type: Type
    value: Expression


# --- going through a tree ----------------------------------------------------------------------------------


def walk(tree: Any, *, closed: tuple[type, ...] = ()) -> Iterator[Any]:
    """
    Every node of a tree, or of a tuple of them, each before those below it, in the order of the file.

    Args:
        closed: kinds of node that are given but not entered.
    """
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        kind = node.__class__
        if kind is tuple:
            waiting += node[::-1]
            continue
        inside = _INSIDE.get(kind) or _known(kind)
        if inside is _NO_NODE:
            continue
        yield node
        count, below = inside
        if count == 1:
            if kind not in closed:
                waiting.append(below(node))
        elif count and kind not in closed:
            waiting += below(node)


def read_at(tree: Any) -> list[Read | BindEach]:
    """What a tree, or a tuple of them, reads at one place, in the order of the file: paths, and loops as a whole."""
    found: list[Read | BindEach] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        kind = node.__class__
        if kind is tuple:
            waiting += node[::-1]
        elif kind is Read or kind is BindEach:
            found.append(node)
        else:
            count, below = _INSIDE.get(kind) or _known(kind)
            if count == 1:
                waiting.append(below(node))
            elif count:
                waiting += below(node)
    return found


def parts(node: Any) -> Sequence[Any]:
    """What stands right below a node, or in a tuple of them, in order; nothing below what is none."""
    if node.__class__ is tuple:
        return node
    count, below = _INSIDE.get(node.__class__) or _known(node.__class__)
    return (below(node),) if count == 1 else below(node)[::-1] if count else ()


#: How many fields of a kind of node may hold others, and what gives the one that does, or all of them, the last first.
_Inside: TypeAlias = tuple[int, Callable[[Any], Any]]
#: Of what is no node, and of nodes that nothing is below.
_NO_NODE: Final[_Inside] = (0, attrgetter("__class__"))
_LEAF: Final[_Inside] = (0, attrgetter("span"))
_INSIDE: Final[dict[type, _Inside]] = {}


def _known(kind: type) -> _Inside:
    inside = _NO_NODE
    if kind.__module__ == __name__:
        names = [one.name for one in fields(kind) if not str(one.type).startswith(_BARE)][::-1]
        inside = (len(names), attrgetter(*names)) if names else _LEAF
    return _INSIDE.setdefault(kind, inside)


#: How the types of fields begin that hold no node.
_BARE: Final = (
    "Span", "str", "bool", "int", "Type", "Mark", "SourceLoop", "Plan", "Callable", "frozenset", "tuple[str",
    "tuple[bool",
)  # fmt: skip


def reads(tree: Any) -> Iterator[ItemOf | AliasOf]:
    """Every item and alias that is read, except inside references: those do not decide whether anything exists."""
    return (node for node in walk(tree, closed=(Reference,)) if isinstance(node, (ItemOf, AliasOf)))


def counts(node: Node | Binding) -> bool:
    """Whether a piece holds an expression or a condition: only those decide whether what it stands in is written."""
    match node:
        case Fixed():
            return False
        case BindValue():
            return not isinstance(node.value, Literal)
        case Build():
            return node.base is not None or any(counts(put.node) for put in node.puts)
        case BindRecord():
            return node.when is not None or any(counts(body) for _, body in node.fields)
        case BuildList() | BindList():
            return any(counts(entry) for entry in node.entries)
        case _:
            return True


#: Types whose present values may be false in Python.
_FALSY: Final = frozenset({"any", "boolean", "decimal", "integer", "positiveInt", "unsignedInt"})


def object_or_absent(node: Node) -> bool:
    """Whether what a piece gives is one object, or absent: no list, and no state that says more."""
    match node:
        case Build():
            return True
        case BuildWhen():
            return object_or_absent(node.body)
        case BuildCase():
            return all(object_or_absent(body) for _, body in node.branches)
        case _:
            return False


def plain_truth(node: Expression | Node) -> bool:
    """
    Whether a value is present exactly when Python takes it for true: it can be no `false` and no zero.

    What is empty (a text without characters) is then absent, which is what FHIR says of it (R4 §2.6.2.1).
    """
    match node:
        case Fixed():
            return bool(node.value)
        case Write():
            return plain_truth(node.value)
        case Build() | BuildEach() | BuildList():
            return True
        case BuildWhen():
            return plain_truth(node.body)
        case BuildCase():
            return all(plain_truth(body) for _, body in node.branches)
        case _:
            return node.type.many or _FALSY.isdisjoint(node.type.names)
