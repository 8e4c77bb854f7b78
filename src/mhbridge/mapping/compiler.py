"""
Compiles a resolved mapping to Python whose line and column numbers are the mapping file's own.

Every function is built as an `ast` tree and compiled under the name of the YAML file that it came from: a traceback
then points into the mapping, with a caret under the very expression, and so does a debugger or a coverage tool, except
that it takes items that one loop reads as one step, in the line of the first of them. Text never becomes code: every
constant is an `ast.Constant`, every name one of ours, and the grammar has no loop but over what is there.

The code is straight and short, since it is a large part of what compiling takes: a value is read where it is used, and
what a record comes to is settled when all of it is there. For items that stand together, of which each is read in one
go, there is no code but the call of a loop (`straight`). What cannot change from message to message (paths,
conversions, tables, literals) is made once and handed in by name. `interpreter` does the same slowly and obviously; the
tests compare the two.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby
from typing import Any, Final, NamedTuple

from mhbridge.errors import Span
from mhbridge.fhir.recurring import Again
from mhbridge.fhir.stated import stated
from mhbridge.formats import Plan
from mhbridge.mapping import nodes
from mhbridge.mapping.emitting import Case, Emitter, Lines, shareable
from mhbridge.mapping.leaves import Assembled, as_list, gathered, settling, splice, whole_settling
from mhbridge.mapping.ledger import always_read
from mhbridge.mapping.placed import Block
from mhbridge.mapping.straight import Found, InRow, Straight, all_found, all_in_row, all_taken, made_into
from mhbridge.mapping.types import BUILT_IN_RECORDS
from mhbridge.model import ABSENT

__all__ = ["Compiler"]


class Compiler:
    """
    Args:
        lines: (file, line number) → the text of that line; Python counts columns in bytes.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def bind(self, items: tuple[nodes.BoundItem, ...], span: Span) -> Callable[[Any, Any], dict[str, Any]]:
        """`bind(cursor, run)` → items. Items that are absent have no key."""
        function = _Function(span, self._lines)
        at = function.at(span)
        body: Block = [at.set("out", at.dict_([], []))]
        function.hoist(tuple(item.body for item in items), body, "cursor")
        for read in _asked_often(items):
            function.shared[read.path] = function.keep(function.value(read, body), body, read.span).id
        function.items(items, body)
        body.append(at.give(at.call("present_alone", at.load("out"))))
        return function.finish("bind", ("cursor", "run"), body)

    def derive(self, derived: tuple[nodes.Derived, ...], span: Span) -> Callable[[dict[str, Any], Any], None]:
        """`derive(items, run)` adds the derived items that are present."""
        function = _Function(span, self._lines)
        body: Block = [function.at(span).nothing()]
        for item in derived:
            value = function.value(item.value, body)
            at = function.at(item.value.span)
            value = function.kept(at.call("as_list", value) if item.type.many else value, body, item.value.span)
            put = at.put("items", at.constant(item.name), value)
            absent = not isinstance(value, ast.Constant)  # what the mapping states never is
            body.append(at.when(at.is_not(value, at.load("ABSENT")), [put], []) if absent else put)
        return function.finish("derive", ("items", "run"), body)

    def condition(self, condition: nodes.Condition, alias: str = "") -> Callable[..., bool]:
        """`condition(items, assembly, run, element, place)` → bool."""
        function = _Function(condition.span, self._lines, alias)
        body: Block = []
        test = function.condition(condition, body)
        body.append(function.at(condition.span).give(test))
        return function.finish("exists", ("items", "assembly", "run", "element", "place"), body)

    def expression(self, expression: nodes.Expression, alias: str = "") -> Callable[..., Any]:
        """`expression(items, assembly, run, element, place)` → value."""
        function = _Function(expression.span, self._lines, alias)
        body: Block = []
        value = function.value(expression, body)
        body.append(function.at(expression.span).give(value))
        return function.finish("value", ("items", "assembly", "run", "element", "place"), body)

    def node(self, node: nodes.Node, name: str, alias: str = "") -> Callable[..., Any]:
        """`node(items, assembly, run, element, place)` → a piece of output: one resource, the Bundle's identifier."""
        function = _Function(node.span, self._lines, alias)
        block: Block = []
        value = function.node(node, block)
        block.append(function.at(node.span).give(value))
        return function.finish(name, ("items", "assembly", "run", "element", "place"), block)


def _asked_often(items: tuple[nodes.BoundItem, ...]) -> list[nodes.Read]:
    """
    Texts that several conditions ask of every message, such as which event it is: they are read once for all of them.

    What is asked only sometimes is not, because the ledger would then say that it was.
    """
    always = {id(read): read for read in always_read(items) if isinstance(read, nodes.Read)}
    found: dict[str, list[nodes.Read]] = {}
    for node in nodes.walk(tuple(item.body for item in items), closed=(nodes.BindEach,)):
        if isinstance(node, nodes.Read) and shareable(node):
            found.setdefault(node.path, []).append(node)
    several = (reads for reads in found.values() if len(reads) > 1)
    return [first for reads in several if (first := next((r for r in reads if id(r) in always), None)) is not None]


def _stated(node: nodes.Node) -> Any:
    """What a piece of output always is, where nothing of it depends on a message; `None` where something does."""
    match node:
        case nodes.Fixed():
            return stated(node.value)
        case nodes.Build(base=None):
            puts = [_stated_at(put) for put in node.puts]
            return stated(dict(put for put in puts if put)) if puts and None not in puts else None
        case nodes.BuildList():
            entries = [_stated(entry) for entry in node.entries]
            if not entries or None in entries:
                return None
            found: list[Any] = []
            for entry in entries:
                splice(found, entry, ABSENT)
            return stated(found)
        case _:
            return None


def _stated_at(put: nodes.Put) -> tuple[str, Any] | None:
    """A key of an object and what it always is."""
    said = _stated(put.node)
    if said is None:
        return None
    key = put.key if put.choice is None else put.choice(said)
    return key, stated(as_list(said)) if put.many else said


def _coded_alone(node: nodes.Build) -> nodes.Put | None:
    """The one key of an extension that is not stated, where it is a code; `None` where it has others, or none."""
    if node.base is not None or node.always or not any(put.key == "url" for put in node.puts):
        return None
    open_ = [put for put in node.puts if _stated_at(put) is None]
    if len(open_) != 1 or open_[0].key not in _CODED or open_[0].required or open_[0].many or open_[0].choice:
        return None
    return open_[0] if isinstance(open_[0].node, nodes.Write) else None


def _place_of(item: nodes.BoundItem) -> Plan | None:
    """The one place of which a record is made that says where something is, or which organisation it is."""
    if item.type.many or item.type.name not in BUILT_IN_RECORDS or not isinstance(item.body, nodes.BindRecord):
        return None
    place: Plan | None = None
    for part in nodes.walk(item.body):
        if isinstance(part, nodes.BindEach):
            return None
        if isinstance(part, nodes.Read):
            plan = part.plan
            if (
                plan is None
                or not plan.common
                or (place is not None and (plan.key, plan.place) != (place.key, place.place))
            ):
                return None
            place = plan
    return place


_CODED: Final = frozenset({"valueCodeableConcept", "valueCoding"})


def _of_few(node: nodes.Build) -> list[str]:
    """The items of which all of an object comes that is not stated, where they may recur; none where others do."""
    found: dict[str, None] = {}
    for part in nodes.walk(node):
        if isinstance(part, nodes.ItemOf):
            recurs = part.fields[0] in _FIELDS if part.fields else part.type.name in _RECUR and not part.type.many
            if not recurs or part.name == "message":
                return []
            found[part.name] = None
        elif isinstance(part, _OF_MORE):
            return []
    return list(found) if len(found) <= _FEW else []


#: Of so many items the same come together often.
_FEW: Final = 3
#: Types of what may recur: codes, and who and what works there.
_RECUR: Final = frozenset({"CodeableConcept", *BUILT_IN_RECORDS})
_FIELDS: Final = frozenset().union(*BUILT_IN_RECORDS.values())
#: What depends on more than an item.
_OF_MORE: Final = (nodes.AliasOf, nodes.PositionOf, nodes.Reference, nodes.BuildEach)


#: What stands for the row of items that are found and then taken, or taken at once: no row is called so.
_FOUND: Final = "found"
_TAKEN: Final = "taken"
#: From so many on, items that stand together are read by one loop; and those of a row. In a message that takes some 200
#: instructions more for each and 800 for all of them, and 200,000 less for each to compile.
_LEAST: Final = {_FOUND: 1, _TAKEN: 3}
_LEAST_OF_ROW: Final = 4


class _Piece(NamedTuple):
    """What is bound under a name, and how it is read in one go, where it can be."""

    name: str
    body: nodes.Binding
    straight: Straight | None

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.body.value.span if isinstance(self.body, nodes.BindValue) else self.body.span


def _row_of(piece: _Piece) -> str | None:
    """What pieces have in common that one loop can read: their row, or how they are found; `None` of others."""
    found = piece.straight
    if isinstance(found, Found):
        return _TAKEN if found.find is None else _FOUND
    return found.row if isinstance(found, InRow) else None


class _Function(Emitter):
    """A function that binds items or builds a resource."""

    #: What is made now is remembered as part of something larger.
    within_one = False

    # -- bindings -------------------------------------------------------------------------------------------

    def items(self, items: tuple[nodes.BoundItem, ...], block: Block) -> None:
        """Bind items. A record of one place in the message, where that comes again, is made once for all of them."""
        others: list[tuple[str, nodes.Binding]] = []
        for item in items:
            plan = _place_of(item)
            row = None if plan is None else self.rows.get(("cursor", plan.key))
            if plan is None or row is None:
                others.append((item.name, item.body))
                continue
            self.bound("out", others, block, "cursor", alone=True)
            others = []
            self._assembled(item, at_place=(*row, plan.place), block=block)
        self.bound("out", others, block, "cursor", alone=True)

    def _assembled(self, item: nodes.BoundItem, at_place: tuple[str, str, int], block: Block) -> None:
        row, places, place = at_place
        at, assembled = self.at(item.body.span), Assembled()
        held = self.keep(at.entry(places, place), block, item.body.span)
        of = [held, at.load(row), at.load("run")]
        record = self.local()
        block.append(at.set(record, at.call(self.given("recall", assembled.recall), *of)))
        inner: Block = []
        begun = self.keep(at.call("begun", at.load("run")), inner, item.body.span)
        inner.append(at.set(record, self.binding(item.body, inner, "cursor")))
        inner.append(at.do(at.call(self.given("keep", assembled.keep), *of, begun, at.load(record))))
        block.append(at.when(at.not_(at.load(record)), inner, []))
        put = at.put("out", at.constant(item.name), at.load(record))
        block.append(at.when(at.is_not(at.load(record), at.load("ABSENT")), [put], []))

    def bound(
        self,
        into: str,
        items: Iterable[tuple[str, nodes.Binding]],
        block: Block,
        cursor: str,
        *,
        alone: bool = False,
    ) -> None:
        """
        Put what is bound under names. What is absent has none; seldom it is taken away again when all is there.

        Args:
            alone: they are items, which nothing else holds.
        """
        pieces = [_Piece(name, body, self._straight_of(body, cursor, alone=alone)) for name, body in items]
        for row, group in groupby(pieces, _row_of):
            alike = list(group)
            if row is None or len(alike) < _LEAST.get(row, _LEAST_OF_ROW):
                for piece in alike:
                    self._bound(into, piece, block, cursor)
            else:
                block.append(self._together(into, alike, cursor))

    def _straight_of(self, body: nodes.Binding, cursor: str, *, alone: bool) -> Straight | None:
        match body:
            case nodes.BindValue():
                return self.straight(body.value, cursor, alone=alone)
            case nodes.BindList(entries=(nodes.BindValue() as entry,)):
                found = self.straight(entry.value, cursor)
                return None if found is None else made_into(found, as_list if _is_single(entry) else _alone)
            case _:
                return None

    def _together(self, into: str, pieces: list[_Piece], cursor: str) -> ast.stmt:
        """Items that one loop puts under their names: those of one row, or those that are looked for at the cursor."""
        at, again = self.at(pieces[0].span), self.again
        names = [into, cursor, "run"]
        in_row = [(one.name, one.span, one.straight) for one in pieces if isinstance(one.straight, InRow)]
        if in_row:
            put = self.given("put", all_in_row(in_row, again))
            names[1:1] = in_row[0][2].places, in_row[0][2].row
        else:
            found = [(one.name, one.span, one.straight) for one in pieces if isinstance(one.straight, Found)]
            put = self.given("put", (all_taken if found[0][2].find is None else all_found)(found, again))
        return at.do(at.call(put, *map(at.load, names)))

    def _bound(self, into: str, piece: _Piece, block: Block, cursor: str) -> None:
        at = self.at(piece.span)
        if isinstance(piece.straight, InRow):
            held = self.held(piece.straight, cursor, at)
            block.append(at.when(held.there, [at.put(into, at.constant(piece.name), held.taken)], []))
            return
        if piece.straight is not None:
            value = self.at_once(piece.straight, cursor, at)
        else:
            value = self.binding(piece.body, block, cursor)
        given = value
        if not isinstance(value, ast.Name | ast.Constant):
            local = self.local()
            given, value = at.named(local, value), at.load(local)
        put = at.put(into, at.constant(piece.name), value)
        stated_ = isinstance(value, ast.Constant)  # what the mapping states is never absent
        block.append(put if stated_ else at.when(at.is_not(given, at.load("ABSENT")), [put], []))

    def binding(self, node: nodes.Binding, block: Block, cursor: str) -> ast.expr:
        """Code for what is bound, to be used once, before anything else is put into the block."""
        at = self.at(node.span)
        match node:
            case nodes.BindValue():
                return self.value(node.value, block, cursor)
            case nodes.BindRecord():
                return self._record(node, block, cursor)
            case nodes.BindEach():
                result, inner = self.local(), self.local()
                block.append(at.set(result, at.list_([])))
                body: Block = []
                self.hoist(node.body, body, inner)
                value = self.binding(node.body, body, inner)
                below = self.at(node.body.span)
                body.append(below.do(below.method(below.load(result), "append", value)))
                if node.mark.spot.asks:
                    mark = at.load(self.given("m", node.mark))
                    block.append(at.do(at.call("asked", mark, at.load(cursor), at.load("run"))))
                block.append(at.each(inner, at.call(self.given("loop", node.loop.cursors), at.load(cursor)), body))
                return at.call("gathered", at.load(result))
            case nodes.BindCase():
                return self.first_of(
                    [
                        Case(condition, partial(self._branch, body, cursor), body.span)
                        for condition, body in node.branches
                    ],
                    block,
                    node.span,
                    cursor,
                )
            case nodes.BindList():
                entries = _unfolded(node)
                if len(entries) == 1 and isinstance(entries[0], nodes.BindEach):
                    return self.binding(entries[0], block, cursor)
                if len(entries) == 1 and _is_single(entries[0]):
                    return at.call("as_list", self.binding(entries[0], block, cursor))
                # A list that a function gave may be one that it remembers: no item is that very list.
                return at.call("gathered", at.list_(self._in_order(entries, block, cursor)))

    def _branch(self, node: nodes.Binding, cursor: str, block: Block) -> ast.expr:
        return self.binding(node, block, cursor)

    def _in_order(self, entries: list[nodes.Binding], block: Block, cursor: str) -> list[ast.expr]:
        """Code for several values that are used together: they are read in their order all the same."""
        values: list[ast.expr] = []
        for entry in entries:
            before = len(block)
            value = self.binding(entry, block, cursor)
            if len(block) > before:
                needed, block[before:] = block[before:], []
                values = [self.kept(one, block, other.span) for one, other in zip(values, entries, strict=False)]
                block += needed
            values.append(value)
        return values

    def _record(self, node: nodes.BindRecord, block: Block, cursor: str) -> ast.expr:
        if node.when is None:
            return self._fields_of(node, cursor, block)
        return self.first_of(
            [Case(node.when, partial(self._fields_of, node, cursor), node.span)], block, node.span, cursor
        )

    def _fields_of(self, node: nodes.BindRecord, cursor: str, block: Block) -> ast.expr:
        """A record, or the state that it is in when nothing is present in it but what the mapping states."""
        at, record = self.at(node.span), self.local()
        block.append(at.set(record, at.dict_([], [])))
        failures = ""
        if node.whole:
            failures = self.keep(at.attribute(at.load("run"), "failures"), block, node.span).id
        self.bound(record, node.fields, block, cursor)
        stated_ = frozenset(name for name, body in node.fields if not nodes.counts(body))
        settle = settling(stated_, solid=node.solid)
        if node.whole:
            whole = self.given("whole", whole_settling(node, settle))
            return at.call(whole, at.load(record), at.load(failures), at.load(cursor), at.load("run"))
        if len(stated_) == len(node.fields):
            return at.load(record)
        return at.call("settled" if not stated_ and not node.solid else self.given("settled", settle), at.load(record))

    # -- builds ---------------------------------------------------------------------------------------------

    def node(self, node: nodes.Node, block: Block) -> ast.expr:
        """
        Code for a piece of output: a value ready for JSON, or a state when there is nothing to write. It is to be used
        once, before anything else is put into the block, but for names and constants.
        """
        match node:
            case nodes.Fixed():
                return self.constant(stated(node.value), self.at(node.span))
            case nodes.Write():
                return self._write(node, block)
            case nodes.Build():
                return self._build(node, block)
            case nodes.BuildWhen():
                return self._branches(((node.condition, node.body),), node.span, block)
            case nodes.BuildCase():
                return self._branches(node.branches, node.span, block)
            case nodes.BuildEach():
                return self._each(node, block)
            case nodes.BuildList():
                return self._list(node, block, "")

    def _kept_node(self, node: nodes.Node, block: Block) -> ast.Name | ast.Constant:
        """The same, to be used more than once."""
        return self.kept(self.node(node, block), block, node.span)

    def _collect(self, result: str, state: str, node: nodes.Node, block: Block) -> ast.expr:
        """Code for an entry of a list: it is appended, or its entries are, when it is present."""
        value, at = self._kept_node(node, block), self.at(node.span)
        if nodes.object_or_absent(node):
            append = at.do(at.method(at.load(result), "append", value))
            block.append(at.when(value, [append], []))
        else:
            block.append(at.set(state, at.call("splice", at.load(result), value, at.load(state))))
        return value

    def _each(self, node: nodes.BuildEach, block: Block) -> ast.expr:
        over, at = self.expression(node.value, block), self.at(node.span)
        result, state, element, place = self.local(), self.local(), self.local(), self.local()
        block += [at.set(result, at.list_([])), at.set(state, at.load("ABSENT"))]
        outer = self.aliases
        self.aliases = {**outer, node.alias: (element, place)}
        body: Block = []
        self._collect(result, state, node.body, body)
        self.aliases = outer
        loop: Block = [at.each_pair(place, element, at.call("enumerate", over), body)]
        # A list is never empty, so what is false is a state.
        block.append(at.when(over, loop, [at.set(state, over)]))
        return self.keep(at.any_of([at.load(result), at.load(state)]), block, node.span)

    def _list(self, node: nodes.BuildList, block: Block, found: str) -> ast.expr:
        """A list. `found` is set when an entry that counts is present: literals among the entries do not."""
        result, state, at = self.local(), self.local(), self.at(node.span)
        block += [at.set(result, at.list_([])), at.set(state, at.load("ABSENT"))]
        for entry in node.entries:
            value = self._collect(result, state, entry, block)
            if found and nodes.counts(entry):
                below = self.at(entry.span)
                mark = below.set(found, below.constant(value=True))
                block.append(below.when(self.present(entry, value, below), [mark], []))
        return self.keep(at.any_of([at.load(result), at.load(state)]), block, node.span)

    def _write(self, node: nodes.Write, block: Block) -> ast.expr:
        if node.write is None:
            return self.value(node.value, block)
        value, at = self.expression(node.value, block), self.at(node.span)
        written = at.call(self.given("write", node.write), value, at.load("run"))
        return at.choice(self.present(node.value, value, at), written, value)

    def _branches(
        self, branches: tuple[tuple[nodes.Condition | None, nodes.Node], ...], span: Span, block: Block
    ) -> ast.expr:
        cases = [Case(condition, partial(self.node, body), body.span) for condition, body in branches]
        return self.first_of(cases, block, span)

    def _build(self, node: nodes.Build, block: Block) -> ast.expr:
        at = self.at(node.span)
        if (said := _stated(node)) is not None:
            return at.load(self.given("k", said))
        if (coded := _coded_alone(node)) is not None:
            return self._around(node, coded, block)
        if not self.within_one and (items := _of_few(node)):
            return self._again(node, items, block)
        return self._object(node, block)

    def _again(self, node: nodes.Build, items: list[str], block: Block) -> ast.expr:
        """An object of which all that is not stated comes of items that may recur: it is made once for each of them."""
        at, again = self.at(node.span), Again()
        parts = [self.keep(self._get(at.load("items"), name, at), block, node.span) for name in items]
        ids: list[ast.expr] = [at.call("id", part) for part in parts]
        known = at.load(self.given("known", again.known))
        result = self.local()
        block.append(at.set(result, at.method(known, "get", ids[0] if len(ids) == 1 else at.tuple_(ids))))
        inner: Block = []
        self.within_one = True
        made = self._object(node, inner)
        self.within_one = False
        inner.append(at.set(result, made))
        of = at.load(self.given("again", again)), at.tuple_([*parts]), at.load(result), at.load("run")
        inner.append(at.do(at.call("kept_again", *of)))
        block.append(at.when(at.not_(at.load(result)), inner, []))
        return at.load(result)

    def _object(self, node: nodes.Build, block: Block) -> ast.expr:
        at = self.at(node.span)
        result, found = self.local(), self.local()
        puts = node.puts
        keys: list[ast.expr | None] = []
        values: list[ast.expr] = []
        while node.base is None and puts and (said := _stated_at(puts[0])) is not None:
            key, value = said
            keys.append(at.constant(key))
            values.append(self.constant(value, at))
            puts = puts[1:]
        block.append(at.set(result, at.dict_(keys, values)))
        counted = any(nodes.counts(put.node) for put in node.puts) or node.base is not None
        if not node.always:
            block.append(at.set(found, at.constant(value=not counted)))
        if node.base is not None:
            base, below = self.kept(self._write(node.base, block), block, node.base.span), self.at(node.base.span)
            start: Block = [
                below.set(result, below.dict_([None], [base])),
                below.set(found, below.constant(value=True)),
            ]
            block.append(below.when(self.present(node.base, base, below), start, []))
        for put in puts:
            self._put(put, result, found, block, always=node.always, based=node.base is not None)
        if node.always:
            return at.load(result)
        return at.choice(at.load(found), at.load(result), at.load("ABSENT"))

    def _around(self, node: nodes.Build, coded: nodes.Put, block: Block) -> ast.expr:
        """An object that is all stated but for one code: round a code that is stated it is always the same one."""
        value, at = self._kept_node(coded.node, block), self.at(node.span)
        said = {put.key: at_ for put in node.puts if (at_ := _stated_at(put)) is not None}
        keys: list[ast.expr | None] = []
        parts: list[ast.expr] = []
        for put in node.puts:
            key, part = said.get(put.key, (coded.key, None))
            keys.append(at.constant(key))
            parts.append(value if put is coded else self.constant(part, at))
        known = at.load(self.given("known", {}))
        found = at.method(known, "get", at.call("id", value))
        made = at.any_of([found, at.call("shared", at.dict_(keys, parts), value, known)])
        return at.choice(self.present(coded.node, value, at), made, at.load("ABSENT"))

    def _put(self, put: nodes.Put, result: str, found: str, block: Block, *, always: bool, based: bool) -> None:
        said, at = _stated_at(put), self.at(put.span)
        if said is not None and not based:
            name, stated_value = said
            block.append(at.put(result, at.constant(name), self.constant(stated_value, at)))
            return
        if isinstance(put.node, nodes.BuildList):
            value: ast.expr = self._list(put.node, block, "" if always else found)
        else:
            value = self._kept_node(put.node, block)
        key: ast.expr = at.constant(put.key)
        if put.choice is not None:
            chosen = at.call(self.given("choose", put.choice), value)
            key = self.keep(at.choice(self.present(put.node, value, at), chosen, key), block, put.span)
        written = value
        if put.many and not isinstance(put.node, nodes.BuildList | nodes.BuildEach):
            written = at.call("as_list", value)
        add = at.put(result, key, written)
        if based:
            # `$from` starts from an object; the keys beside it fill what it lacks and never replace.
            add = at.do(at.call("fill", at.load(result), key, written))
        if isinstance(put.node, nodes.Fixed):
            block.append(add)
            return
        mark: Block = [] if always else [at.set(found, at.constant(value=True))]
        then: Block = [add]
        if not isinstance(put.node, nodes.BuildList) and nodes.counts(put.node):
            then += mark
        otherwise: Block = []
        if put.required:
            # A minimum-1 element that is unknown is said to be so (FHIR R4 §2.1.0.5.1, data-absent-reason).
            primitive, many = at.constant(put.primitive), at.constant(put.many)
            why = at.do(at.call("data_absent", at.load(result), key, value, primitive, many))
            otherwise = [at.when(at.call("isinstance", value, at.load("Unknown")), [why, *mark], [])]
        block.append(at.when(self.present(put.node, value, at), then, otherwise))


def _alone(value: Any) -> Any:
    return gathered([value])


def _is_single(node: nodes.Binding) -> bool:
    """Whether what is bound is one value, and never a list."""
    return isinstance(node, nodes.BindRecord) or (isinstance(node, nodes.BindValue) and not node.value.type.many)


def _unfolded(node: nodes.BindList) -> list[nodes.Binding]:
    """The entries of a list, and of lists in it, which are spliced."""
    entries: list[nodes.Binding] = []
    for entry in node.entries:
        entries += _unfolded(entry) if isinstance(entry, nodes.BindList) else [entry]
    return entries
