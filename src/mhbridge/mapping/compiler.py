"""
Compiles a resolved mapping to Python whose line and column numbers are the mapping file's own.

Every function is built as an `ast` tree and compiled under the name of the YAML file it came from: a traceback, a
debugger or a coverage tool then points into the mapping, with a caret under the very expression. Text never becomes
code: every constant is an `ast.Constant`, every name one of ours, and the grammar has no loop but over what is there.

The code is straight: one local per value, one read per path and binding, one branch per condition. What cannot change
from message to message (paths, conversions, tables, literals) is made once and handed in by name. `interpreter` does the
same slowly and obviously; the tests compare the two.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from mhbridge.errors import Span
from mhbridge.mapping import nodes
from mhbridge.mapping.assembly import data_absent, fill, splice, whole_as_text
from mhbridge.model import ABSENT, DELETED, State, Unknown

__all__ = ["Compiler"]

Lines = Callable[[str, int], str]
Block = list[ast.stmt]


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def _call(function: str, *args: ast.expr) -> ast.Call:
    return ast.Call(_name(function), list(args), [])


def _is(left: ast.expr, right: str, *, negated: bool = False) -> ast.Compare:
    return ast.Compare(left, [ast.IsNot() if negated else ast.Is()], [_name(right)])


class Compiler:
    """
    Args:
        lines: (file, line number) → the text of that line, to turn columns into the byte offsets that Python counts.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def bind(self, items: tuple[nodes.BoundItem, ...], span: Span) -> Callable[[Any, Any], dict[str, Any]]:
        """`bind(cursor, run)` → items. Items that are absent have no key."""
        function = _Function(span, self._lines)
        body: Block = [function.at(ast.Assign([_store("out")], ast.Dict([], [])), span)]
        for item in items:
            value = function.binding(item.body, body, "cursor")
            if item.type.many:
                value = function.keep(_call("as_list", value), body, item.body.span)
            put = ast.Assign([ast.Subscript(_name("out"), ast.Constant(item.name), ast.Store())], value)
            function.when(_is(value, "ABSENT", negated=True), [put], body, item.body.span)
        body.append(function.at(ast.Return(_name("out")), span))
        return function.finish("bind", ("cursor", "run"), body)

    def derive(self, derived: tuple[nodes.Derived, ...], span: Span) -> Callable[[dict[str, Any], Any], None]:
        """`derive(items, run)` adds the derived items that are present."""
        function = _Function(span, self._lines)
        body: Block = [ast.Pass()]
        for item in derived:
            value = function.expression(item.value, body)
            put = ast.Assign([ast.Subscript(_name("items"), ast.Constant(item.name), ast.Store())], value)
            function.when(_is(value, "ABSENT", negated=True), [put], body, item.value.span)
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

    def body(self, build: nodes.Build, name: str, alias: str = "") -> Callable[..., dict[str, Any]]:
        """`body(items, assembly, run, element, place)` → one resource."""
        function = _Function(build.span, self._lines, alias)
        block: Block = []
        value = function.node(build, block)
        block.append(function.at(ast.Return(value), build.span))
        return function.finish(name, ("items", "assembly", "run", "element", "place"), block)


class _Function:
    """One Python function under construction."""

    def __init__(self, span: Span, lines: Lines, alias: str = "") -> None:
        self.span = span
        self.lines = lines
        self.aliases: dict[str, tuple[str, str]] = {alias: ("element", "place")} if alias else {}
        self.count = 0
        self.names: dict[str, Any] = {
            "ABSENT": ABSENT, "DELETED": DELETED, "State": State, "Unknown": Unknown, "isinstance": isinstance, "len": len,
            "enumerate": enumerate, "list": list, "as_list": as_list, "splice": splice, "fill": fill, "str": str,
            "data_absent": data_absent, "whole_as_text": whole_as_text, "coded": coded, "position": position,
        }  # fmt: skip

    # -- making ---------------------------------------------------------------------------------------------

    def finish(self, name: str, args: tuple[str, ...], body: Block) -> Callable[..., Any]:
        """Compile the function under the mapping file's name."""
        definition = ast.FunctionDef(
            name, ast.arguments([], [ast.arg(arg) for arg in args], None, [], [], None, []), body or [ast.Pass()], []
        )
        self.at(definition, self.span)
        for below in ast.walk(definition):
            if isinstance(below, (ast.If, ast.For)) and not below.body:
                below.body = [self.at(ast.Pass(), self.span)]
        module = ast.fix_missing_locations(ast.Module([definition], []))
        names = {"__builtins__": {}, **self.names}
        exec(compile(module, self.span.file, "exec"), names)  # noqa: S102 - our own tree: no text becomes code
        made: Callable[..., Any] = names[name]
        return made

    def at(self, node: Any, span: Span) -> Any:
        """Give a node, and all below that has none, the place of `span`."""
        if span.file != self.span.file:
            span = self.span
        start, end = self._bytes(span.line, span.column), self._bytes(span.end_line, span.end_column)
        for below in ast.walk(node):
            if isinstance(below, (ast.expr, ast.stmt, ast.arg, ast.keyword)) and not hasattr(below, "lineno"):
                below.lineno, below.col_offset = span.line, start
                below.end_lineno, below.end_col_offset = span.end_line, end
        return node

    def _bytes(self, line: int, column: int) -> int:
        text = self.lines(self.span.file, line)
        return column - 1 if text.isascii() else len(text[: column - 1].encode())

    def local(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def given(self, prefix: str, value: Any) -> ast.Name:
        """Hand a value in by name."""
        self.count += 1
        self.names[f"{prefix}{self.count}"] = value
        return _name(f"{prefix}{self.count}")

    def constant(self, value: Any) -> ast.expr:
        if value is None or isinstance(value, (str, bool, int)):
            return ast.Constant(value)
        return self.given("k", value)

    def keep(self, value: ast.expr, block: Block, span: Span) -> ast.Name:
        """Assign to a new local."""
        name = self.local()
        block.append(self.at(ast.Assign([_store(name)], value), span))
        return _name(name)

    def when(self, test: ast.expr, then: Block, block: Block, span: Span, otherwise: Block | None = None) -> None:
        """An `if`. The blocks are kept, not copied: the caller may go on filling them."""
        block.append(self.at(ast.If(test, then, [] if otherwise is None else otherwise), span))

    def set(self, name: str, value: ast.expr, block: Block, span: Span) -> None:
        block.append(self.at(ast.Assign([_store(name)], value), span))

    # -- expressions ----------------------------------------------------------------------------------------

    def expression(self, node: nodes.Expression, block: Block, cursor: str = "cursor") -> ast.expr:
        """Code for a value; the result is a name or a constant that may be used more than once."""
        match node:
            case nodes.Read():
                return self.keep(
                    ast.Call(self.given("read", node.read), [_name(cursor), _name("run")], []), block, node.span
                )
            case nodes.Literal():
                return self.constant(node.value)
            case nodes.ItemOf():
                if node.name == "message":
                    start: ast.expr = ast.Attribute(_name("run"), "message", ast.Load())
                    return self.keep(self._get(start, node.fields[0]), block, node.span)
                value = self.keep(self._get(_name("items"), node.name), block, node.span)
                return self._fields(value, node.fields, block, node.span)
            case nodes.AliasOf():
                return self._fields(_name(self.aliases[node.alias][0]), node.fields, block, node.span)
            case nodes.PositionOf():
                return self.keep(_call("position", _name(self.aliases[node.alias][1])), block, node.span)
            case nodes.Apply():
                return self._apply(node, block, cursor)
            case nodes.Alternatives():
                return self._alternatives(node, block, cursor)
            case nodes.Choose():
                result = self.local()
                yes: Block = []
                no: Block = []
                self.set(result, self.expression(node.then, yes, cursor), yes, node.then.span)
                other = self.expression(node.otherwise, no, cursor) if node.otherwise is not None else _name("ABSENT")
                self.set(result, other, no, node.span)
                self.when(self.condition(node.condition, block, cursor), yes, block, node.span, no)
                return _name(result)
            case nodes.Decide():
                return self.condition(node.condition, block, cursor)
            case nodes.Reference():
                return self._reference(node, block, cursor)

    @staticmethod
    def _get(value: ast.expr, key: str) -> ast.Call:
        return ast.Call(ast.Attribute(value, "get", ast.Load()), [ast.Constant(key), _name("ABSENT")], [])

    def _fields(self, value: ast.Name, fields: tuple[str, ...], block: Block, span: Span) -> ast.expr:
        for field in fields:
            # A state has no fields: what is below it is in the same state.
            got = ast.IfExp(_call("isinstance", value, _name("State")), value, self._get(value, field))
            value = self.keep(got, block, span)
        return value

    def _apply(self, node: nodes.Apply, block: Block, cursor: str) -> ast.expr:
        values: list[ast.expr] = []
        result = self.local()
        for arg, passing in zip(node.args, node.passing, strict=True):
            value = self.expression(arg, block, cursor)
            values.append(value)
            if passing and not isinstance(arg, nodes.Literal):
                # Not called on a value that is not present: its state is the result (mapping language §3.1).
                inner: Block = []
                stop = self.at(ast.Assign([_store(result)], value), arg.span)
                self.when(_call("isinstance", value, _name("State")), [stop], block, arg.span, inner)
                block = inner
        call = ast.Call(self.given("f", node.call), [_name("run"), *values], [])
        self.set(result, call, block, node.span)
        return _name(result)

    def _alternatives(self, node: nodes.Alternatives, block: Block, cursor: str) -> ast.expr:
        result, first = self.local(), self.local()
        self.set(result, self.expression(node.terms[0], block, cursor), block, node.terms[0].span)
        self.set(first, _name(result), block, node.terms[0].span)
        for term in node.terms[1:]:
            # Present, deleted, error and masked stop here; the first unknown is kept in case nothing better comes.
            inner: Block = []
            self.set(result, self.expression(term, inner, cursor), inner, term.span)
            keep_first: Block = [self.at(ast.Assign([_store(first)], _name(result)), term.span)]
            self.when(_is(_name(first), "ABSENT"), keep_first, inner, term.span)
            passes = ast.BoolOp(
                ast.And(),
                [
                    _call("isinstance", _name(result), _name("State")),
                    ast.Attribute(_name(result), "passes", ast.Load()),
                ],
            )
            self.when(passes, inner, block, term.span)
        back: Block = [self.at(ast.Assign([_store(result)], _name(first)), node.span)]
        self.when(_is(_name(result), "ABSENT"), back, block, node.span)
        return _name(result)

    def _reference(self, node: nodes.Reference, block: Block, cursor: str) -> ast.expr:
        method = {"one": "one", "each": "all" if node.element is None else "element", "for": "template"}[node.kind]
        args: list[ast.expr] = [ast.Constant(node.resource)]
        if node.element is not None:
            args.append(self.expression(node.element, block, cursor))
        call = ast.Call(ast.Attribute(_name("assembly"), method, ast.Load()), args, [])
        return self.keep(call, block, node.span)

    # -- conditions -----------------------------------------------------------------------------------------

    def condition(self, node: nodes.Condition, block: Block, cursor: str = "cursor") -> ast.expr:
        """Code for a condition; the result is a plain bool."""
        match node:
            case nodes.Truth():
                value = self.expression(node.value, block, cursor)
                if node.boolean:
                    return self.keep(ast.Compare(value, [ast.Is()], [ast.Constant(value=True)]), block, node.span)
                present = ast.UnaryOp(ast.Not(), _call("isinstance", value, _name("State")))
                return self.keep(present, block, node.span)
            case nodes.Negation():
                return self.keep(ast.UnaryOp(ast.Not(), self.condition(node.term, block, cursor)), block, node.span)
            case nodes.AnyOf() | nodes.AllOf():
                # Later terms are worked only when they decide: `and` stops at the first false, `or` at the first true.
                result = self.local()
                self.set(result, self.condition(node.terms[0], block, cursor), block, node.terms[0].span)
                inner = block
                for term in node.terms[1:]:
                    later: Block = []
                    test: ast.expr = _name(result)
                    if isinstance(node, nodes.AnyOf):
                        test = ast.UnaryOp(ast.Not(), test)
                    self.set(result, self.condition(term, later, cursor), later, term.span)
                    self.when(test, later, inner, term.span)
                    inner = later
                return _name(result)
            case nodes.Equal():
                left, right = self.expression(node.left, block, cursor), self.expression(node.right, block, cursor)
                test = ast.BoolOp(ast.And(), [
                    ast.UnaryOp(ast.Not(), _call("isinstance", left, _name("State"))),
                    ast.Compare(left, [ast.Eq()], [right]),
                ])  # fmt: skip
                return self.keep(test, block, node.span)
            case nodes.OneOf():
                value = self.expression(node.value, block, cursor)
                test = ast.BoolOp(ast.And(), [
                    ast.UnaryOp(ast.Not(), _call("isinstance", value, _name("State"))),
                    ast.Compare(value, [ast.In()], [self.given("k", node.members)]),
                ])  # fmt: skip
                return self.keep(test, block, node.span)
            case nodes.Coded():
                value = self.expression(node.value, block, cursor)
                return self.keep(_call("coded", value, self.given("k", node.members)), block, node.span)

    # -- bindings -------------------------------------------------------------------------------------------

    def binding(self, node: nodes.Binding, block: Block, cursor: str) -> ast.expr:
        match node:
            case nodes.BindValue():
                return self.expression(node.value, block, cursor)
            case nodes.BindRecord():
                return self._record(node, block, cursor)
            case nodes.BindEach():
                result, inner = self.local(), self.local()
                self.set(result, ast.List([], ast.Load()), block, node.span)
                body: Block = []
                value = self.binding(node.body, body, inner)
                body.append(self.at(ast.Expr(_call("splice", _name(result), value)), node.span))
                cursors = ast.Call(self.given("loop", node.loop.cursors), [_name(cursor)], [])
                block.append(self.at(ast.For(_store(inner), cursors, body, []), node.span))
                return self.keep(ast.BoolOp(ast.Or(), [_name(result), _name("ABSENT")]), block, node.span)
            case nodes.BindCase():
                result = self.local()
                self.set(result, _name("ABSENT"), block, node.span)
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
                return _name(result)
            case nodes.BindList():
                result = self.local()
                self.set(result, ast.List([], ast.Load()), block, node.span)
                state = self.local()
                self.set(state, _name("ABSENT"), block, node.span)
                for entry in node.entries:
                    value = self.binding(entry, block, cursor)
                    add = _call("splice", _name(result), value, _name(state))
                    self.set(state, add, block, entry.span)
                return self.keep(ast.BoolOp(ast.Or(), [_name(result), _name(state)]), block, node.span)

    def _record(self, node: nodes.BindRecord, block: Block, cursor: str) -> ast.expr:
        result, found = self.local(), self.local()
        self.set(result, _name("ABSENT"), block, node.span)
        inner: Block = block
        if node.when is not None:
            test = self.condition(node.when, block, cursor)
            inner = []
            self.when(test, inner, block, node.span)
        record = self.local()
        self.set(record, ast.Dict([], []), inner, node.span)
        self.set(found, ast.Constant(value=False), inner, node.span)
        before = None
        if node.whole is not None:
            before = self.keep(ast.Attribute(_name("run"), "failures", ast.Load()), inner, node.span)
        expressions = False
        for name, body in node.fields:
            value = self.binding(body, inner, cursor)
            put = ast.Assign([ast.Subscript(_name(record), ast.Constant(name), ast.Store())], value)
            if isinstance(body, nodes.BindValue) and isinstance(body.value, nodes.Literal):
                inner.append(self.at(put, body.span))  # a literal is carried and does not count
                continue
            expressions = True
            counts = ast.If(
                _is(value, "DELETED", negated=True), [ast.Assign([_store(found)], ast.Constant(value=True))], []
            )
            self.when(_is(value, "ABSENT", negated=True), [put, counts], inner, body.span)
        if not expressions:
            self.set(found, ast.Constant(value=True), inner, node.span)
        if node.whole is not None and before is not None:
            keeper, texts = node.whole
            failed = ast.Compare(ast.Attribute(_name("run"), "failures", ast.Load()), [ast.NotEq()], [before])
            kept = _call(
                "whole_as_text",
                _name(record),
                ast.Constant(keeper),
                self.given("k", texts),
                _name(cursor),
                _name("run"),
            )
            self.when(
                failed,
                [ast.Assign([_store(record)], kept), ast.Assign([_store(found)], ast.Constant(value=True))],
                inner,
                node.span,
            )
        self.when(_name(found), [ast.Assign([_store(result)], _name(record))], inner, node.span)
        return _name(result)

    # -- builds ---------------------------------------------------------------------------------------------

    def node(self, node: nodes.Node, block: Block) -> ast.expr:
        """Code for a piece of output: a value ready for JSON, or a state when there is nothing to write."""
        match node:
            case nodes.Fixed():
                return self.constant(node.value)
            case nodes.Write():
                return self._write(node, block)
            case nodes.Build():
                return self._build(node, block)
            case nodes.BuildWhen():
                return self._branches(((node.condition, node.body),), node.span, block)
            case nodes.BuildCase():
                return self._branches(node.branches, node.span, block)
            case nodes.BuildEach():
                over = self.expression(node.value, block)
                result, element, place = self.local(), self.local(), self.local()
                self.set(result, ast.List([], ast.Load()), block, node.span)
                outer = dict(self.aliases)
                self.aliases[node.alias] = (element, place)
                body: Block = []
                body.append(self.at(ast.Expr(_call("splice", _name(result), self.node(node.body, body))), node.span))
                self.aliases = outer
                run_over = ast.IfExp(_call("isinstance", over, _name("State")), ast.Tuple([], ast.Load()), over)
                target = ast.Tuple([_store(place), _store(element)], ast.Store())
                block.append(self.at(ast.For(target, _call("enumerate", run_over), body, []), node.span))
                return self.keep(ast.BoolOp(ast.Or(), [_name(result), _name("ABSENT")]), block, node.span)
            case nodes.BuildList():
                return self._list(node, block, "")

    def _list(self, node: nodes.BuildList, block: Block, found: str) -> ast.expr:
        """A list. `found` is set when an entry that counts is present: literals among the entries do not."""
        result = self.local()
        self.set(result, ast.List([], ast.Load()), block, node.span)
        for entry in node.entries:
            value = self.node(entry, block)
            block.append(self.at(ast.Expr(_call("splice", _name(result), value)), entry.span))
            if found and counts(entry):
                mark: Block = [ast.Assign([_store(found)], ast.Constant(value=True))]
                self.when(ast.UnaryOp(ast.Not(), _call("isinstance", value, _name("State"))), mark, block, entry.span)
        return self.keep(ast.BoolOp(ast.Or(), [_name(result), _name("ABSENT")]), block, node.span)

    def _write(self, node: nodes.Write, block: Block) -> ast.expr:
        value = self.expression(node.value, block)
        if node.write is None:
            return value
        written = ast.Call(self.given("write", node.write), [value, _name("run")], [])
        return self.keep(ast.IfExp(_call("isinstance", value, _name("State")), value, written), block, node.span)

    def _branches(
        self, branches: tuple[tuple[nodes.Condition | None, nodes.Node], ...], span: Span, block: Block
    ) -> ast.expr:
        result = self.local()
        self.set(result, _name("ABSENT"), block, span)
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
        return _name(result)

    def _build(self, node: nodes.Build, block: Block) -> ast.expr:
        result, found = self.local(), self.local()
        self.set(result, ast.Dict([], []), block, node.span)
        counted = any(counts(put.node) for put in node.puts) or node.base is not None
        if not node.always:
            self.set(found, ast.Constant(value=not counted), block, node.span)
        if node.base is not None:
            base = self._write(node.base, block)
            start = [
                ast.Assign([_store(result)], ast.Dict([None], [base])),
                ast.Assign([_store(found)], ast.Constant(value=True)),
            ]
            self.when(ast.UnaryOp(ast.Not(), _call("isinstance", base, _name("State"))), start, block, node.base.span)
        for put in node.puts:
            self._put(put, result, found, block, always=node.always, based=node.base is not None)
        if node.always:
            return _name(result)
        return self.keep(ast.IfExp(_name(found), _name(result), _name("ABSENT")), block, node.span)

    def _put(self, put: nodes.Put, result: str, found: str, block: Block, *, always: bool, based: bool) -> None:
        listed = isinstance(put.node, nodes.BuildList)
        if isinstance(put.node, nodes.BuildList):
            value = self._list(put.node, block, "" if always else found)
        else:
            value = self.node(put.node, block)
        key: ast.expr = ast.Constant(put.key)
        if put.choice is not None:
            chosen = ast.Call(self.given("choose", put.choice), [value], [])
            key = self.keep(ast.IfExp(_call("isinstance", value, _name("State")), key, chosen), block, put.span)
        written: ast.expr = value
        if put.many and not isinstance(put.node, nodes.BuildList | nodes.BuildEach):
            written = _call("as_list", value)
        store = ast.Assign([ast.Subscript(_name(result), key, ast.Store())], written)
        if based:
            # `$from` starts from an object; the keys beside it fill what it lacks and never replace.
            store = ast.Expr(_call("fill", _name(result), key, written))  # type: ignore[assignment]
        then: Block = [store]
        if isinstance(put.node, nodes.Fixed):
            block.append(self.at(store, put.span))
            return
        if not always and not listed and counts(put.node):
            then.append(ast.Assign([_store(found)], ast.Constant(value=True)))
        otherwise: Block = []
        if put.required:
            # A minimum-1 element that is unknown is said to be so (FHIR R4 §2.1.0.5.1, data-absent-reason).
            absent = _call(
                "data_absent", _name(result), key, value, ast.Constant(put.primitive), ast.Constant(put.many)
            )
            say: Block = [ast.Expr(absent)]
            if not always:
                say.append(ast.Assign([_store(found)], ast.Constant(value=True)))
            otherwise = [ast.If(_call("isinstance", value, _name("Unknown")), say, [])]
        self.when(ast.UnaryOp(ast.Not(), _call("isinstance", value, _name("State"))), then, block, put.span, otherwise)


# --- what generated code calls -----------------------------------------------------------------------------


def as_list(value: Any) -> Any:
    """A list element given one value gets a list of one (mapping language §6.2.5)."""
    return value if isinstance(value, (list, State)) else [value]


def position(place: int) -> int:
    """Places are counted from one, as in every standard here."""
    return place + 1


def coded(value: Any, members: frozenset[tuple[str, str]]) -> bool:
    """Whether any coding of a concept is one of (system name, code). The text of a concept never decides."""
    if isinstance(value, Mapping):
        return any((c.get("system", ""), c.get("code", "")) in members for c in (value.get("coding") or (value,)))
    return False


def counts(node: nodes.Node) -> bool:
    """Whether a piece of output holds an expression: only those decide whether its object is written."""
    match node:
        case nodes.Fixed():
            return False
        case nodes.Build():
            return node.base is not None or any(counts(put.node) for put in node.puts)
        case nodes.BuildList():
            return any(counts(entry) for entry in node.entries)
        case _:
            return True
