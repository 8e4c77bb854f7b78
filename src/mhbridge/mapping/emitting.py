"""
One Python function under construction: its names, the places of its nodes, and the code of expressions and conditions.

Every node has the line and column of the mapping file that it comes from. Text of the file never becomes code:
constants are `ast.Constant`, every name is one of ours, and what the function calls is handed in by name. `compiler`
adds what bindings and builds need.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from operator import attrgetter
from typing import Any, Final

from mhbridge.errors import Span
from mhbridge.fhir.stated import shared
from mhbridge.formats import Plan
from mhbridge.mapping import nodes
from mhbridge.mapping.leaves import (
    as_list,
    asked,
    data_absent,
    fill,
    has_code,
    marks_of,
    position,
    splice,
    whole_as_text,
)
from mhbridge.mapping.marks import DROPPED, Mark, flip
from mhbridge.model import ABSENT, DELETED, State, Unknown

__all__ = ["Block", "Emitter", "Lines", "call", "is_", "load", "not_", "shareable", "store"]

#: (file, line number) → the text of that line.
Lines = Callable[[str, int], str]
Block = list[ast.stmt]

#: All that generated code can name, beside what is handed in. There are no builtins.
_NAMES: Final[Mapping[str, Any]] = {
    "ABSENT": ABSENT, "DELETED": DELETED, "State": State, "Unknown": Unknown, "isinstance": isinstance,
    "enumerate": enumerate, "len": len, "as_list": as_list, "splice": splice, "fill": fill, "data_absent": data_absent,
    "whole_as_text": whole_as_text, "has_code": has_code, "position": position, "asked": asked, "flip": flip,
    "id": id, "shared": shared,
}  # fmt: skip


#: What a name or a subscript is there for: one for all of them, as Python's own parser has it.
_LOAD: Final = ast.Load()
_STORE: Final = ast.Store()


def load(name: str) -> ast.Name:
    """A name that is read."""
    return ast.Name(name, _LOAD)


def store(name: str) -> ast.Name:
    """A name that is assigned to."""
    return ast.Name(name, _STORE)


def call(function: str, *args: ast.expr) -> ast.Call:
    """A call of one of our own functions."""
    return ast.Call(load(function), list(args), [])


_WORDS: Final = ("string", "text")
_LEAF: Final = frozenset({"1"})


def shareable(node: nodes.Read) -> bool:
    """Whether a path is read as a word to decide something: the same for all who ask, never failing, never noted."""
    made, mark = node.mark.conversion, node.mark
    return mark.decides and made is not None and not mark.many and made.target.name in _WORDS and made.reads == _LEAF


def is_(left: ast.expr, right: str, *, negated: bool = False) -> ast.expr:
    """`left is right`. What the mapping states is no state, so nothing is asked of it."""
    if isinstance(left, ast.Constant):
        return ast.Constant(negated)
    return ast.Compare(left, [ast.IsNot() if negated else ast.Is()], [load(right)])


def not_(test: ast.expr) -> ast.expr:
    """`not test`."""
    return ast.UnaryOp(ast.Not(), test)


#: Fields that hold words, operators and contexts, which have no place in a file.
_PLACELESS: Final = frozenset({"id", "ctx", "attr", "op", "ops", "arg", "name", "kind", "type_comment"})


def _nothing(_: Any) -> tuple[Any, ...]:
    """What stands below a name or a constant."""
    return ()


def _below(kind: type[ast.AST]) -> Callable[[Any], tuple[Any, ...]]:
    names = [name for name in kind._fields if name not in _PLACELESS]
    return attrgetter(*names) if len(names) > 1 else lambda node: tuple([getattr(node, name) for name in names])


#: Kind of node → what gives the nodes below one, and the lists of them.
_BELOW: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {
    ast.Constant: _nothing,
    ast.Name: _nothing,
}


def _bytes(text: str, column: int) -> int:
    """How many bytes stand before a column of a line."""
    return column - 1 if text.isascii() else len(text[: column - 1].encode())


class Emitter:
    """
    One Python function under construction.

    Args:
        span: the place of the whole function; its file is the function's.
        lines: to turn columns into the byte offsets that Python counts.
        alias: what the function's own `element` is called in the mapping.
    """

    def __init__(self, span: Span, lines: Lines, alias: str = "") -> None:
        self.span = span
        self.lines = lines
        self.aliases: dict[str, tuple[str, str]] = {alias: ("element", "place")} if alias else {}
        self.count = 0
        self._last: tuple[Span | None, dict[str, int]] = (None, {})
        self.names: dict[str, Any] = dict(_NAMES)
        #: (Cursor, key of a plan) → the names of its row, of what stands at its places, and of their number.
        self.rows: dict[tuple[str, Hashable], tuple[str, str, str]] = {}
        #: Path of the message → where its text is kept, for conditions.
        self.shared: dict[str, ast.expr] = {}

    # -- making ---------------------------------------------------------------------------------------------

    def finish(self, name: str, args: tuple[str, ...], body: Block) -> Callable[..., Any]:
        """
        Compile the function under the mapping file's name.

        Args:
            name: what tracebacks call it; any text, so it is never an identifier of the code.
        """
        arguments = ast.arguments([], [ast.arg(arg) for arg in args], None, [], [], None, [])
        definition = self.at(ast.FunctionDef("made", arguments, body, []), self.span)
        self._fill(definition.body)
        names = {**self.names, "__builtins__": {}}
        exec(compile(ast.Module([definition], []), self.span.file, "exec"), names)  # noqa: S102 - our own tree: no text becomes code
        made: Any = names["made"]
        made.__code__ = made.__code__.replace(co_name=name, co_qualname=name)
        return made  # type: ignore[no-any-return]

    def _fill(self, block: Block) -> None:
        """A block that nothing was put into says so."""
        for statement in block:
            if isinstance(statement, (ast.If, ast.For)):
                if statement.body:
                    self._fill(statement.body)
                else:
                    statement.body = [self.at(ast.Pass(), self.span)]
                self._fill(statement.orelse)
            elif isinstance(statement, ast.Try):
                self._fill(statement.body)
                for handler in statement.handlers:
                    self._fill(handler.body)

    def at(self, node: Any, span: Span) -> Any:
        """Give a node, and all below that has none, the place of `span`."""
        place = self._place_of(span)
        waiting: list[Any] = [node]
        while waiting:
            below = waiting.pop()
            kind = below.__class__
            if kind is list:
                waiting += below
                continue
            if below is None:
                continue
            said = below.__dict__
            if "lineno" in said:
                continue  # what has a place, has it in all that is below
            inside = _BELOW.get(kind) or _BELOW.setdefault(kind, _below(kind))
            if inside is not _nothing:
                waiting += inside(below)
            said.update(place)
        return node

    def _place_of(self, span: Span) -> dict[str, int]:
        """The place of a span, as nodes have it; the last one is asked for again and again."""
        known, place = self._last
        if known is not span:
            file, line, column, end_line, end = span if span.file == self.span.file else self.span
            text = self.lines(file, line)
            last = text if end_line == line else self.lines(file, end_line)
            place = {
                "lineno": line, "col_offset": _bytes(text, column), "end_lineno": end_line,
                "end_col_offset": _bytes(last, end),
            }  # fmt: skip
            self._last = span, place
        return place

    def local(self) -> str:
        """A new name for a value."""
        self.count += 1
        return f"v{self.count}"

    def given(self, prefix: str, value: Any) -> ast.Name:
        """Hand a value in by name."""
        self.count += 1
        self.names[f"{prefix}{self.count}"] = value
        return load(f"{prefix}{self.count}")

    def constant(self, value: Any) -> ast.expr:
        """A value that the mapping states."""
        if value is None or isinstance(value, (str, bool, int)):
            return ast.Constant(value)
        return self.given("k", value)

    def keep(self, value: ast.expr, block: Block, span: Span) -> ast.Name:
        """Assign to a new local."""
        name = self.local()
        block.append(self.at(ast.Assign([store(name)], value), span))
        return load(name)

    def when(self, test: ast.expr, then: Block, block: Block, span: Span, otherwise: Block | None = None) -> None:
        """An `if`. The blocks are kept, not copied: the caller may go on filling them."""
        block.append(self.at(ast.If(test, then, [] if otherwise is None else otherwise), span))

    def set(self, name: str, value: ast.expr, block: Block, span: Span) -> None:
        """An assignment."""
        block.append(self.at(ast.Assign([store(name)], value), span))

    def present(self, node: nodes.Expression | nodes.Node, value: ast.expr) -> ast.expr:
        """Whether a value is present, for an `if`, in the cheapest way that its type allows."""
        return value if nodes.plain_truth(node) else not_(call("isinstance", value, load("State")))

    def presence(self, node: nodes.Expression | nodes.Node, value: ast.expr) -> ast.expr:
        """Whether a value is present, as a bool."""
        test = self.present(node, value)
        return not_(not_(test)) if test is value else test

    # -- expressions ----------------------------------------------------------------------------------------

    def expression(self, node: nodes.Expression, block: Block, cursor: str = "cursor") -> ast.expr:
        """Code for a value; the result is a name or a constant that may be used more than once."""
        match node:
            case nodes.Read():
                if cursor == "cursor" and node.path in self.shared and shareable(node):
                    return self.shared[node.path]
                return self._read(node, block, cursor, node.quick)
            case nodes.Literal():
                return self.constant(node.value)
            case nodes.ItemOf():
                if node.name == "message":
                    start: ast.expr = ast.Attribute(load("run"), "message", ast.Load())
                    return self.keep(self._get(start, node.fields[0]), block, node.span)
                value = self.keep(self._get(load("items"), node.name), block, node.span)
                return self._fields(value, node.fields, block, node.span)
            case nodes.AliasOf():
                return self._fields(load(self.aliases[node.alias][0]), node.fields, block, node.span)
            case nodes.PositionOf():
                return self.keep(call("position", load(self.aliases[node.alias][1])), block, node.span)
            case nodes.Apply():
                return self._apply(node, block, cursor)
            case nodes.Alternatives():
                return self._alternatives(node, block, cursor)
            case nodes.Choose():
                result = self.local()
                yes: Block = []
                no: Block = []
                self.set(result, self.expression(node.then, yes, cursor), yes, node.then.span)
                other = self.expression(node.otherwise, no, cursor) if node.otherwise is not None else load("ABSENT")
                self.set(result, other, no, node.span)
                self.when(self.condition(node.condition, block, cursor), yes, block, node.span, no)
                return load(result)
            case nodes.Decide():
                return self.condition(node.condition, block, cursor)
            case nodes.Reference():
                return self._reference(node, block, cursor)

    def _read(self, node: nodes.Read, block: Block, cursor: str, quick: Callable[..., Any] | None = None) -> ast.Name:
        """
        A value of the message. Where nothing stands at its place in a row nothing is called, unless the ledger is to
        be told that its predicate was asked.

        Args:
            quick: what reads it in one go, where something does.
        """
        plan = node.plan
        if plan is None and quick is not None:
            return self.keep(ast.Call(self.given("quick", quick), [load(cursor), load("run")], []), block, node.span)
        take = self.given("take", node.take)
        if plan is None:
            found: ast.expr = ast.Call(self.given("find", node.find), [load(cursor)], [])
            return self.keep(ast.Call(take, [found, load(cursor), load("run")], []), block, node.span)
        row, places, count = self.row(plan, block, cursor, node.span)
        value = self.local()
        at = ast.Constant(plan.place)
        there = ast.NamedExpr(store(value), ast.Subscript(load(places), at, ast.Load()))
        there_is = ast.BoolOp(ast.And(), [ast.Compare(load(count), [ast.Gt()], [at]), there])
        # Where its predicate is asked in every message, the ledger knows without being told.
        told = node.mark.spot.asks and not node.mark.always
        if quick is not None:
            taken = ast.Call(self.given("quick", quick), [load(value), load(row), load(cursor), load("run")], [])
            absent = ast.Call(take, [load("ABSENT"), load(cursor), load("run")], []) if told else load("ABSENT")
            self.set(value, ast.IfExp(there_is, taken, absent), block, node.span)
            return load(value)
        found = ast.Call(self.given("value", plan.value), [load(value), load(row)], [])
        if told:
            found = ast.IfExp(there_is, found, load("ABSENT"))
            self.set(value, ast.Call(take, [found, load(cursor), load("run")], []), block, node.span)
        else:
            taken = ast.Call(take, [found, load(cursor), load("run")], [])
            self.set(value, ast.IfExp(there_is, taken, load("ABSENT")), block, node.span)
        return load(value)

    def row(self, plan: Plan, block: Block, cursor: str, span: Span) -> tuple[str, str, str]:
        """The names of a row: as it was hoisted, or else found here."""
        names = self.rows.get((cursor, plan.key))
        if names is None:
            names = row, places, count = self.local(), self.local(), self.local()
            both = ast.Tuple([store(row), store(places)], ast.Store())
            found = ast.Call(self.given("row", plan.row), [load(cursor)], [])
            block.append(self.at(ast.Assign([both], found), span))
            self.set(count, call("len", load(places)), block, span)
        return names

    def hoist(self, tree: Any, block: Block, cursor: str) -> None:
        """Find the rows that several paths look into once for all of them, before anything is read at this cursor."""
        reads = [node for node in nodes.walk(tree, closed=(nodes.BindEach,)) if isinstance(node, nodes.Read)]
        plans = [(read.plan, read.span) for read in reads if read.plan is not None]
        often = Counter(plan.key for plan, _ in plans)
        for plan, span in plans:
            if often[plan.key] > 1:
                self.rows[cursor, plan.key] = self.row(plan, block, cursor, span)

    @staticmethod
    def _get(value: ast.expr, key: str) -> ast.Call:
        return ast.Call(ast.Attribute(value, "get", ast.Load()), [ast.Constant(key), load("ABSENT")], [])

    def _fields(self, value: ast.Name, fields: tuple[str, ...], block: Block, span: Span) -> ast.expr:
        for field in fields:
            # A state has no fields, and is false: what is below it is in the same state.
            got = ast.IfExp(value, self._get(value, field), value)
            value = self.keep(got, block, span)
        return value

    def _apply(self, node: nodes.Apply, block: Block, cursor: str) -> ast.expr:
        read = node.args[0] if node.args else None
        if node.coded is not None and isinstance(read, nodes.Read):
            return self._read(read, block, cursor, node.coded)
        values: list[ast.expr] = []
        result = self.local()
        before: set[Mark] = set()
        for arg, passing in zip(node.args, node.passing, strict=True):
            value = self.expression(arg, block, cursor)
            values.append(value)
            if passing and not isinstance(arg, nodes.Literal):
                # Not called on a value that is not present: its state is the result (mapping language §3.1).
                inner: Block = []
                stop: Block = [self.at(ast.Assign([store(result)], value), arg.span)]
                if before:
                    # What was read for the other arguments is then used for nothing.
                    trace = ast.Attribute(load("run"), "trace", ast.Load())
                    marks = self.given("k", frozenset(before) | marks_of([arg]))
                    stop.append(self.at(ast.Expr(call("flip", trace, marks, ast.Constant(DROPPED))), arg.span))
                self.when(self.present(arg, value), inner, block, arg.span, stop)
                block = inner
            before |= marks_of([arg])
        self.set(result, ast.Call(self.given("f", node.call), [load("run"), *values], []), block, node.span)
        return load(result)

    def _alternatives(self, node: nodes.Alternatives, block: Block, cursor: str) -> ast.expr:
        result, first = self.local(), self.local()
        passes = ast.BoolOp(
            ast.And(),
            [call("isinstance", load(result), load("State")), ast.Attribute(load(result), "passes", ast.Load())],
        )
        self.set(result, self.expression(node.terms[0], block, cursor), block, node.terms[0].span)
        self.set(first, load(result), block, node.terms[0].span)
        outer = block
        for term in node.terms[1:]:
            # Present, deleted, error and masked stop here; the first unknown is kept in case nothing better comes.
            inner: Block = []
            self.set(result, self.expression(term, inner, cursor), inner, term.span)
            keep_first: Block = [self.at(ast.Assign([store(first)], load(result)), term.span)]
            self.when(is_(load(first), "ABSENT"), keep_first, inner, term.span)
            self.when(passes, inner, block, term.span)
            block = inner
        back: Block = [self.at(ast.Assign([store(result)], load(first)), node.span)]
        self.when(passes, back, outer, node.span)
        return load(result)

    def _reference(self, node: nodes.Reference, block: Block, cursor: str) -> ast.expr:
        method = {"one": "one", "each": "all" if node.element is None else "element", "for": "template"}[node.kind]
        args: list[ast.expr] = [ast.Constant(node.resource)]
        if node.element is not None:
            args.append(self.expression(node.element, block, cursor))
        asked = ast.Call(ast.Attribute(load("assembly"), method, ast.Load()), args, [])
        return self.keep(asked, block, node.span)

    # -- conditions -----------------------------------------------------------------------------------------

    def condition(self, node: nodes.Condition, block: Block, cursor: str = "cursor") -> ast.expr:
        """Code for a condition; the result is a plain bool."""
        match node:
            case nodes.Truth() | nodes.Present():
                value = self.expression(node.value, block, cursor)
                test: ast.expr = self.presence(node.value, value)
                if isinstance(node, nodes.Truth) and not nodes.plain_truth(node.value):
                    said = ast.Compare(value, [ast.IsNot()], [ast.Constant(value=False)])
                    test = ast.BoolOp(ast.And(), [test, said])
                return self.keep(test, block, node.span)
            case nodes.Negation():
                return self.keep(not_(self.condition(node.term, block, cursor)), block, node.span)
            case nodes.AnyOf() | nodes.AllOf():
                # Later terms are worked only when they decide: `and` stops at the first false, `or` at the first true.
                result = self.local()
                self.set(result, self.condition(node.terms[0], block, cursor), block, node.terms[0].span)
                inner = block
                for term in node.terms[1:]:
                    later: Block = []
                    decides = not_(load(result)) if isinstance(node, nodes.AnyOf) else load(result)
                    self.set(result, self.condition(term, later, cursor), later, term.span)
                    self.when(decides, later, inner, term.span)
                    inner = later
                return load(result)
            case nodes.Equal():
                left, right = self.expression(node.left, block, cursor), self.expression(node.right, block, cursor)
                same = ast.Compare(left, [ast.Eq()], [right])
                return self.keep(ast.BoolOp(ast.And(), [self.presence(node.left, left), same]), block, node.span)
            case nodes.OneOf():
                value = self.expression(node.value, block, cursor)  # a state is in no list of texts
                return self.keep(ast.Compare(value, [ast.In()], [self.given("k", node.members)]), block, node.span)
            case nodes.Coded():
                value = self.expression(node.value, block, cursor)
                return self.keep(call("has_code", value, self.given("k", node.members)), block, node.span)
