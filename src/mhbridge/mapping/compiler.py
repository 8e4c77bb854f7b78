"""
Compiles a resolved mapping to Python whose line and column numbers are the mapping file's own.

Every function is built as an `ast` tree and compiled under the name of the YAML file that it came from: a traceback, a
debugger or a coverage tool then points into the mapping, with a caret under the very expression. Text never becomes
code: every constant is an `ast.Constant`, every name one of ours, and the grammar has no loop but over what is there.

The code is straight: one local per value, one read per path and binding, one branch per condition. What cannot change
from message to message (paths, conversions, tables, literals) is made once and handed in by name. `interpreter` does
the same slowly and obviously; the tests compare the two.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

from mhbridge.errors import Span
from mhbridge.fhir.stated import stated
from mhbridge.mapping import nodes
from mhbridge.mapping.emitting import Block, Emitter, Lines, call, is_, load, shareable, store
from mhbridge.mapping.leaves import as_list, splice
from mhbridge.mapping.ledger import always_read
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
        body: Block = [function.at(ast.Assign([store("out")], ast.Dict([], [])), span)]
        function.hoist(tuple(item.body for item in items), body, "cursor")
        for read in _asked_often(items):
            function.shared[read.path] = function.expression(read, body)
        for item in items:
            value = function.binding(item.body, body, "cursor")
            put = ast.Assign([ast.Subscript(load("out"), ast.Constant(item.name), ast.Store())], value)
            function.when(is_(value, "ABSENT", negated=True), [put], body, item.body.span)
        body.append(function.at(ast.Return(load("out")), span))
        return function.finish("bind", ("cursor", "run"), body)

    def derive(self, derived: tuple[nodes.Derived, ...], span: Span) -> Callable[[dict[str, Any], Any], None]:
        """`derive(items, run)` adds the derived items that are present."""
        function = _Function(span, self._lines)
        body: Block = [function.at(ast.Pass(), span)]
        for item in derived:
            value = function.expression(item.value, body)
            if item.type.many:
                value = function.keep(call("as_list", value), body, item.value.span)
            put = ast.Assign([ast.Subscript(load("items"), ast.Constant(item.name), ast.Store())], value)
            function.when(is_(value, "ABSENT", negated=True), [put], body, item.value.span)
        return function.finish("derive", ("items", "run"), body)

    def condition(self, condition: nodes.Condition, alias: str = "") -> Callable[..., bool]:
        """`condition(items, assembly, run, element, place)` → bool."""
        function = _Function(condition.span, self._lines, alias)
        body: Block = []
        test = function.condition(condition, body)
        body.append(function.at(ast.Return(test), condition.span))
        return function.finish("exists", ("items", "assembly", "run", "element", "place"), body)

    def expression(self, expression: nodes.Expression, alias: str = "") -> Callable[..., Any]:
        """`expression(items, assembly, run, element, place)` → value."""
        function = _Function(expression.span, self._lines, alias)
        body: Block = []
        value = function.expression(expression, body)
        body.append(function.at(ast.Return(value), expression.span))
        return function.finish("value", ("items", "assembly", "run", "element", "place"), body)

    def node(self, node: nodes.Node, name: str, alias: str = "") -> Callable[..., Any]:
        """`node(items, assembly, run, element, place)` → a piece of output: one resource, the Bundle's identifier."""
        function = _Function(node.span, self._lines, alias)
        block: Block = []
        value = function.node(node, block)
        block.append(function.at(ast.Return(value), node.span))
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


_CODED: Final = frozenset({"valueCodeableConcept", "valueCoding"})


class _Function(Emitter):
    """A function that binds items or builds a resource."""

    # -- bindings -------------------------------------------------------------------------------------------

    def binding(self, node: nodes.Binding, block: Block, cursor: str) -> ast.expr:
        match node:
            case nodes.BindValue():
                return self.expression(node.value, block, cursor)
            case nodes.BindRecord():
                return self._record(node, block, cursor)
            case nodes.BindEach():
                result, state, inner = self.local(), self.local(), self.local()
                self.set(result, ast.List([], ast.Load()), block, node.span)
                self.set(state, load("ABSENT"), block, node.span)
                body: Block = []
                self.hoist(node.body, body, inner)
                self._splice(result, state, self.binding(node.body, body, inner), body, node.body.span)
                if node.mark.spot.asks:
                    noted = call("asked", self.given("m", node.mark), load(cursor), load("run"))
                    block.append(self.at(ast.Expr(noted), node.span))
                cursors = ast.Call(self.given("loop", node.loop.cursors), [load(cursor)], [])
                block.append(self.at(ast.For(store(inner), cursors, body, []), node.span))
                return self.keep(ast.BoolOp(ast.Or(), [load(result), load(state)]), block, node.span)
            case nodes.BindCase():
                result = self.local()
                self.set(result, load("ABSENT"), block, node.span)
                for condition, branch in node.branches:
                    inside: Block = []
                    self.set(result, self.binding(branch, inside, cursor), inside, branch.span)
                    if condition is None:
                        block += inside
                        break
                    otherwise: Block = []
                    test = self.condition(condition, block, cursor)
                    self.when(test, inside, block, branch.span, otherwise)
                    block = otherwise
                return load(result)
            case nodes.BindList():
                result, state = self.local(), self.local()
                self.set(result, ast.List([], ast.Load()), block, node.span)
                self.set(state, load("ABSENT"), block, node.span)
                for entry in node.entries:
                    self._splice(result, state, self.binding(entry, block, cursor), block, entry.span)
                return self.keep(ast.BoolOp(ast.Or(), [load(result), load(state)]), block, node.span)

    def _splice(self, result: str, state: str, value: ast.expr, block: Block, span: Span) -> None:
        """Append to a list, and keep the state that the list has when it stays empty."""
        self.set(state, call("splice", load(result), value, load(state)), block, span)

    def _record(self, node: nodes.BindRecord, block: Block, cursor: str) -> ast.expr:
        result, found, record = self.local(), self.local(), self.local()
        self.set(result, load("ABSENT"), block, node.span)
        inner: Block = block
        if node.when is not None:
            test = self.condition(node.when, block, cursor)
            inner = []
            self.when(test, inner, block, node.span)
        counted = any(nodes.counts(body) for _, body in node.fields)
        self.set(record, ast.Dict([], []), inner, node.span)
        self.set(found, ast.Constant(value=not counted), inner, node.span)
        before = None
        if node.whole:
            before = self.keep(ast.Attribute(load("run"), "failures", ast.Load()), inner, node.span)
        for name, body in node.fields:
            value = self.binding(body, inner, cursor)
            put: Block = [ast.Assign([ast.Subscript(load(record), ast.Constant(name), ast.Store())], value)]
            if nodes.counts(body):
                there: Block = [ast.Assign([store(found)], ast.Constant(value=True))]
                gone: Block = [ast.Assign([store(result)], load("DELETED"))]
                put.append(ast.If(is_(value, "DELETED", negated=True), there, gone))
            if node.solid and not isinstance(value, ast.Constant):
                put = [ast.If(call("isinstance", value, load("State")), [ast.Assign([store(result)], value)], put)]
            self.when(is_(value, "ABSENT", negated=True), put, inner, body.span)
        if before is not None:
            failed = ast.Compare(ast.Attribute(load("run"), "failures", ast.Load()), [ast.NotEq()], [before])
            kept = call("whole_as_text", load(record), self.given("k", node), load(cursor), load("run"))
            whole: Block = [ast.Assign([store(record), store(found)], kept)]
            self.when(failed, whole, inner, node.span)
        self.when(load(found), [ast.Assign([store(result)], load(record))], inner, node.span)
        return load(result)

    # -- builds ---------------------------------------------------------------------------------------------

    def node(self, node: nodes.Node, block: Block) -> ast.expr:
        """Code for a piece of output: a value ready for JSON, or a state when there is nothing to write."""
        match node:
            case nodes.Fixed():
                return self.constant(stated(node.value))
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

    def _collect(self, result: str, state: str, node: nodes.Node, block: Block) -> ast.expr:
        """Code for an entry of a list: it is appended, or its entries are, when it is present."""
        value = self.node(node, block)
        if nodes.object_or_absent(node):
            append = ast.Call(ast.Attribute(load(result), "append", ast.Load()), [value], [])
            self.when(value, [ast.Expr(append)], block, node.span)
        else:
            self._splice(result, state, value, block, node.span)
        return value

    def _each(self, node: nodes.BuildEach, block: Block) -> ast.expr:
        over = self.expression(node.value, block)
        result, state, element, place = self.local(), self.local(), self.local(), self.local()
        self.set(result, ast.List([], ast.Load()), block, node.span)
        self.set(state, load("ABSENT"), block, node.span)
        outer = self.aliases
        self.aliases = {**outer, node.alias: (element, place)}
        body: Block = []
        self._collect(result, state, node.body, body)
        self.aliases = outer
        target = ast.Tuple([store(place), store(element)], ast.Store())
        loop: Block = [self.at(ast.For(target, call("enumerate", over), body, []), node.span)]
        # A list is never empty, so what is false is a state.
        self.when(over, loop, block, node.span, [self.at(ast.Assign([store(state)], over), node.span)])
        return self.keep(ast.BoolOp(ast.Or(), [load(result), load(state)]), block, node.span)

    def _list(self, node: nodes.BuildList, block: Block, found: str) -> ast.expr:
        """A list. `found` is set when an entry that counts is present: literals among the entries do not."""
        result, state = self.local(), self.local()
        self.set(result, ast.List([], ast.Load()), block, node.span)
        self.set(state, load("ABSENT"), block, node.span)
        for entry in node.entries:
            value = self._collect(result, state, entry, block)
            if found and nodes.counts(entry):
                mark: Block = [ast.Assign([store(found)], ast.Constant(value=True))]
                self.when(self.present(entry, value), mark, block, entry.span)
        return self.keep(ast.BoolOp(ast.Or(), [load(result), load(state)]), block, node.span)

    def _write(self, node: nodes.Write, block: Block) -> ast.expr:
        value = self.expression(node.value, block)
        if node.write is None:
            return value
        written = ast.Call(self.given("write", node.write), [value, load("run")], [])
        return self.keep(ast.IfExp(self.present(node.value, value), written, value), block, node.span)

    def _branches(
        self, branches: tuple[tuple[nodes.Condition | None, nodes.Node], ...], span: Span, block: Block
    ) -> ast.expr:
        result = self.local()
        self.set(result, load("ABSENT"), block, span)
        for condition, body in branches:
            inside: Block = []
            self.set(result, self.node(body, inside), inside, body.span)
            if condition is None:
                block += inside
                break
            test = self.condition(condition, block)
            otherwise: Block = []
            self.when(test, inside, block, span, otherwise)
            block = otherwise
        return load(result)

    def _build(self, node: nodes.Build, block: Block) -> ast.expr:
        if (said := _stated(node)) is not None:
            return self.given("k", said)
        if (coded := _coded_alone(node)) is not None:
            return self._around(node, coded, block)
        result, found = self.local(), self.local()
        puts = node.puts
        keys: list[ast.expr | None] = []
        values: list[ast.expr] = []
        while node.base is None and puts and (said := _stated_at(puts[0])) is not None:
            key, value = said
            keys.append(ast.Constant(key))
            values.append(self.constant(value))
            puts = puts[1:]
        self.set(result, ast.Dict(keys, values), block, node.span)
        counted = any(nodes.counts(put.node) for put in node.puts) or node.base is not None
        if not node.always:
            self.set(found, ast.Constant(value=not counted), block, node.span)
        if node.base is not None:
            base = self._write(node.base, block)
            start: Block = [
                ast.Assign([store(result)], ast.Dict([None], [base])),
                ast.Assign([store(found)], ast.Constant(value=True)),
            ]
            self.when(self.present(node.base, base), start, block, node.base.span)
        for put in puts:
            self._put(put, result, found, block, always=node.always, based=node.base is not None)
        if node.always:
            return load(result)
        return self.keep(ast.IfExp(load(found), load(result), load("ABSENT")), block, node.span)

    def _around(self, node: nodes.Build, coded: nodes.Put, block: Block) -> ast.expr:
        """An object that is all stated but for one code: round a code that is stated it is always the same one."""
        value = self.node(coded.node, block)
        said = {put.key: at for put in node.puts if (at := _stated_at(put)) is not None}
        keys: list[ast.expr | None] = []
        parts: list[ast.expr] = []
        for put in node.puts:
            key, part = said.get(put.key, (coded.key, None))
            keys.append(ast.Constant(key))
            parts.append(value if put is coded else self.constant(part))
        known = self.given("known", {})
        found = ast.Call(ast.Attribute(known, "get", ast.Load()), [call("id", value)], [])
        made = ast.BoolOp(ast.Or(), [found, call("shared", ast.Dict(keys, parts), value, known)])
        there = ast.IfExp(self.present(coded.node, value), made, load("ABSENT"))
        return self.keep(there, block, node.span)

    def _put(self, put: nodes.Put, result: str, found: str, block: Block, *, always: bool, based: bool) -> None:
        said = _stated_at(put)
        if said is not None and not based:
            name, stated_value = said
            add: ast.stmt = ast.Assign(
                [ast.Subscript(load(result), ast.Constant(name), ast.Store())], self.constant(stated_value)
            )
            block.append(self.at(add, put.span))
            return
        if isinstance(put.node, nodes.BuildList):
            value = self._list(put.node, block, "" if always else found)
        else:
            value = self.node(put.node, block)
        key: ast.expr = ast.Constant(put.key)
        if put.choice is not None:
            chosen = ast.Call(self.given("choose", put.choice), [value], [])
            key = self.keep(ast.IfExp(self.present(put.node, value), chosen, key), block, put.span)
        written = value
        if put.many and not isinstance(put.node, nodes.BuildList | nodes.BuildEach):
            written = call("as_list", value)
        add = ast.Assign([ast.Subscript(load(result), key, ast.Store())], written)
        if based:
            # `$from` starts from an object; the keys beside it fill what it lacks and never replace.
            add = ast.Expr(call("fill", load(result), key, written))
        if isinstance(put.node, nodes.Fixed):
            block.append(self.at(add, put.span))
            return
        mark: Block = [] if always else [ast.Assign([store(found)], ast.Constant(value=True))]
        then: Block = [add]
        if not isinstance(put.node, nodes.BuildList) and nodes.counts(put.node):
            then += mark
        otherwise: Block = []
        if put.required:
            # A minimum-1 element that is unknown is said to be so (FHIR R4 §2.1.0.5.1, data-absent-reason).
            why = call("data_absent", load(result), key, value, ast.Constant(put.primitive), ast.Constant(put.many))
            otherwise = [ast.If(call("isinstance", value, load("Unknown")), [ast.Expr(why), *mark], [])]
        self.when(self.present(put.node, value), then, block, put.span, otherwise)
