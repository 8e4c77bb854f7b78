"""
The code of builds: what is made of the items, as pieces of resources.

What a piece always says is stated once (`fhir.stated`), and what is made of few items that recur is remembered with
them (`fhir.recurring`).
"""

from __future__ import annotations

import ast
from functools import partial
from typing import Any, Final

from mhbridge.errors import Span
from mhbridge.fhir.recurring import Again
from mhbridge.fhir.stated import stated
from mhbridge.mapping import nodes
from mhbridge.mapping.emitting.expressions import Case, Emitter
from mhbridge.mapping.leaves import as_list, splice
from mhbridge.mapping.placed import Block
from mhbridge.mapping.types import BUILT_IN_RECORDS
from mhbridge.model import ABSENT

__all__ = ["Builds"]


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


_CODED: Final = frozenset({"valueCodeableConcept", "valueCoding"})


def _coded_alone(node: nodes.Build) -> nodes.Put | None:
    """The one key of an extension that is not stated, where it is a code; `None` where it has others, or none."""
    if node.base is not None or node.always or not any(put.key == "url" for put in node.puts):
        return None
    open_ = [put for put in node.puts if _stated_at(put) is None]
    if len(open_) != 1 or open_[0].key not in _CODED or open_[0].required or open_[0].many or open_[0].choice:
        return None
    return open_[0] if isinstance(open_[0].node, nodes.Write) else None


#: Of so many items the same come together often.
_FEW: Final = 3
#: Types of what may recur: codes, and who and what works there.
_RECUR: Final = frozenset({"CodeableConcept", *BUILT_IN_RECORDS})
_FIELDS: Final = frozenset().union(*BUILT_IN_RECORDS.values())
#: What depends on more than an item.
_OF_MORE: Final = (nodes.AliasOf, nodes.PositionOf, nodes.Reference, nodes.BuildEach)


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


class Builds(Emitter):
    """A function that builds a resource, or a piece of one."""

    #: What is made now is remembered as part of something larger.
    within_one = False

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
