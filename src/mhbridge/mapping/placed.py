"""
Nodes of Python's own syntax tree, each made with its place in a mapping file.

A compiled mapping has thousands of nodes, and making them is much of what compiling takes: a node's attributes are
set all at once here, where its constructor would set them one by one. This module must never make a node of text.
"""

from __future__ import annotations

import ast
from typing import Any, Final

__all__ = ["Block", "Placed"]

Block = list[ast.stmt]

#: What a name or a subscript is there for, and operators: one for all of them, as Python's own parser has it.
_LOAD: Final = ast.Load()
_STORE: Final = ast.Store()
_AND: Final = ast.And()
_OR: Final = ast.Or()
_NOT: Final = ast.Not()
_IS_NOT: Final = ast.IsNot()
_EQUAL: Final = ast.Eq()
_IN: Final = ast.In()

_new: Final[Any] = ast.AST.__new__


class Placed:
    """
    Makes nodes that stand at one place.

    Args:
        line, column, end_line, end: as Python counts them: columns in bytes, from 0.
    """

    __slots__ = ("_place",)

    def __init__(self, line: int, column: int, end_line: int, end: int) -> None:
        self._place: dict[str, Any] = {
            "lineno": line,
            "col_offset": column,
            "end_lineno": end_line,
            "end_col_offset": end,
        }

    def _node(self, kind: type[ast.AST], said: dict[str, Any]) -> Any:
        """A node of what is said of it."""
        said.update(self._place)
        node = _new(kind)
        node.__dict__ = said
        return node

    # -- values ---------------------------------------------------------------------------------------------

    def load(self, name: str) -> ast.Name:
        """A name that is read."""
        node: ast.Name = _new(ast.Name)
        node.__dict__ = said = self._place.copy()
        said["id"] = name
        said["ctx"] = _LOAD
        return node

    def store(self, name: str) -> ast.Name:
        """A name that is assigned to. They are fewer than those that are read, and made as most nodes are."""
        return self._node(ast.Name, {"id": name, "ctx": _STORE})  # type: ignore[no-any-return]

    def constant(self, value: Any) -> ast.Constant:
        """A constant of Python's."""
        node: ast.Constant = _new(ast.Constant)
        node.__dict__ = said = self._place.copy()
        said["value"] = value
        return node

    def call(self, function: str, *args: ast.expr) -> ast.Call:
        """A call of what has a name."""
        return self.calling(self.load(function), list(args))

    def calling(self, function: ast.expr, args: list[ast.expr]) -> ast.Call:
        """A call."""
        node: ast.Call = _new(ast.Call)
        node.__dict__ = said = self._place.copy()
        said["func"] = function
        said["args"] = args
        said["keywords"] = []
        return node

    def method(self, of: ast.expr, name: str, *args: ast.expr) -> ast.Call:
        """A call of a method."""
        return self.calling(self.attribute(of, name), list(args))

    def attribute(self, of: ast.expr, name: str) -> ast.Attribute:
        """`of.name`."""
        return self._node(ast.Attribute, {"value": of, "attr": name, "ctx": _LOAD})  # type: ignore[no-any-return]

    def entry(self, of: str, key: Any) -> ast.Subscript:
        """`of[key]`."""
        said = {"value": self.load(of), "slice": self.constant(key), "ctx": _LOAD}
        return self._node(ast.Subscript, said)  # type: ignore[no-any-return]

    def list_(self, values: list[ast.expr]) -> ast.List:
        """A list."""
        return self._node(ast.List, {"elts": values, "ctx": _LOAD})  # type: ignore[no-any-return]

    def tuple_(self, values: list[ast.expr]) -> ast.Tuple:
        """A tuple."""
        return self._node(ast.Tuple, {"elts": values, "ctx": _LOAD})  # type: ignore[no-any-return]

    def dict_(self, keys: list[ast.expr | None], values: list[ast.expr]) -> ast.Dict:
        """A dictionary; where a key is `None` the value is one whose entries are taken over."""
        return self._node(ast.Dict, {"keys": keys, "values": values})  # type: ignore[no-any-return]

    # -- decisions ------------------------------------------------------------------------------------------

    def named(self, name: str, value: ast.expr) -> ast.NamedExpr:
        """`name := value`."""
        return self._node(ast.NamedExpr, {"target": self.store(name), "value": value})  # type: ignore[no-any-return]

    def choice(self, test: ast.expr, then: ast.expr, otherwise: ast.expr) -> ast.IfExp:
        """`then if test else otherwise`."""
        said = {"test": test, "body": then, "orelse": otherwise}
        return self._node(ast.IfExp, said)  # type: ignore[no-any-return]

    def all_of(self, tests: list[ast.expr]) -> ast.BoolOp:
        """`a and b`."""
        return self._node(ast.BoolOp, {"op": _AND, "values": tests})  # type: ignore[no-any-return]

    def any_of(self, tests: list[ast.expr]) -> ast.BoolOp:
        """`a or b`."""
        return self._node(ast.BoolOp, {"op": _OR, "values": tests})  # type: ignore[no-any-return]

    def not_(self, test: ast.expr) -> ast.UnaryOp:
        """`not test`."""
        return self._node(ast.UnaryOp, {"op": _NOT, "operand": test})  # type: ignore[no-any-return]

    def is_not(self, left: ast.expr, right: ast.expr) -> ast.Compare:
        """`left is not right`."""
        return self._compare(left, _IS_NOT, right)

    def equal(self, left: ast.expr, right: ast.expr) -> ast.Compare:
        """`left == right`."""
        return self._compare(left, _EQUAL, right)

    def within(self, left: ast.expr, right: ast.expr) -> ast.Compare:
        """`left in right`."""
        return self._compare(left, _IN, right)

    def _compare(self, left: ast.expr, how: ast.cmpop, right: ast.expr) -> ast.Compare:
        said = {"left": left, "ops": [how], "comparators": [right]}
        return self._node(ast.Compare, said)  # type: ignore[no-any-return]

    # -- statements -----------------------------------------------------------------------------------------

    def set(self, name: str, value: ast.expr) -> ast.stmt:
        """`name = value`."""
        return self._assign(self.store(name), value)

    def set_both(self, first: str, second: str, value: ast.expr) -> ast.stmt:
        """`first, second = value`."""
        return self._assign(self._pair(first, second), value)

    def put(self, into: str, key: ast.expr, value: ast.expr) -> ast.stmt:
        """`into[key] = value`."""
        target = self._node(ast.Subscript, {"value": self.load(into), "slice": key, "ctx": _STORE})
        return self._assign(target, value)

    def _assign(self, target: ast.expr, value: ast.expr) -> ast.stmt:
        return self._node(ast.Assign, {"targets": [target], "value": value})  # type: ignore[no-any-return]

    def _pair(self, first: str, second: str) -> ast.Tuple:
        said = {"elts": [self.store(first), self.store(second)], "ctx": _STORE}
        return self._node(ast.Tuple, said)  # type: ignore[no-any-return]

    def do(self, value: ast.expr) -> ast.stmt:
        """A statement that is a call."""
        return self._node(ast.Expr, {"value": value})  # type: ignore[no-any-return]

    def give(self, value: ast.expr) -> ast.stmt:
        """`return value`."""
        return self._node(ast.Return, {"value": value})  # type: ignore[no-any-return]

    def raise_(self, error: ast.expr) -> ast.stmt:
        """`raise error`."""
        return self._node(ast.Raise, {"exc": error, "cause": None})  # type: ignore[no-any-return]

    def nothing(self) -> ast.stmt:
        """`pass`."""
        return self._node(ast.Pass, {})  # type: ignore[no-any-return]

    def when(self, test: ast.expr, then: Block, otherwise: Block) -> ast.stmt:
        """An `if`. The blocks are kept, not copied: the caller may go on filling them."""
        return self._node(ast.If, {"test": test, "body": then, "orelse": otherwise})  # type: ignore[no-any-return]

    def each(self, name: str, values: ast.expr, body: Block) -> ast.stmt:
        """`for name in values`."""
        return self._each(self.store(name), values, body)

    def each_pair(self, first: str, second: str, values: ast.expr, body: Block) -> ast.stmt:
        """`for first, second in values`."""
        return self._each(self._pair(first, second), values, body)

    def _each(self, target: ast.expr, values: ast.expr, body: Block) -> ast.stmt:
        said = {"target": target, "iter": values, "body": body, "orelse": []}
        return self._node(ast.For, said)  # type: ignore[no-any-return]

    def function(self, name: str, args: tuple[str, ...], body: Block) -> ast.Module:
        """A module of one function."""
        named = [self._node(ast.arg, {"arg": arg, "annotation": None}) for arg in args]
        takes = ast.arguments([], named, None, [], [], None, [])
        # `type_params` is there since Python 3.12, and not asked for before.
        said = {"name": name, "args": takes, "body": body, "decorator_list": [], "returns": None, "type_params": []}
        return ast.Module([self._node(ast.FunctionDef, said)], [])
