"""
The code of bindings: what a mapping reads of a message, put under the names of its items.

Items that stand together, of which each is read in one go, have no code but the call of a loop (`straight`). A record
of one place in the message, where that comes again, is made once for all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final, NamedTuple

from mhbridge.errors import Span
from mhbridge.formats import Plan
from mhbridge.mapping import nodes
from mhbridge.mapping.emitting.expressions import Case, Emitter, shareable
from mhbridge.mapping.leaves import Assembled, as_list, gathered, settling, whole_settling
from mhbridge.mapping.placed import Block
from mhbridge.mapping.straight import (
    Composed,
    Found,
    InRow,
    Straight,
    all_found,
    all_in_row,
    all_mixed,
    all_taken,
    made_into,
)
from mhbridge.mapping.types import BUILT_IN_RECORDS

__all__ = ["Bindings", "asked_often"]


def asked_often(paths: Iterable[nodes.Read | nodes.BindEach]) -> list[nodes.Read]:
    """
    Texts that several conditions ask of every message, such as which event it is: they are read once for all of them.

    What is asked only sometimes is not, because the ledger would then say that it was.
    """
    found: dict[str, list[nodes.Read]] = {}
    for path in paths:
        if isinstance(path, nodes.Read) and shareable(path):
            found.setdefault(path.path, []).append(path)
    several = (reads for reads in found.values() if len(reads) > 1)
    return [first for reads in several if (first := next((r for r in reads if r.mark.always), None)) is not None]


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


#: From so many on, items that stand together are read by one loop. In a message that takes some 200 to 300 instructions
#: more for each and 800 for all of them, and 200,000 less for each to compile.
_LEAST: Final = 4


class _Piece(NamedTuple):
    """What is bound under a name, and how it is read in one go, where it can be."""

    name: str
    body: nodes.Binding
    straight: Straight | None

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.body.value.span if isinstance(self.body, nodes.BindValue) else self.body.span


def _in_one_go(piece: _Piece) -> bool:
    return piece.straight is not None


def _in_a_loop(pieces: Sequence[_Piece]) -> bool:
    """Whether one loop reads them. It does so even for one that is found first, or put together of others."""
    first = pieces[0].straight
    return len(pieces) >= _LEAST or isinstance(first, Composed) or (isinstance(first, Found) and first.find is not None)


class Bindings(Emitter):
    """A function that binds items."""

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
        rows: list[str] = []
        pieces = [_Piece(name, body, self._straight_of(body, cursor, rows, alone=alone)) for name, body in items]
        given: tuple[str, ...] = ()
        for straight, group in groupby(pieces, _in_one_go):
            alike = list(group)
            if not straight or not _in_a_loop(alike):
                for piece in alike:
                    self._bound(into, piece, block, cursor)
                continue
            at = self.at(alike[0].span)
            put, of = self._together(alike, rows)
            if of is None:
                if not given:
                    given = (self.local(),)
                    block.append(at.set(given[0], at.tuple_([at.load(row) for row in rows])))
                of = given
            block.append(at.do(at.call(self.given("put", put), *map(at.load, (into, *of, cursor, "run")))))

    def _straight_of(self, body: nodes.Binding, cursor: str, rows: list[str], *, alone: bool) -> Straight | None:
        match body:
            case nodes.BindValue():
                found = self.straight(body.value, cursor, rows, alone=alone)
            case nodes.BindList(entries=(nodes.BindValue() as entry,)):
                found = self.straight(entry.value, cursor, rows)
                if found is not None:
                    found = made_into(found, as_list if _is_single(entry) else _alone)
            case _:
                return None
        if isinstance(found, InRow) and found.row not in rows:
            rows += found.row, found.places
        return found

    def _together(self, pieces: list[_Piece], rows: list[str]) -> tuple[Callable[..., None], tuple[str, ...] | None]:
        """The loop that puts items under their names, and what it takes of a row is called; `None` for all `rows`."""
        found = [(one.name, one.span, one.straight) for one in pieces if one.straight is not None]
        simple = [(name, span, one) for name, span, one in found if not isinstance(one, Composed)]
        looked = [(name, span, one) for name, span, one in simple if isinstance(one, Found)]
        if len(looked) == len(found):
            if all(one.find is not None for _, _, one in looked):
                return all_found(looked, self.again), ()
            if all(one.find is None for _, _, one in looked):
                return all_taken(looked, self.again), ()
        places = {(one.places, one.row) for _, _, one in simple if isinstance(one, InRow)}
        if len(simple) == len(found) and len(places) == 1 and all(one.find is None for _, _, one in looked):
            return all_in_row(simple, self.again), places.pop()
        return all_mixed(found, rows, self.again), None

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
                self.hoist(nodes.read_at(node.body), body, inner)
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
